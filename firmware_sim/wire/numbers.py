"""Numbers as registers hold them: integers and IEEE 754 floats in the four byte orders that Modbus devices use."""

import struct
from typing import Final

_FORMATS: Final = {
    "int16": ">h",
    "uint16": ">H",
    "int32": ">i",
    "uint32": ">I",
    "float32": ">f",
    "float64": ">d",
}


def float32(value: float) -> bytes:
    """Return 4 bytes, high byte first; a value too large for a single becomes an infinity."""
    try:
        return struct.pack(">f", value)
    except OverflowError:
        return struct.pack(">f", float("inf") if value > 0 else float("-inf"))


def integer(value: float, *, bits: int, signed: bool) -> bytes:
    """Return the nearest integer, high byte first; out of its limits it stays at the limit, NaN at the lower one."""
    low = -(1 << bits - 1) if signed else 0
    high = (1 << bits - signed) - 1
    return round(min(max(low, value), high)).to_bytes(bits // 8, "big", signed=signed)


def registers(value: float, kind: str, order: str) -> bytes:
    """Return a value as whole registers.

    Args:
        value: the number to store.
        kind: int16, uint16, int32, uint32, float32 or float64.
        order: ABCD high word and high byte first; CDAB low word first; BADC bytes swapped in each word; DCBA both. A
            single register is always high byte first.
    """
    if kind == "float32":
        data = float32(value)
    elif kind == "float64":
        data = struct.pack(_FORMATS[kind], value)
    else:
        data = integer(value, bits=8 * struct.calcsize(_FORMATS[kind]), signed=not kind.startswith("u"))
    if len(data) == 2:
        return data
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if order in {"CDAB", "DCBA"}:
        words.reverse()
    if order in {"BADC", "DCBA"}:
        words = [word[::-1] for word in words]
    return b"".join(words)
