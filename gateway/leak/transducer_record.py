"""What is known and has been learned of one transducer: its noise, its resolution, and whether it is believed."""

import math
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median
from typing import Final, Self

from drivers.rig import Transducer

_ACCURACY: Final = 0.0005  # of the range, one standard deviation
_ACCURACY_PA: Final = 80.0
_SILENT_POLLS: Final = 3
_SILENT_S: Final = 3.0
GATE: Final = 4.5  # sigmas; of three sensors one that is 10 sigma off is caught in 9999 of 10000 samples
_SETTLED_AFTER: Final = 600  # samples in a row near where it has jumped to: as good a witness of slopes as before
_LEARNED_AFTER: Final = 15  # differences of successive values, before anybody's noise counts as known
_STUCK_WINDOW: Final = 30
_STUCK_SHARE: Final = 0.05  # of the known variance; a healthy sensor gets below it in less than 1 of 1e7 windows
_LIVELY: Final = 0.6  # share of values that differ from what went before; below it, resolution hides the noise
_MEDIAN_OF_SQUARES: Final = 0.455  # of a normal variable of variance 1
_NOISE_STEPS: Final = 600


class Rejection(StrEnum):
    """Why the vote does not believe a transducer whose own readings are good."""

    DISAGREES = "disagrees"
    """It is further from the others than calibrations allow."""
    JUMPED = "jumped"
    """It was where the others are, and has left them at once."""
    DRIFTS = "drifts"
    """It leaves the others slowly."""
    STUCK = "frozen"
    """Its noise is gone."""
    STALE = "stale"
    """Nothing has come from it for a while."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What is known beforehand of one transducer.

    Attributes:
        u_pa: standard uncertainty of its absolute value, Pa.
        silent_after_s: age from which its last value counts no longer.
    """

    name: str
    u_pa: float
    silent_after_s: float

    @classmethod
    def of(cls, name: str, words: Transducer) -> Self:
        """Return what the rig file says; without a certificate, 0.1 % of the range (95 %)."""
        if words.calibration is not None and words.calibration.uncertainty:
            u_pa = words.calibration.uncertainty / 2
        elif words.range is not None:
            u_pa = _ACCURACY * (words.range[1] - words.range[0])
        else:
            u_pa = _ACCURACY_PA
        return cls(name=name, u_pa=u_pa, silent_after_s=max(_SILENT_POLLS * words.poll, _SILENT_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one transducer said in one step.

    Attributes:
        pressure_pa: mean of its usable readings, NaN when there was none.
        temperature_k: in the same way.
        problem: why its latest reading is not usable, "" when it is.
    """

    pressure_pa: float = math.nan
    temperature_k: float = math.nan
    problem: str = ""


@dataclass(slots=True, kw_only=True)
class Record:
    """What has been learned of one transducer.

    Attributes:
        last_pa, before_pa: its latest two values.
        variance: of its noise, Pa2, from second differences of its values, which no steady slope enters.
        count: of the differences behind it, up to `_NOISE_STEPS`.
        lively: share of them that were not zero.
        step_pa: least difference of two values that was not zero, infinite before the first.
        recent: squares of the latest of them.
        strikes, inside: samples in a row outside and inside the gate.
        landed_pa: how far from the middle it has jumped, and `calm`, for how many samples in a row it has stayed there.
        verdict: standing rejection, None when it is believed.
        problem: why its latest reading is not usable.
    """

    member: Member
    seen_s: float = -math.inf
    last_pa: float = math.nan
    before_pa: float = math.nan
    variance: float = 0.0
    count: int = 0
    lively: float = 0.0
    step_pa: float = math.inf
    recent: deque[float] = field(default_factory=lambda: deque(maxlen=_STUCK_WINDOW))
    strikes: int = 0
    inside: int = 0
    landed_pa: float = math.nan
    calm: int = 0
    verdict: Rejection | None = None
    problem: str = ""

    @property
    def known(self) -> bool:
        """Whether its noise is."""
        return self.count >= _LEARNED_AFTER

    @property
    def coarse(self) -> bool:
        """Whether its resolution hides its noise."""
        return self.lively < _LIVELY

    @property
    def sigma_pa(self) -> float:
        """Its noise; of a coarse one its resolution, and before either is known all that its calibration allows."""
        if not self.known or (self.coarse and self.step_pa == math.inf):
            return self.member.u_pa
        return max(math.sqrt(self.variance), self.step_pa if self.coarse else 0.0)

    @property
    def unrest(self) -> float:
        """Factor by which it is noisier of late than it was; single steps and ramps do not count."""
        if self.coarse or len(self.recent) < _STUCK_WINDOW or not self.variance:
            return 1.0
        return math.sqrt(median(self.recent) / (_MEDIAN_OF_SQUARES * self.variance))

    @property
    def stuck(self) -> bool:
        """Whether its noise is gone, so far as that can be told."""
        full = self.known and len(self.recent) == _STUCK_WINDOW and not self.coarse
        return full and sum(self.recent) < _STUCK_SHARE * _STUCK_WINDOW * self.variance

    def silent(self, now_s: float) -> bool:
        """Say whether its last value counts no longer."""
        return now_s - self.seen_s > self.member.silent_after_s

    def why_not(self, now_s: float) -> str:
        """Say why it is not believed, "" when it is."""
        if self.problem:
            return self.problem
        if self.silent(now_s):
            return Rejection.STALE.value
        return self.verdict.value if self.verdict is not None else ""

    def settle(self, apart_pa: float, limit_pa: float) -> bool:
        """Take how far it is from the middle after a jump; say whether it has stayed there long enough."""
        if abs(apart_pa - self.landed_pa) <= limit_pa:
            self.calm += 1
            self.landed_pa += (apart_pa - self.landed_pa) / self.calm
        else:
            self.landed_pa, self.calm = apart_pa, 1
        return self.calm >= _SETTLED_AFTER

    def learn(self, value: float, now_s: float) -> None:
        """Take its next value."""
        if (moved_pa := abs(value - self.last_pa)) > 0:
            self.step_pa = min(self.step_pa, moved_pa)
        square = (value - 2 * self.last_pa + self.before_pa) ** 2 / 6  # white noise enters 1, 2 and 1 times
        self.seen_s, self.before_pa, self.last_pa = now_s, self.last_pa, value
        if math.isnan(square):
            return
        self.recent.append(square)
        if self.verdict is None:
            self.count = min(self.count + 1, _NOISE_STEPS)
            self.lively += ((square > 0) - self.lively) / self.count
            if self.known:
                square = min(square, GATE**2 * self.variance)
            self.variance += (square - self.variance) / self.count
