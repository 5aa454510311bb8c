"""What others do: fixed windows of dP/dt, a drop below the daily mean, CUSUM, window-limited GLR.

Each gets what the detector gets, and more: its threshold is set by simulation to the same time between false alarms for
the very noise of the scenario, existing leaks are taken off, and steps of events too, even those that nobody can know.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.leak.limit import ramp_response
from gateway.leak.noise import Noise
from gateway.leak.whitening import whitened
from tests.benchmarks.leak.levels import Array, quiet_levels

_SETTLED: Final = 300  # samples until the response to a ramp no longer grows
_ONSETS: Final = 26


def fall_over(x_pa: Array, window: int) -> Array:
    """Return how fast a line through the last samples falls, per sample; -inf before there are as many."""
    places = np.arange(len(x_pa), dtype=np.float64)[:, np.newaxis]
    x_pa = x_pa - x_pa[0]
    sums, moments = np.cumsum(x_pa, axis=0), np.cumsum(x_pa * places, axis=0)
    of_window = sums[window:] - sums[:-window]
    moment = moments[window:] - moments[:-window] - (places[window:] - (window - 1) / 2.0) * of_window
    fall = np.full(x_pa.shape, -math.inf)
    fall[window:] = -moment * 12.0 / (window * (window**2 - 1.0))
    return fall


def drop_below_mean(x_pa: Array, window: int) -> Array:
    """Return how far the level is below the mean of the last samples, Pa."""
    sums = np.cumsum(x_pa, axis=0)
    drop = np.full(x_pa.shape, -math.inf)
    drop[window:] = (sums[window:] - sums[:-window]) / window - x_pa[window:]
    return drop


def cusum(innovations: Array, shift: float) -> Array:
    """Return Page's statistic for a mean of `shift` in normalised innovations."""
    statistic, last = np.empty_like(innovations), np.zeros(innovations.shape[1])
    for place, each in enumerate(innovations):
        last = np.maximum(last + shift * (each - shift / 2.0), 0.0)
        statistic[place] = last
    return statistic


def generalised_ratio(innovations: Array, response: Array) -> Array:
    """Return the largest matched filter over log-spaced onsets, in standard deviations (Willsky and Jones)."""
    samples = len(innovations)
    padded = 2 ** math.ceil(math.log2(samples + len(response)))
    spectrum = np.fft.rfft(innovations, padded, axis=0)
    largest = np.full(innovations.shape, -math.inf)
    for length in np.unique(np.geomspace(1, len(response), _ONSETS).round().astype(int)):
        matched = np.fft.rfft(response[:length][::-1], padded)[:, np.newaxis]
        found = np.fft.irfft(spectrum * matched, padded, axis=0)[:samples]
        np.maximum(largest, found / np.linalg.norm(response[:length]), out=largest)
    return largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Baselines:
    """All of them for one noise.

    Attributes:
        noise: of the levels.
        windows: of dP/dt, samples.
        mean: of the drop, samples.
        longest: onsets of the GLR, samples.
        design_pa_s: slope that the CUSUM is tuned to.
    """

    noise: Noise
    windows: tuple[int, ...]
    mean: int
    longest: int
    design_pa_s: float

    def statistics(self, x_pa: Array) -> dict[str, Array]:
        """Return each statistic, shape (samples, paths)."""
        step_s = self.noise.step_s
        response = ramp_response(self.noise, self.longest)
        innovations, _ = whitened(np.arange(len(x_pa)) * step_s, x_pa, self.noise)
        return {
            **{f"dP/dt over {window * step_s / 60.0:g} min": fall_over(x_pa, window) for window in self.windows},
            f"drop below the mean of {self.mean * step_s / 3600.0:.2g} h": drop_below_mean(x_pa, self.mean),
            "CUSUM": cusum(innovations, self.design_pa_s * float(response[min(_SETTLED, self.longest) - 1])),
            "GLR": generalised_ratio(innovations, response),
        }

    def thresholds(self, samples: int, paths: int, false_alarm_s: float, seed: int) -> dict[str, float]:
        """Return the thresholds at which each is silent for that time in the mean (geometric run lengths)."""
        warm = max(*self.windows, self.mean, self.longest)
        x_pa = quiet_levels(self.noise, warm + samples, paths, np.random.default_rng(seed))
        silent = math.exp(-samples * self.noise.step_s / false_alarm_s)
        return {
            name: float(np.quantile(statistic[warm:].max(axis=0), silent))
            for name, statistic in self.statistics(x_pa).items()
        }


def delays(
    statistics: Mapping[str, Array], thresholds: Mapping[str, float], warm: int, longest: int
) -> dict[str, tuple[float, int]]:
    """Return the mean delay of each in samples (never found counts as `longest`), and how many paths that were."""
    found = {}
    for name, statistic in statistics.items():
        over = statistic[warm : warm + longest] >= thresholds[name]
        first = np.where(over.any(axis=0), over.argmax(axis=0) + 1, longest)
        found[name] = (float(first.mean()), int((~over.any(axis=0)).sum()))
    return found
