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
    d = abs(slope_pa_s) * np.sqrt(information(noise, samples))
    gamma = false_alarm_s / noise.step_s
    mean, median = 1.0, math.inf
    for count, each in enumerate(d.tolist(), start=1):
        missed = _NORMAL.cdf(-_NORMAL.inv_cdf(min(count / gamma, 0.999)) - each)
        if missed <= 0.5 and math.isinf(median):
            median = float(count)
        mean += missed
        if missed < _NEVER:
            break
    else:
        mean = math.inf if missed > 0.01 else mean
    return DelayLimit(mean_s=mean * noise.step_s, median_s=median * noise.step_s)


def slope_sd(noise: Noise, seconds: float) -> float:
    """Return the Cramer-Rao bound of a slope, Pa/s, from so many seconds of samples of a level unknown before."""
    whitener = Whitener(noise, 1)
    gathered = 0.0
    for place in range(max(round(seconds / noise.step_s), 2)):
        whitener.predict(noise.step_s)
        innovations, variance = whitener.update(np.array([-place * noise.step_s]))
        gathered += float(innovations[0]) ** 2 / variance
    return 1.0 / math.sqrt(gathered)
