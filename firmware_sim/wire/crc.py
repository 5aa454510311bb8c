"""The CRC-16 that Modbus RTU and the KELLER bus share; they differ only in which of its bytes goes first."""

from typing import Final


def _table() -> tuple[int, ...]:
    rows = []
    for row in range(256):
        crc = row
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
        rows.append(crc)
    return tuple(rows)


_TABLE: Final = _table()


def crc16(data: bytes) -> int:
    """Return the checksum of those bytes.

    Polynomial 0xA001 (reflected), start 0xFFFF (Modbus over serial line V1.02, 6.2.2).
    """
    crc = 0xFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc
