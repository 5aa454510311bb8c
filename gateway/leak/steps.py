"""From polls that come whenever they come to steps of equal length: what each transducer said in each second."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from drivers.reading import Quality, Readings, Reason
from drivers.rig import Rig
from gateway.leak.contacts import delay_s
from gateway.leak.transducer_record import Sample

STEP_S: Final = 1.0
_LATE_S: Final = 0.5  # a reading's time is the middle of its exchange: it is known a little later


@dataclass(slots=True)
class _Said:
    """What one transducer said in the step that is open."""

    pressure_pa: float = 0.0
    pressures: int = 0
    temperature_k: float = 0.0
    temperatures: int = 0
    problem: str = ""

    def sample(self) -> Sample:
        return Sample(
            pressure_pa=self.pressure_pa / self.pressures if self.pressures else math.nan,
            temperature_k=self.temperature_k / self.temperatures if self.temperatures else math.nan,
            problem="" if self.pressures else self.problem,
        )


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
        self._late_s = _LATE_S + delay_s(rig)
        self._open: int | None = None
        self._steps: dict[int, dict[str, dict[str, _Said]]] = {}

    def take(self, readings: Readings) -> None:
        """Take one poll; transducers outside segments, of gases alone and contacts tell nothing of a pressure."""
        if not any(channel.transducer in self._segments for channel in readings.channels):
            return
        step = math.floor(readings.time_s / STEP_S)
        if self._open is None:
            self._open = step
        said = self._steps.setdefault(max(step, self._open), {})
        values, qualities, reasons = readings.values.tolist(), readings.quality.tolist(), readings.reasons.tolist()
        for channel, value, quality, reason in zip(readings.channels, values, qualities, reasons, strict=True):
            if channel.transducer not in self._segments:
                continue
            here = said.setdefault(self._segments[channel.transducer], {}).setdefault(channel.transducer, _Said())
            usable = quality == Quality.GOOD or reason == Reason.CALIBRATION_OVERDUE
            if channel.quantity == "pressure":
                if usable:
                    here.pressure_pa += value
                    here.pressures += 1
                else:
                    here.problem = Reason(reason).word or "sensor_failure"
            elif usable and channel.quantity == "temperature":
                here.temperature_k += value
                here.temperatures += 1

    def over(self, now_s: float) -> Iterator[tuple[float, Mapping[str, Mapping[str, Sample]]]]:
        """Yield the steps that are over: (end of the step, segment -> transducer -> what it said)."""
        while self._open is not None and (end_s := (self._open + 1) * STEP_S) + self._late_s <= now_s:
            said = self._steps.pop(self._open, {})
            self._open += 1
            yield end_s, {segment: {name: each.sample() for name, each in by.items()} for segment, by in said.items()}
