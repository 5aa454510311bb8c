"""How fast an air body loses air, since when, by which law, and what its level will be.

Generalised least squares on whitened levels, averaged over all onsets by their likelihood: an interval that took the
onset as known would be too short. The caller gives only data since the last change of the air body.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np

from gateway.leak.laws import LAWS, Law, fit_law
from gateway.leak.noise import Array, Noise
from gateway.leak.whitening import whitened

_FEWEST: Final = 5
_MOST: Final = 1500  # samples; more are averaged by neighbours
_ONSETS: Final = 60
_SINCE_BEFORE: Final = 0.5  # prior probability that the leak is older than the data
_CURVED: Final = 0.005  # part of the level that must be gone before laws differ from a line
_SURE_ODDS: Final = 99.0
_TWO_SIDED: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A level to come, Pa, with its 95 % interval."""

    level_pa: float
    low_pa: float
    high_pa: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What the data say of a loss (positive) or gain (negative).

    Attributes:
        slope_pa_s: at `time_s`, Pa/s, with the known slope.
        ci95: its 95 % interval, Pa/s.
        onset_s: when it began, most likely; the first sample's time when the leak may be older than the data.
        onset_ci95: 95 % interval of that.
        older_than_data: probability that it was there at the first sample already.
        law: "orifice" (exponential) or "crack" (hyperbolic) when the data are 99 to 1 for it, else None.
        level_pa: at `time_s`, Pa, without white noise and air error.
        level_sd_pa: standard deviation of that.
        time_s: of the last sample.
        drift_pa: of the noise, for the forecast, Pa/sqrt(s).
    """

    slope_pa_s: float
    ci95: tuple[float, float]
    onset_s: float
    onset_ci95: tuple[float, float]
    older_than_data: float
    law: Law | None
    level_pa: float
    level_sd_pa: float
    time_s: float
    drift_pa: float

    def forecast(self, time_s: float) -> Forecast:
        """Return the level at a later time: by its law, or straight (which is the lowest) while that is not known."""
        ahead_s = time_s - self.time_s
        middle, high, low = (self._level(slope, ahead_s) for slope in (self.slope_pa_s, *self.ci95))
        margin = _TWO_SIDED * math.sqrt(self.level_sd_pa**2 + self.drift_pa**2 * max(ahead_s, 0.0))
        return Forecast(
            level_pa=middle,
            low_pa=max(middle - math.hypot(middle - low, margin), 0.0),
            high_pa=middle + math.hypot(high - middle, margin),
        )

    def _level(self, slope_pa_s: float, ahead_s: float) -> float:
        lost = slope_pa_s * ahead_s / self.level_pa  # in levels of now
        if self.law == "orifice":
            return self.level_pa * math.exp(-lost)
        if self.law == "crack":
            return self.level_pa / (1.0 + lost)
        return max(self.level_pa * (1.0 - lost), 0.0)


def estimate(
    times_s: Array,
    x_pa: Array,
    noise: Noise,
    *,
    known_slope_pa_s: float = 0.0,
    onset_s: float | None = None,
) -> Estimate:
    """Fit a loss to the levels of one air body since its last change.

    Args:
        times_s: of the samples, rising, s, shape (samples,).
        x_pa: levels, Pa, shape (samples,); NaN = missing.
        noise: of the level; `step_s` is the usual step of the samples.
        known_slope_pa_s: an existing leak since before the data, Pa/s; the result is the sum of both.
        onset_s: when it began, where that is known (a hatch was closed); by default found.

    Raises:
        ValueError: shapes that differ, times that do not rise, fewer than 5 samples, or an onset after them.
    """
    times, levels, step_noise = _thinned(times_s, x_pa, noise)
    if onset_s is not None and onset_s >= times[-1]:
        raise ValueError(f"a leak that began at {onset_s} s cannot be seen in samples that end at {times[-1]} s")
    straight = _straight(times, levels + known_slope_pa_s * (times - times[0]), step_noise, onset_s)
    gone_pa = straight.now.slope * (times[-1] - straight.onset_s)
    curved = not known_slope_pa_s and gone_pa > _CURVED * levels[-1]
    now = _by_laws(times, levels, step_noise, straight) if curved else straight.now
    return Estimate(
        slope_pa_s=now.slope + known_slope_pa_s,
        ci95=(now.ci95[0] + known_slope_pa_s, now.ci95[1] + known_slope_pa_s),
        onset_s=straight.onset_s,
        onset_ci95=straight.onset_ci95,
        older_than_data=straight.older,
        law=now.law,
        level_pa=now.level_pa - known_slope_pa_s * float(times[-1] - times[0]),
        level_sd_pa=now.level_sd_pa,
        time_s=float(times[-1]),
        drift_pa=noise.drift_pa,
    )


def _thinned(times_s: Array, x_pa: Array, noise: Noise) -> tuple[Array, Array, Noise]:
    """Return the samples that are there, averaged by neighbours when there are many."""
    if times_s.shape != x_pa.shape or times_s.ndim != 1:
        raise ValueError(f"a leak's times and levels differ in shape: {times_s.shape} and {x_pa.shape}")
    there = np.isfinite(x_pa)
    times, levels = times_s[there], x_pa[there]
    if len(times) < _FEWEST:
        raise ValueError(f"a leak's rate cannot be estimated from {len(times)} samples; wait for {_FEWEST}")
    if not np.all(np.diff(times) > 0.0):
        raise ValueError("the times of a leak's samples must rise")
    together = -(-len(times) // _MOST)
    if together > 1:
        over = len(times) % together  # the oldest go
        times = times[over:].reshape(-1, together).mean(axis=1)
        levels = levels[over:].reshape(-1, together).mean(axis=1)
        noise = noise.resampled(noise.step_s * together)
    return times, levels, noise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Now:
    """State at the last sample."""

    slope: float
    ci95: tuple[float, float]
    level_pa: float
    level_sd_pa: float
    law: Law | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Straight:
    """What the fit of straight ramps found."""

    now: _Now
    onset_s: float
    onset_ci95: tuple[float, float]
    older: float


def _straight(times: Array, levels: Array, noise: Noise, onset_s: float | None) -> _Straight:
    """Fit ramps from all possible onsets, and weigh them."""
    onsets, prior = _onsets(times, noise.step_s) if onset_s is None else (np.array([onset_s]), np.ones(1))
    ramps = -np.maximum(times[:, np.newaxis] - onsets, 0.0)
    innovations, whitener = whitened(times, np.column_stack([levels, ramps]), noise)
    match, energy = innovations[:, 1:].T @ innovations[:, 0], np.sum(innovations[:, 1:] ** 2, axis=0)
    energy = np.maximum(energy, np.finfo(np.float64).tiny)
    variances = 1.0 / energy
    means = match * variances
    clear = np.abs(match) * np.sqrt(variances)  # slope over its standard deviation
    # no slope is likelier than another of its magnitude: prior 1 / slope
    logs = 0.5 * clear**2 - np.log(np.maximum(clear, 1.0)) + np.log(prior)
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    density = chances / prior
    likeliest = int(np.argmax(density))
    level = whitener.level[0] + (ramps[-1] - whitener.level[1:]) @ (chances * means)
    return _Straight(
        now=_Now(
            slope=float(chances @ means),
            ci95=_middle_95(chances, means, variances),
            level_pa=float(level),
            level_sd_pa=whitener.level_sd_pa,
        ),
        onset_s=float(onsets[likeliest]),
        onset_ci95=_span(onsets, chances),
        older=float(chances[0]) if onset_s is None else float(onset_s <= times[0]),
    )


def _onsets(times: Array, step_s: float) -> tuple[Array, Array]:
    """Return possible onsets, rising, and their prior chances: the first stands for all before the data."""
    length = float(times[-1] - times[0])
    ages = np.geomspace(min(step_s, length / 2.0), length, _ONSETS)[::-1]
    onsets = times[-1] - ages
    spacing = -np.gradient(ages)
    prior = (1.0 - _SINCE_BEFORE) * spacing / spacing[1:].sum()
    prior[0] = _SINCE_BEFORE
    return onsets, prior


def _middle_95(chances: Array, means: Array, variances: Array) -> tuple[float, float]:
    """Return the middle 95 % of a mixture, and up to its mean where an unlikely part far away pulls it out of them."""
    low, high = (_quantile(chances, means, variances, part) for part in (0.025, 0.975))
    mean = float(chances @ means)
    return min(low, mean), max(high, mean)


def _quantile(chances: Array, means: Array, variances: Array, part: float) -> float:
    """Return a quantile of a mixture of normal distributions."""
    kept = chances > 1e-9
    weights, normals = (
        chances[kept],
        [NormalDist(mean, math.sqrt(variance)) for mean, variance in zip(means[kept], variances[kept], strict=True)],
    )
    ends = [normal.inv_cdf(part) for normal in normals]
    low, high = min(ends), max(ends)
    while high - low > 1e-6 * (abs(high) + abs(low)):
        middle = (low + high) / 2.0
        below = sum(weight * normal.cdf(middle) for weight, normal in zip(weights, normals, strict=True))
        low, high = (middle, high) if below < part * weights.sum() else (low, middle)
    return float(low + high) / 2.0


def _span(onsets: Array, chances: Array) -> tuple[float, float]:
    below = np.cumsum(chances)
    first = int(np.searchsorted(below, 0.025))
    last = min(int(np.searchsorted(below, 0.975)), len(onsets) - 1)
    return float(onsets[max(first - 1, 0)]), float(onsets[min(last + 1, len(onsets) - 1)])


def _by_laws(times: Array, levels: Array, noise: Noise, straight: _Straight) -> _Now:
    """Fit both laws, and mix them by their likelihood while the data fit either."""
    fits = [fit_law(law, times, levels, noise, onset_s=straight.onset_s, slope_pa_s=straight.now.slope) for law in LAWS]
    heights = np.array([fit.log_likelihood for fit in fits])
    chances = np.exp(heights - heights.max())
    chances /= chances.sum()
    slopes = np.array([fit.slope_pa_s for fit in fits])
    variances = np.array([fit.variance for fit in fits])
    levels_now = np.array([fit.level_pa for fit in fits])
    level = float(chances @ levels_now)
    spread = float(chances @ (np.array([fit.level_variance for fit in fits]) + (levels_now - level) ** 2))
    likelier = int(np.argmax(chances))
    sure = chances[likelier] > _SURE_ODDS * chances[1 - likelier]
    return _Now(
        slope=float(chances @ slopes),
        ci95=_middle_95(chances, slopes, variances),
        level_pa=level,
        level_sd_pa=math.sqrt(spread),
        law=LAWS[likelier] if sure else None,
    )
