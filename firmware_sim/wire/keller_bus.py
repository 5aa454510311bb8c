"""The KELLER bus protocol as a transmitter sees it: frames, function codes, exceptions.

A frame is address, function, data, CRC with its high byte first; that order tells it from Modbus on the same line.
Source: KELLER, Communication protocol Series 30, as reprinted in the Xylem Expert 7060/7070 manual, pages 15 to 20.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from firmware_sim.wire.crc import crc16
from firmware_sim.wire.numbers import float32

TRANSPARENT: Final = 250
"""The address that every transmitter answers; of use with one transmitter on the line (page 18)."""


class Function(IntEnum):
    """F numbers that the twin knows."""

    READ_COEFFICIENT = 30
    INITIALISE = 48
    CHANGE_ADDRESS = 66
    READ_SERIAL_NUMBER = 69
    READ_FLOAT = 73
    READ_INTEGER = 74


class Code(IntEnum):
    """Exception codes."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_CHANNEL = 2
    WRONG_LENGTH = 3
    OUT_OF_RANGE = 4
    NOT_INITIALISED = 32


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    """A question that is answered with an exception code."""

    def __init__(self, code: Code) -> None:
        super().__init__(f"KELLER bus exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A frame with a good checksum."""

    unit: int
    function: int
    data: bytes

    def answer(self, data: bytes) -> bytes:
        """Return the frame that answers this one."""
        return join(self.unit, self.function, data)

    def refusal(self, code: int) -> bytes:
        """Return the frame that refuses this one: function plus 128, then the code."""
        return join(self.unit, self.function | 0x80, bytes((code,)))


def split(frame: bytes) -> Frame | None:
    """Take a frame apart; None unless its length is possible and its checksum (high byte first) holds."""
    if not 4 <= len(frame) <= 256 or crc16(frame[:-2]) != int.from_bytes(frame[-2:], "big"):
        return None
    return Frame(unit=frame[0], function=frame[1], data=frame[2:-2])


def join(unit: int, function: int, data: bytes) -> bytes:
    """Return the frame of those parts."""
    body = bytes((unit, function)) + data
    return body + crc16(body).to_bytes(2, "big")


def float_value(value: float, status: int) -> bytes:
    """Return the data of an F73 answer: the float, high byte first, and STAT."""
    return float32(value) + bytes((status,))


def integer_value(value: int, status: int) -> bytes:
    """Return the data of an F74 answer: 32 bits with sign, high byte first, and STAT."""
    return value.to_bytes(4, "big", signed=True) + bytes((status,))
