"""What a device takes for the time: it runs fast or slow while a `skew` lasts, else with the emulator's."""

from collections.abc import Collection
from typing import Final

from firmware_sim.faults import ArmedFault, Faults

_TRUE: Final = 1_000_000
"""Speeds are in millionths, so that times stay whole ns."""

_Mark = tuple[int, int, int]


class DeviceClock:
    """One device's clock; a skew that is over leaves it ahead or behind, as on copper.

    Args:
        names: the targets that mean the device.
        faults: those in force.
    """

    def __init__(self, *, names: Collection[str], faults: Faults) -> None:
        self._names = names
        self._faults = faults
        self._marks = [(0, 0, _TRUE)]  # at this true time it showed that time and ran at this speed from then on
        self._kept_ns = 0

    @property
    def skewed(self) -> bool:
        """Whether it has ever run at another speed, or will."""
        return len(self._marks) > 1 or (bool(self._faults.armed) and bool(self._skews()))

    def keep_up(self, at_ns: int) -> None:
        """Take note of the speeds until now: what is taken back later has been all the same."""
        if self.skewed:
            self._marks = [mark for mark in self._course() if mark[0] <= at_ns]
        self._kept_ns = at_ns

    def own_ns(self, true_ns: int) -> int:
        """Return what it shows at a time."""
        if not self.skewed:
            return true_ns
        return _shown(next(mark for mark in reversed(self._course()) if mark[0] <= true_ns), true_ns)

    def true_ns(self, own_ns: int) -> int:
        """Return the first time at which it shows that."""
        if not self.skewed:
            return own_ns
        since_ns, shown_ns, speed = next(mark for mark in reversed(self._course()) if mark[1] <= own_ns)
        return since_ns - (shown_ns - own_ns) * _TRUE // speed

    def true_span_ns(self, own_ns: int) -> int:
        """Return how long its own time takes now."""
        return own_ns * _TRUE // self._marks[-1][2]

    def _skews(self) -> list[ArmedFault]:
        return list(self._faults.on(self._names, {"skew"}))

    def _course(self) -> list[_Mark]:
        """Return the marks, also those to come."""
        skews, marks = self._skews(), list(self._marks)
        turns = {t for each in skews for t in (each.begin_ns, each.end_ns) if t is not None and t >= self._kept_ns}
        for turn_ns in sorted({self._kept_ns, *turns}):
            speed = next((round(each.fault.quantity("speed") * _TRUE) for each in skews if each.lasts(turn_ns)), _TRUE)
            if speed != marks[-1][2]:
                marks.append((turn_ns, _shown(marks[-1], turn_ns), speed))
        return marks


def _shown(mark: _Mark, true_ns: int) -> int:
    since_ns, own_ns, speed = mark
    return own_ns + (true_ns - since_ns) * speed // _TRUE
