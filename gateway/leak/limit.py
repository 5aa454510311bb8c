"""What no detector can beat: how soon a leak can be found, and how well its rate can be known.

The bound on delays: whoever raises a false alarm in at most one of `gamma / D` windows of D samples finds a leak within
D samples with at most the power of a Neyman-Pearson test that knows when it began and how large it is.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from gateway.leak.noise import Array, Noise
from gateway.leak.whitening import Whitener

_NORMAL: Final = NormalDist()
_NEVER: Final = 1e-9
_STILL: Final = 0.01  # chance to have missed it at the last sample: the samples do not reach


@dataclass(frozen=True, slots=True, kw_only=True)
class DelayLimit:
    """Least delay from onset to alarm, s; infinite when it lies beyond the samples looked at."""

    mean_s: float
    median_s: float


def ramp_response(noise: Noise, samples: int) -> Array:
    """Return what a loss of 1 Pa/s adds to the normalised innovations of a settled filter, shape (samples,), s."""
    filtered = Whitener(noise, 1)
    filtered.settle()
    response = np.empty(samples)
    for place in range(samples):
        filtered.predict(noise.step_s)
        innovations, variance = filtered.update(np.array([-(place + 1) * noise.step_s]))
        response[place] = innovations[0] / math.sqrt(variance)
    return response


def information(noise: Noise, samples: int) -> Array:
    """Return d^2 for 1 Pa/s after each of the first samples, shape (samples,), s2/Pa2."""
    gathered: Array = np.cumsum(ramp_response(noise, samples) ** 2)
    return gathered


def delay_limit(noise: Noise, slope_pa_s: float, false_alarm_s: float, *, samples: int = 20000) -> DelayLimit:
    """Return the least delay at a mean time between false alarms of `false_alarm_s`, looking at so many samples."""
    return least_delay(information(noise, samples) * slope_pa_s**2, noise.step_s, false_alarm_s)


def least_delay(gathered: Array, step_s: float, false_alarm_s: float) -> DelayLimit:
    """Return the least delay, given the information d^2 that is there after each sample since the onset."""
    mean, median, missed = 1.0, math.inf, 1.0
    for count, d in enumerate(np.sqrt(gathered).tolist(), start=1):
        missed = _NORMAL.cdf(-_NORMAL.inv_cdf(min(count * step_s / false_alarm_s, 0.999)) - d)
        if missed <= 0.5 and math.isinf(median):
            median = float(count)
        mean += missed
        if missed < _NEVER:
            break
    if missed > _STILL:
        mean = math.inf
    return DelayLimit(mean_s=mean * step_s, median_s=median * step_s)


def slope_sd(noise: Noise, seconds: float) -> float:
    """Return the Cramer-Rao bound of a slope, Pa/s, from so many seconds of samples of a level unknown before."""
    whitener = Whitener(noise, 1)
    gathered = 0.0
    for place in range(max(round(seconds / noise.step_s), 2)):
        whitener.predict(noise.step_s)
        innovations, variance = whitener.update(np.array([-place * noise.step_s]))
        gathered += float(innovations[0]) ** 2 / variance
    return 1.0 / math.sqrt(gathered)
