"""Partial pressures of oxygen, carbon dioxide and water vapour, as transducers say them: what to take off for nitrogen.

People, scrubbers and generators move these gases over hours; a gas sensor is noisier than the mean of a body's pressure
transducers. So what it says is smoothed over minutes, in a way that does not lag behind a steady change; and as a part
of the pressure, which air that is lost does not change. One that falls silent is taken to go on as in the hours before,
for a day: taken as standing still, breathing would look like a leak. One that jumps begins anew, as if it had been
silent: somebody breathed at it, or exchanged it.
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
from gateway.leak.segment_state import SegmentState

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
_GATE: Final = 6.0  # standard deviations
_LEAST_JUMP: Final = 1e-4  # of the pressure: 10 Pa in a cabin; less makes no leak within minutes
_JUMPED_AFTER: Final = 3  # readings in a row; fewer are passed over
_PASSED: Final = 1.25  # variance of the smoothed value, in parts of the readings' times the share that is new


@dataclass(frozen=True, slots=True, kw_only=True)
class GasNow:
    """What one transducer says of one gas.

    Attributes:
        part: of the pressure, smoothed; as it was going when `held`.
        white: noise of a single reading, as a part of the pressure.
        sd: standard deviation of `part`.
        held: whether it is silent.
    """

    part: float
    white: float
    sd: float
    held: bool


GasesNow = Mapping[str, Mapping[str, GasNow]]
"""What is known of an air body's partial pressures: gas -> transducer -> what it says."""
NO_GASES: Final[GasesNow] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """How a gas was going when it was heard last: a straight line, and how far it strayed from it."""

    time_s: float
    part: float
    per_s: float
    strays: float


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
        self._once = self._twice = 0.0
        self._last = self._before = math.nan
        self._variance = 0.0
        self._last_pa = math.nan
        self._step = math.inf
        self._strikes = 0
        self._past: deque[tuple[float, float]] = deque(maxlen=_TREND_POINTS)

    def take(self, partial_pa: float, pressure_pa: float, time_s: float) -> None:
        """Take its next good reading, and the pressure of its segment."""
        part = partial_pa / pressure_pa
        self._strikes = self._strikes + 1 if self._jumps(part) else 0
        if time_s - self._seen_s > self._silent_s or self._strikes == _JUMPED_AFTER:
            self._begin()
        elif self._strikes:
            return
        if not self._count:
            self._since_s, self._once, self._twice = time_s, part, part
        self._count += 1
        if self._count > 1:
            self._share = max(1 / self._count, -math.expm1((self._seen_s - time_s) / _SMOOTH_S))
        self._once += self._share * (part - self._once)
        self._twice += self._share * (self._once - self._twice)
        if (moved_pa := abs(partial_pa - self._last_pa)) > 0:
            self._step = min(self._step, moved_pa / pressure_pa)
        self._last_pa = partial_pa
        self._learn(part)
        self._seen_s = time_s
        if self._known and (not self._past or time_s >= self._past[-1][0] + _TREND_STEP_S):
            self._past.append((time_s, self._smoothed))
            self._course = self._straight()

    def _jumps(self, part: float) -> bool:
        """Say whether a reading is so far from what was known that it is another sensor's, or another air's."""
        limit = max(_GATE * math.sqrt(self._variance), _LEAST_JUMP)
        return self._known and abs(part - self._smoothed) > limit

    def _learn(self, part: float) -> None:
        """Learn noise from second differences, which no steady change enters."""
        square = (part - 2 * self._last + self._before) ** 2 / 6
        self._before, self._last = self._last, part
        if not math.isnan(square):
            self._variance += (square - self._variance) / min(self._count - 2, _NOISE_STEPS)

    @property
    def _known(self) -> bool:
        return self._count >= _KNOWN_AFTER and self._seen_s - self._since_s >= _KNOWN_AFTER_S

    @property
    def _smoothed(self) -> float:
        return 2 * self._once - self._twice  # what smoothing once lags behind, smoothing twice lags twice

    @property
    def _sd(self) -> float:
        step = 0.0 if math.isinf(self._step) else self._step
        return math.sqrt(_PASSED * self._share * self._variance + step**2 / 12)

    def _straight(self) -> _Course:
        time_s, part = self._past[-1]
        if len(self._past) < _TREND_FEWEST:
            per_s = self._course.per_s if self._course is not None else 0.0
            return _Course(time_s=time_s, part=part, per_s=per_s, strays=self._sd)
        past = np.array(self._past)
        since_s = past[:, 0] - time_s
        slope, level = (float(each) for each in np.polyfit(since_s, past[:, 1], 1))
        strays = float(np.std(past[:, 1] - (level + slope * since_s)))
        return _Course(time_s=time_s, part=part, per_s=slope, strays=math.hypot(strays, self._sd))

    def now(self, now_s: float) -> GasNow | None:
        """Return what it says; None before it is known, and when it has been silent for too long."""
        white = math.sqrt(self._variance)
        if self._known and now_s - self._seen_s <= self._silent_s:
            return GasNow(part=self._smoothed, white=white, sd=self._sd, held=False)
        course = self._course
        if course is None or now_s - course.time_s > _HELD_S:
            return None
        part = course.part + course.per_s * (now_s - course.time_s)
        return GasNow(part=max(part, 0.0), white=white, sd=course.strays, held=True)


class Gases:
    """The gas sensors of a station; which there are shows with their first readings."""

    def __init__(self, rig: Rig) -> None:
        self._transducers = {name: words for name, words in rig.transducers.items() if words.segment in rig.segments}
        self._sensors: dict[str, dict[tuple[str, str], GasSensor]] = {}

    def take(self, readings: Readings, states: Mapping[str, SegmentState]) -> None:
        """Take one poll, and what is known of the segments; only good readings count, and only beside a pressure."""
        for column, channel in enumerate(readings.channels):
            gas = GAS_OF.get(channel.quantity)
            if gas is None or channel.transducer not in self._transducers:
                continue
            words = self._transducers[channel.transducer]
            state = states.get(words.segment)
            if readings.quality[column] == Quality.GOOD and state is not None and state.pressure_pa > 0:
                here = self._sensors.setdefault(words.segment, {})
                sensor = here.setdefault((gas, channel.transducer), GasSensor(words.poll))
                sensor.take(float(readings.values[column]), state.pressure_pa, readings.time_s)

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
