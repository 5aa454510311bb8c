"""By which law a hole lets air out: an orifice in proportion to the pressure, a fine crack to its square.

So behind an orifice the level falls as an exponential, behind a crack as a hyperbola. They differ by a curvature that
shows when a part of the air is gone, and only to somebody who knows where zero pressure is.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from gateway.leak.noise import Array, Noise
from gateway.leak.whitening import whitened

Law = Literal["orifice", "crack"]
LAWS: Final[tuple[Law, Law]] = ("orifice", "crack")

_OFFSET_PA: Final = 100.0  # transducers' accuracy: no better is known where zero pressure is
_ROUNDS: Final = 8
_SETTLED: Final = 1e-6  # standard deviations


@dataclass(frozen=True, slots=True, kw_only=True)
class LawFit:
    """A law at its best.

    Attributes:
        log_likelihood: up to a constant that is the same for both laws.
        slope_pa_s: loss at the last sample, Pa/s.
        variance: of that.
        level_pa: at the last sample, Pa, without white noise and air error.
        level_variance: of that.
        rate_per_s: loss at the onset as a part of the level there, 1/s: the inverse of the chamber's time constant.
        rate_sd_per_s: standard deviation of that.
    """

    log_likelihood: float
    slope_pa_s: float
    variance: float
    level_pa: float
    level_variance: float
    rate_per_s: float
    rate_sd_per_s: float


def fit_law(law: Law, times_s: Array, levels_pa: Array, noise: Noise, *, onset_s: float, slope_pa_s: float) -> LawFit:
    """Fit the level before the onset and its relative rate there, by Gauss and Newton on whitened residuals.

    Args:
        law: which.
        times_s: of the samples, rising, s, shape (samples,).
        levels_pa: without gaps, Pa, shape (samples,).
        noise: of the samples.
        onset_s: when the leak began.
        slope_pa_s: about how fast the level falls.
    """
    since = np.maximum(times_s - onset_s, 0.0)
    first = float(levels_pa[0])
    rate = slope_pa_s / first
    for _ in range(_ROUNDS):
        left, left_by_rate = _left(law, since, rate)
        columns = np.column_stack([levels_pa - first * left, left, first * left_by_rate])
        innovations, whitener = whitened(times_s, columns, noise, level_variance=_OFFSET_PA**2)
        residual, design = innovations[:, 0], innovations[:, 1:]
        information = design.T @ design
        move = np.linalg.solve(information, design.T @ residual)
        if float(move @ information @ move) < _SETTLED:
            break
        first, rate = first + float(move[0]), rate + float(move[1])
    covariance = np.linalg.inv(information)
    power = 1 if law == "orifice" else 2
    left_now, by_rate_now = (float(values[-1]) for values in _left(law, since, rate))
    by = np.array([rate * left_now**power, first * left_now ** (power - 1) * (left_now + rate * power * by_rate_now)])
    level_by = np.array([left_now, first * by_rate_now]) - whitener.level[1:]  # the filter's own level takes up some
    return LawFit(
        log_likelihood=-0.5 * float(residual @ residual),
        slope_pa_s=first * rate * left_now**power,
        variance=float(by @ covariance @ by),
        level_pa=first * left_now + float(whitener.level[0]),
        level_variance=whitener.level_sd_pa**2 + float(level_by @ covariance @ level_by),
        rate_per_s=rate,
        rate_sd_per_s=math.sqrt(float(covariance[1, 1])),
    )


def _left(law: Law, since_s: Array, rate_per_s: float) -> tuple[Array, Array]:
    """Return which part of the level is left, and its derivative by the rate."""
    lost = since_s * rate_per_s
    left: Array = np.exp(-lost) if law == "orifice" else 1.0 / (1.0 + lost)
    return left, -since_s * (left if law == "orifice" else left**2)
