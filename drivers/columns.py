"""Columns of a unit's polls: those that somebody wants, found once for each unit, as numpy takes them cheaply."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from drivers.reading import Channel

Columns = NDArray[np.intp] | slice
"""Indices into an array; a slice where they lie in a row, which numpy takes several times as fast."""

_T = TypeVar("_T")


def columns(numbers: Sequence[int]) -> Columns:
    """Return indices for numpy, in the order given."""
    if not numbers:
        return slice(0, 0)
    first, last = numbers[0], numbers[-1]
    run = len(numbers) == last - first + 1 and all(after - before == 1 for before, after in pairwise(numbers))
    return slice(first, last + 1) if run else np.array(numbers, dtype=np.intp)


class PerUnit(Generic[_T]):
    """Remembers what follows from the channels of each unit, so that no poll looks at them one by one.

    Args:
        find: works it out, at a unit's first poll and when its channels are others than before.
    """

    def __init__(self, find: Callable[[tuple[Channel, ...]], _T]) -> None:
        self._find = find
        self._found: dict[str, tuple[tuple[Channel, ...], _T]] = {}  # by first transducer, which has one unit

    def __call__(self, channels: tuple[Channel, ...]) -> _T:
        """Return what was found for a unit with these channels; at least one."""
        known = self._found.get(channels[0].transducer)
        if known is None or (known[0] is not channels and known[0] != channels):
            known = self._found[channels[0].transducer] = channels, self._find(channels)
        return known[1]
