"""KELLER bus: the maker's own protocol, always active beside Modbus and told apart from it by the CRC's byte order.

Source: KELLER "Communication protocol Serie 30". A frame is address, function, data, CRC high byte, CRC low byte; a
refusal is address, function + 128, code, CRC.
"""

from dataclasses import dataclass
from typing import Final

from drivers.exchange import Request
from drivers.wire.modbus import crc16

READ_COEFFICIENT: Final = 30
INITIALISE: Final = 48
CHANGE_ADDRESS: Final = 66
READ_SERIAL_NUMBER: Final = 69
READ_FLOAT: Final = 73
READ_INTEGER: Final = 74
NOT_INITIALISED: Final = 32
"""Refusal code of everything but F48 after power-up; Modbus answers use the same number."""

_ANSWER_DATA: Final = {
    READ_COEFFICIENT: 4,
    INITIALISE: 6,
    CHANGE_ADDRESS: 1,
    READ_SERIAL_NUMBER: 4,
    READ_FLOAT: 5,
    READ_INTEGER: 5,
}
_REFUSAL_BIT: Final = 0x80
_REFUSAL_SIZE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class KellerRequest:
    """A KELLER bus question; a `drivers.exchange.Request`."""

    unit: int
    frame: bytes
    answer_size: int
    processing_s: float = 0.0

    def measure(self, heard: bytes, start: int) -> int:
        """Return the length of an intact answer at `start`, 0 when there is none, -1 when it could still become one."""
        head = self.frame[:2]
        refusal_head = bytes((self.unit, head[1] | _REFUSAL_BIT))
        begun = heard[start : start + 2]
        if begun == head:
            end = start + self.answer_size
        elif begun == refusal_head:
            end = start + _REFUSAL_SIZE
        else:
            return -1 if head.startswith(begun) else 0
        if end > len(heard):
            return -1
        return end - start if crc16(heard[start : end - 2]).to_bytes(2, "big") == heard[end - 2 : end] else 0

    def refusal(self, frame: bytes) -> int | None:
        """Return the refusal's code, None when the answer brings a value."""
        return frame[2] if frame[1] & _REFUSAL_BIT else None

    def confusable(self, other: Request) -> bool:
        """Say whether the other question has the same unit and function: an answer names no channel."""
        return isinstance(other, KellerRequest) and self.frame[:2] == other.frame[:2]


def keller_request(unit: int, function: int, data: bytes = b"") -> KellerRequest:
    """Return the question for one of the functions named in this module.

    Args:
        unit: address, 1 to 249 (250 reaches any device that is alone on its line).
        function: 30, 48, 66, 69, 73 or 74.
        data: what the function takes: a channel (73, 74), a coefficient's number (30), or an address (66; 0 asks for
            the present one).
    """
    head = bytes((unit, function)) + data
    return KellerRequest(unit=unit, frame=head + crc16(head).to_bytes(2, "big"), answer_size=4 + _ANSWER_DATA[function])


def data_of(frame: bytes) -> bytes:
    """Return what stands between function and CRC of an answer."""
    return frame[2:-2]


def greet(unit: int) -> KellerRequest:
    """Return F48, which initialises a transmitter after power-up; its answer says what it is."""
    return keller_request(unit, INITIALISE)


def greeting_text(frame: bytes) -> str | None:
    """Return who sent an answer to F48 (class, group, year, week, buffer length, state); None when it is none."""
    data = data_of(frame)
    if len(data) != _ANSWER_DATA[INITIALISE]:
        return None
    return f"KELLER {data[0]}.{data[1]:02}, firmware {data[2]}.{data[3]:02}"
