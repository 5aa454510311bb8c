"""The trip: a segment whose pressure falls fast, or is too low, told by plain arithmetic on its mid-value.

It is there beside the detectors and shares none of their models: no noise of the air, no bodies, no memory of more than
a few readings. Each transducer's own fall is judged, so calibrations do not enter, and the middle one of the falls
counts: of three or more one may lie as it likes, of two the one that falls less decides, one alone is believed.
"""

import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from drivers.rig import Rig
from drivers.rig_gateway import Leak
from gateway.alarms import Condition, Observation, Priority
from gateway.leak.segment_state import SegmentVote
from gateway.leak.transducer_record import Sample

_QUARTERS: Final = 4
_QUARTER_S: Final = 5.0
_QUARTER_POLLS: Final = 2.0
_SURE: Final = 6.0  # standard deviations of its noise that a fall must exceed: by chance 1 in 1e9, of one alone
_EVEN: Final = 0.5  # of the mean step from quarter to quarter: the least one
_GONE_BELOW: Final = 0.5  # of the limit, for `_CALM` steps in a row: then a fall is over
_CALM: Final = 20
_NEWS_SHARE: Final = 0.25  # by which a fall must have changed to be news
_LOW_OVER_PA: Final = 200.0  # above the limit: then a low pressure is over


@dataclass(slots=True)
class _Heard:
    """One transducer's readings of the last four quarters: (end of the step, Pa)."""

    quarter_s: float
    samples: deque[tuple[float, float]]

    def quarters(self, now_s: float) -> tuple[list[float], list[int]]:
        """Return means, NaN where nothing came, and numbers of readings, the newest quarter first."""
        while self.samples and self.samples[0][0] <= now_s - _QUARTERS * self.quarter_s:
            self.samples.popleft()
        sums, counts = [0.0] * _QUARTERS, [0] * _QUARTERS
        for time_s, value in self.samples:
            quarter = int((now_s - time_s) / self.quarter_s)
            sums[quarter] += value
            counts[quarter] += 1
        return [total / (count or math.nan) for total, count in zip(sums, counts, strict=True)], counts

    def fall_pa_s(self, noise_pa: float, now_s: float) -> float:
        """Return how fast it falls, NaN while one of the quarters has no reading.

        A jump shows in two of the three steps from quarter to quarter at most, a fall evenly in all of them; what is
        less even, or could be noise, is none.
        """
        means, counts = self.quarters(now_s)
        if not all(counts):
            return math.nan
        fallen_pa = means[-1] - means[0]
        least_pa = min(older - newer for newer, older in pairwise(means))
        sure = fallen_pa > _SURE * noise_pa * math.sqrt(1 / counts[0] + 1 / counts[-1])
        even = least_pa > _EVEN * fallen_pa / (_QUARTERS - 1)
        return fallen_pa / (_QUARTERS - 1) / self.quarter_s if sure and even else 0.0


