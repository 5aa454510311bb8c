"""A weighted mean that does not jump when one of its members falls silent or comes back."""

import math
from collections.abc import Collection, Mapping
from typing import Final

_LONGEST: Final = 3600  # steps over which a member's offset is averaged
_BEGINNING: Final = 10  # steps in which newcomers still count as there from the start
_COMPARED: Final = 60  # steps until a newcomer counts: its offset is then known to an eighth of its noise
_FORGOTTEN: Final = 600  # steps of silence after which a member is a newcomer again: it may have drifted meanwhile


class FusedMean:
    """The mean of what several instruments say of one quantity.

    Instruments disagree by more than their noise: a plain mean of those that happen to speak steps whenever one goes,
    and a step is what a leak looks like. So each member's offset from the mean is learned, and taken off when others
    are missing. Offsets have a weighted sum of zero: with all members there, it is the plain weighted mean. Whoever
    comes later is compared with it for a minute before it counts, and joins at the value that the others have by then.
    If nobody who counts is left, those who are there make a new mean: `anew` says so, for then it may have jumped.

    Attributes:
        anew: whether the last step began a new mean.
    """

    def __init__(self) -> None:
        self.anew = False
        self._mean = math.nan
        self._last: dict[str, float] = {}
        self._offsets: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._joined: set[str] = set()
        self._speakers: frozenset[str] = frozenset()
        self._heard: dict[str, int] = {}
        self._steps = 0

    def take(self, values: Mapping[str, float], weights: Mapping[str, float], *, learn: bool = True) -> float:
        """Take what the members say in this step and return the mean, NaN when nobody who counts says anything.

        Args:
            values: by member, no NaN; who is missing says nothing in this step.
            weights: greater than zero, of all who are believed, whether they speak in this step or not.
            learn: whether offsets may follow what is said now.
        """
        self.anew = False
        if not values:
            return math.nan
        self._steps += 1
        for name, value in values.items():
            if self._steps - self._heard.get(name, self._steps) > _FORGOTTEN:
                self.forget(name)
            self._heard[name], self._last[name] = self._steps, value
        standing = [name for name in weights if name in self._joined]
        if not standing or (self._steps <= _BEGINNING and not self._joined.issuperset(values)):
            standing = list(dict.fromkeys([*standing, *values]))
            self._begin({name: self._last[name] for name in standing}, weights)
        counting = {name: value for name, value in values.items() if name in self._joined}
        before, by = self._mean, self._speakers
        if counting:
            self._mean, self._speakers = self._settled(counting, weights), frozenset(counting)
        if learn:
            if len(counting) > 1:
                self._learn(counting, self._mean, weights, counting)
            elif counting and by and by.isdisjoint(counting):  # polled in turn: compared with who spoke before
                self._learn(counting, before, weights, standing)
            if len(counting) < len(values):
                self._learn_newcomers({name: value for name, value in values.items() if name not in counting})
        return self._mean if counting else math.nan

    def __bool__(self) -> bool:
        return bool(self._joined)

    def knows(self, member: str) -> bool:
        """Say whether a member's offset is known, so that it counts."""
        return member in self._joined

    def offset(self, member: str) -> float:
        """Return how far a member lies above the mean, 0 for one that has not spoken."""
        return self._offsets.get(member, 0.0)

    def forget(self, member: str) -> None:
        """Forget a member's offset: it joins anew when it speaks again."""
        self._joined.discard(member)
        self._offsets.pop(member, None)
        self._counts.pop(member, None)

    def _begin(self, values: Mapping[str, float], weights: Mapping[str, float]) -> None:
        self.anew = True
        self._offsets, self._counts, self._speakers = {}, {}, frozenset()
        mean = self._settled(values, weights)
        self._offsets = {name: value - mean for name, value in values.items()}
        self._joined = set(values)

    def _settled(self, values: Mapping[str, float], weights: Mapping[str, float]) -> float:
        """Return the mean of values less their offsets."""
        total = weighed = 0.0
        for name, value in values.items():
            total += weights[name]
            weighed += weights[name] * (value - self._offsets.get(name, 0.0))
        return weighed / total

    def _learn(
        self, values: Mapping[str, float], mean: float, weights: Mapping[str, float], together: Collection[str]
    ) -> None:
        """Compare those who count with a mean; the weighted sum of the offsets of `together` stays as it is."""
        moved = sum(weights[name] * self._follow(name, value - mean) for name, value in values.items())
        moved /= sum(weights[name] for name in together)
        for name in together:
            self._offsets[name] -= moved

    def _learn_newcomers(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._follow(name, value - self._mean)
            if self._counts[name] >= _COMPARED:
                self._joined.add(name)

    def _follow(self, name: str, apart: float) -> float:
        """Average a member's offset on; return by how much it changed."""
        count = self._counts[name] = min(self._counts.get(name, 0) + 1, _LONGEST)
        before = self._offsets.get(name, apart)
        change = (apart - before) / count
        self._offsets[name] = before + change
        return change
