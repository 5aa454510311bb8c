"""Which moments are held as possible onsets of a leak: all of the last few samples, ever fewer of those before.

Samples are numbered from 1; number n has the rank of its trailing zero bits. A rank keeps its last few numbers, so the
spacing of what is kept grows with its age, and memory with the logarithm of the window.
"""

import math
from typing import Any

import numpy as np


class Onsets:
    """Slots with an onset each.

    Two ways to weigh them. Plain: each counts for the samples that it stands for; one that is dropped leaves its weight
    to its neighbours, so that all moments of the window weigh the same. Certified: an onset gets its weight at birth,
    so that all weights ever given to the first n sum to at most n, and loses it when it is dropped: the statistic less
    n is then a supermartingale, and the mean time to a false alarm is at least the threshold.

    Attributes:
        weights: shape (slots,), 0 where a slot is empty.
        ages: samples since the onset, the present one included, shape (slots,).
    """

    def __init__(self, longest: int, *, kept: int, certified: bool) -> None:
        """Begin without any.

        Args:
            longest: samples, the window; rounded to `kept` times a power of two.
            kept: numbers of each rank: the spacing of onsets is about their age / (1.5 * kept).
            certified: which way to weigh.
        """
        self._kept = kept
        self._top = round(math.log2(max(longest / kept, 1.0)))
        self._share = 2.0 / (self._top + 2) if certified else 0.0
        slots = (self._top + 1) * kept
        self._born = [0] * slots
        self._newest = 0
        self.weights = np.zeros(slots)
        self.ages = np.zeros(slots)

    @property
    def window(self) -> int:
        """The oldest age that is always held, samples."""
        return self._kept << self._top

    def give_birth(self) -> int:
        """Let a sample pass and begin an onset with it; return the slot that it takes, whatever was in there."""
        self._newest += 1
        self.ages += 1.0
        slot, rank = self._place(self._newest)
        if self._share:
            self.weights[slot] = self._share * 2**rank
        else:
            self._leave(slot, rank)
            self.weights[slot] = 1.0
        self._born[slot] = self._newest
        self.ages[slot] = 1.0
        return slot

    def _leave(self, slot: int, rank: int) -> None:
        """Give the weight of an onset that is dropped to its neighbours, which rank higher."""
        if rank == self._top or not self._born[slot]:
            return
        heirs = []
        for number in (self._born[slot] - 2**rank, self._born[slot] + 2**rank):
            place = self._place(number)[0] if number else slot
            if place != slot and self._born[place] == number:
                heirs.append(place)
        for place in heirs:
            self.weights[place] += self.weights[slot] / len(heirs)

    def _place(self, number: int) -> tuple[int, int]:
        rank = min((number & -number).bit_length() - 1, self._top)
        turn = number >> (rank if rank == self._top else rank + 1)
        return rank * self._kept + turn % self._kept, rank

    def state(self) -> dict[str, Any]:
        """Return all it knows, in plain words for JSON."""
        return {
            "born": list(self._born),
            "newest": self._newest,
            "weights": self.weights.tolist(),
            "ages": self.ages.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._born = list(state["born"])
        self._newest = state["newest"]
        self.weights = np.array(state["weights"], dtype=np.float64)
        self.ages = np.array(state["ages"], dtype=np.float64)
