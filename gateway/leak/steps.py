"""From polls that come whenever they come to steps of equal length: what each transducer said in each second."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from drivers.columns import Columns, PerUnit, columns
from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import Rig
from gateway.leak.contacts import delay_s
from gateway.leak.transducer_record import Sample

STEP_S: Final = 1.0
_QUANTITIES: Final = ("pressure", "temperature")
_LATE_S: Final = 0.5  # a reading's time is the middle of its exchange: it is known a little later
_WORDS: Final = tuple(reason.word or "" for reason in Reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Share:
    """What of a unit's polls counts: which columns, and where they go in a step."""

    columns: Columns
    places: Columns


class _Step:
    """What the transducers of a station said in one step; a poll of many channels costs hardly more than one of two.

    Attributes, all of shape (2 * transducers,), of each its pressure (Pa), then its temperature (K):
        sums, counts: of usable readings.
        reasons: of the latest reading that was not usable, NONE while there was none.
    """

    def __init__(self, places: int) -> None:
        self.sums = np.zeros(places)
        self.counts = np.zeros(places, dtype=np.intp)
        self.reasons = np.zeros(places, dtype=np.uint8)

    def take(self, readings: Readings, share: _Share) -> None:
        """Take what counts of one poll."""
        columns, places = share.columns, share.places
        values = readings.values[columns]
        if readings.all_good:
            self.sums[places] += values
            self.counts[places] += 1
            return
        reasons = readings.reasons[columns]
        usable = (readings.quality[columns] == Quality.GOOD) | (reasons == Reason.CALIBRATION_OVERDUE)
        self.sums[places] += np.where(usable, values, 0.0)
        self.counts[places] += usable
        said = np.where(reasons == Reason.NONE, Reason.SENSOR_FAILURE, reasons)
        self.reasons[places] = np.where(usable, self.reasons[places], said)


class Steps:
    """Readings of one station by step, segment and transducer. Where hatches have contacts, it waits for their word.

    A reading counts when it is good, or uncertain only because its calibration is overdue: its slope is right. One that
    comes after its step is over counts for the next.
    """

    def __init__(self, rig: Rig) -> None:
        self._segments = {
            name: words.segment
            for name, words in rig.transducers.items()
            if words.segment in rig.segments and words.measures_pressure
        }
        self._rows = {name: row for row, name in enumerate(self._segments)}
        self._share = PerUnit(self._share_of)
        self._late_s = _LATE_S + delay_s(rig)
        self._open: int | None = None
        self._steps: dict[int, _Step] = {}

    def take(self, readings: Readings) -> None:
        """Take one poll; transducers outside segments, of gases alone and contacts tell nothing of a pressure."""
        share = self._share(readings.channels)
        if share is None:
            return
        number = math.floor(readings.time_s / STEP_S)
        if self._open is None:
            self._open = number
        number = max(number, self._open)
        step = self._steps.get(number)
        if step is None:
            step = self._steps[number] = _Step(2 * len(self._rows))
        step.take(readings, share)

    def _share_of(self, channels: tuple[Channel, ...]) -> _Share | None:
        """Return what counts of the polls of these channels, None if nothing does."""
        counting = [
            (column, 2 * self._rows[each.transducer] + _QUANTITIES.index(each.quantity))
            for column, each in enumerate(channels)
            if each.transducer in self._rows and each.quantity in _QUANTITIES
        ]
        if not counting:
            return None
        return _Share(
            columns=columns([column for column, _ in counting]), places=columns([place for _, place in counting])
        )

    def over(self, now_s: float) -> Iterator[tuple[float, Mapping[str, Mapping[str, Sample]]]]:
        """Yield the steps that are over: (end of the step, segment -> transducer -> what it said)."""
        while self._open is not None and (end_s := (self._open + 1) * STEP_S) + self._late_s <= now_s:
            step = self._steps.pop(self._open, None)
            self._open += 1
            yield end_s, {} if step is None else self._samples(step)

    def _samples(self, step: _Step) -> Mapping[str, Mapping[str, Sample]]:
        said: dict[str, dict[str, Sample]] = {}
        with np.errstate(invalid="ignore"):
            means = step.sums / step.counts  # nothing usable: 0 / 0 is NaN
        pressures, temperatures = means[0::2].tolist(), means[1::2].tolist()
        heard = (step.counts > 0) | (step.reasons > 0)
        spoke: list[bool] = (heard[0::2] | heard[1::2]).tolist()
        problems = np.where(step.counts == 0, step.reasons, Reason.NONE)[0::2]
        rows = zip(self._segments.items(), spoke, pressures, temperatures, problems.tolist(), strict=True)
        for (name, segment), has_spoken, pressure_pa, temperature_k, problem in rows:
            if has_spoken:
                sample = Sample(pressure_pa=pressure_pa, temperature_k=temperature_k, problem=_WORDS[problem])
                said.setdefault(segment, {})[name] = sample
        return said