class DepressTrip:
    """The trip of one segment.

    Args:
        polls_s: by transducer, its period: a quarter lasts 5 s, or two polls.
        settings: words of the rig file.

    Attributes:
        falls: whether it falls too fast.
        low: whether it is too low.
        fall_pa_s: the mid-value's, while it falls; it follows changes of a quarter, not each second's noise.
        pressure_pa: the mid-value of the newest quarter, while it is low; it follows in steps of 200 Pa.
    """

    def __init__(self, polls_s: Mapping[str, float], settings: Leak) -> None:
        self.falls = self.low = False
        self.fall_pa_s = self.pressure_pa = math.nan
        self._calm = 0
        self._settings = settings
        self._heard = {
            name: _Heard(max(_QUARTER_S, _QUARTER_POLLS * poll_s), deque()) for name, poll_s in polls_s.items()
        }

    def take(self, values: Mapping[str, float], noise_pa: Mapping[str, float], now_s: float, *, held: bool) -> None:
        """Take one step.

        Args:
            values: Pa, of those that spoke.
            noise_pa: of those that are believed, the standard deviation of each, Pa.
            now_s: end of the step.
            held: something is done to the air that is no leak: nothing is tripped, and what comes meanwhile forgotten.
        """
        for name, heard in self._heard.items():
            if held or name not in noise_pa:
                heard.samples.clear()
            elif name in values:
                heard.samples.append((now_s, values[name]))
        self._judge_fall(noise_pa, now_s)
        if self._settings.low_pressure is not None:
            self._judge_pressure(self._settings.low_pressure, now_s)
        if held:
            self.falls = self.low = False

    def _judge_fall(self, noise_pa: Mapping[str, float], now_s: float) -> None:
        falls = (each.fall_pa_s(noise_pa[name], now_s) for name, each in self._heard.items() if each.samples)
        fall_pa_s = _middle(falls)
        if math.isnan(fall_pa_s):
            return  # what is not known changes nothing
        least_pa_s = self._settings.depress_rate * (_GONE_BELOW if self.falls else 1.0)
        self._calm = 0 if fall_pa_s >= least_pa_s else self._calm + 1
        if not self._calm and not (self.falls and abs(fall_pa_s / self.fall_pa_s - 1) < _NEWS_SHARE):
            self.fall_pa_s = fall_pa_s
        self.falls = not self._calm or (self.falls and self._calm < _CALM)

    def _judge_pressure(self, low_pa: float, now_s: float) -> None:
        newest = (heard.quarters(now_s)[0][0] for heard in self._heard.values() if heard.samples)
        pressure_pa = -_middle(-value for value in newest)
        if math.isnan(pressure_pa):
            return
        was_low, self.low = self.low, pressure_pa < low_pa + (_LOW_OVER_PA if self.low else 0.0)
        if not (was_low and abs(pressure_pa - self.pressure_pa) < _LOW_OVER_PA):
            self.pressure_pa = pressure_pa


class DepressTrips:
    """The trips of all segments of a station."""

    def __init__(self, rig: Rig) -> None:
        polls: dict[str, dict[str, float]] = {}
        for name, words in rig.transducers.items():
            polls.setdefault(words.segment or "", {})[name] = words.poll
        self._settings = rig.leak
        self._trips = {segment: DepressTrip(polls[segment], rig.leak) for segment in rig.segments if segment in polls}

    def take(
        self,
        said: Mapping[str, Mapping[str, Sample]],
        votes: Mapping[str, SegmentVote],
        now_s: float,
        held: Collection[str],
    ) -> None:
        """Take one step, after the votes have.

        Args:
            said: segment -> transducer -> what it said.
            votes: by segment.
            now_s: end of the step.
            held: segments whose air is disturbed by something that was told.
        """
        for segment, trip in self._trips.items():
            vote = votes[segment]
            values = {
                name: sample.pressure_pa
                for name, sample in said.get(segment, {}).items()
                if not math.isnan(sample.pressure_pa)
            }
            noise_pa = {name: vote.noise_pa(name) for name in vote.believed(now_s)}
            trip.take(values, noise_pa, now_s, held=segment in held)

    def observations(self, segments: Iterable[str], place: str, segment: str | None) -> Iterator[Observation]:
        """Yield what is tripped in an air body: one alarm for each cause, whatever number of its segments shows it.

        Args:
            segments: of the body.
            place: the body's name in alarms.
            segment: the body's only one, else None.
        """
        trips = [self._trips[name] for name in segments if name in self._trips]
        falls = [trip.fall_pa_s for trip in trips if trip.falls]
        if falls:
            condition = Condition(
                id=f"depress-{place}",
                priority=Priority.CRITICAL,
                cause="depressurisation",
                segment=segment,
                limit=self._settings.depress_rate,
            )
            yield Observation(condition=condition, there=True, value=max(falls))
        low = [trip.pressure_pa for trip in trips if trip.low]
        if low:
            condition = Condition(id=f"low-{place}", priority=Priority.CRITICAL, cause="low-pressure", segment=segment)
            yield Observation(condition=condition, there=True, value=min(low))


def _middle(values: Iterable[float]) -> float:
    """Return the mid-value of those that are known: of an even number the lower one; NaN of none."""
    known = sorted(value for value in values if not math.isnan(value))
    return known[(len(known) - 1) // 2] if known else math.nan
