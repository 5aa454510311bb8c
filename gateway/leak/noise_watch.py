"""Whether innovations are as small and as independent as the configured noise has it.

A noise that is configured 10 % too small costs a factor of 5 in the time between false alarms, 25 % a factor of 31. So
the variance of innovations is watched, and that of their sums over 8 and 64 samples: an excess there, but not in single
samples, is what drift or air that were set too small look like.
"""

import math
from typing import Any, Final

import numpy as np

from gateway.leak.noise import Array

_SCALES: Final = ((1, 600), (8, 400), (64, 300))  # samples in a sum, sums remembered
_BELIEVED: Final = 150  # sums of the configured size that the watch begins with: a leak makes sums larger, too
_LARGEST: Final = 9.0  # a square counts at most as so many variances: a puncture is no noise
_LARGEST_LOSES: Final = 0.9950  # E[min(z^2, 9)]
_SURE: Final = 3.5  # standard deviations


class NoiseWatch:
    """Watches normalised innovations of some paths.

    Attributes:
        inflation: by which variances must be multiplied, at least 1, shape (paths,); of all samples so far.
    """

    def __init__(self, paths: int) -> None:
        self.inflation = np.ones(paths)
        self._variance = np.ones((len(_SCALES), paths))
        self._sums = np.zeros((len(_SCALES), paths))
        self._excess = np.ones((len(_SCALES), paths))
        self._taken = 0

    def take(self, normalised: Array) -> None:
        """Take one innovation over its standard deviation, shape (paths,)."""
        self._taken += 1
        self._sums += normalised
        for place, (samples, remembered) in enumerate(_SCALES):
            if self._taken % samples:
                break
            weight = 1.0 / min(self._taken // samples + _BELIEVED, remembered)
            variance = self._variance[place]
            square = np.minimum(self._sums[place] ** 2 / samples, _LARGEST * variance) / _LARGEST_LOSES
            variance += weight * (square - variance)
            self._sums[place] = 0.0
            # the weighted mean of squares has a standard deviation of sqrt(weight)
            self._excess[place] = np.where(variance > 1.0 + _SURE * math.sqrt(weight), variance, 1.0)
        self.inflation = self._excess.max(axis=0)

    def state(self) -> dict[str, Any]:
        """Return all it knows, in plain words for JSON."""
        arrays = {"variance": self._variance, "sums": self._sums, "excess": self._excess}
        return {name: array.tolist() for name, array in arrays.items()} | {"taken": self._taken}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self._variance, self._sums, self._excess = (
            np.array(state[name], dtype=np.float64) for name in ("variance", "sums", "excess")
        )
        self._taken = state["taken"]
        self.inflation = self._excess.max(axis=0)
