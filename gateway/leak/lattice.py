"""All connected parts of a tree, and the best plan for every one of them: array arithmetic over sets of bits.

Closing a hatch parts a set S into S & A and S & ~A, where A is the hatch's side of the whole tree; so the parts of a
part are found by two bit operations and a look-up, for all sets of one size together, small sets first.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.leak.aim import Aim
from gateway.leak.tree import Array, Tree

Bits = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.intp]

_MOST_SEGMENTS: Final = 63  # bits of a set


def count(tree: Tree) -> int:
    """Return how many connected parts a tree has; more than can be handled when it has over 63 segments."""
    if len(tree.segments) > _MOST_SEGMENTS:
        return 1 << _MOST_SEGMENTS
    topped = [1] * len(tree.segments)  # parts whose topmost segment this is
    for top, above in reversed(_from_the_top(tree)):
        if above is not None:
            topped[above] *= 1 + topped[top]
    return sum(topped)


@dataclass(frozen=True, slots=True)
class _Cuts:
    """One hatch in all parts of one size: places of the part and of its two sides, [parts]."""

    hatch: int
    whole: Indices
    one: Indices
    other: Indices


class Parts:
    """All connected parts of a tree; made once, solved for any aim."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._bits, self._size, self._volume_m3, self._mass = _all_parts(tree)
        self._cuts = tuple(self._all_cuts())

    def solve(self, aim: Aim) -> tuple[Callable[[int], int], float]:
        """Return the best hatch of any part (as bits), and the expected time of the whole, s."""
        massed_s = np.where(self._size == 1, 0.0, np.inf)  # time x probability: adds up over the sides
        best = np.zeros(len(self._bits), dtype=np.intp)
        for cuts in self._cuts:
            cost_s = self._tree.close_s[cuts.hatch] + aim.wait_s(self._volume_m3[cuts.one], self._volume_m3[cuts.other])
            mass = self._mass[cuts.whole]
            total = (
                np.where(mass > 0, mass * np.minimum(cost_s, _NEVER_S), 0.0) + massed_s[cuts.one] + massed_s[cuts.other]
            )
            better = total < massed_s[cuts.whole]
            massed_s[cuts.whole[better]] = total[better]
            best[cuts.whole[better]] = cuts.hatch
        return (lambda part: int(best[np.searchsorted(self._bits, np.uint64(part))])), float(massed_s[-1])

    def _all_cuts(self) -> Iterator[_Cuts]:
        """Yield them smallest parts first, so that the sides of a part are solved before it."""
        for size in range(2, len(self._tree.segments) + 1):
            places = np.flatnonzero(self._size == size)
            parts = self._bits[places]
            for hatch, (one, other) in enumerate(self._tree.ends):
                both = np.uint64(1 << one | 1 << other)
                inside = (parts & both) == both
                whole, of = places[inside], parts[inside]
                side = np.uint64(self._tree.first_side[hatch])
                yield _Cuts(
                    hatch,
                    whole,
                    np.searchsorted(self._bits, of & side),
                    np.searchsorted(self._bits, of & ~side),
                )


_NEVER_S: Final = 1e12  # stands for an infinite wait, so that a plan with the fewest of them is still the best


def _all_parts(tree: Tree) -> tuple[Bits, Indices, Array, Array]:
    """Return all connected parts in rising order of their bits, with size, volume and probability."""
    of_top: dict[int, tuple[Bits, Indices, Array, Array]] = {
        top: (
            np.array([1 << top], dtype=np.uint64),
            np.array([1], dtype=np.intp),
            tree.volume_m3[[top]],
            tree.prior[[top]],
        )
        for top in range(len(tree.segments))
    }
    for top, above in reversed(_from_the_top(tree)):
        if above is not None:  # each part of the one above goes on alone, or with any part that hangs below
            of_top[above] = tuple(
                np.add.outer(upper, np.concatenate([np.zeros(1, dtype=lower.dtype), lower])).ravel()
                for upper, lower in zip(of_top[above], of_top[top], strict=True)
            )
    bits, size, volume_m3, mass = (np.concatenate(columns) for columns in zip(*of_top.values(), strict=True))
    order = np.argsort(bits)
    return bits[order], size[order], volume_m3[order], mass[order]


def _from_the_top(tree: Tree) -> list[tuple[int, int | None]]:
    """Return (segment, the one above it) from the first segment down."""
    found: list[tuple[int, int | None]] = [(0, None)]
    for segment, above in found:  # grows while it is read
        for one, other in tree.ends:
            if segment in (one, other):
                below = other if segment == one else one
                if below != above:
                    found.append((below, segment))
    return found
