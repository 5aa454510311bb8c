"""Watches one air body from one hatch change to the next: two detectors, the levels that came, and the rate of a loss.

Until something is found, a fast channel (a sample a second) and a slow one (a sample a minute) look for it. From then
on the rate is estimated again and again, and once it is known well, both look for a change of it: that is how a leak
that grows, shrinks or ends is noticed.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from drivers.rig import Segment
from drivers.rig_gateway import Leak
from gateway.leak.bodies import AirBody, Basis, BodyLevel, Level, basis_in_words, level_noise
from gateway.leak.detector import Detector, fast_detector, slow_detector
from gateway.leak.estimator import Estimate, estimate
from gateway.leak.event import METERED, SETTLES_S
from gateway.leak.finding import Kind
from gateway.leak.gases import NO_GASES, GasesNow
from gateway.leak.level_record import MINUTE, LevelRecord
from gateway.leak.noise import Array, Noise
from gateway.leak.segment_state import SegmentState

_SETTLING: Final = 15  # steps until offsets between transducers count as known
_LEARNED: Final = 120  # steps until the transducers' noise is known to 7 %
_CAREFUL: Final = 1.2  # factor on a noise known from a few steps: too small a one costs false alarms
_FEWEST: Final = 10  # samples of an estimate
_SILENT_S: Final = 60.0
_SILENT_SAMPLES: Final = 5
_AGAIN_S: Final = (5.0, 60.0)  # how often a rate is estimated: in its first minutes, later
_KNOWN_WELL: Final = 0.1  # relative standard deviation of a rate from which on changes of it are looked for
_NOTHING_AFTER_S: Final = 600.0  # from an announcement; what cannot be told from nothing by then has ended
_AFTER_GAIN_S: Final = 900.0  # air that came in takes on the temperature of what is around it
_RESTLESS: Final = 1.3  # by this factor noise may grow before what is found counts as noise
_INFLATED: Final = 1.2
_SETTLES_PA: Final = 1000.0  # apart: an equalisation of that or more takes `SETTLES_S`, of less in proportion
_EQUAL_PA: Final = 5.0
_SIGMAS_95: Final = 1.96

Channel = Literal["fast", "slow"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that a detector found.

    Attributes:
        gain: whether air comes in rather than goes.
        channel: which found it.
        at_s: when it was announced.
        onset_s: when it began, most likely.
        changed_s: when its rate changed last, None when it has not.
        rate: as estimated last, None before that.
    """

    gain: bool
    channel: Channel
    at_s: float
    onset_s: float
    changed_s: float | None = None
    rate: Estimate | None = None


