"""Coolant loops: how much liquid a loop has lost, how fast, and whether through a hole or by seeping.

A loop's accumulator holds a gas spring: its gas fills what the liquid leaves, and gas pressure times gas volume stays
the same. Liquid that is lost makes the gas larger, warmth makes the liquid larger and the gas smaller:

    gas volume = gas volume then + lost - liquid x expansion x (T - T then).

A hole lets liquid out like the square root of the pressure (turbulent), a seep like the pressure (viscous); the two
part once the pressure has fallen noticeably.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np

from gateway.leak.slope import Array

_DISCHARGE: Final = 0.62  # of a sharp-edged hole, liquid
_LONGEST_BLOCK: Final = 2**12
_MOST_CELLS: Final = 96
_ONSETS: Final = 81
_ZOOMS: Final = 4
_INSTANT_S: Final = 1e-9
_UNLIKELY: Final = 18.0  # log weight below the best at which an onset is left aside
_SURE: Final = math.log(99)
_TWO_SIDED_95: Final = 1.959964
_LAWS: Final = {"hole": 0.5, "seep": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """A coolant loop and the quiet state that losses are counted from.

    Attributes:
        pressure_pa, temperature_k: of the gas and of the liquid, in the quiet state.
        gas_m3: of the gas spring then.
        gas_relative_sigma: standard deviation of that, as a fraction.
        liquid_m3: in the loop.
        expansion_per_k: of the liquid, 1/K.
        density_kg_m3: of the liquid.
    """

    pressure_pa: float
    temperature_k: float
    gas_m3: float
    liquid_m3: float
    expansion_per_k: float
    density_kg_m3: float
    gas_relative_sigma: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.pressure_pa, self.temperature_k, self.gas_m3, self.liquid_m3, self.density_kg_m3)
        if not all(0 < each < math.inf for each in sizes) or self.expansion_per_k < 0 or self.gas_relative_sigma < 0:
            raise ValueError("coolant loop: pressure, temperature, volumes and density must be above zero")

    def lost_m3(self, pressure_pa: Array, temperature_k: Array) -> Array:
        """Return how much liquid is missing, m3, NaN where a reading is; arrays alike."""
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = np.where(pressure_pa > 0, self.gas_m3 * (self.pressure_pa / pressure_pa - 1), np.nan)
        return grown + self.liquid_m3 * self.expansion_per_k * (temperature_k - self.temperature_k)

    def hole_m(self, rate_m3_s: float, pressure_pa: float) -> float:
        """Return the diameter of the hole into vacuum that loses so much, m."""
        speed = _DISCHARGE * math.sqrt(2 * pressure_pa / self.density_kg_m3)
        return math.sqrt(max(rate_m3_s, 0.0) / speed * 4 / math.pi)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopNoise:
    """How far a pressure reading is off once the temperature is taken into account.

    Attributes:
        white_pa: standard deviation of one sample.
        slow_pa, slow_s: of the slow error (temperature that is not measured), and how long it lasts.
    """

    white_pa: float
    slow_pa: float
    slow_s: float

    def __post_init__(self) -> None:
        if not self.white_pa > 0 or not self.slow_pa >= 0 or not self.slow_s > 0:
            raise ValueError("coolant loop: white noise and the slow error's time must be above zero")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopState:
    """What is known after a sample.

    Attributes:
        lost_m3: since the quiet state, NaN when the sample was missing.
        score: the largest sudden loss, in standard deviations.
        alarm: whether that is beyond the threshold.
        since_s: when that loss began at the earliest, s before the newest sample.
    """

    lost_m3: float
    score: float
    alarm: bool
    since_s: float


class LoopWatch:
    """Watches a loop sample by sample.

    Tested is whether the mean of the last 1, 2, 4 ... 4096 samples is above the mean of as many before. With the
    threshold z of `false_alarm_s`, each test is wrong so seldom that all of them together are at most once in twice
    that time: an alarm within any n samples has a probability of at most n x tests x Q(z), whatever their correlation.

    Args:
        loop: with its quiet state.
        noise: of a pressure reading.
        step_s: time between samples.
        false_alarm_s: mean time between false alarms, s.
    """

    def __init__(
        self, loop: Loop, noise: LoopNoise, *, step_s: float = 1.0, false_alarm_s: float = 30 * 86_400
    ) -> None:
        if not step_s > 0 or not false_alarm_s > 100 * step_s:
            raise ValueError("coolant loop: the mean time between false alarms must be far above the step")
        self._loop = loop
        self._step_s = step_s
        self._blocks = 2 ** np.arange(_LONGEST_BLOCK.bit_length())  # samples
        self._sd_pa = np.sqrt(_difference_variance(self._blocks.astype(np.float64), noise, step_s))
        steps = 2 * false_alarm_s / step_s
        self.threshold = NormalDist().inv_cdf(1 - 1 / (steps * len(self._blocks)))
        self.restart()

    def restart(self) -> None:
        """Forget all samples: the loop was refilled, or a pump changed the pressure."""
        self._sums = np.zeros(2 * _LONGEST_BLOCK + 1)  # running sums of what was lost, the newest at `_count`
        self._count = 0

    def take(self, pressure_pa: float, temperature_k: float) -> LoopState:
        """Take a sample; a missing one (NaN) is left out."""
        lost = float(self._loop.lost_m3(np.array(pressure_pa), np.array(temperature_k)))
        if not math.isfinite(lost):
            return LoopState(lost_m3=math.nan, score=0.0, alarm=False, since_s=0.0)
        size = len(self._sums)
        self._count += 1
        self._sums[self._count % size] = self._sums[(self._count - 1) % size] + lost
        blocks = self._blocks[2 * self._blocks <= self._count]
        if not len(blocks):
            return LoopState(lost_m3=lost, score=0.0, alarm=False, since_s=0.0)
        now, middle, begin = (self._sums[(self._count - times * blocks) % size] for times in (0, 1, 2))
        m3_per_pa = (self._loop.gas_m3 + max(lost, 0.0)) / pressure_pa
        scores = (now - 2 * middle + begin) / blocks / (self._sd_pa[: len(blocks)] * m3_per_pa)
        best = int(np.argmax(scores))
        score = float(scores[best])
        return LoopState(
            lost_m3=lost, score=score, alarm=score > self.threshold, since_s=float(2 * blocks[best] * self._step_s)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """How a loop loses liquid; intervals are of 95 %.

    Attributes:
        lost_m3: from the onset to the last sample.
        rate_m3_s: at the last sample.
        onset_s: when it began, on the clock of the samples.
        law: "hole" or "seep" when one is 99 times as probable as the other, else None: not told apart (yet).
        log_odds_hole: of hole against seep, natural logarithm.
        hole_m: diameter of the hole that would lose as much, m.
    """

    lost_m3: float
    lost_ci95_m3: tuple[float, float]
    rate_m3_s: float
    rate_ci95_m3_s: tuple[float, float]
    onset_s: float
    law: Literal["hole", "seep"] | None
    log_odds_hole: float
    hole_m: float


@dataclass(frozen=True, slots=True)
class _Fit:
    log_weight: float
    lost: tuple[float, float]
    rate: tuple[float, float]
    onset_s: float


def assess(loop: Loop, noise: LoopNoise, times_s: Array, pressure_pa: Array, temperature_k: Array) -> Loss:
    """Fit both laws to a stretch of samples that begins before the loss; every onset in it is weighed.

    Args:
        loop: the loop.
        noise: of one sample.
        times_s: of the samples, rising, at a steady step, [samples].
        pressure_pa: NaN where missing, [samples].
        temperature_k: of the liquid, NaN where missing, [samples].

    Raises:
        ValueError: fewer than 8 samples with a value.
    """
    lost = loop.lost_m3(pressure_pa, temperature_k)
    known = np.isfinite(lost)
    if int(known.sum()) < 8:
        raise ValueError(f"coolant loop: {int(known.sum())} samples with a value are too few, 8 are needed")
    samples = _Samples(times_s[known], lost[known])
    middle_s = samples.means(samples.times_s)
    covariance = noise.slow_pa**2 * np.exp(-np.abs(np.subtract.outer(middle_s, middle_s)) / noise.slow_s)
    covariance[np.diag_indices(len(middle_s))] += noise.white_pa**2 / samples.number
    fits = {law: _fit(loop, power, samples, covariance) for law, power in _LAWS.items()}
    odds = fits["hole"].log_weight - fits["seep"].log_weight
    law: Literal["hole", "seep"] = "hole" if odds >= 0 else "seep"
    fit = fits[law]
    now_pa = loop.pressure_pa * loop.gas_m3 / (loop.gas_m3 + max(fit.lost[0], 0.0))
    return Loss(
        lost_m3=fit.lost[0],
        lost_ci95_m3=_interval(fit.lost, loop.gas_relative_sigma),
        rate_m3_s=fit.rate[0],
        rate_ci95_m3_s=_interval(fit.rate, loop.gas_relative_sigma),
        onset_s=fit.onset_s,
        law=law if abs(odds) >= _SURE else None,
        log_odds_hole=odds,
        hole_m=loop.hole_m(fit.rate[0], now_pa),
    )


class _Samples:
    """Samples gathered in cells of equal number, so that the algebra stays small."""

    def __init__(self, times_s: Array, lost_m3: Array) -> None:
        self.times_s, self.lost_m3 = times_s, lost_m3
        cells = min(len(times_s), _MOST_CELLS)
        self._begin = np.arange(cells) * len(times_s) // cells
        self.number = np.diff([*self._begin, len(times_s)])
        self._last_s = times_s[self._begin + self.number - 1]
        self._step_s = (self._last_s - times_s[self._begin]) / np.maximum(self.number - 1, 1)

    def means(self, values: Array) -> Array:
        """Return the mean in each cell, [samples] -> [cells]."""
        sums: Array = np.add.reduceat(values, self._begin)
        return sums / self.number

    def since(self, onset_s: Array) -> Array:
        """Return the mean time since each onset (none before it) in each cell, s, [cells, onsets]."""
        reach_s, step_s, number = self._last_s[:, None] - onset_s, self._step_s[:, None], self.number[:, None]
        after = np.clip(np.floor(reach_s / np.maximum(step_s, _INSTANT_S)) + 1, 0, number)  # samples after the onset
        means: Array = (after * reach_s - step_s * after * (after - 1) / 2) / number
        return means


def _fit(loop: Loop, power: float, samples: _Samples, covariance_pa2: Array) -> _Fit:
    """Fit a loss that begins at an unknown time and then goes with a power of the pressure.

    With u = lost / gas volume the loss obeys ((1 + u)^(power + 1) - 1) / (power + 1) x gas volume = rate x time: a
    straight line, in which the noise of the pressure is (1 + u)^(power + 2) times what it is at the quiet state. (What
    straightening does to the density of the samples cancels with that: the weights of two laws can be compared.)
    """
    grown = 1 + np.maximum(samples.lost_m3, -0.5 * loop.gas_m3) / loop.gas_m3
    line = samples.means((grown ** (power + 1) - 1) / (power + 1) * loop.gas_m3)
    scale = loop.gas_m3 / loop.pressure_pa * samples.means(grown) ** (power + 2)
    root = np.linalg.cholesky(covariance_pa2 * np.outer(scale, scale)).astype(np.float64)
    begin_s, now_s = float(samples.times_s[0]), float(samples.times_s[-1])
    step_s = (now_s - begin_s) / (len(samples.times_s) - 1)
    last_s = now_s - 2 * step_s
    onset_s = _onsets(begin_s, last_s)
    for _ in range(_ZOOMS):
        log_weight, rate, information = _lines(root, line, samples, onset_s)
        likely = onset_s[log_weight > log_weight.max() - _UNLIKELY]
        reach = onset_s[1] - onset_s[0]
        onset_s = _onsets(max(likely[0] - reach, begin_s), min(likely[-1] + reach, last_s))
    log_weight, rate, information = _lines(root, line, samples, onset_s)
    weight = np.exp(log_weight - log_weight.max())
    evidence = float(log_weight.max()) + math.log(float(weight.sum()) * (onset_s[1] - onset_s[0]))
    weight /= weight.sum()
    span_s = now_s - onset_s
    now = np.maximum(1 + (power + 1) * rate * span_s / loop.gas_m3, 0.5) ** (1 / (power + 1))  # gas volume, relative
    slower = now**-power
    return _Fit(
        log_weight=evidence,
        lost=_mixed(weight, loop.gas_m3 * (now - 1), slower * span_s / np.sqrt(information)),
        rate=_mixed(weight, rate * slower, slower / np.sqrt(information)),
        onset_s=float(weight @ onset_s),
    )


def _onsets(from_s: float, to_s: float) -> Array:
    return np.linspace(from_s, to_s, _ONSETS)


def _lines(root: Array, line: Array, samples: _Samples, onset_s: Array) -> tuple[Array, Array, Array]:
    """Fit level and rate for each onset: return log weight of the onset, rate and the information on it, [onsets]."""
    ramp = samples.since(onset_s)
    white = np.linalg.solve(root, np.column_stack([np.ones(len(line)), ramp, line]))
    one = white[:, :1] / np.linalg.norm(white[:, 0])
    white = white - one * (one.T @ white)  # what is left when the level is free
    ramps, seen = white[:, 1:-1], white[:, -1]
    information = (ramps**2).sum(axis=0)
    rate = ramps.T @ seen / information
    return (rate**2 * information - np.log(information) - float(seen @ seen)) / 2, rate, information


def _mixed(weight: Array, mean: Array, sd: Array) -> tuple[float, float]:
    """Return mean and standard deviation of a mixture."""
    centre = float(weight @ mean)
    return centre, math.sqrt(float(weight @ (sd**2 + (mean - centre) ** 2)))


def _interval(estimate: tuple[float, float], relative_sigma: float) -> tuple[float, float]:
    reach = _TWO_SIDED_95 * math.hypot(estimate[1], estimate[0] * relative_sigma)
    return estimate[0] - reach, estimate[0] + reach


def _difference_variance(blocks: Array, noise: LoopNoise, step_s: float) -> Array:
    """Return the variance of the difference between the means of two neighbouring blocks of samples, Pa^2."""
    share = noise.slow_s / (blocks * step_s)
    fade = -np.expm1(-1 / share)
    slow = 2 * share * (1 - share * fade) - (share * fade) ** 2
    return 2 * (noise.white_pa**2 / blocks + noise.slow_pa**2 * np.maximum(slow, 0.0))
