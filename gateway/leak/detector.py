"""Says when an air body begins to lose or gain air: mixture Shiryaev-Roberts on whitened innovations.

A whitening filter makes the samples independent. Hypotheses "it began then, with that slope" for log-spaced onsets and
slopes are weighed by their likelihood ratios; the sum is compared with one threshold that follows from the mean time
between false alarms, the only setting. Two channels look at each body: a fast one for punctures, a slow one for seeps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal

import numpy as np

from gateway.leak.limit import information
from gateway.leak.noise import Array, Noise
from gateway.leak.noise_watch import NoiseWatch
from gateway.leak.onsets import Onsets
from gateway.leak.whitening import Whitener

FALSE_ALARM_S: Final = 30 * 86400.0
FAST_LONGEST_S: Final = 600.0
SLOW_LONGEST_S: Final = 3 * 86400.0

# Of the false alarms each channel has a share: a small one costs the fast channel less delay than the slow one.
_FAST_SHARE: Final = 0.25
_SLOW_SHARE: Final = 0.75
# The fast channel's threshold lies by so much below the theorem's. Its statistic is silent 1.7 times as long as that
# says: it takes more than its share. The slow one, at the theorem's threshold, is silent 1.4 times as long and takes
# less; together they keep the promise. A certified one takes the threshold as it is.
_FAST_SURPLUS: Final = 3.0
_KEPT: Final = {False: 4, True: 8}  # onsets of each rank; a certified one cannot hand its weight on and needs more
_NEEDED_D: Final = 4.5  # standard deviations that a detection takes, about
_SLOPE_RATIO: Final = 2.0
_SHORTEST: Final = 3  # samples; steeper slopes than what takes so many to find are found as soon without a hypothesis
_MOST_EXPONENT: Final = 600.0  # of a float64's 709: sums of thousands of such terms are finite
_LEAST: Final = 1e-300

Kind = Literal["leak", "gain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is known after a sample.

    Attributes:
        log_statistic: of the class that is more likely; alarm at `log_threshold`. It is -inf before the first sample.
        log_threshold: logarithm of samples.
        alarm: the statistic is at its threshold, or above.
        kind: class of the alarm: "leak" loses air, "gain" has more of it (repress, valve); None without alarm. With a
            known slope it is the change that has a class: "gain" then also says that the known leak became smaller.
        since_s: how long before this sample it began, most likely, s; None without alarm.
        slope_pa_s: its posterior mean, Pa/s, positive for a loss, without the known slope; None without alarm.
        inflated: factor by which the noise was found larger than configured; 1.0 while it is as configured. Likelihoods
            allow for it.
    """

    log_statistic: float
    log_threshold: float
    alarm: bool
    kind: Kind | None
    since_s: float | None
    slope_pa_s: float | None
    inflated: float


