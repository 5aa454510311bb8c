"""A search played through: hatches closed as planned, slopes seen through noise, the posterior asked at each look.

The slope of a body is played as an efficient estimate is: exact standard deviation at each time, information growing by
independent pieces. The searcher does not know the rate; it begins with what an alarm knows of it, a fifth.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from gateway.leak.aim import Aim
from gateway.leak.localise import Evidence, locate
from gateway.leak.plan import plan
from gateway.leak.slope import SHORTEST_S
from gateway.leak.tree import Tree, forest

_LONGEST_S: Final = 20 * 86_400.0
_KNOWN_AT_THE_ALARM: Final = 5.0  # standard deviations


class Played(NamedTuple):
    """How one search went; `named` is empty when it was given up after 20 days."""

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
    age_s: float = 0.0

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


class Search:
    """Plays searches in one tree.

    Args:
        tree: all hatches open.
        aim: the leak, the noise and the error of the answer.
        pace: time to the next look, as a fraction of that since the last hatch.
    """

    def __init__(self, tree: Tree, aim: Aim, *, pace: float = 0.05) -> None:
        self._tree = tree
        self._aim = aim
        self._pace = pace
        self._prior = dict(zip(tree.segments, tree.prior.tolist(), strict=True))
        self._volume_m3 = dict(zip(tree.segments, tree.volume_m3.tolist(), strict=True))
        self._next: dict[frozenset[str], str] = {}

    def play(self, leaking: str, generator: np.random.Generator) -> Played:
        """Search once for a leak in that segment."""
        whole = self._body(self._tree.segments, leaking)
        whole.information = (_KNOWN_AT_THE_ALARM / whole.slope_pa_s) ** 2
        whole.noise = generator.standard_normal() * whole.information**0.5
        past = whole.evidence()
        closed: set[str] = set()
        bodies, spent_s, since_s = [whole], 0.0, 0.0
        while spent_s < _LONGEST_S:
            now = past + [told for each in bodies if each is not whole for told in each.evidence()]
            chosen = locate(self._prior, now).decided([each.segments for each in bodies], self._aim.error)
            if chosen is None:
                pause_s = max(SHORTEST_S - since_s, self._pace * since_s)
            elif len(bodies[chosen].segments) == 1:
                return Played(spent_s, *bodies[chosen].segments, leaking)
            else:
                split = bodies.pop(chosen)
                past += split.evidence() if split is not whole else []
                hatch = self._hatch(split.segments, closed)
                closed.add(hatch)
                pause_s, since_s = next(each.close_s for each in self._tree.passages if each.hatch == hatch), 0.0
            for each in bodies:
                each.grow(pause_s, self._aim, generator)
            if chosen is None:
                since_s += pause_s
            else:
                parts = forest(self._volume_m3, self._prior, self._tree.passages, closed).trees
                bodies += [self._body(part.segments, leaking) for part in parts if split.segments >= set(part.segments)]
            spent_s += pause_s
        return Played(spent_s, "", leaking)

    def _body(self, segments: tuple[str, ...], leaking: str) -> _Body:
        volume_m3 = sum(self._volume_m3[name] for name in segments)
        slope = self._aim.flow_pa_m3_s / volume_m3 if leaking in segments else 0.0
        return _Body(segments=frozenset(segments), volume_m3=volume_m3, slope_pa_s=slope)

    def _hatch(self, segments: frozenset[str], closed: set[str]) -> str:
        if segments not in self._next:
            trees = forest(self._volume_m3, self._prior, self._tree.passages, closed).trees
            step = plan(next(tree for tree in trees if segments == set(tree.segments)), self._aim).step
            assert step is not None
            self._next[segments] = step.hatch
        return self._next[segments]
