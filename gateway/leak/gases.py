"""Partial pressures of oxygen, carbon dioxide and water vapour, as transducers say them: what to take off for nitrogen.

People, scrubbers and generators move these gases over hours; a gas sensor is noisier than the mean of a body's pressure
transducers. So what it says is smoothed over minutes, in a way that does not lag behind a steady change, and as a part
of the pressure, which air that is lost does not change. One that falls silent is taken to go on as in the hours before,
for a day: taken as standing still, breathing would look like a leak. One that jumps begins anew, as if it had been
silent: somebody breathed at it, or exchanged it.
"""

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from drivers.columns import PerUnit
from drivers.reading import Channel, Quality, Readings
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
_GATE: Final = 4.0  # standard deviations; a reading that is further off is passed over
_LEAST_JUMP: Final = 3e-5  # of the pressure: 3 Pa in a cabin; the air's temperature does as much
_JUDGED_AFTER: Final = 15  # readings
_NEWS: Final = 0.3  # of what readings lie off of late
_JUMPED: Final = 0.53  # of the gate, by so much they lie off: 5 sigma; three far ones in a row do, or ten near ones


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


class _Line:
    """A straight line through what came of late, by least squares that forget: it lags behind no steady change.

    Sums are over weights, weighted times before the last value, and weighted values.
    """

    __slots__ = ("_s0", "_s1", "_s2", "_sty", "_sy")

    def __init__(self) -> None:
        self._s0 = self._s1 = self._s2 = self._sy = self._sty = 0.0

    def take(self, value: float, apart_s: float) -> None:
        """Take the next value, so long after the last one."""
        self._sty -= apart_s * self._sy
        self._s2 += apart_s * (apart_s * self._s0 - 2 * self._s1)
        self._s1 -= apart_s * self._s0
        kept = math.exp(-apart_s / _SMOOTH_S)
        self._s0, self._s1, self._s2 = kept * self._s0 + 1.0, kept * self._s1, kept * self._s2
        self._sy, self._sty = kept * self._sy + value, kept * self._sty

    @property
    def _determinant(self) -> float:
        return self._s0 * self._s2 - self._s1**2

    def at(self, ahead_s: float) -> float:
        """Return the line so long after the last value; needs two."""
        level = self._s2 * self._sy - self._s1 * self._sty
        slope = self._s0 * self._sty - self._s1 * self._sy
        return (level + ahead_s * slope) / self._determinant

    @property
    def variance(self) -> float:
        """That of the line at the last value, at most, in parts of the values'."""
        return self._s2 / self._determinant


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
        self._line = _Line()
        self._last = self._before = math.nan
        self._variance = 0.0
        self._last_pa = math.nan
        self._step = math.inf
        self._lean = 0.0  # how far readings lie off of late
        self._past: deque[tuple[float, float]] = deque(maxlen=_TREND_POINTS)

    def take(self, partial_pa: float, pressure_pa: float, time_s: float) -> None:
        """Take its next good reading, and the pressure of its segment."""
        part, apart_s = partial_pa / pressure_pa, time_s - self._seen_s
        limit = max(_GATE * math.sqrt(self._variance), _LEAST_JUMP)
        off = part - self._line.at(apart_s) if self._count >= _JUDGED_AFTER else 0.0
        self._lean += _NEWS * (min(max(off, -limit), limit) - self._lean)
        if apart_s > self._silent_s or abs(self._lean) > _JUMPED * limit:
            self._begin()
        elif abs(off) > limit:
            return
        if not self._count:
            self._since_s = self._seen_s = time_s
        self._count += 1
        self._line.take(part, time_s - self._seen_s)
        if (moved_pa := abs(partial_pa - self._last_pa)) > 0:
            self._step = min(self._step, moved_pa / pressure_pa)
        self._last_pa = partial_pa
        self._learn(part)
        self._seen_s = time_s
        if self._known and (not self._past or time_s >= self._past[-1][0] + _TREND_STEP_S):
            self._past.append((time_s, self._line.at(0.0)))
            self._course = self._straight()

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
    def _sd(self) -> float:
        step = 0.0 if math.isinf(self._step) else self._step
        return math.sqrt(self._line.variance * self._variance + step**2 / 12)

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
            return GasNow(part=self._line.at(0.0), white=white, sd=self._sd, held=False)
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
        self._columns = PerUnit(self._columns_of)

    def _columns_of(self, channels: tuple[Channel, ...]) -> Sequence[tuple[int, str, str]]:
        """Return which columns are of gases: column, gas, transducer."""
        return [
            (column, GAS_OF[channel.quantity], channel.transducer)
            for column, channel in enumerate(channels)
            if channel.quantity in GAS_OF and channel.transducer in self._transducers
        ]

    def take(self, readings: Readings, states: Mapping[str, SegmentState]) -> None:
        """Take one poll, and what is known of the segments; only good readings count, and only beside a pressure."""
        for column, gas, transducer in self._columns(readings.channels):
            words = self._transducers[transducer]
            state = states.get(words.segment)
            if readings.quality[column] == Quality.GOOD and state is not None and state.pressure_pa > 0:
                here = self._sensors.setdefault(words.segment, {})
                sensor = here.setdefault((gas, transducer), GasSensor(words.poll))
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
