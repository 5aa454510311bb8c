"""What a line is made of: stations, and the runs of characters that they and the host put on it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from firmware_sim.firmware.firmware import Firmware
from firmware_sim.line_time import Speed

LONG_AGO_NS: Final = -1_000_000_000
"""Before anything happened on a line."""

_FIFO: Final = 16
"""A UART hands over at most this many characters at once (16550), so a long answer reaches the host in pieces."""

OwnBaud = Callable[[int], int | None]
"""The speed of a station at a time (ns), None for the line's."""


@dataclass(slots=True, kw_only=True, eq=False)
class Station:
    """A device on the line, and what waits for it.

    Attributes:
        framed: it hears frames that end by silence, else characters as they come.
        addresses: first characters of the frames that concern it, None for any.
        own_baud: its speed, where that is its own.
        busy_until: it answers one thing after another; what it hears before waits in `inbox`.
        wake_due: when it wants to be woken.
    """

    name: str
    firmware: Firmware
    framed: bool
    addresses: frozenset[int] | None
    own_baud: OwnBaud | None
    busy_until: int = LONG_AGO_NS
    wake_due: int | None = None
    inbox: deque[bytes] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Run:
    """Characters without a pause by one talker (None: the host).

    `heard` is what stations make of `data`, final up to `settled`; `cuts` are the ends of the pieces in which it is
    handed over, last one first, none when nobody listens before the line falls silent.
    """

    talker: Station | None
    speed: Speed
    start: int
    end: int
    data: bytes
    heard: bytes
    cuts: list[int]
    settled: int = 0
    clashed: bool = False
    finished: bool = False

    def under(self, other: "Run") -> tuple[int, int]:
        """Return the first of its characters during which another run went on, and the one after the last."""
        baud, per_character = self.speed.baud, self.speed.per_character
        first = (other.start - self.start) * baud // per_character
        return first, -((self.start - other.end) * baud // per_character)


def fifo_cuts(size: int) -> list[int]:
    """Return the ends of the pieces in which a UART hands so many characters over, the last one first."""
    return [size] if size <= _FIFO else [size, *range((size - 1) // _FIFO * _FIFO, 0, -_FIFO)]
