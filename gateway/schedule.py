"""Which unit of a bus is polled when: periods on a grid, phases spread, everyone in turn when the line is too slow.

Pure: times are handed in.
"""

import math
from collections.abc import Callable, Mapping
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

_STEPS: Final = 10
_LONGEST_STEP_S: Final = 0.1


class _Due(NamedTuple):
    """A poll to come; a tuple because the heap compares many.

    `since_s` is when it can be made: when it is due, or later if its unit was still being polled then.
    """

    since_s: float
    order: int
    unit: int
    period_s: float
    due_s: float


class Schedule:
    """The polls of one bus.

    Attributes:
        missed: unit -> polls that were due and never made, because the line had no time for them.
        overruns: polls that ended when the next one of their unit was due already.
        longest_s: the longest time from a poll's due moment to its end; whoever reads it may set it back to 0.
    """

    def __init__(self, periods: Mapping[int, float], *, start_s: float, together: bool = False) -> None:
        """Spread the units of each period over it, so that a fast line carries them evenly.

        Args:
            periods: unit -> s.
            start_s: time of the first poll.
            together: whether the bus carries several polls at once. They then fall on the tenths of their period, as
                those of other such buses do: who wakes up seldom and has much to do works with warm caches.
        """
        self._together = together
        groups: dict[float, list[int]] = {}
        for unit, period_s in periods.items():
            groups.setdefault(period_s, []).append(unit)
        self._waiting = [
            _Due(due_s, order, unit, period_s, due_s)
            for order, (due_s, unit, period_s) in enumerate(
                (self._begin_s(start_s + period_s * index / len(units), period_s), unit, period_s)
                for period_s, units in groups.items()
                for index, unit in enumerate(units)
            )
        ]
        heapify(self._waiting)
        self._order = len(self._waiting)
        self._polling: dict[int, _Due] = {}
        self.missed = dict.fromkeys(periods, 0)
        self.overruns = 0
        self.longest_s = 0.0

    def _begin_s(self, from_s: float, period_s: float) -> float:
        """Return the first moment at which a unit of that period may be polled."""
        step_s = min(period_s / _STEPS, _LONGEST_STEP_S)
        return math.ceil(from_s / step_s) * step_s if self._together else from_s

    def change(self, unit: int, period_s: float, *, now_s: float) -> None:
        """Poll a unit at another period, from now on."""
        begin_s = self._begin_s(now_s, period_s)
        self._again(unit, lambda due: due._replace(since_s=begin_s, period_s=period_s, due_s=begin_s))

    def hurry(self, unit: int, *, now_s: float) -> None:
        """Poll a unit next, ahead of all that are due; its grid begins anew."""
        polling = unit in self._polling  # then it is put back a period later than it was due
        self._again(unit, lambda due: due._replace(since_s=-math.inf, due_s=now_s - polling * due.period_s))

    def _again(self, unit: int, changed: Callable[[_Due], _Due]) -> None:
        if unit in self._polling:
            self._polling[unit] = changed(self._polling[unit])
        else:
            self._waiting = [changed(due) if due.unit == unit else due for due in self._waiting]
            heapify(self._waiting)

    def next_due_s(self) -> float | None:
        """Return when the next poll is due, None while every unit is being polled."""
        return self._waiting[0].since_s if self._waiting else None

    def take(self) -> int:
        """Return the unit that has waited longest; it is out of the schedule until `done`."""
        due = heappop(self._waiting)
        self._polling[due.unit] = due
        return due.unit

    def give_back(self) -> None:
        """Put all units that are being polled back: nothing has come of it, and they are as due as before."""
        for due in self._polling.values():
            heappush(self._waiting, due)
        self._polling.clear()

    def oldest_due_s(self) -> float:
        """Return when the poll was due that has waited longest, one that is being made included."""
        return min(due.due_s for due in (*self._waiting[:1], *self._polling.values()))

    def done(self, unit: int, *, now_s: float) -> None:
        """Put a unit back for its next moment on the grid, and count those that have passed."""
        due = self._polling.pop(unit)
        late = max(int((now_s - due.due_s) / due.period_s), 0)
        # the grid point that has just passed is still worth polling: only older ones are lost
        self.missed[unit] += max(late - 1, 0)
        self.overruns += late > 0
        self.longest_s = max(self.longest_s, now_s - due.due_s)
        self._order += 1
        due_s = due.due_s + max(late, 1) * due.period_s
        heappush(self._waiting, _Due(max(due_s, now_s), self._order, unit, due.period_s, due_s))
