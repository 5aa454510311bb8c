"""How well the slope of an air body's level is known after watching it for a while.

The level is seen through white noise, a random walk (drift of the transducers) and a slow error of the bulk air
temperature (an Ornstein-Uhlenbeck process). Its own height is unknown. The best unbiased estimate of a slope has the
standard deviation computed here; the waits of a search follow from it.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SHORTEST_S: Final = 120.0  # a body that has just been closed off is given that long in any case
LONGEST_S: Final = 30 * 86_400.0
_TIMES: Final = 48
_SAMPLES: Final = 96  # half a percent from the limit of many; larger matrices wake the threads of the algebra


@dataclass(frozen=True, slots=True, kw_only=True)
class SlopeNoise:
    """Standard deviation of a slope against the time spent watching.

    Attributes:
        seconds: s, rising, [times].
        sd_pa_s: of the slope of one body's level, Pa/s, falling, [times].
    """

    seconds: Array
    sd_pa_s: Array

    @classmethod
    def of(cls, *, white_pa: float, drift_pa: float, air_pa: float, air_s: float, before_s: float = 0.0) -> Self:
        """Compute the best that can be done.

        Args:
            white_pa: standard deviation of the mean of one second, Pa.
            drift_pa: random walk of the level, Pa/sqrt(s).
            air_pa: what the unknown error of the bulk temperature is worth, Pa (one standard deviation).
            air_s: how long that error lasts, s.
            before_s: how long the body had been watched before the slope began, s; 0 when a hatch was moved then.

        Raises:
            ValueError: a negative or missing number, or no noise at all.
        """
        numbers = (white_pa, drift_pa, air_pa, air_s)
        if not all(np.isfinite(numbers)) or min(numbers) < 0 or white_pa <= 0 or air_s <= 0:
            raise ValueError(
                "noise: white noise and the time of the air's error must be above zero, the rest not below"
            )
        seconds = np.geomspace(SHORTEST_S, LONGEST_S, _TIMES)
        best = [
            _slope_sd(each, before_s=before_s, white_pa=white_pa, drift_pa=drift_pa, air_pa=air_pa, air_s=air_s)
            for each in seconds
        ]
        return cls(seconds=seconds, sd_pa_s=np.minimum.accumulate(np.array(best)))

    def at(self, seconds: npt.ArrayLike) -> Array:
        """Return the standard deviation after so many seconds, Pa/s; beyond the ends that of the end."""
        return np.exp(np.interp(np.log(seconds), np.log(self.seconds), np.log(self.sd_pa_s)))

    def seconds_for(self, sd_pa_s: npt.ArrayLike) -> Array:
        """Return how long it takes until the slope is known that well, s; infinite when it takes over 30 days."""
        wanted = np.asarray(sd_pa_s, dtype=np.float64)
        found = np.exp(np.interp(np.log(wanted), np.log(self.sd_pa_s[::-1]), np.log(self.seconds[::-1])))
        return np.where(wanted < self.sd_pa_s[-1], np.inf, found)


def _slope_sd(
    span_s: float, *, before_s: float, white_pa: float, drift_pa: float, air_pa: float, air_s: float
) -> float:
    """Generalised least squares of a level, and a slope from some time on, on the means of equal cells."""
    before_s = min(before_s, span_s)  # what lies further back tells little of the level
    cell_s = (before_s + span_s) / _SAMPLES
    middle_s = (np.arange(_SAMPLES) + 0.5) * cell_s
    apart = np.abs(np.subtract.outer(np.arange(_SAMPLES), np.arange(_SAMPLES)))
    decay = np.exp(-cell_s / air_s)
    share = air_s / cell_s
    air = (share * (1 - decay)) ** 2 * decay ** np.maximum(apart - 1, 0)  # covariance of the means of two cells
    np.fill_diagonal(air, 2 * share * (1 - share * (1 - decay)))
    covariance = air_pa**2 * air + drift_pa**2 * np.minimum.outer(middle_s, middle_s)
    covariance[np.diag_indices(_SAMPLES)] += white_pa**2 / cell_s
    line = np.stack([np.ones(_SAMPLES), np.maximum(middle_s - before_s, 0.0)], axis=1)
    information = line.T @ np.linalg.solve(covariance, line)
    return float(np.sqrt(np.linalg.inv(information)[1, 1]))
