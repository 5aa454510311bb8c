"""Pfeiffer's telegrams: address, action, parameter, length, data, checksum, all as decimal digits, then CR. Pure.

Source: Pfeiffer operating instructions of PPT 100 and HPT 100 (one example of the latter has a misprint: by its own
checksum `0120074006423415040` must begin with 0121). An answer names unit and parameter: it is mistaken for no other.
"""

import re
from typing import Final

from drivers.wire.ascii_line import LineRequest

ERRORS: Final = (b"NO_DEF", b"_RANGE", b"_LOGIC")
"""What stands in place of the data of a telegram that is refused."""

_DATA_AT: Final = 10
_TAIL: Final = 4  # checksum and CR


def read_parameter(unit: int, parameter: int, data: bytes, size: int) -> LineRequest:
    """Ask for a parameter.

    Args:
        unit: address of the gauge.
        parameter: its number.
        data: pattern of the data that it brings.
        size: how many characters they are.
    """
    question = b"%03d00%03d02=?" % (unit, parameter)
    head = b"%03d10%03d" % (unit, parameter)
    return LineRequest(
        unit=unit,
        frame=b"%s%03d\r" % (question, _checksum(question)),
        head=head,
        answer=re.compile(re.escape(head) + b"%02d(?:%s)" % (size, data) + rb"\d{3}\r"),
        refused=re.compile(re.escape(head) + b"06(?:%s)" % b"|".join(ERRORS) + rb"\d{3}\r"),
        answer_size=_DATA_AT + max(size, 6) + _TAIL,
        terminator=b"\r",
        intact=_checksum_holds,
    )


def data_of(frame: bytes) -> bytes:
    """Return the data of an answer."""
    return frame[_DATA_AT:-_TAIL]


def expo(data: bytes) -> float:
    """Return the number of `u_expo_new`: four digits with three decimals, and a power of ten above -20."""
    return int(data[:4]) / 1000 * 10.0 ** (int(data[4:]) - 20)


def _checksum(text: bytes) -> int:
    return sum(text) % 256


def _checksum_holds(frame: bytes) -> bool:
    return int(frame[-_TAIL:-1]) == _checksum(frame[:-_TAIL])
