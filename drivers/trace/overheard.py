"""What a listener beside a line makes of what it hears: whole frames by their checksum, and who sent each. Pure.

Modbus and the KELLER bus put no talker into a frame, but their grammar tells questions from answers, or else the order
does: after a question to a unit its next frame is the answer. Lines of text tell neither.
"""

from collections.abc import Iterator
from typing import Final

from drivers.trace.records import HOST, LINE
from drivers.wire.modbus import crc16, foreign_frame

NO_FRAME: Final = "no whole frame"

_READS: Final = (1, 2, 3, 4)
_READ_SIZE: Final = 8
_REFUSAL_BIT: Final = 0x80
_SHORTEST: Final = 4
_KELLER: Final = (30, 31, 32, 33, 48, 66, 67, 69, 73, 74, 95, 100)
_KELLER_LONGEST: Final = 16
"""Bytes of its longest frame, and functions that it has: in noise a checksum of two bytes alone is right too often."""


class Overheard:
    """Takes a line's bytes apart, run by run; remembers who was asked last."""

    def __init__(self) -> None:
        self._asked: int | None = None

    def frames(self, run: bytes) -> Iterator[tuple[int, str, bytes, str]]:
        """Yield (place in the run, talker, bytes, note) of each frame, and of whatever stands between them."""
        at = junk = 0
        while at < len(run):
            size = _frame(run, at)
            if not size:
                at += 1
                continue
            if junk < at:
                yield junk, LINE, run[junk:at], NO_FRAME
            frame = run[at : at + size]
            yield at, self._talker(frame), frame, ""
            at = junk = at + size
        if junk < at:
            yield junk, LINE, run[junk:], NO_FRAME

    def _talker(self, frame: bytes) -> str:
        if _asks(frame, unanswered=self._asked):
            self._asked = frame[0]
            return HOST
        self._asked = None
        return f"unit {frame[0]}"


def _asks(frame: bytes, *, unanswered: int | None) -> bool:
    function = frame[1]
    if function & _REFUSAL_BIT:
        return False
    if function in _READS and len(frame) != frame[2] + 5:
        return len(frame) == _READ_SIZE
    if function in _READS and len(frame) != _READ_SIZE:
        return False
    return frame[0] != unanswered


def _frame(run: bytes, at: int) -> int:
    """Return the length of an intact frame at that place, 0 when none begins there."""
    size = foreign_frame(run, at)
    if size or len(run) - at < _SHORTEST or run[at + 1] & ~_REFUSAL_BIT not in _KELLER:
        return size
    for end in range(at + _SHORTEST, min(len(run), at + _KELLER_LONGEST) + 1):
        if crc16(run[at : end - 2]) == int.from_bytes(run[end - 2 : end], "big"):  # the KELLER bus' order
            return end - at
    return 0
