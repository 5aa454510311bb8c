"""From polls that come whenever they come to steps of equal length: what each transducer said in each second."""

import math
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import Rig
from gateway.leak.contacts import delay_s
from gateway.leak.transducer_record import Sample

STEP_S: Final = 1.0
_QUANTITIES: Final = ("pressure", "temperature")
_LATE_S: Final = 0.5  # a reading's time is the middle of its exchange: it is known a little later
_WORDS: Final = tuple(reason.word or "" for reason in Reason)


class _Step:
    """What the transducers of a station said in one step; a poll of many channels costs hardly more than one of two.

    Attributes, all of shape (2 * transducers,), first the pressures (Pa), then the temperatures (K):
        sums, counts: of usable readings.
        reasons: of the latest reading that was not usable, NONE while there was none.
    """

    def __init__(self, places: int) -> None:
        self.sums = np.zeros(places)
        self.counts = np.zeros(places, dtype=np.intp)
        self.reasons = np.zeros(places, dtype=np.uint8)

    def take(self, readings: Readings, columns: NDArray[np.intp], places: NDArray[np.intp]) -> None:
        """Take these columns of one poll to those places."""
        values = readings.values[columns]
        if readings.all_good:
            self.sums[places] += values
            self.counts[places] += 1
            return
        reasons = readings.reasons[columns]
        usable = (readings.quality[columns] == Quality.GOOD) | (reasons == Reason.CALIBRATION_OVERDUE)
        self.sums[places[usable]] += values[usable]
        self.counts[places] += usable
        self.reasons[places[~usable]] = np.where(reasons == Reason.NONE, Reason.SENSOR_FAILURE, reasons)[~usable]


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
        self._units: dict[str, tuple[tuple[Channel, ...], NDArray[np.intp], NDArray[np.intp]]] = {}
        self._late_s = _LATE_S + delay_s(rig)
        self._open: int | None = None
        self._steps: dict[int, _Step] = {}

    def take(self, readings: Readings) -> None:
        """Take one poll; transducers outside segments, of gases alone and contacts tell nothing of a pressure."""
        columns, places = self._places(readings.channels)
        if not places.size:
            return
        number = math.floor(readings.time_s / STEP_S)
        if self._open is None:
            self._open = number
        number = max(number, self._open)
        step = self._steps.get(number)
        if step is None:
            step = self._steps[number] = _Step(2 * len(self._rows))
        step.take(readings, columns, places)

    def _places(self, channels: tuple[Channel, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which columns of a unit's polls count, and where they go; learned at its first poll."""
        key = channels[0].transducer
        known = self._units.get(key)
        if known is None or (known[0] is not channels and known[0] != channels):
            columns = [
                column
                for column, each in enumerate(channels)
                if each.transducer in self._rows and each.quantity in _QUANTITIES
            ]
            places = [
                self._rows[channels[column].transducer] + len(self._rows) * _QUANTITIES.index(channels[column].quantity)
                for column in columns
            ]
            known = channels, np.array(columns, dtype=np.intp), np.array(places, dtype=np.intp)
            self._units[key] = known
        return known[1:]

    def over(self, now_s: float) -> Iterator[tuple[float, Mapping[str, Mapping[str, Sample]]]]:
        """Yield the steps that are over: (end of the step, segment -> transducer -> what it said)."""
        while self._open is not None and (end_s := (self._open + 1) * STEP_S) + self._late_s <= now_s:
            step = self._steps.pop(self._open, None)
            self._open += 1
            yield end_s, {} if step is None else self._samples(step)

    def _samples(self, step: _Step) -> Mapping[str, Mapping[str, Sample]]:
        said: dict[str, dict[str, Sample]] = {}
        with np.errstate(invalid="ignore"):
            means = (step.sums / step.counts).reshape(2, -1)  # nothing usable: 0 / 0 is NaN
        pressures, temperatures = means.tolist()
        heard = (step.counts > 0) | (step.reasons > 0)
        spoke: list[bool] = (heard[: len(self._rows)] | heard[len(self._rows) :]).tolist()
        problems = np.where(step.counts == 0, step.reasons, Reason.NONE)[: len(self._rows)]
        rows = zip(self._segments.items(), spoke, pressures, temperatures, problems.tolist(), strict=True)
        for (name, segment), has_spoken, pressure_pa, temperature_k, problem in rows:
            if has_spoken:
                sample = Sample(pressure_pa=pressure_pa, temperature_k=temperature_k, problem=_WORDS[problem])
                said.setdefault(segment, {})[name] = sample
        return said
