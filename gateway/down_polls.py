"""Counts the polls that nobody made while no gateway ran: as soon as anybody can know for how long that was."""

from collections import Counter
from collections.abc import Callable, Sequence

from gateway.clock_watch import FreeStart
from gateway.stamps import Stamps

PollsUntil = Callable[[int], int]
"""Says how many polls were due, and not made, until then, ms UTC by the clock that the gateway before had."""

Uncounted = tuple[PollsUntil, float]
"""What counts them, and until when: when this process began, on the event loop's clock."""


class DownPolls:
    """Counts them once.

    Without the time nobody can know; but a gateway before that had none either is followed by the machine's own clock.

    Args:
        uncounted: None when there is nothing to count, or nobody will ever know.
        free: the starts before this one that wait for the time.

    Attributes:
        uncounted: what still is.
    """

    def __init__(self, uncounted: Uncounted | None, stamps: Stamps, free: Sequence[FreeStart]) -> None:
        self.uncounted = uncounted
        self._stamps = stamps
        self._machine_s = free[-1].offset_s if free else None
        if free and self._machine_s is None:
            self.uncounted = None

    def count(self, lost: Counter[str]) -> int | None:
        """Add them to what was lost if that is known now and was not before; return them, or None."""
        if self.uncounted is None or (self._stamps.sync == "free" and self._machine_s is None):
            return None
        (polls_until, began_s), self.uncounted = self.uncounted, None
        if self._machine_s is None:
            polls = polls_until(self._stamps.utc_ms(began_s))
        else:
            polls = polls_until(round((began_s + self._machine_s) * 1000))
        lost["down_polls"] += polls
        return polls
