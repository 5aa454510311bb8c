"""Partial pressures of oxygen, carbon dioxide and water vapour, as transducers say them: what to take off for nitrogen.

People, scrubbers and generators move these gases over hours; a gas sensor is noisier than the mean of a body's pressure
transducers. So what it says is smoothed over minutes, in a way that does not lag behind a steady change. One that falls
silent is taken to go on as in the hours before, for a day: taken as standing still, breathing would look like a leak.
"""

import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from drivers.reading import Quality, Readings
from drivers.rig import Rig
from drivers.units import GASES

GAS_OF: Final = {f"partial_{gas}": gas for gas in GASES}

_SMOOTH_S: Final = 300.0
_KNOWN_AFTER_S: Final = 60.0
_KNOWN_AFTER: Final = 5  # readings
_SILENT_S: Final = 60.0  # breathing moves total pressure by 0.3 Pa in that time
_SILENT_POLLS: Final = 3
_HELD_S: Final = 86_400.0
_TREND_STEP_S: Final = 60.0
_TREND_POINTS: Final = 360  # six hours: two and a half cycles of a carbon dioxide bed
_TREND_FEWEST: Final = 10
_NOISE_STEPS: Final = 600
_PASSED: Final = 1.25  # variance of the smoothed value, in parts of the readings' times the share that is new


@dataclass(frozen=True, slots=True, kw_only=True)
class GasNow:
    """What one transducer says of one gas.

    Attributes:
        partial_pa: smoothed; as it was going when `held`.
        white_pa: noise of a single reading.
        sd_pa: standard deviation of `partial_pa`.
        held: whether it is silent.
    """

    partial_pa: float
    white_pa: float
    sd_pa: float
    held: bool


GasesNow = Mapping[str, Mapping[str, GasNow]]
"""What is known of an air body's partial pressures: gas -> transducer -> what it says."""
NO_GASES: Final[GasesNow] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """How a gas was going when it was heard last: a straight line, and how far it strayed from it."""

    time_s: float
    partial_pa: float
    pa_per_s: float
    strays_pa: float


class GasSensor:
    """One gas at one transducer.

    Args:
        poll_s: how often it is asked.
    """

    def __init__(self, poll_s: float) -> None:
        self._silent_s = max(_SILENT_POLLS * poll_s, _SILENT_S)
        self._course: _Course | None = None
        self._begin()

    def _begin(self) -> None:
        self._since_s = self._seen_s = math.nan
        self._count = 0
        self._share = 1.0
        self._once_pa = self._twice_pa = 0.0
        self._last_pa = self._before_pa = math.nan
        self._variance = 0.0
        self._step_pa = math.inf
        self._past: deque[tuple[float, float]] = deque(maxlen=_TREND_POINTS)

    def take(self, value_pa: float, time_s: float) -> None:
        """Take its next good reading."""
        if time_s - self._seen_s > self._silent_s:
            self._begin()
        if not self._count:
            self._since_s, self._once_pa, self._twice_pa = time_s, value_pa, value_pa
        self._count += 1
        if self._count > 1:
            self._share = max(1 / self._count, -math.expm1((self._seen_s - time_s) / _SMOOTH_S))
        self._once_pa += self._share * (value_pa - self._once_pa)
        self._twice_pa += self._share * (self._once_pa - self._twice_pa)
        self._learn(value_pa)
        self._seen_s = time_s
        if self._known and (not self._past or time_s >= self._past[-1][0] + _TREND_STEP_S):
            self._past.append((time_s, self._smoothed_pa))
            self._course = self._straight()

    def _learn(self, value_pa: float) -> None:
        """Learn noise from second differences, which no steady change enters, and resolution."""
        if (moved_pa := abs(value_pa - self._last_pa)) > 0:
            self._step_pa = min(self._step_pa, moved_pa)
        square = (value_pa - 2 * self._last_pa + self._before_pa) ** 2 / 6
        self._before_pa, self._last_pa = self._last_pa, value_pa
        if not math.isnan(square):
            self._variance += (square - self._variance) / min(self._count - 2, _NOISE_STEPS)

    @property
    def _known(self) -> bool:
        return self._count >= _KNOWN_AFTER and self._seen_s - self._since_s >= _KNOWN_AFTER_S

    @property
    def _smoothed_pa(self) -> float:
        return 2 * self._once_pa - self._twice_pa  # what smoothing once lags behind, smoothing twice lags twice

    @property
    def _sd_pa(self) -> float:
        step_pa = 0.0 if math.isinf(self._step_pa) else self._step_pa
        return math.sqrt(_PASSED * self._share * self._variance + step_pa**2 / 12)

    def _straight(self) -> _Course:
        time_s, partial_pa = self._past[-1]
        if len(self._past) < _TREND_FEWEST:
            return _Course(time_s=time_s, partial_pa=partial_pa, pa_per_s=0.0, strays_pa=self._sd_pa)
        past = np.array(self._past)
        since_s = past[:, 0] - time_s
        slope, level = (float(each) for each in np.polyfit(since_s, past[:, 1], 1))
        strays_pa = float(np.std(past[:, 1] - (level + slope * since_s)))
        return _Course(
            time_s=time_s, partial_pa=partial_pa, pa_per_s=slope, strays_pa=math.hypot(strays_pa, self._sd_pa)
        )

    def now(self, now_s: float) -> GasNow | None:
        """Return what it says; None before it is known, and when it has been silent for too long."""
        white_pa = math.sqrt(self._variance)
        if self._known and now_s - self._seen_s <= self._silent_s:
            return GasNow(partial_pa=self._smoothed_pa, white_pa=white_pa, sd_pa=self._sd_pa, held=False)
        course = self._course
        if course is None or now_s - course.time_s > _HELD_S:
            return None
        partial_pa = course.partial_pa + course.pa_per_s * (now_s - course.time_s)
        return GasNow(partial_pa=max(partial_pa, 0.0), white_pa=white_pa, sd_pa=course.strays_pa, held=True)


class Gases:
    """The gas sensors of a station; which there are shows with their first readings."""

    def __init__(self, rig: Rig) -> None:
        self._transducers = {name: words for name, words in rig.transducers.items() if words.segment in rig.segments}
        self._sensors: dict[str, dict[tuple[str, str], GasSensor]] = {}

    def take(self, readings: Readings) -> None:
        """Take one poll; only good readings count."""
        for column, channel in enumerate(readings.channels):
            gas = GAS_OF.get(channel.quantity)
            if gas is None or channel.transducer not in self._transducers:
                continue
            if readings.quality[column] == Quality.GOOD:
                words = self._transducers[channel.transducer]
                here = self._sensors.setdefault(words.segment, {})
                sensor = here.setdefault((gas, channel.transducer), GasSensor(words.poll))
                sensor.take(float(readings.values[column]), readings.time_s)

    def of(self, segments: Collection[str], now_s: float) -> GasesNow:
        """Return what is known of the partial pressures of an air body."""
        if not self._sensors:
            return NO_GASES
        known: dict[str, dict[str, GasNow]] = {}
        for segment in segments:
            for (gas, transducer), sensor in self._sensors.get(segment, {}).items():
                if (says := sensor.now(now_s)) is not None:
                    known.setdefault(gas, {})[transducer] = says
        return known
