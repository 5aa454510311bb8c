"""The search for a leak that was announced: evidence from body to body, where it is, and which hatch to close next."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from drivers.rig import Rig
from gateway.leak.aim import Aim
from gateway.leak.body_watch import BodyWatch
from gateway.leak.estimator import Estimate
from gateway.leak.localise import Evidence, Suspect, Where, judge, locate
from gateway.leak.noise import Noise
from gateway.leak.plan import plan
from gateway.leak.slope import SlopeNoise
from gateway.leak.tree import Passage, forest

ERROR: Final = 0.01
_CLOSING_S: Final = 900.0  # how long it takes to close a hatch
_LONG_ENOUGH_S: Final = 300.0
_QUIET_S: Final = 600.0
_SURE: Final = 4.0  # standard deviations of a slope
_SIGMAS_95: Final = 1.96


class Case:
    """One leak, from its announcement until a segment is named, or nothing is lost any more.

    Volumes of all segments must be known: without them a slope says nothing about a flow.

    Attributes:
        begin_s: onset of the leak: what levels did before says nothing about its place.
        flow: what is lost, Pa m3/s, and its standard deviation; None until it is known.
        where: what is known of its place; None before the first look.
        named: the segment that leaks, as surely as `ERROR` has it.
    """

    def __init__(self, rig: Rig, begin_s: float) -> None:
        self.begin_s = begin_s
        self.where: Where | None = None
        self.named: str | None = None
        self.flow: tuple[float, float] | None = None
        self._prior = {name: segment.leak_prior for name, segment in rig.segments.items()}
        if not any(self._prior.values()):
            self._prior = dict.fromkeys(self._prior, 1.0)
        self._volumes = {name: segment.volume or math.nan for name, segment in rig.segments.items()}
        self._passages = [Passage(hatch=hatch.id, ends=hatch.between, close_s=_CLOSING_S) for hatch in rig.hatches]
        self._past: list[Evidence] = []
        self._now: dict[tuple[str, ...], Evidence] = {}
        self._proposed: tuple[object, str | None] = (None, None)

    def look(self, bodies: Sequence[BodyWatch]) -> None:
        """Weigh what all bodies have told by now."""
        self._now = {each.body.segments: evidence for each in bodies if (evidence := self._evidence(each)) is not None}
        self.where = locate(self._prior, [*self._past, *self._now.values()])
        named = self.where.named(ERROR)
        if self.several:
            self.named = None
        elif named is not None:
            self.named = named
        self._remember_flow()

    @property
    def several(self) -> bool:
        """Whether several bodies lose air at once: two leaks, or a hatch that passes air; then no segment is named."""
        return len(self._losing()) > 1

    def passing(self) -> list[str]:
        """Return the hatches, said to be closed, across which levels fall alike: air passes them."""
        losing = self._losing()
        alike = []
        for each in self._passages:
            sides = [next((body for body in losing if end in body.segments), None) for end in each.ends]
            one, other = sides
            if one is None or other is None or one is other:
                continue
            apart = abs(one.slope_pa_s - other.slope_pa_s)
            if apart < 2 * math.hypot(one.slope_sd_pa_s, other.slope_sd_pa_s):
                alike.append(each.hatch)
        return alike

    def _losing(self) -> list[Evidence]:
        return [each for each in self._now.values() if each.slope_pa_s > _SURE * each.slope_sd_pa_s]

    def keep(self, ended: Sequence[BodyWatch]) -> None:
        """Keep what bodies told that are no more, since a hatch moves."""
        self._past += [evidence for each in ended if (evidence := self._evidence(each)) is not None]
        for each in ended:
            self._now.pop(each.body.segments, None)

    def share(self, body: BodyWatch) -> float:
        """Return the probability that the leak is in a body."""
        return sum(self.where.probability[name] for name in body.body.segments) if self.where else math.nan

    def slope(self, body: BodyWatch) -> Evidence | None:
        """Return how fast a body's level falls, as of the last look."""
        return self._now.get(body.body.segments)

    def hidden_path(self) -> bool:
        """Say whether the named segment holds its pressure behind a closed hatch while the station loses as before."""
        evidence = list(self._now.values())
        own = next((each for each in evidence if self.named in each.segments), None)
        if self.named is None or self.flow is None or own is None or len(evidence) < 2:
            return False
        if min(each.seconds for each in evidence) < _LONG_ENOUGH_S:
            return False
        verdict = judge(self.named, self.flow, self._prior, evidence, self._passages, error=ERROR).verdict
        return verdict is Suspect.HIDDEN_PATH

    def nothing_lost(self) -> bool:
        """Say whether all bodies together lose nothing that could be seen, and surely less than half of before."""
        evidence = list(self._now.values())
        covered = {name for each in evidence for name in each.segments}
        if self.where is None or min((each.seconds for each in evidence), default=0.0) < _QUIET_S:
            return False
        if sum(self.where.probability[name] for name in covered) < 1 - ERROR:
            return False
        lost = sum(each.slope_pa_s * each.volume_m3 for each in evidence)
        sd = math.hypot(*(each.slope_sd_pa_s * each.volume_m3 for each in evidence))
        return lost < 2 * sd and (self.flow is None or lost + 2 * sd < self.flow[0] / 2)

    def next_hatch(self, bodies: Sequence[BodyWatch], closed: Mapping[str, bool]) -> str | None:
        """Return the hatch to close next; None when none helps, or what is closed has yet to tell.

        Args:
            bodies: of now.
            closed: hatch -> whether it is.
        """
        if self.where is None or self.named is not None or self.several:
            return None
        sides = [each.body.segments for each in bodies]
        decided = 0 if len(sides) == 1 else self.where.decided(sides, ERROR)
        if decided is None or (noise := bodies[decided].noise) is None:
            return None
        situation = (tuple(sides), decided)
        if self._proposed[0] != situation:  # else the same hatch: an operator who closes one wants no second thoughts
            self._proposed = situation, self._best_hatch(sides[decided], noise, closed)
        return self._proposed[1]

    def _best_hatch(self, segments: Sequence[str], noise: Noise, closed: Mapping[str, bool]) -> str | None:
        if self.where is None:
            return None
        shut = [name for name, is_closed in closed.items() if is_closed]
        inside = forest(self._volumes, self.where.probability, self._passages, shut)
        tree = next(tree for tree in inside.trees if set(tree.segments) == set(segments))
        if not tree.passages:
            return None
        rings = [each for each in inside.rings if set(each.ends) <= set(tree.segments)]
        if rings:
            return rings[0].hatch
        flow = max(self.where.flow_pa_m3_s[self.where.likeliest], 1e-9)
        aim = Aim(
            flow_pa_m3_s=flow,
            noise=SlopeNoise.of(
                white_pa=noise.white_pa, drift_pa=noise.drift_pa, air_pa=noise.air_pa, air_s=noise.air_s
            ),
            error=ERROR,
        )
        step = plan(tree, aim).step
        return step.hatch if step is not None and math.isfinite(step.wait_s) else None

    def _evidence(self, watch: BodyWatch) -> Evidence | None:
        loss = watch.loss(max(watch.steady_since_s, self.begin_s))
        return None if loss is None else evidence_of(watch, loss)

    def _remember_flow(self) -> None:
        """Remember what is lost, as it was known best."""
        for each in self._now.values():
            if each.slope_pa_s > 3 * each.slope_sd_pa_s:
                flow, sd = each.slope_pa_s * each.volume_m3, each.slope_sd_pa_s * each.volume_m3
                if self.flow is None or sd < self.flow[1]:
                    self.flow = flow, sd


def evidence_of(watch: BodyWatch, loss: Estimate) -> Evidence:
    """Return what a body's slope says, in the localiser's words."""
    low, high = loss.ci95
    return Evidence(
        segments=frozenset(watch.body.segments),
        volume_m3=watch.body.volume_m3,
        volume_relative_sigma=watch.body.volume_relative_sigma,
        slope_pa_s=loss.slope_pa_s,
        slope_sd_pa_s=max((high - low) / (2 * _SIGMAS_95), 1e-12),
        seconds=loss.time_s - loss.onset_s,  # of the data
    )
