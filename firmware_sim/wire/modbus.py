"""Modbus as a device sees it: RTU frames taken apart, questions parsed, answers and exceptions built.

Source: MODBUS Application Protocol V1.1b3 (functions 1, 2, 3, 4, 6, 8, 16), MODBUS over serial line V1.02 (RTU frames).
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from firmware_sim.wire.crc import crc16

BROADCAST: Final = 0
"""The address that everybody obeys and nobody answers."""


class Function(IntEnum):
    """Functions that any of our devices knows."""

    READ_COILS = 1
    READ_DISCRETE = 2
    READ_HOLDING = 3
    READ_INPUT = 4
    WRITE_ONE = 6
    DIAGNOSTICS = 8
    WRITE_MANY = 16


class Code(IntEnum):
    """Why a device refuses."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    """A question that is answered with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Modbus exception {code}")
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Functions 3 and 4: `count` registers from `address` on; functions 1 and 2: so many bits."""

    function: Function
    address: int
    count: int

    @property
    def of_bits(self) -> bool:
        """Whether it asks for bits."""
        return self.function in (Function.READ_COILS, Function.READ_DISCRETE)

    def answer(self, data: bytes) -> bytes:
        """Return the PDU that brings registers (2 bytes each, high byte first) or bits (8 in a byte, first one low)."""
        return bytes((self.function, len(data))) + data


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Functions 6 and 16: `values` into the registers from `address` on."""

    function: Function
    address: int
    values: tuple[int, ...]

    def answer(self) -> bytes:
        """Return the PDU that confirms the write."""
        last = self.values[0] if self.function is Function.WRITE_ONE else len(self.values)
        return struct.pack(">BHH", self.function, self.address, last)


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo:
    """Function 8, sub-function 0: the same bytes back."""

    data: bytes

    def answer(self) -> bytes:
        """Return the PDU of the question."""
        return struct.pack(">BH", Function.DIAGNOSTICS, 0) + self.data


Request = Read | Write | Echo


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """An RTU frame with a good checksum."""

    unit: int
    pdu: bytes


def split(frame: bytes) -> Frame | None:
    """Take an RTU frame apart; None unless its length is possible and its checksum (low byte first) holds."""
    if not 4 <= len(frame) <= 256 or crc16(frame[:-2]) != int.from_bytes(frame[-2:], "little"):
        return None
    return Frame(unit=frame[0], pdu=frame[1:-2])


def join(unit: int, pdu: bytes) -> bytes:
    """Return the RTU frame of a PDU."""
    body = bytes((unit,)) + pdu
    return body + crc16(body).to_bytes(2, "little")


def parse(pdu: bytes, functions: frozenset[Function]) -> Request:
    """Parse a question.

    Raises:
        Refusal: the device does not know the function, or the PDU is not well formed.
    """
    if pdu[0] not in functions:
        raise Refusal(Code.ILLEGAL_FUNCTION)
    function = Function(pdu[0])
    match function:
        case Function.READ_COILS | Function.READ_DISCRETE | Function.READ_HOLDING | Function.READ_INPUT:
            return _read(function, pdu)
        case Function.WRITE_ONE | Function.WRITE_MANY:
            return _write(function, pdu)
        case Function.DIAGNOSTICS:
            if pdu[1:3] != b"\0\0":
                raise Refusal(Code.ILLEGAL_FUNCTION)
            return Echo(data=pdu[3:])


def _read(function: Function, pdu: bytes) -> Read:
    if len(pdu) != 5:
        raise Refusal(Code.ILLEGAL_VALUE)
    address, count = struct.unpack(">HH", pdu[1:])
    read = Read(function=function, address=address, count=count)
    if not 1 <= count <= (2000 if read.of_bits else 125):
        raise Refusal(Code.ILLEGAL_VALUE)
    _inside(address, count)
    return read


def _write(function: Function, pdu: bytes) -> Write:
    if function is Function.WRITE_ONE:
        if len(pdu) != 5:
            raise Refusal(Code.ILLEGAL_VALUE)
        address, value = struct.unpack(">HH", pdu[1:])
        return Write(function=function, address=address, values=(value,))
    if len(pdu) < 6:
        raise Refusal(Code.ILLEGAL_VALUE)
    address, count, size = struct.unpack(">HHB", pdu[1:6])
    if not 1 <= count <= 123 or size != 2 * count or len(pdu) != 6 + size:
        raise Refusal(Code.ILLEGAL_VALUE)
    _inside(address, count)
    return Write(function=function, address=address, values=struct.unpack(f">{count}H", pdu[6:]))


def _inside(address: int, count: int) -> None:
    if address + count > 0x10000:
        raise Refusal(Code.ILLEGAL_ADDRESS)


def exception(function: int, code: int) -> bytes:
    """Return the PDU of a refusal."""
    return bytes((function | 0x80, code))


def serve(pdu: bytes, functions: frozenset[Function], do: Callable[[Request], bytes | None]) -> bytes | None:
    """Answer a PDU by what `do` makes of the parsed question; its `Refusal` becomes an exception answer.

    Returns:
        The answering PDU, None for silence: when `do` says so, and for a PDU that is no question.
    """
    if not is_question(pdu):
        return None
    try:
        return do(parse(pdu, functions))
    except Refusal as refusal:
        return exception(pdu[0], refusal.code)


def is_question(pdu: bytes) -> bool:
    """Say whether a PDU can be a question: function codes from 128 on mark refusals."""
    return len(pdu) > 0 and 0 < pdu[0] < 0x80


def exchange(frame: bytes, unit: int, answer: Callable[[bytes], bytes | None]) -> bytes | None:
    """Answer an RTU frame as the device at `unit`.

    Returns:
        The answering frame; None for a bad frame, for somebody else's, and for a broadcast, which is obeyed anyway.
    """
    if not frame or frame[0] not in (unit, BROADCAST):  # most of what it hears is for others: no checksum for that
        return None
    question = split(frame)
    if question is None:
        return None
    pdu = answer(question.pdu)
    return None if pdu is None or question.unit == BROADCAST else join(unit, pdu)
