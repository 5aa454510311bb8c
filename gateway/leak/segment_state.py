"""What the transducers of one segment say together: who is believed, who is not and why, and the pressure that follows.

Sensors are compared with sigmas that are known, not with the spread of three values: with three, Chauvenet's rule can
reject nobody and a scaled median deviation rejects a good one in a third of the cases. Who is healthy is judged by the
middle value; the pressure is the mean of the healthy ones, which carries a third more information.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from drivers.reading import Quality
from gateway.leak.fused import FusedMean
from gateway.leak.steps import STEP_S
from gateway.leak.transducer_record import GATE, Member, Record, Rejection, Sample

_JUMPED_AFTER: Final = 3  # samples in a row outside the gate
_BACK_AFTER: Final = 10  # samples in a row inside it
_LEAST_PA: Final = 1e-3
_LEAST_SHARE: Final = 0.5  # of the others' noise: nobody counts as better than that, a stuck one would be perfect
DRIFT_SHARE: Final = (
    5e-3  # random walk, in parts of a transducer's noise per square root of a second: quartz to industrial
)
_TEMPERATURE_S: Final = 20.0  # the air's mean temperature moves slowly: this much of its noise is averaged away


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentState:
    """A segment after one step.

    Attributes:
        time_s: end of the last step that brought a usable value; of this step when none ever has.
        pressure_pa: mean of the healthy, continuous when members come and go; NaN when nobody has ever been usable.
        u95_pa: expanded uncertainty of that as an absolute pressure.
        temperature_k: mean over the transducers, smoothed; NaN when none is measured.
        white_pa: standard deviation of `pressure_pa` from step to step; NaN until it is learned.
        coarse_pa: the part of it that is resolution and stays for long, where it cannot be averaged away.
        fresh: whether this step brought a usable value.
        used: whose values make the pressure; one that came back does after a minute, when its offset is known.
        rejected: why not, by transducer.
        agreed: False when two disagree and nobody can say which is wrong.
        alone: whether no other transducer stands beside the one that is used, so that nothing can be compared.
        anew: whether pressure and temperature do not go on from those before: they are of other transducers.
    """

    segment: str
    time_s: float
    pressure_pa: float
    u95_pa: float
    temperature_k: float
    white_pa: float
    coarse_pa: float
    fresh: bool
    used: tuple[str, ...]
    rejected: Mapping[str, str]
    quality: Quality
    agreed: bool
    alone: bool
    anew: bool = False


class SegmentVote:
    """The transducers of one segment; one `take` for each step of time.

    Attributes:
        doubtful: two of them drift apart, and nobody can say which.
    """

    def __init__(self, segment: str, members: Sequence[Member]) -> None:
        self._segment = segment
        self._records = {member.name: Record(member=member) for member in members}
        self._pressure = FusedMean()
        self._temperature = FusedMean()
        self._warm_k = math.nan
        self._warm_s = -math.inf
        self._sigmas = {name: record.member.u_pa for name, record in self._records.items()}  # to judge and weigh by
        self._mean_pa = math.nan
        self._mean_s = -math.inf
        self._weights_now: Mapping[str, float] = {}
        self._agreed = True
        self._anew_s: dict[str, float] = {}  # what a step brings that ends before then is of two calibrations
        self.doubtful = False

    @property
    def learned(self) -> bool:
        """Whether the noise of everybody who speaks is known."""
        spoken = [record for record in self._records.values() if record.count]
        return bool(spoken) and all(record.known for record in spoken)

    @property
    def names(self) -> tuple[str, ...]:
        """The transducers."""
        return tuple(self._records)

    def believed(self, now_s: float) -> tuple[str, ...]:
        """Return who speaks and is believed, even if its offset is still being learned."""
        return tuple(name for name, record in self._records.items() if not record.why_not(now_s))

    def verdict(self, name: str) -> Rejection | None:
        """Return why a transducer is not believed for the time being, None when it is."""
        return self._records[name].verdict

    def noise_pa(self, name: str) -> float:
        """Return the standard deviation of a transducer's noise, Pa."""
        return self._sigmas[name]

    def coarse(self, name: str) -> bool:
        """Say whether a transducer's resolution hides its noise."""
        return self._records[name].coarse

    def unrest(self, *names: str) -> float:
        """Return by which factor transducers (all when not named) are noisier of late than they were, on average."""
        squares = [self._records[name].unrest ** 2 for name in names or self._records]
        return math.sqrt(sum(squares) / len(squares))

    def parity_pa(self, name: str) -> float:
        """Return how far a transducer's last value is from the segment's pressure, Pa.

        That is its distance from the mean of the others, made smaller by its own share of the pressure.
        """
        return self._records[name].last_pa - self._mean_pa

    def parity_noise_pa(self, name: str) -> float:
        """Return the standard deviation of `parity_pa`: a transducer that has a share of the mean moves it along.

        It is 0 for one that makes the pressure alone.
        """
        others = sum(weight for each, weight in self._weights_now.items() if each != name)
        return self._sigmas[name] * math.sqrt(others / (others + self._weights_now.get(name, 0.0) or 1.0))

    def reject_drift(self, name: str) -> None:
        """Believe a transducer no longer because it drifts away, until `accept`."""
        self._records[name].verdict = Rejection.DRIFTS

    def accept(self, name: str) -> None:
        """Believe it again; it joins at the value that the others have by now."""
        record = self._records[name]
        record.verdict, record.strikes, record.inside, record.calm = None, 0, 0, 0
        self._pressure.forget(name)

    def adopt(self, member: Member, *, recalibrated_s: float | None = None) -> bool:
        """Know a transducer differently from now on; one that is recalibrated joins the others anew.

        Args:
            member: what is known of it now.
            recalibrated_s: since when it shows the same air differently; what came before is not compared any more.

        Returns:
            Whether the level goes on; it does not where nobody else knows it.
        """
        self._records[member.name].member = member
        if recalibrated_s is None:
            return True
        self.accept(member.name)
        self._anew_s[member.name] = recalibrated_s + STEP_S
        return bool(self._pressure)

    def take(self, samples: Mapping[str, Sample], now_s: float) -> SegmentState:
        """Take what came in one step.

        Args:
            samples: by transducer; who is missing said nothing.
            now_s: end of the step.
        """
        values = {
            name: each.pressure_pa
            for name, each in samples.items()
            if not math.isnan(each.pressure_pa) and now_s > self._anew_s.get(name, -math.inf)
        }
        for name, sample in samples.items():
            self._records[name].problem = sample.problem
        for name, value in values.items():
            self._records[name].learn(value, now_s)
        self._judge_noise()
        self._judge_values(values, now_s)
        rejected = {name: why for name, record in self._records.items() if (why := record.why_not(now_s))}
        standing = [name for name in self._records if name not in rejected]
        spoke = {name: values[name] for name in standing if name in values}
        if self._agreed:  # what lies outside the gate for the first time is left out, too
            spoke = {name: value for name, value in spoke.items() if not self._records[name].strikes}
        weights = self._weights(standing)
        mean_pa = self._pressure.take(spoke, weights, learn=self._agreed)
        fresh = not math.isnan(mean_pa)
        if fresh:
            self._mean_pa, self._mean_s = mean_pa, now_s
        self._weights_now = {name: weight for name, weight in weights.items() if self._pressure.knows(name)}
        self._warm({name: sample.temperature_k for name, sample in samples.items()}, now_s)
        return self._state(rejected, now_s, fresh=fresh)

    def _judge_noise(self) -> None:
        sigmas = {name: record.sigma_pa for name, record in self._records.items()}
        known = [sigma for name, sigma in sigmas.items() if self._records[name].known]
        least_pa = max(_LEAST_SHARE * median(known) if known else 0.0, _LEAST_PA)
        self._sigmas = {name: max(sigma, least_pa) for name, sigma in sigmas.items()}
        for name, record in self._records.items():
            if record.verdict is None and record.stuck:
                record.verdict = Rejection.STUCK
            elif record.verdict is Rejection.STUCK and not record.stuck:
                self.accept(name)

    def _judge_values(self, values: Mapping[str, float], now_s: float) -> None:
        """Compare each value with the middle of those that are believed; a pair only with each other."""
        standing = self.believed(now_s)
        believed = [name for name in standing if name in values and (self._pressure.knows(name) or not self._pressure)]
        if len(standing) != 2:
            self._agreed = True  # one alone contradicts nobody, three can be voted on
        elif len(believed) == 2:
            self._agreed = self._pair_agrees(believed[0], believed[1], values)
        if len(standing) == 1:
            self._records[standing[0]].strikes = 0
        if len(believed) >= 2:
            self._vote(believed, values)

    def _pair_agrees(self, one: str, other: str, values: Mapping[str, float]) -> bool:
        pair = (self._records[one], self._records[other])
        apart = abs(self._settled(one, values) - self._settled(other, values))
        left = apart > GATE * math.hypot(self._sigmas[one], self._sigmas[other])
        far = abs(values[one] - values[other]) > GATE * math.hypot(*(record.member.u_pa for record in pair))
        strikes = max(record.strikes for record in pair) + 1 if left or far else 0
        inside = 0 if strikes else min(record.inside for record in pair) + 1
        for record in pair:
            record.strikes, record.inside = strikes, inside
        return strikes < _JUMPED_AFTER if self._agreed else inside >= _BACK_AFTER

    def _vote(self, believed: Sequence[str], values: Mapping[str, float]) -> None:
        """Judge everybody who spoke by the middle of the believed; a pair can judge only those outside it."""
        middle = median(self._settled(name, values) for name in believed)
        plain = median(values[name] for name in believed)
        spread = math.sqrt(math.pi / 2 / len(believed))  # a median's deviation, in those of its members
        sigma = spread * median(self._sigmas[name] for name in believed)
        u_pa = spread * median(self._records[name].member.u_pa for name in believed)
        for name, value in values.items():
            record = self._records[name]
            if record.problem or (len(believed) == 2 and name in believed):
                continue
            if record.verdict in (Rejection.STUCK, Rejection.DRIFTS):
                continue  # those have ways back of their own
            apart_pa = self._settled(name, values) - middle
            limit_pa = GATE * math.hypot(self._sigmas[name], sigma)
            far = abs(value - plain) > GATE * math.hypot(record.member.u_pa, u_pa)
            outside = far or (abs(apart_pa) > limit_pa and self._pressure.knows(name))
            record.strikes = record.strikes + 1 if outside else 0
            record.inside = 0 if outside else record.inside + 1
            if record.verdict is None and record.strikes >= _JUMPED_AFTER:
                record.verdict = Rejection.DISAGREES if far else Rejection.JUMPED
            elif record.verdict is not None:
                settled = not far and record.settle(apart_pa, limit_pa)  # within what calibrations allow, and steady
                if settled or record.inside >= _BACK_AFTER:
                    self.accept(name)

    def _settled(self, name: str, values: Mapping[str, float]) -> float:
        return values[name] - self._pressure.offset(name)

    def _weights(self, names: Sequence[str]) -> dict[str, float]:
        """Return inverse variances, equal ones while the noise of anybody who counts is unknown."""
        if not all(self._records[name].known for name in names if self._pressure.knows(name) or not self._pressure):
            return dict.fromkeys(names, 1.0)
        return {name: self._sigmas[name] ** -2 for name in names}

    def _warm(self, said: Mapping[str, float], now_s: float) -> None:
        values = {name: value for name, value in said.items() if not math.isnan(value)}
        there = [name for name, record in self._records.items() if values and not record.silent(now_s)]
        mean_k = self._temperature.take(values, dict.fromkeys([*values, *there], 1.0))
        if math.isnan(self._warm_k) or self._temperature.anew:
            self._warm_k = mean_k
        elif not math.isnan(mean_k):
            self._warm_k -= (mean_k - self._warm_k) * math.expm1((self._warm_s - now_s) / _TEMPERATURE_S)
        if not math.isnan(mean_k):
            self._warm_s = now_s

    def _state(self, rejected: Mapping[str, str], now_s: float, *, fresh: bool) -> SegmentState:
        weights = self._weights_now
        used, total = tuple(weights), sum(weights.values())
        records = [self._records[name] for name in used]
        known = bool(used) and all(record.known for record in records)
        shares = {name: weight / total for name, weight in weights.items()}
        u_pa = math.sqrt(sum((shares[each.member.name] * each.member.u_pa) ** 2 for each in records))
        white_pa = total**-0.5 if known else math.nan
        return SegmentState(
            segment=self._segment,
            time_s=self._mean_s if math.isfinite(self._mean_s) else now_s,
            pressure_pa=self._mean_pa,
            u95_pa=2 * math.hypot(u_pa, white_pa if known else 0.0) if used else math.nan,
            temperature_k=self._warm_k,
            white_pa=white_pa,
            coarse_pa=math.hypot(*(shares[each.member.name] * each.sigma_pa for each in records if each.coarse)),
            fresh=fresh,
            anew=self._pressure.anew or self._temperature.anew,
            used=used,
            rejected=rejected,
            quality=self._quality(used, rejected),
            agreed=self._agreed,
            alone=len(used) == 1,
        )

    def _quality(self, used: Sequence[str], rejected: Mapping[str, str]) -> Quality:
        if used:
            lost = len(used) == 1 and len(self._records) > 1
            doubt = lost or self.doubtful or not self._agreed
            return Quality.UNCERTAIN if doubt else Quality.GOOD
        silent = all(why == Rejection.STALE.value for why in rejected.values())
        return Quality.STALE if silent else Quality.BAD
