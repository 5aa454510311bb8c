"""Where the leak is: the posterior over segments from the slopes of all air bodies.

A leak of flow G (Pa m3/s) in a segment makes the level of the body that holds it fall by G / V, and no other. G is not
known, so its likelihood is integrated over all rates that may be, evenly in the logarithm. Evidence of different
bodies, and of the same segments before and after a hatch was moved, is independent and multiplies.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

import numpy as np

from gateway.leak.aim import flow_pa_m3_s
from gateway.leak.slope import Array
from gateway.leak.tree import Passage

RATES_KG_S: Final = (0.01 / 86_400, 10_000 / 86_400)
"""Rates that are thought possible: from what no station notices to what empties it in two hours, kg/s."""
_GO_ON_ERROR: Final = 0.05
_K = TypeVar("_K")
_FLOWS: Final = 97
_REACH: Final = 8.0  # standard deviations around the best flow beyond which nothing is left to integrate


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one body told between two changes of the hatches around it.

    Attributes:
        segments: of the body.
        volume_m3: of the body.
        volume_relative_sigma: standard deviation of the volume, as a fraction of it.
        slope_pa_s: how fast its level falls, Pa/s, positive for a loss.
        slope_sd_pa_s: standard deviation of that.
        seconds: how long it was watched, s.
    """

    segments: frozenset[str]
    volume_m3: float
    slope_pa_s: float
    slope_sd_pa_s: float
    seconds: float
    volume_relative_sigma: float = 0.0

    def __post_init__(self) -> None:
        name = ", ".join(sorted(self.segments)) or "no segment"
        if not self.segments or not 0 < self.volume_m3 < math.inf:
            raise ValueError(f"evidence of {name}: a body has segments and a volume above zero")
        if not math.isfinite(self.slope_pa_s) or not 0 < self.slope_sd_pa_s < math.inf:
            raise ValueError(f"evidence of {name}: needs a finite slope and a standard deviation above zero")
        if not 0 <= self.volume_relative_sigma < math.inf:
            raise ValueError(f"evidence of {name}: the volume's uncertainty must not be negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """What is known of the leak's place.

    Attributes:
        probability: of each segment, given that there is one leak; they sum to 1.
        log_odds: of each segment against no leak at all, without the prior (natural logarithm).
        flow_pa_m3_s: expected flow if the leak is in that segment.
    """

    probability: Mapping[str, float]
    log_odds: Mapping[str, float]
    flow_pa_m3_s: Mapping[str, float]

    @property
    def likeliest(self) -> str:
        """The segment with the highest probability."""
        return max(self.probability, key=lambda name: self.probability[name])

    def named(self, error: float) -> str | None:
        """Return the segment that is named with at most this probability of error, None: wait, or close a hatch."""
        return self.likeliest if self.probability[self.likeliest] >= 1 - error else None

    def decided(self, sides: Sequence[Collection[str]], error: float) -> int | None:
        """Return in which of several bodies to go on, None: wait on (sequential test, Wald).

        Give all bodies, those too that were left behind: what is still held against them counts. So a body of several
        segments need not be as sure as a name has to be: if it is the wrong one, that shows, and costs only time.
        """
        mass = [sum(self.probability[name] for name in side) for side in sides]
        best = max(range(len(mass)), key=mass.__getitem__)
        allowed = error if len(sides[best]) == 1 else max(error, _GO_ON_ERROR)
        return best if mass[best] > 0 and mass[best] >= (1 - allowed) * sum(mass) else None


def locate(prior: Mapping[str, float], evidence: Sequence[Evidence]) -> Where:
    """Return the posterior over segments.

    Args:
        prior: relative weight of a leak in each segment (`leak_prior` of the rig file).
        evidence: of bodies; a segment that no body holds keeps its prior.

    Raises:
        ValueError: no prior above zero, or evidence of a segment without one.
    """
    if not any(weight > 0 for weight in prior.values()) or min(prior.values()) < 0:
        raise ValueError("leak priors must not be negative, and one at least above zero")
    if unknown := {name for each in evidence for name in each.segments} - set(prior):
        raise ValueError(f"evidence of {', '.join(sorted(unknown))}, which has no leak prior")
    told: dict[str, tuple[float, float]] = {}
    of_bodies: dict[tuple[int, ...], tuple[float, float]] = {}  # segments of one body share their evidence
    for name in prior:
        which = tuple(index for index, each in enumerate(evidence) if name in each.segments)
        if which not in of_bodies:
            of_bodies[which] = _integrated([evidence[index] for index in which])
        told[name] = of_bodies[which]
    log_odds = {name: odds for name, (odds, _) in told.items()}
    return Where(
        probability=_normalised({name: _log(prior[name]) + log_odds[name] for name in prior}),
        log_odds=log_odds,
        flow_pa_m3_s={name: flow for name, (_, flow) in told.items()},
    )


class Suspect(StrEnum):
    """What a segment does that had been found to leak, now that it is closed off."""

    LEAKS = "leaks"
    HOLDS = "holds"
    """No body loses air now. That is no proof of a repair: say since when, and keep watching."""
    HIDDEN_PATH = "hidden path"
    """It holds, but the station still loses: it is fed through the seal of a closed hatch, or there is another leak."""
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What became of a suspect.

    Attributes:
        verdict: in one word, as surely as was asked for.
        leaks, holds: probabilities.
        fed_through: hatch -> probability that the suspect leaks as before and air comes in through that hatch's seal.
        elsewhere: segment -> probability that the suspect holds and this one leaks, between a third and three times as
            much as the suspect did. (A leak that is much smaller is for the detector to find.)
    """

    verdict: Suspect
    leaks: float
    holds: float
    fed_through: Mapping[str, float]
    elsewhere: Mapping[str, float]


_LEAKS, _HOLDS, _FED, _ELSEWHERE = 0.5, 0.3, 0.1, 0.1
"""How probable each is before it is looked at: a judgement, of little weight once the slopes have spoken."""


def judge(
    suspect: str,
    flow: tuple[float, float],
    prior: Mapping[str, float],
    evidence: Sequence[Evidence],
    passages: Sequence[Passage],
    *,
    error: float = 0.01,
) -> Judgement:
    """Say whether a segment that leaked before still does, after it was closed off (or repaired).

    A suspect whose pressure stays level while the station loses as much as before is the case of June 2025: it looks
    repaired, but air passes through the seal of its closed hatch as fast as it escapes.

    Args:
        suspect: the segment.
        flow: what it lost before, Pa m3/s, and the standard deviation of that.
        prior: relative weight of a leak in each segment.
        evidence: of all bodies since then.
        passages: all hatches; those between the suspect's body and another body count as closed.
        error: probability of a wrong verdict.

    Raises:
        ValueError: no evidence of the suspect's body, or a flow that is not above zero or of unknown precision.
    """
    if not all(0 < each < math.inf for each in flow):
        raise ValueError(f"what '{suspect}' lost before must be above zero, with a standard deviation above zero")
    own = next((each for each in evidence if suspect in each.segments), None)
    if own is None:
        raise ValueError(f"no evidence of the body of '{suspect}'")
    across = {
        each.hatch: beyond
        for each in passages
        for near, beyond in (each.ends, each.ends[::-1])
        if near in own.segments and beyond not in own.segments
    }
    others = {name: weight for name, weight in prior.items() if name not in own.segments and weight > 0}
    total = sum(others.values())
    weighed = {("leaks", ""): _log(_LEAKS) + _integrated([own], flow)[0], ("holds", ""): _log(_HOLDS)}
    for hatch, beyond in across.items():
        feeding = [each for each in evidence if beyond in each.segments]
        weighed["fed", hatch] = _log(_FED / len(across)) + _integrated(feeding, flow)[0]
    for name, weight in others.items():
        leaking = [each for each in evidence if name in each.segments]
        weighed["elsewhere", name] = _log(_ELSEWHERE * weight / total) + _integrated(leaking, similar=flow[0])[0]
    share = _normalised(weighed)
    fed = {name: each for (kind, name), each in share.items() if kind == "fed"}
    elsewhere = {name: each for (kind, name), each in share.items() if kind == "elsewhere"}
    leaks, holds = share["leaks", ""], share["holds", ""]
    sums = {Suspect.LEAKS: leaks, Suspect.HOLDS: holds, Suspect.HIDDEN_PATH: 1 - leaks - holds}
    sure = [verdict for verdict, mass in sums.items() if mass >= 1 - error]
    return Judgement(
        verdict=sure[0] if sure else Suspect.UNDECIDED, leaks=leaks, holds=holds, fed_through=fed, elsewhere=elsewhere
    )


def _integrated(
    evidence: Sequence[Evidence], known: tuple[float, float] | None = None, similar: float | None = None
) -> tuple[float, float]:
    """Return log odds of a leak in all these bodies against none, and its expected flow, Pa m3/s.

    Args:
        evidence: of the bodies that would lose air.
        known: flow and its standard deviation; None for any flow of `RATES_KG_S`.
        similar: take flows between a third of this one and three times as much instead.
    """
    lowest, highest = (flow_pa_m3_s(rate) for rate in RATES_KG_S)
    if similar is not None:
        lowest, highest = similar / 3, similar * 3
    flow = _flows(evidence, known, lowest, highest)
    log_flow = np.log(flow)
    weight = np.gradient(log_flow) / math.log(highest / lowest)
    weight[[0, -1]] /= 2  # trapezoids
    if known is not None:
        weight = np.exp(-(((flow - known[0]) / known[1]) ** 2) / 2)
        weight /= weight.sum()
    with np.errstate(divide="ignore"):
        log_terms = np.log(weight) + sum(_log_ratio(each, flow) for each in evidence)
    highest_term = log_terms.max()
    terms = np.exp(log_terms - highest_term)
    return float(highest_term + math.log(terms.sum())), float(terms @ flow / terms.sum())


def _flows(evidence: Sequence[Evidence], known: tuple[float, float] | None, lowest: float, highest: float) -> Array:
    """Return flows to sum over, dense where the likelihood is."""
    if known is not None:
        mean, sd = known
        return np.linspace(max(mean - _REACH * sd, lowest), mean + _REACH * sd, 4 * _FLOWS)
    weight = sum((each.volume_m3 * each.slope_sd_pa_s) ** -2 for each in evidence)
    whole = _evenly(lowest, highest, _FLOWS)
    if not weight:
        return whole
    best = sum(each.slope_pa_s / each.volume_m3 / each.slope_sd_pa_s**2 for each in evidence) / weight
    loose = max((each.volume_relative_sigma for each in evidence), default=0.0) * abs(best)
    reach = _REACH * math.hypot(weight**-0.5, loose)
    from_, to = max(best - reach, lowest), min(best + reach, highest)
    if from_ >= to:
        return whole
    return np.union1d(whole, _evenly(from_, to, 2 * _FLOWS))


def _evenly(from_: float, to: float, number: int) -> Array:
    return np.exp(np.linspace(math.log(from_), math.log(to), number))


def _log_ratio(evidence: Evidence, flow: Array) -> Array:
    """Return the log likelihood ratio of a flow against none, [flows]."""
    expected = flow / evidence.volume_m3
    variance = evidence.slope_sd_pa_s**2
    wider = variance + (expected * evidence.volume_relative_sigma) ** 2
    seen = evidence.slope_pa_s
    ratio: Array = (seen**2 / variance - (seen - expected) ** 2 / wider - np.log(wider / variance)) / 2
    return ratio


def _log(weight: float) -> float:
    return math.log(weight) if weight > 0 else -math.inf


def _normalised(logs: Mapping[_K, float]) -> dict[_K, float]:
    highest = max(logs.values())
    masses = {name: math.exp(each - highest) for name, each in logs.items()}
    total = sum(masses.values())
    return {name: mass / total for name, mass in masses.items()}
