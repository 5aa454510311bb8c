"""The search for a leak from where the hatches stand: what to watch, what to close, and what other ways would cost."""

from dataclasses import dataclass, replace

import numpy as np

from gateway.leak.aim import Aim
from gateway.leak.plan import Plan, by_rule, halve_count, halve_prior, plan
from gateway.leak.together import all_at_once, best_two_stages, watch
from gateway.leak.tree import Forest, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to search one body.

    Attributes:
        name: in words.
        expected_s: s.
        p95_s: 95 of 100 searches are over by then, s; None where it was not simulated.
        first: hatches to close before the first wait.
    """

    name: str
    expected_s: float
    p95_s: float | None
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to do.

    Attributes:
        bodies: that are apart now.
        watch_s: expected wait until it is known which of them loses air, s; 0 for a single one.
        plans: for each body, one hatch at a time.
        expected_s: from now until a segment is named, one hatch at a time, s.
        likeliest: the place in `plans` of the body that most probably leaks.
        ways: to search that body, the quickest first.
    """

    bodies: Forest
    watch_s: float
    plans: tuple[Plan, ...]
    expected_s: float
    likeliest: int
    ways: tuple[Way, ...]

    @property
    def next_hatch(self) -> str | None:
        """The hatch to close now, None while the bodies must be watched first or nothing is left to close."""
        if len(self.plans) > 1:
            return None
        only = self.plans[0]
        return only.rings[0].hatch if only.rings else only.step.hatch if only.step else None


def only(bodies: Forest, segment: str) -> Forest:
    """Return the one body that holds a segment, when it is known to be the one that loses air."""
    for tree in bodies.trees:
        if segment in tree.segments:
            return replace(bodies, trees=(tree,), probability=(1.0,))
    raise ValueError(f"no segment named '{segment}'")


def search(bodies: Forest, aim: Aim, *, teams: int = 1) -> Search:
    """Plan a search.

    Args:
        bodies: as the hatches stand.
        aim: its error is that of the segment named in the end.
        teams: how many can close hatches at the same time.
    """
    watch_s = 0.0
    if len(bodies.trees) > 1:
        volumes = np.array([tree.volume_m3.sum() for tree in bodies.trees])
        watch_s = watch(volumes, np.array(bodies.probability), aim).mean_s
    plans = []
    for tree in bodies.trees:
        rings = [each for each in bodies.rings if each.ends[0] in tree.segments]
        plans.append(plan(tree, aim, rings=rings))
    likeliest = int(np.argmax(bodies.probability))
    later = zip(bodies.probability, plans, strict=True)
    return Search(
        bodies=bodies,
        watch_s=watch_s,
        plans=tuple(plans),
        expected_s=watch_s + sum(probability * each.expected_s for probability, each in later if probability),
        likeliest=likeliest,
        ways=_ways(bodies.trees[likeliest], plans[likeliest], aim, teams),
    )


def _ways(tree: Tree, best: Plan, aim: Aim, teams: int) -> tuple[Way, ...]:
    if best.step is None:
        return ()
    ring_s = sum(each.close_s for each in best.rings)
    rings = tuple(each.hatch for each in best.rings)
    singly = {"one hatch at a time, this plan": best.expected_s - ring_s}
    for name, rule in (("probability", halve_prior), ("number of segments", halve_count)):
        singly[f"one hatch at a time, halving the {name}"] = by_rule(tree, aim, rule).expected_s
    ways = [Way(name=name, expected_s=each, p95_s=None, first=rings) for name, each in singly.items()]
    if len(tree.passages) == 1:
        return (replace(ways[0], expected_s=best.expected_s),)
    by_teams = f"{teams} {'team' if teams == 1 else 'teams'}"
    stages = best_two_stages(tree, aim, teams=teams)
    if stages.again:
        number = f"{len(stages.first)} hatch{'es' if len(stages.first) > 1 else ''}"
        name = f"{number}, then the others of the body that leaks, {by_teams}"
        ways.append(Way(name=name, expected_s=stages.expected_s, p95_s=stages.p95_s, first=stages.first))
    whole = all_at_once(tree, aim, teams=teams)
    name = f"all {len(whole.first)} hatches, {by_teams}"
    ways.append(Way(name=name, expected_s=whole.expected_s, p95_s=whole.p95_s, first=whole.first))
    with_rings = [replace(each, expected_s=each.expected_s + ring_s) for each in ways]
    return tuple(sorted(with_rings, key=lambda each: each.expected_s))
