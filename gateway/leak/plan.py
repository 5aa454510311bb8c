"""Which hatch to close next: the plan with the least expected time until one segment is named.

One hatch at a time: close it, wait until its two bodies tell on which side the leak is, go on there. The suspects are
then always a connected part S of a tree, and the best plan obeys

    E(S) = min over the hatches of S of  closing time + wait + P(one side) E(one side) + P(other) E(other).

`lattice` solves that for all connected parts at once while they are few enough to be counted; for a station with more
of them `look_ahead` improves a good rule by one step and says how far from the best it can be at most.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.leak import lattice, look_ahead
from gateway.leak.aim import Aim
from gateway.leak.tree import Passage, Tree

MOST_PARTS: Final = 500_000  # connected parts of a tree that are solved exactly, in about a second
Cut = Callable[[int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What is left to search when the leak is on one side of a closed hatch.

    Attributes:
        segments: suspects.
        volume_m3: of their body.
        probability: of this side, given the suspects before.
        expected_s: time until one of them is named, s.
        step: what to do then; None when one segment is left.
    """

    segments: tuple[str, ...]
    volume_m3: float
    probability: float
    expected_s: float
    step: "Step | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Close a hatch and wait."""

    hatch: str
    close_s: float
    wait_s: float
    sides: tuple[Side, Side]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The whole tree of decisions.

    Attributes:
        expected_s: from now until a segment is named, s; infinite when noise hides the leak for over 30 days.
        hatches: expected number of hatches to close.
        rings: hatches to close before the first step, since they close rings.
        step: the first; None when there is one segment only.
        bound_s: no plan of this kind takes less, s; equal to `expected_s` when the plan is the best.
    """

    expected_s: float
    hatches: float
    rings: tuple[Passage, ...]
    step: Step | None
    bound_s: float

    @property
    def exact(self) -> bool:
        """Whether no plan is better."""
        return self.bound_s >= self.expected_s


def plan(tree: Tree, aim: Aim, *, rings: Sequence[Passage] = ()) -> Plan:
    """Return the best plan for one body.

    The waits are those of answers that may each be wrong as often as the aim allows. Following the plan, go on to a
    side when its posterior among *all* segments (`Where.decided` over all bodies) is high enough: bodies that were left
    behind stay under watch, so that the segment named in the end is wrong no more often than that.

    Args:
        tree: the body.
        aim: what is to be known.
        rings: hatches of this body to close first (see `tree.Forest`).
    """
    first_s = sum(each.close_s for each in rings)
    exact = lattice.count(tree) <= MOST_PARTS
    cut, bound_s = (lattice if exact else look_ahead).solve(tree, aim)
    found = _grown(tree, aim, cut, tree.whole)
    return Plan(
        expected_s=found.expected_s + first_s,
        hatches=_hatches(found.step) + len(rings),
        rings=tuple(rings),
        step=found.step,
        bound_s=(found.expected_s if exact else bound_s) + first_s,
    )


def by_rule(tree: Tree, aim: Aim, rule: Callable[[Tree, int], int]) -> Plan:
    """Return the plan that follows a rule instead: (tree, suspects as bits) -> hatch to close."""
    found = _grown(tree, aim, lambda part: rule(tree, part), tree.whole)
    return Plan(expected_s=found.expected_s, hatches=_hatches(found.step), rings=(), step=found.step, bound_s=0.0)


def halve_prior(tree: Tree, part: int) -> int:
    """Close the hatch that parts the prior most evenly."""
    return _most_even(tree, part, tree.prior.tolist())


def halve_count(tree: Tree, part: int) -> int:
    """Close the hatch that parts the number of segments most evenly."""
    return _most_even(tree, part, [1.0] * len(tree.segments))


def _most_even(tree: Tree, part: int, weight: Sequence[float]) -> int:
    total = _sum(weight, part)
    return min(
        look_ahead.hatches_of(tree, part),
        key=lambda hatch: abs(total - 2 * _sum(weight, part & tree.first_side[hatch])),
    )


def _sum(weight: Sequence[float], bits: int) -> float:
    return sum(each for index, each in enumerate(weight) if bits >> index & 1)


def _grown(tree: Tree, aim: Aim, cut: Cut, part: int, mass: float | None = None) -> Side:
    """Return a part of the tree with everything that is to be done in it."""
    weight = _sum(tree.prior.tolist(), part)
    share = 1.0 if mass is None else weight / mass if mass else 0.5
    volume_m3 = _sum(tree.volume_m3.tolist(), part)
    if part & (part - 1) == 0:
        return Side(segments=tree.names(part), volume_m3=volume_m3, probability=share, expected_s=0.0, step=None)
    hatch = cut(part)
    one = _grown(tree, aim, cut, part & tree.first_side[hatch], weight)
    other = _grown(tree, aim, cut, part & ~tree.first_side[hatch], weight)
    step = Step(
        hatch=tree.passages[hatch].hatch,
        close_s=tree.passages[hatch].close_s,
        wait_s=float(aim.wait_s(one.volume_m3, other.volume_m3)),
        sides=(one, other),
    )
    later_s = sum(side.probability * side.expected_s for side in step.sides if side.probability)
    return Side(
        segments=tree.names(part),
        volume_m3=volume_m3,
        probability=share,
        expected_s=step.close_s + step.wait_s + later_s,
        step=step,
    )


def _hatches(step: Step | None) -> float:
    if step is None:
        return 0.0
    return 1.0 + sum(side.probability * _hatches(side.step) for side in step.sides)
