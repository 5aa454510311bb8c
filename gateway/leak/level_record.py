"""The levels of one air body as they came: each for half an hour, means over a minute for three days. Pure."""

import math
from collections import deque
from typing import Final

import numpy as np

from gateway.leak.noise import Array

MINUTE: Final = 60  # steps
_SECONDS_KEPT: Final = 1800
_MINUTES_KEPT: Final = 4320

_Sample = tuple[float, float]


class LevelRecord:
    """Levels by time, Pa and s; NaN where there is none."""

    def __init__(self) -> None:
        self._minute: list[float] = []  # of the mean that is under way
        self._seconds: deque[_Sample] = deque(maxlen=_SECONDS_KEPT)
        self._minutes: deque[_Sample] = deque(maxlen=_MINUTES_KEPT)

    def add(self, now_s: float, x_pa: float) -> None:
        """Take the level of one step."""
        self._seconds.append((now_s, x_pa))

    def add_to_minute(self, now_s: float, x_pa: float, *, share: float) -> float | None:
        """Take the same level for its mean; return that once its minute is full, Pa, NaN when too few were there.

        Of the steps, that share brings a level.
        """
        self._minute.append(x_pa)
        if len(self._minute) < MINUTE:
            return None
        there = [each for each in self._minute if not math.isnan(each)]
        mean_pa = sum(there) / len(there) if len(there) >= max(MINUTE * share / 2, 1) else math.nan
        self._minutes.append((now_s - MINUTE / 2, mean_pa))
        self._minute.clear()
        return mean_pa

    def break_minute(self) -> None:
        """Forget what is under way: a mean of before and after is neither."""
        self._minute = [math.nan] * len(self._minute)

    def since(self, since_s: float) -> tuple[Array, Array, bool]:
        """Return times, levels, and whether they are means over a minute because the seconds do not reach back so far.

        Both arrays are of shape (samples,).
        """
        by_minute = len(self._seconds) == _SECONDS_KEPT and since_s < self._seconds[0][0]
        samples = self._minutes if by_minute else self._seconds
        chosen = np.array([sample for sample in samples if sample[0] > since_s]).reshape(-1, 2)
        return chosen[:, 0], chosen[:, 1], by_minute
