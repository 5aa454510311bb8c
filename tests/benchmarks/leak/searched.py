"""A search played through: hatches closed as the plan says, slopes seen through noise, the posterior asked each time.

The slope of a body is played as an efficient estimate is: exact standard deviation at each time, information growing by
independent pieces. The searcher does not know the rate; it begins with what an alarm knows of it, a fifth.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from gateway.leak.aim import Aim
from gateway.leak.localise import Evidence, locate
from gateway.leak.plan import Plan, Step
from gateway.leak.slope import SHORTEST_S
from gateway.leak.tree import Tree

_LOOKS: Final = np.geomspace(SHORTEST_S, 20 * 86_400.0, 120)
_KNOWN_AT_THE_ALARM: Final = 5.0  # standard deviations


class Played(NamedTuple):
    """How one search went."""

    seconds: float
    named: str
    leaking: str


@dataclass(kw_only=True)
class _Body:
    segments: frozenset[str]
    volume_m3: float
    slope_pa_s: float
    information: float = 0.0
    noise: float = 0.0
    age_s: float = field(default=0.0)

    def grow(self, seconds: float, aim: Aim, generator: np.random.Generator) -> None:
        self.age_s += seconds
        if self.age_s >= SHORTEST_S * 0.999:
            fresh = max(1 / float(aim.noise.at(self.age_s)) ** 2 - self.information, 0.0)
            self.noise += generator.standard_normal() * np.sqrt(fresh)
            self.information += fresh

    def evidence(self) -> list[Evidence]:
        if not self.information:
            return []
        return [
            Evidence(
                segments=self.segments,
                volume_m3=self.volume_m3,
                slope_pa_s=self.slope_pa_s + self.noise / self.information,
                slope_sd_pa_s=self.information**-0.5,
                seconds=self.age_s,
            )
        ]


def play(tree: Tree, plan: Plan, aim: Aim, generator: np.random.Generator) -> Played:
    """Search once for a leak in a segment drawn from the prior."""
    leaking = tree.segments[int(generator.choice(len(tree.segments), p=tree.prior))]
    prior = dict(zip(tree.segments, tree.prior.tolist(), strict=True))
    volume_m3 = dict(zip(tree.segments, tree.volume_m3.tolist(), strict=True))

    def body(segments: tuple[str, ...]) -> _Body:
        total = sum(volume_m3[name] for name in segments)
        slope = aim.flow_pa_m3_s / total if leaking in segments else 0.0
        return _Body(segments=frozenset(segments), volume_m3=total, slope_pa_s=slope)

    whole = body(tree.segments)
    whole.information = (_KNOWN_AT_THE_ALARM / whole.slope_pa_s) ** 2
    whole.noise = generator.standard_normal() * whole.information**0.5
    past, bodies = whole.evidence(), [whole]
    step, spent_s, suspects = plan.step, 0.0, tree.segments
    while step is not None:
        split = {name for side in step.sides for name in side.segments}
        for each in bodies:
            if each.segments == split and each is not whole:
                past += each.evidence()
        bodies = [each for each in bodies if each.segments != split]
        fresh = [body(side.segments) for side in step.sides]
        for each in bodies:
            each.grow(step.close_s, plan.aim, generator)
        bodies += fresh
        spent_s += step.close_s
        step, suspects, waited_s = _wait(step, bodies, past, prior, plan.aim, generator)
        spent_s += waited_s
    return Played(spent_s, suspects[0], leaking)


def _wait(
    step: Step,
    bodies: list[_Body],
    past: list[Evidence],
    prior: dict[str, float],
    aim: Aim,
    generator: np.random.Generator,
) -> tuple[Step | None, tuple[str, ...], float]:
    """Look again and again until one side is decided, after 20 days take the likelier."""
    sides = [side.segments for side in step.sides]
    before_s, chosen = 0.0, None
    for look_s in _LOOKS:
        for each in bodies:
            each.grow(look_s - before_s, aim, generator)
        before_s = float(look_s)
        where = locate(prior, past + [told for each in bodies for told in each.evidence()])
        chosen = where.decided(sides, aim.error)
        if chosen is not None:
            break
    else:
        chosen = where.decided(sides, 0.5) or 0
    return step.sides[chosen].step, sides[chosen], before_s
