"""What a device takes for the time: it runs fast or slow while a `skew` lasts, else with the emulator's."""

from collections.abc import Collection
from typing import Final

from firmware_sim.faults import ArmedFault, Faults

_TRUE: Final = 1_000_000
"""Speeds are in millionths, so that times stay whole ns."""


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

    @property
    def skewed(self) -> bool:
        """Whether it has ever run at another speed, or will."""
        return len(self._marks) > 1 or (bool(self._faults.armed) and bool(self._skews()))

    def keep_up(self, at_ns: int) -> None:
        """Take note of the speeds until now."""
        skews = self._skews()
        last_ns = self._marks[-1][0]
        turns = {t for each in skews for t in (each.begin_ns, each.end_ns) if t is not None and last_ns < t < at_ns}
        for turn_ns in (*sorted(turns), at_ns):
            true_ns, _, speed = self._marks[-1]
            now = next((round(each.fault.quantity("speed") * _TRUE) for each in skews if each.lasts(turn_ns)), _TRUE)
            if now != speed and turn_ns >= true_ns:
                self._marks.append((turn_ns, self.own_ns(turn_ns), now))

    def own_ns(self, true_ns: int) -> int:
        """Return what it shows at a time that is not before the last change of its speed."""
        since_ns, own_ns, speed = self._marks[-1]
        return own_ns + (true_ns - since_ns) * speed // _TRUE

    def true_ns(self, own_ns: int) -> int:
        """Return the first time at which it shows that."""
        since_ns, shown_ns, speed = next(mark for mark in reversed(self._marks) if mark[1] <= own_ns or mark[0] == 0)
        return since_ns - (shown_ns - own_ns) * _TRUE // speed

    def true_span_ns(self, own_ns: int) -> int:
        """Return how long its own time takes."""
        return own_ns * _TRUE // self._marks[-1][2]

    def _skews(self) -> list[ArmedFault]:
        return list(self._faults.on(self._names, {"skew"}))