class Detector:
    """One channel of one air body, or of many simulated paths of it at once.

    Attributes:
        known_slope_pa_s: an existing leak: only a change from it is news.
        log_threshold: logarithm of samples.
        slopes_pa_s: hypotheses, each as a loss and as a gain.
    """

    def __init__(
        self,
        noise: Noise,
        *,
        longest_s: float = SLOW_LONGEST_S,
        shortest_s: float = 0.0,
        false_alarm_s: float = FALSE_ALARM_S,
        slopes_pa_s: Sequence[float] | None = None,
        certified: bool = False,
        paths: int = 1,
    ) -> None:
        """Begin before the first sample.

        Args:
            noise: of the level, with the step of its samples.
            longest_s: how long ago a leak that is still to be found may have begun.
            shortest_s: what takes less than that to find is another channel's business: no steeper slopes by default.
            false_alarm_s: the threshold: mean time between false alarms of losses of this channel, at least; gains have
                as many.
            slopes_pa_s: hypotheses; by default from the noise: what takes `longest_s` to find, to what takes
                `shortest_s` or three samples.
            certified: hold the mean time between false alarms by theorem, at 5 to 10 % more delay.
            paths: levels that are fed together.

        Raises:
            ValueError: a time that is not longer than a step, or a slope that is not above 0.
        """
        for name, seconds in (("longest_s", longest_s), ("false_alarm_s", false_alarm_s)):
            if not seconds > noise.step_s:
                raise ValueError(f"{name} of a leak detector is {seconds} s; it must be above a step, {noise.step_s} s")
        self.known_slope_pa_s = 0.0
        self.log_threshold = math.log(false_alarm_s / noise.step_s)
        self._onsets = Onsets(round(longest_s / noise.step_s), kept=_KEPT[certified], certified=certified)
        if slopes_pa_s is None:
            slopes_pa_s = detectable_slopes(noise, self._onsets.window, round(shortest_s / noise.step_s))
        self.slopes_pa_s = np.array(slopes_pa_s, dtype=np.float64)
        if not (self.slopes_pa_s.size and np.all(self.slopes_pa_s > 0.0)):
            raise ValueError(f"slopes of a leak detector are {list(slopes_pa_s)}; each must be above 0 Pa/s")
        self._noise = noise
        self._paths = paths
        slots = len(self._onsets.weights)
        self._whitener = Whitener(noise, paths + slots)
        self._watch = NoiseWatch(paths)
        self._values = np.zeros(paths + slots)
        self._match = np.zeros((paths, slots))
        self._energy = np.zeros((paths, slots))
        self._half_squares = self.slopes_pa_s**2 / 2.0
        self._log_slopes = math.log(len(self.slopes_pa_s))
        shape = (paths, slots, len(self.slopes_pa_s))
        self._linear, self._quadratic, self._ratios = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self._log_statistics: Array = np.full((2, paths), -math.inf)

    @property
    def inflation(self) -> Array:
        """By which factor the noise was found larger than configured, shape (paths,)."""
        factor: Array = np.sqrt(self._watch.inflation)
        return factor

    def take(self, x_pa: float) -> Verdict:
        """Take the next sample of the only path; NaN = missing."""
        leak, gain = self.advance(np.array([x_pa]))[:, 0].tolist()
        return self._verdict(leak, gain)

    def advance(self, x_pa: Array) -> Array:
        """Take the next sample of each path and return the logarithms of both statistics.

        Args:
            x_pa: levels, Pa, shape (paths,); NaN = missing, in all paths or in none.

        Returns:
            (leak, gain), shape (2, paths); the next call writes over it.

        Raises:
            ValueError: a sample is missing in some paths only.
        """
        step_s, paths = self._noise.step_s, self._paths
        self._whitener.predict(step_s)
        self._whitener.level[:paths] -= self.known_slope_pa_s * step_s
        self._begin_onset()
        there = np.isfinite(x_pa)
        if not there.all():
            if there.any():
                raise ValueError(f"{paths - int(there.sum())} of {paths} samples are missing; give all of them or none")
            return self._weigh()
        self._values[:paths] = x_pa
        np.multiply(self._onsets.ages, -step_s, out=self._values[paths:])
        innovations, variance = self._whitener.update(self._values)
        innovations /= math.sqrt(variance)
        normalised, expected = innovations[:paths], innovations[paths:]
        inflation = self._watch.inflation[:, np.newaxis]  # of the samples before this one: the theorem needs that
        self._match += normalised[:, np.newaxis] * expected / inflation
        self._energy += expected * expected / inflation
        self._watch.take(normalised)
        return self._weigh()

    def reset_level(self, extra_variance_pa2: float = math.inf, *, moved_pa: float = 0.0) -> None:
        """Know the level less well from the next sample on: a hatch moved, a ship docked, the air body is another one.

        Args:
            extra_variance_pa2: how far it may have moved, as a variance; by default anywhere.
            moved_pa: how far it has moved as far as is known, Pa: a metered repress gives that and the variance of it.
        """
        self._whitener.level[: self._paths] += moved_pa
        self._whitener.loosen(extra_variance_pa2)

    def state(self) -> dict[str, Any]:
        """Return all it knows, in plain words for JSON, for `restore` after a restart or a change of the rig file."""
        return {
            "slopes": self.slopes_pa_s.tolist(),
            "step": self._noise.step_s,
            "known_slope": self.known_slope_pa_s,
            "whitener": self._whitener.state(),
            "watch": self._watch.state(),
            "onsets": self._onsets.state(),
            "match": self._match.tolist(),
            "energy": self._energy.tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from where `state` was taken.

        Raises:
            ValueError: it was taken from a detector with other hypotheses: begin anew instead.
        """
        match = np.array(state["match"], dtype=np.float64)
        same = state["slopes"] == self.slopes_pa_s.tolist() and state["step"] == self._noise.step_s
        if not same or match.shape != self._match.shape:
            raise ValueError("the state of a leak detector with other noise, window or slopes cannot be gone on from")
        self.known_slope_pa_s = state["known_slope"]
        self._whitener.restore(state["whitener"])
        self._watch.restore(state["watch"])
        self._onsets.restore(state["onsets"])
        self._match = match
        self._energy = np.array(state["energy"], dtype=np.float64)

    def _begin_onset(self) -> None:
        slot = self._onsets.give_birth()
        self._match[:, slot] = 0.0
        self._energy[:, slot] = 0.0
        self._whitener.level[self._paths + slot] = 0.0
        self._whitener.air[self._paths + slot] = 0.0

    def _weigh(self) -> Array:
        np.multiply(self._match[:, :, np.newaxis], self.slopes_pa_s, out=self._linear)
        np.multiply(self._energy[:, :, np.newaxis], self._half_squares, out=self._quadratic)
        weights = self._onsets.weights
        for row, sign in enumerate((np.subtract, np.add)):
            ratios = sign(self._linear, self._quadratic, out=self._ratios)
            if sign is np.add:  # a gain has the slope -g: -g C - g^2 E / 2
                np.negative(ratios, out=ratios)
            np.minimum(ratios, _MOST_EXPONENT, out=ratios)
            np.exp(ratios, out=ratios)
            sums = ratios.sum(axis=2) @ weights
            self._log_statistics[row] = np.log(np.maximum(sums, _LEAST)) - self._log_slopes
        return self._log_statistics

    def _verdict(self, leak: float, gain: float) -> Verdict:
        largest = max(leak, gain)
        alarm = largest >= self.log_threshold
        since_s = slope = None
        if alarm:
            since_s, slope = (values.item() for values in self.posterior(gains=gain > leak))
        return Verdict(
            log_statistic=largest,
            log_threshold=self.log_threshold,
            alarm=alarm,
            kind=("leak" if leak >= gain else "gain") if alarm else None,
            since_s=since_s,
            slope_pa_s=slope,
            inflated=math.sqrt(float(self._watch.inflation[0])),
        )

    def posterior(self, *, gains: bool = False) -> tuple[Array, Array]:
        """Return onset and slope of each path, given a leak or a gain.

        Returns:
            the most likely onset, s before the last sample, shape (paths,); the mean slope, Pa/s, shape (paths,),
            negative for gains.
        """
        slopes: Array = -self.slopes_pa_s if gains else self.slopes_pa_s
        logs = self._match[:, :, np.newaxis] * slopes - self._energy[:, :, np.newaxis] * self._half_squares
        logs[:, self._onsets.weights == 0.0] = -math.inf
        likely = np.exp(logs - logs.max(axis=(1, 2), keepdims=True))
        since_s = self._onsets.ages[likely.sum(axis=2).argmax(axis=1)] * self._noise.step_s
        mass = np.tensordot(likely, self._onsets.weights, axes=(1, 0))
        mean = mass @ slopes / mass.sum(axis=1)
        return since_s, mean


def detectable_slopes(noise: Noise, longest: int, shortest: int = _SHORTEST) -> list[float]:
    """Return log-spaced slopes, Pa/s: from what takes the longest to detect to what takes the shortest, in samples."""
    white_pa, longest = noise.white_pa, max(longest, _SHORTEST)
    drift_pa, air_pa = (float(f"{part / white_pa:.1e}") for part in (noise.drift_pa, noise.air_pa))  # few are different
    unit = replace(noise, white_pa=1.0, drift_pa=drift_pa, air_pa=air_pa)
    low, high = _needed_slopes(unit, longest, min(max(shortest, _SHORTEST), longest))
    count = max(math.ceil(math.log(high / low) / math.log(_SLOPE_RATIO)), 1) + 1
    slopes: list[float] = np.geomspace(white_pa * low, white_pa * high, count).tolist()
    return slopes


@lru_cache(maxsize=512)
def _needed_slopes(noise: Noise, longest: int, shortest: int) -> tuple[float, float]:
    """Return the slopes that take the longest and the shortest to detect; it costs 0.1 s, so it is remembered."""
    d = np.sqrt(information(noise, longest))
    return float(_NEEDED_D / d[-1]), float(_NEEDED_D / d[shortest - 1])


def fast_detector(
    noise: Noise, *, false_alarm_s: float = FALSE_ALARM_S, certified: bool = False, paths: int = 1
) -> Detector:
    """Return the channel for punctures: samples of a second or of a poll, leaks that began in the last ten minutes.

    Args:
        noise: of the level; `step_s` is that of the samples.
        false_alarm_s: mean time between false alarms of an air body, of both channels together.
        certified: hold that by theorem.
        paths: levels that are fed together.
    """
    surplus = 1.0 if certified else _FAST_SURPLUS
    return Detector(
        noise,
        longest_s=FAST_LONGEST_S,
        false_alarm_s=false_alarm_s / _FAST_SHARE / surplus,
        certified=certified,
        paths=paths,
    )


def slow_detector(
    noise: Noise, *, false_alarm_s: float = FALSE_ALARM_S, certified: bool = False, paths: int = 1
) -> Detector:
    """Return the channel for seeps: samples of a minute, leaks that began in the last three days.

    The arguments are those of `fast_detector`.
    """
    return Detector(
        noise,
        longest_s=SLOW_LONGEST_S,
        shortest_s=FAST_LONGEST_S,
        false_alarm_s=false_alarm_s / _SLOW_SHARE,
        certified=certified,
        paths=paths,
    )


def parity_detector(noise: Noise, *, false_alarm_s: float = FALSE_ALARM_S, paths: int = 1) -> Detector:
    """Return the same test for one transducer less the mean of its neighbours: it must neither fall nor rise.

    A leak moves all transducers of an air body and cancels here; a drifting one does not. Convict the one whose
    statistic leads the next by ln 100: a drift shows in the means of its neighbours, too. (Less a mid-value would not
    do: with calibrations apart, that may be the drifting one.)
    `noise` is of the difference: white and drift, the air is the same for all. Feed it at the slow step; a constant
    offset is no fault. `false_alarm_s` is for both directions together.
    """
    return Detector(noise, longest_s=SLOW_LONGEST_S, false_alarm_s=2.0 * false_alarm_s, paths=paths)
