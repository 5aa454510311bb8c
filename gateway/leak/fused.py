"""A weighted mean that does not jump when one of its members falls silent or comes back."""

import math
from collections.abc import Mapping
from typing import Final

_LONGEST: Final = 3600  # steps over which a member's offset is averaged
_BEGINNING: Final = 10  # steps in which newcomers still count as there from the start


class FusedMean:
    """The mean of what several instruments say of one quantity.

    Instruments disagree by more than their noise: a plain mean of those that happen to speak steps whenever one goes,
    and a step is what a leak looks like. So each member's offset from the mean is learned, and taken off when others
    are missing. Offsets have a weighted sum of zero: with all members there, it is the plain weighted mean. Whoever
    comes later joins at the value that the others have by then.
    """

    def __init__(self) -> None:
        self._offsets: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._steps = 0

    def take(self, values: Mapping[str, float], weights: Mapping[str, float], *, learn: bool = True) -> float:
        """Take what the members say in this step and return the mean, NaN when nobody says anything.

        Args:
            values: by member, no NaN; who is missing says nothing.
            weights: greater than zero, at least for each of the values.
            learn: whether offsets may follow what is said now.
        """
        if not values:
            return math.nan
        self._steps += 1
        known = [name for name in values if name in self._offsets]
        if not known or (self._steps <= _BEGINNING and len(known) < len(values)):
            return self._begin(values, weights)
        total = sum(weights[name] for name in known)
        mean = sum(weights[name] * (values[name] - self._offsets[name]) for name in known) / total
        if learn:
            self._learn(values, weights, mean)
        return mean

    def __bool__(self) -> bool:
        return bool(self._offsets)

    def knows(self, member: str) -> bool:
        """Say whether a member's offset is known."""
        return member in self._offsets

    def offset(self, member: str) -> float:
        """Return how far a member lies above the mean, 0 for one that has not spoken."""
        return self._offsets.get(member, 0.0)

    def forget(self, member: str) -> None:
        """Forget a member's offset: it joins anew when it speaks again."""
        self._offsets.pop(member, None)
        self._counts.pop(member, None)

    def _begin(self, values: Mapping[str, float], weights: Mapping[str, float]) -> float:
        total = sum(weights[name] for name in values)
        mean = sum(weights[name] * value for name, value in values.items()) / total
        self._offsets = {name: value - mean for name, value in values.items()}
        self._counts = dict.fromkeys(values, 1)
        return mean

    def _learn(self, values: Mapping[str, float], weights: Mapping[str, float], mean: float) -> None:
        moved = 0.0
        for name, value in values.items():
            count = self._counts[name] = min(self._counts.get(name, 0) + 1, _LONGEST)
            before = self._offsets.get(name, value - mean)
            change = (value - mean - before) / count
            self._offsets[name] = before + change
            moved += weights[name] * change
        moved /= sum(weights[name] for name in values)
        for name in values:
            self._offsets[name] -= moved
