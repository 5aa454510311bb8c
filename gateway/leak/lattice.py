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


def solve(tree: Tree, aim: Aim) -> tuple[Callable[[int], int], float]:
    """Return the best hatch of any part (as bits), and the expected time of the whole, s."""
    bits, size, volume_m3, probability = _all_parts(tree)
    massed_s = np.where(size == 1, 0.0, np.inf)  # time x probability: adds up over the sides
    best = np.zeros(len(bits), dtype=np.intp)
    for cuts in _all_cuts(tree, bits, size):
        wait_s = aim.wait_s(volume_m3[cuts.one], volume_m3[cuts.other])
        cost_s = probability[cuts.whole] * np.minimum(tree.close_s[cuts.hatch] + wait_s, _NEVER_S)
        total = cost_s + massed_s[cuts.one] + massed_s[cuts.other]
        better = total < massed_s[cuts.whole]
        massed_s[cuts.whole[better]] = total[better]
        best[cuts.whole[better]] = cuts.hatch
    return (lambda part: int(best[np.searchsorted(bits, np.uint64(part))])), float(massed_s[-1])


def _all_cuts(tree: Tree, bits: Bits, size: Indices) -> Iterator[_Cuts]:
    """Yield them smallest parts first, so that the sides of a part are solved before it."""
    for number in range(2, len(tree.segments) + 1):
        places = np.flatnonzero(size == number)
        parts = bits[places]
        for hatch, (one, other) in enumerate(tree.ends):
            both = np.uint64(1 << one | 1 << other)
            inside = (parts & both) == both
            whole, of = places[inside], parts[inside]
            side = np.uint64(tree.first_side[hatch])
            yield _Cuts(hatch, whole, np.searchsorted(bits, of & side), np.searchsorted(bits, of & ~side))


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
