"""A Kalman filter that turns levels into innovations: independent, of known variance, as long as nothing leaks.

It filters many columns at once with one gain, for the gain does not depend on what was measured: the level itself, many
simulated levels, and the ramps that a leak would add, so that whatever happens to a level (gaps, resets) happens to the
ramps in the same way.
"""

import math
from typing import Any, Final

import numpy as np

from gateway.leak.noise import Array, Noise

_DOUBLINGS: Final = 40  # of the samples seen


class Whitener:
    """Level (random walk) + air (Ornstein-Uhlenbeck) + white, time-varying and exact from the first sample on.

    Attributes:
        level: prediction of the level, Pa, shape (columns,).
        air: prediction of what the air's temperature error adds, Pa, shape (columns,).
    """

    def __init__(self, noise: Noise, columns: int, *, level_variance: float = math.inf) -> None:
        """Begin before the first sample.

        Args:
            noise: of the level.
            columns: how many.
            level_variance: Pa2, of a level that is expected at 0; infinite when nothing is known of it.
        """
        self._noise = noise
        self.level = np.zeros(columns)
        self.air = np.zeros(columns)
        self._p_level = level_variance
        self._p_both = 0.0
        self._p_air = noise.air_pa**2
        self._elapsed_s = math.nan
        self._keep = 1.0

    @property
    def level_sd_pa(self) -> float:
        """Standard deviation of the level's error, Pa."""
        return math.sqrt(self._p_level)

    def predict(self, elapsed_s: float) -> None:
        """Let time pass, s."""
        if elapsed_s != self._elapsed_s:
            self._elapsed_s = elapsed_s
            self._keep = math.exp(-elapsed_s / self._noise.air_s)
        keep = self._keep
        self.air *= keep
        self._p_level += self._noise.drift_pa**2 * elapsed_s
        self._p_both *= keep
        self._p_air = self._p_air * keep * keep + self._noise.air_pa**2 * (1.0 - keep * keep)

    def loosen(self, variance_pa2: float) -> None:
        """Know the level less well from here on, by that variance (infinite: know nothing of it)."""
        self._p_level += variance_pa2

    def update(self, values: Array) -> tuple[Array, float]:
        """Take a sample of each column; return the innovations and their variance, Pa2.

        The sample that first tells an unknown level gives innovations of 0: it has nothing to say of a leak.
        """
        if math.isinf(self._p_level):
            self.level = values - self.air
            self._p_level = self._p_air + self._noise.white_pa**2
            self._p_both = -self._p_air
            return np.zeros_like(values), 1.0
        innovations: Array = values - self.level
        innovations -= self.air
        to_level = self._p_level + self._p_both
        to_air = self._p_both + self._p_air
        variance = to_level + to_air + self._noise.white_pa**2
        self.level += (to_level / variance) * innovations
        self.air += (to_air / variance) * innovations
        self._p_level -= to_level * to_level / variance
        self._p_both -= to_level * to_air / variance
        self._p_air -= to_air * to_air / variance
        return innovations, variance

    def settle(self) -> None:
        """Be as sure of the level as after endless samples: the Riccati equation, solved by doubling."""
        noise = self._noise
        step = np.diag([1.0, math.exp(-noise.step_s / noise.air_s)])
        gain = np.full((2, 2), noise.white_pa**-2)
        covariance = np.diag([noise.drift_pa**2 * noise.step_s, noise.air_pa**2 * (1.0 - step[1, 1] ** 2)])
        for _ in range(_DOUBLINGS):
            inner = np.linalg.inv(np.eye(2) + gain @ covariance)
            gain, covariance, step = (
                gain + step @ inner @ gain @ step.T,
                covariance + step.T @ covariance @ inner @ step,
                step @ inner @ step,
            )
        (self._p_level, self._p_both), (_, self._p_air) = covariance.tolist()
        self.update(self.level + self.air)  # as expected: only the covariance moves

    def state(self) -> dict[str, Any]:
        """Return all it knows, in plain words for JSON (an unknown level's variance is None)."""
        return {
            "level": self.level.tolist(),
            "air": self.air.tolist(),
            "covariance": [
                None if math.isinf(self._p_level) else float(self._p_level),
                float(self._p_both),
                float(self._p_air),
            ],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken."""
        self.level = np.array(state["level"], dtype=np.float64)
        self.air = np.array(state["air"], dtype=np.float64)
        level, self._p_both, self._p_air = state["covariance"]
        self._p_level = math.inf if level is None else level


def whitened(
    times_s: Array, columns: Array, noise: Noise, *, level_variance: float = math.inf
) -> tuple[Array, Whitener]:
    """Return the normalised innovations of some columns, and the filter after the last sample.

    Args:
        times_s: of the samples, rising, s, shape (samples,).
        columns: Pa, shape (samples, columns).
        noise: of the samples.
        level_variance: Pa2, of levels that are expected at 0; infinite when nothing is known of them.
    """
    whitener = Whitener(noise, columns.shape[1], level_variance=level_variance)
    normalised = np.empty_like(columns)
    last_s = float(times_s[0])
    for place, (now_s, values) in enumerate(zip(times_s.tolist(), columns, strict=True)):
        whitener.predict(now_s - last_s)
        innovations, variance = whitener.update(values)
        normalised[place] = innovations / math.sqrt(variance)
        last_s = now_s
    return normalised, whitener