class BodyWatch:
    """One air body, step by step.

    Args:
        body: the body.
        segments: words of the rig file.
        settings: words of the rig file.
        false_alarm_s: mean time between false alarms that this body may have.
        begin_s: when it came to be.
        ready_s: when its air has settled; at once when not given.

    Attributes:
        level: after the last step.
        pressure_pa: as known last, NaN before that.
        found: what its detectors found, None while they find nothing.
        noise: of its level, None until it is learned.
        margins: how far the logarithm of each channel's statistic is above its threshold; below 0 is no news.
        steady_since_s: since when its slope has been the same, as far as is known.
    """

    def __init__(
        self,
        body: AirBody,
        segments: Mapping[str, Segment],
        settings: Leak,
        *,
        false_alarm_s: float,
        begin_s: float,
        ready_s: float | None = None,
    ) -> None:
        self.body = body
        self.begin_s = begin_s
        self.level: Level | None = None
        self.pressure_pa = math.nan
        self.found: Found | None = None
        self.noise: Noise | None = None
        self._first_white_pa = math.nan
        self._level = BodyLevel(body, segments)
        self._basis: Basis = {}
        self._segments = segments
        self._measured: frozenset[str] = frozenset()
        self._settings = settings
        self._false_alarm_s = false_alarm_s
        self._ready_s = begin_s if ready_s is None else ready_s
        known = sum(segments[name].known_leak for name in body.segments)
        self._known_slope = body.slope_pa_per_s(known) if known and not math.isnan(body.volume_m3) else 0.0
        self.known_kg_per_s = known
        self._unrest: Callable[[], float] | None = None
        self._detectors: dict[Channel, Detector] = {}
        self._inflated: dict[Channel, float] = {}
        self.margins: dict[Channel, float] = {}
        self._steps = 0
        self._all_steps = 0
        self._now_s = self._seen_s = begin_s
        self._record = LevelRecord()
        self._again_s = math.inf
        self._valid_from_s = begin_s
        self.steady_since_s = begin_s

    @property
    def collecting(self) -> bool:
        """Whether nothing can be said yet: too little has come since it began, or its air is still settling."""
        return self.noise is None or self._now_s <= self._valid_from_s

    @property
    def settled_s(self) -> float:
        """When its air has settled, as far as is known."""
        return max(self._ready_s, self._valid_from_s)

    @property
    def inflated(self) -> float:
        """Factor by which the noise was found larger than expected, 1 when it is not."""
        grown = self.noise.white_pa / self._first_white_pa if self.noise is not None else 1.0
        return max(self._inflated.values(), default=1.0) * max(grown, 1.0)

    def silent(self, now_s: float) -> bool:
        """Say whether its level has not been known for a while."""
        return now_s - self._seen_s > max(_SILENT_S, _SILENT_SAMPLES / self._share)

    @property
    def _share(self) -> float:
        """Share of the steps that bring a level: 1 unless all transducers are polled less than once a second."""
        return max(self._steps, 1) / max(self._all_steps, 1)

    def _minutely(self, noise: Noise) -> Noise:
        """Return the noise of means over a minute."""
        samples = max(MINUTE * self._share, 1.0)
        return replace(noise, white_pa=noise.white_pa / math.sqrt(samples), step_s=float(MINUTE))

    def take(
        self,
        states: Mapping[str, SegmentState],
        now_s: float,
        unrest: Callable[[], float] | None = None,
        gases: GasesNow = NO_GASES,
    ) -> None:
        """Take the states of all segments after one step.

        Args:
            states: of at least the body's segments.
            now_s: end of the step.
            unrest: asked when something is found: by which factor its transducers are noisier of late than they were.
            gases: what is known of the body's partial pressures.
        """
        self._unrest = unrest
        self._now_s = now_s
        level = self.level = self._level.take(states, gases)
        if level.basis != self._basis:
            self._rebase(level)
        self._all_steps += 1
        if level.anew:  # where it is now says nothing of how it got there
            self.disturb(now_s, 0.0)
        if not math.isnan(level.x_pa):
            self.pressure_pa = level.pressure_pa
            self._steps += 1
            self._seen_s = now_s
        if now_s <= self._ready_s or self._steps < _SETTLING:
            return
        first = self.noise is None
        if first or (self._steps == _LEARNED and self.found is None):
            if math.isnan(level.white_pa):
                return
            self._measured = frozenset(name for name, state in states.items() if not math.isnan(state.temperature_k))
            self.noise = self._noise_of(level, _CAREFUL if first else 1.0)
            self._first_white_pa = self.noise.white_pa
            self._begin_detectors()
        x_pa = level.x_pa if now_s > self._valid_from_s else math.nan
        self._record.add(now_s, x_pa)
        self._look("fast", x_pa, now_s)
        mean_pa = self._record.add_to_minute(now_s, x_pa, share=self._share)
        if mean_pa is not None:
            self._look("slow", mean_pa, now_s)
        if self.found is not None and now_s >= self._again_s:
            self._estimate_again(now_s)

    def disturb(self, now_s: float, lasts_s: float, mass_kg: float | None = None) -> None:
        """Look away from now on until an event is over, and know the level no longer: it may be anywhere then.

        Args:
            now_s: its beginning.
            lasts_s: until the air has settled again.
            mass_kg: air that it lets in, as metered; then the level is known, though less well, and what had been
                gathered of a leak by then still counts. It needs a volume.
        """
        self._valid_from_s = max(self._valid_from_s, now_s + lasts_s)
        self._record.break_minute()
        for detector in self._detectors.values():
            if mass_kg is None:
                detector.reset_level()
            else:
                moved_pa = self.body.slope_pa_per_s(mass_kg)  # Pa for kg as Pa/s for kg/s
                detector.reset_level(
                    (moved_pa * math.hypot(METERED, self.body.volume_relative_sigma)) ** 2, moved_pa=moved_pa
                )

    def _rebase(self, level: Level) -> None:
        """Take up a level that means something else from now on: other gases are taken off it than before."""
        self._basis = level.basis
        self.disturb(self._now_s, 0.0)
        if self.noise is not None and not math.isnan(level.white_pa):
            self.noise = self._noise_of(level, 1.0)
            self._first_white_pa = self.noise.white_pa
            self._detectors = {}
            if self.found is None:  # else they begin when its rate is known well again
                self._begin_detectors()

    def seen(self, now_s: float) -> tuple[Kind, float | None, tuple[float, float] | None]:
        """Return what its own detectors say: kind, slope and the interval of that, Pa/s."""
        found = self.found
        if self.silent(now_s):
            return Kind.NO_DATA, None, None
        if found is None:
            return (Kind.COLLECTING if self.collecting else Kind.NONE), None, None
        if found.gain:
            kind = Kind.GAIN
        elif found.changed_s is not None or self.known_kg_per_s:
            kind = Kind.RATE_CHANGE
        else:
            kind = Kind.PUNCTURE if found.channel == "fast" else Kind.LEAK
        return kind, *((found.rate.slope_pa_s, found.rate.ci95) if found.rate else (None, None))

    def loss(self, since_s: float | None = None) -> Estimate | None:
        """Estimate the slope from `since_s` on (its beginning when not given); None while there is too little data."""
        if self.noise is None:
            return None
        times, levels, noise = self._data(self.begin_s if since_s is None else since_s)
        if int(np.isfinite(levels).sum()) < _FEWEST:
            return None
        return estimate(times, levels, noise, onset_s=float(times[0]))

    def notes(self) -> tuple[str, ...]:
        """Return what makes it less sure than it could be."""
        notes = []
        if math.isnan(self.body.volume_m3):
            notes.append("a volume is missing in the rig file: no rate in kg/day, no search")
        blind = [name for name in self.body.segments if name not in self._measured]
        if blind and self.noise is not None:
            notes.append(
                f"no temperature is measured in {', '.join(blind)}: air that cools looks like air that is lost, so the"
                f" level is known to {self.noise.air_pa:.2g} Pa only"
            )
        if self.inflated > _INFLATED:
            notes.append(f"noise is {self.inflated:.1f} times what was expected: intervals and thresholds have grown")
        notes += basis_in_words(self._basis)
        slow = self.found is not None and self.found.channel == "slow"
        if slow and not self._settings.gas_error and {"o2", "co2"} - self._basis.keys():
            notes.append("people who breathe would look like this, too: [leak] gas_error is 0 Pa")
        if self.known_kg_per_s:
            notes.append(f"a known leak of {self.known_kg_per_s * 86_400:.3g} kg/day is not news")
        return tuple(notes)

    def _noise_of(self, level: Level, careful: float) -> Noise:
        """Return what the level does without a leak."""
        level = replace(level, white_pa=level.white_pa * careful)
        return level_noise(level, self.body, self._segments, self._measured, self._settings)

    def _begin_detectors(self) -> None:
        assert self.noise is not None  # noqa: S101 - it comes first
        self._detectors = {
            "fast": fast_detector(self.noise, false_alarm_s=self._false_alarm_s),
            "slow": slow_detector(self._minutely(self.noise), false_alarm_s=self._false_alarm_s),
        }
        for detector in self._detectors.values():
            detector.known_slope_pa_s = self._known_slope

    def _look(self, channel: Channel, x_pa: float, now_s: float) -> None:
        """Give a channel its next sample, and take up what it finds."""
        detector = self._detectors.get(channel)
        if detector is None:
            return
        verdict = detector.take(x_pa)
        self._inflated[channel] = verdict.inflated
        self.margins[channel] = verdict.log_statistic - verdict.log_threshold
        if not verdict.alarm or verdict.since_s is None:
            return
        if self._restless():
            return
        onset_s = max(now_s - verdict.since_s - self._step_s(channel) / 2, self._valid_from_s)
        if self.found is None:
            self.found = Found(gain=verdict.kind == "gain", channel=channel, at_s=now_s, onset_s=onset_s)
        else:
            self.found = replace(self.found, changed_s=onset_s)
            self.steady_since_s = onset_s
        self._detectors = {}
        self._estimate_again(now_s)

    def _restless(self) -> bool:
        """Say whether what was found is only noise that has grown; then learn it, and begin anew."""
        assert self.noise is not None  # noqa: S101 - detectors have it
        assert self.level is not None  # noqa: S101
        unrest = self._unrest() if self._unrest is not None else 1.0
        white_pa = max(unrest, 1.0) * self.level.white_pa
        if not white_pa > _RESTLESS * self.noise.white_pa:
            return False
        self.noise = self._noise_of(self.level, _CAREFUL * max(unrest, 1.0))
        self._begin_detectors()
        return True

    @staticmethod
    def _step_s(channel: Channel) -> float:
        return 1.0 if channel == "fast" else float(MINUTE)

    def _estimate_again(self, now_s: float) -> None:
        """Estimate the rate of what was found; when nothing is left of it, begin anew."""
        found = self.found
        assert found is not None  # noqa: S101 - callers see to it
        self._again_s = now_s + _AGAIN_S[now_s - found.at_s > 5 * _AGAIN_S[1]]
        if found.changed_s is None:
            times, levels, noise = self._data(2 * found.onset_s - now_s - MINUTE)  # as long before it as since
            known = self._known_slope
        else:
            times, levels, noise = self._data(found.changed_s)
            known = 0.0
        if int(np.isfinite(levels).sum()) < _FEWEST:
            return
        rate = estimate(times, levels, noise, known_slope_pa_s=known, onset_s=found.changed_s and float(times[0]))
        low, high = rate.ci95
        self.found = replace(found, rate=rate, gain=rate.slope_pa_s < self._known_slope)
        if low <= self._known_slope <= high:
            if found.changed_s is not None or now_s - max(found.at_s, self._valid_from_s) > _NOTHING_AFTER_S:
                self._end(now_s, gain=found.gain)
        elif high - low < 2 * _SIGMAS_95 * _KNOWN_WELL * abs(rate.slope_pa_s):
            if not self._detectors:
                self._begin_detectors()
            for detector in self._detectors.values():
                detector.known_slope_pa_s = rate.slope_pa_s

    def _end(self, now_s: float, *, gain: bool) -> None:
        found, self.found = self.found, None
        if found is not None:
            self.steady_since_s = found.changed_s or found.onset_s
        if gain:
            self._valid_from_s = now_s + _AFTER_GAIN_S
        self._begin_detectors()

    def _data(self, since_s: float) -> tuple[Array, Array, Noise]:
        """Return times, levels and their noise: seconds where they reach back far enough, else minutes."""
        assert self.noise is not None  # noqa: S101 - callers see to it
        times, levels, by_minute = self._record.since(max(since_s, self._valid_from_s))
        noise = self._minutely(self.noise) if by_minute else self.noise
        inflated = max(self._inflated.values(), default=1.0)
        if inflated > 1.0:
            noise = replace(
                noise,
                white_pa=noise.white_pa * inflated,
                drift_pa=noise.drift_pa * inflated,
                air_pa=noise.air_pa * inflated,
            )
        return times, levels, noise


def settled_s(body: AirBody, before: Sequence[BodyWatch], now_s: float) -> float:
    """Return when the air of a new body has settled: late when its parts had different pressures, or an event goes on.

    Args:
        body: that begins now.
        before: the bodies until now.
        now_s: when the hatch moved.
    """
    parts = [each for each in before if not set(each.body.segments).isdisjoint(body.segments)]
    pressures = [each.pressure_pa for each in parts if not math.isnan(each.pressure_pa)]
    apart_pa = max(pressures) - min(pressures) if pressures else 0.0
    hold_s = SETTLES_S * min(apart_pa / _SETTLES_PA, 1.0) if apart_pa > _EQUAL_PA else 0.0
    return max([now_s + hold_s, *(each.settled_s for each in parts)])
