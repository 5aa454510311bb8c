"""A frame in words, for people who read a trace: Modbus, the KELLER bus, and text. Pure."""

import struct
from typing import Final

from drivers.trace.exchanges import is_text
from drivers.wire.modbus import crc16

_READS: Final = {1: "coils", 2: "inputs", 3: "holding registers", 4: "input registers"}
_WRITES: Final = {5: "write coil", 6: "write register", 15: "write coils", 16: "write registers"}
_DIAGNOSTICS: Final = 8
_EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledged, busy",
    6: "busy",
    10: "no path to it",
    11: "it does not answer",
    32: "not initialised",
}
_SHORTEST: Final = 4
_REFUSAL_BIT: Final = 0x80


def spoken(data: bytes, *, asks: bool) -> str:
    """Say in words what a line's frame is; empty when it is nothing known.

    Args:
        data: the frame.
        asks: whether it is a question, where frames do not tell.
    """
    if data and is_text(data):
        return ascii(data.decode("ascii"))
    if len(data) < _SHORTEST:
        return ""
    sum_sent, sum_right = data[-2:], crc16(data[:-2]) if len(data) <= 256 else -1
    if int.from_bytes(sum_sent, "little") == sum_right:
        return f"unit {data[0]} {_modbus(data[1:-2], asks=asks)}"
    if int.from_bytes(sum_sent, "big") == sum_right:
        told = _refusal(data[1:-2]) or f" {data[2:-2].hex(' ')}"
        return f"unit {data[0]} KELLER F{data[1] & 0x7F}{told}".rstrip()
    return "no valid checksum"


def spoken_tcp(rest: bytes, *, asks: bool) -> str:
    """Say what a Modbus TCP message is, given without its transaction id."""
    return f"unit {rest[4]} {_modbus(rest[5:], asks=asks)}" if len(rest) > 5 else "no whole message"


def _modbus(pdu: bytes, *, asks: bool) -> str:
    function = pdu[0]
    if function & _REFUSAL_BIT:
        return f"function {function & 0x7F}{_refusal(pdu)}"
    if function in _READS and asks and len(pdu) == 5:
        address, count = struct.unpack(">HH", pdu[1:])
        return f"read {count} {_READS[function]} at {address}"
    if function in _READS and not asks and len(pdu) > 1 and pdu[1] == len(pdu) - 2:
        return f"{_READS[function]}: {pdu[2:].hex(' ', 2)}"
    if function in _WRITES and len(pdu) >= 5:
        address, value = struct.unpack(">HH", pdu[1:5])
        return f"{_WRITES[function]} at {address}: {pdu[6:].hex(' ', 2) or value}"
    if function == _DIAGNOSTICS and len(pdu) >= 3:
        return f"diagnostics {int.from_bytes(pdu[1:3], 'big')}: {pdu[3:].hex(' ')}"
    return f"function {function}: {pdu[1:].hex(' ')}"


def _refusal(pdu: bytes) -> str:
    if not pdu[0] & _REFUSAL_BIT:
        return ""
    code = pdu[1] if len(pdu) > 1 else 0
    return f" refused: {code} {_EXCEPTIONS.get(code, '')}".rstrip()
