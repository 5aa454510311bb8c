"""The station as the search for a leak sees it: trees of segments joined by hatches that can be closed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A hatch that may be closed.

    Attributes:
        hatch: its id.
        ends: the two segments.
        close_s: how long closing it takes, s.
    """

    hatch: str
    ends: tuple[str, str]
    close_s: float


@dataclass(frozen=True, kw_only=True)
class Tree:
    """One air body: closing any of its hatches parts it in two. `forest` builds it.

    Attributes:
        segments: their names, [segments].
        volume_m3: [segments].
        prior: how probable a leak is in each of them, sums to 1, [segments].
        passages: one fewer than segments.
    """

    segments: tuple[str, ...]
    volume_m3: Array
    prior: Array
    passages: tuple[Passage, ...]

    @cached_property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """The places of each hatch's two segments in `segments`."""
        place = {name: index for index, name in enumerate(self.segments)}
        return tuple((place[each.ends[0]], place[each.ends[1]]) for each in self.passages)

    @cached_property
    def close_s(self) -> Array:
        """Closing times, s, [hatches]."""
        return np.array([each.close_s for each in self.passages])

    @cached_property
    def whole(self) -> int:
        """All segments as a set of bits."""
        return (1 << len(self.segments)) - 1

    @cached_property
    def first_side(self) -> tuple[int, ...]:
        """For each hatch the segments on the side of its first end, as a set of bits."""
        return tuple(self._reach(start, without=index) for index, (start, _) in enumerate(self.ends))

    def names(self, bits: int) -> tuple[str, ...]:
        """Return the segments of a set."""
        return tuple(name for index, name in enumerate(self.segments) if bits >> index & 1)

    def _reach(self, start: int, *, without: int) -> int:
        reached, waiting = 0, [start]
        while waiting:
            at = waiting.pop()
            reached |= 1 << at
            for index, (one, other) in enumerate(self.ends):
                if index != without and at in (one, other):
                    beyond = other if at == one else one
                    if not reached >> beyond & 1:
                        waiting.append(beyond)
        return reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """Air bodies that are apart already.

    Attributes:
        trees: one for each body.
        probability: that the leak is in it, [trees].
        rings: hatches that close rings. While they are open, closing one other hatch of the ring parts nothing, so they
            are closed before anything else; of each ring it is the one that is closed soonest.
    """

    trees: tuple[Tree, ...]
    probability: tuple[float, ...]
    rings: tuple[Passage, ...]


def forest(
    volume_m3: Mapping[str, float],
    prior: Mapping[str, float],
    passages: Sequence[Passage],
    closed: Collection[str] = (),
) -> Forest:
    """Sort segments into air bodies.

    Args:
        volume_m3: of each segment.
        prior: relative weight of a leak in each segment.
        passages: all hatches.
        closed: ids of hatches that are closed.

    Raises:
        ValueError: a volume that is not above zero, weights that are negative or all zero, a hatch nobody knows.
    """
    _check(volume_m3, prior, passages, closed)
    body = {name: name for name in volume_m3}

    def root(name: str) -> str:
        while body[name] != name:
            name = body[name]
        return name

    kept: list[Passage] = []
    rings: list[Passage] = []
    for passage in sorted((each for each in passages if each.hatch not in closed), key=lambda each: -each.close_s):
        one, other = map(root, passage.ends)
        (rings if one == other else kept).append(passage)
        body[one] = other
    total = sum(prior[name] for name in volume_m3)
    trees, probability = [], []
    for head in dict.fromkeys(map(root, volume_m3)):
        names = tuple(name for name in volume_m3 if root(name) == head)
        weight = np.array([prior[name] for name in names], dtype=np.float64)
        inside = [each for each in passages if each in kept and each.ends[0] in names]
        trees.append(
            Tree(
                segments=names,
                volume_m3=np.array([volume_m3[name] for name in names], dtype=np.float64),
                prior=weight / weight.sum() if weight.sum() else np.full(len(names), 1 / len(names)),
                passages=tuple(inside),
            )
        )
        probability.append(float(weight.sum() / total))
    return Forest(trees=tuple(trees), probability=tuple(probability), rings=tuple(rings))


def _check(
    volume_m3: Mapping[str, float], prior: Mapping[str, float], passages: Sequence[Passage], closed: Collection[str]
) -> None:
    if not volume_m3:
        raise ValueError("no segments: there is nothing to search")
    for name, volume in volume_m3.items():
        if not 0 < volume < np.inf:
            raise ValueError(f"segment '{name}': its volume must be above zero, not {volume}")
        if not 0 <= prior[name] < np.inf:
            raise ValueError(f"segment '{name}': its leak prior must not be negative")
    if not any(prior[name] for name in volume_m3):
        raise ValueError("no segment has a leak prior above zero: give at least one")
    _check_passages(volume_m3, passages, closed)


def _check_passages(volume_m3: Mapping[str, float], passages: Sequence[Passage], closed: Collection[str]) -> None:
    if unknown := set(closed) - {each.hatch for each in passages}:
        raise ValueError(f"no hatch named {', '.join(sorted(unknown))}")
    for passage in passages:
        if not 0 <= passage.close_s < np.inf:
            raise ValueError(f"hatch '{passage.hatch}': its closing time must not be negative")
        for end in passage.ends:
            if end not in volume_m3:
                raise ValueError(f"hatch '{passage.hatch}' leads to '{end}', which is no segment")
