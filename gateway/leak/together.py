"""Closing many hatches before waiting: all at once, or first those that free the small bodies and the rest if needed.

With several hatches closed every body is watched at the same time, and the answer is the posterior over bodies. How
long that takes has no closed form; it is simulated, with a seed of its own, so the same question has the same answer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.leak.aim import Aim
from gateway.leak.slope import LONGEST_S, SHORTEST_S, Array
from gateway.leak.tree import Tree, forest

_MOST_UNDECIDED: Final = 0.05
_LOOKS: Final = 90
_NOTHING_YET: Final = 0.01  # information at which even the smallest body tells nothing
_SEED: Final = 20_200_821  # all hatches of the ISS were shut on that day
_ROUGH_RUNS: Final = 300
_FINE_RUNS: Final = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long it takes until the leaking one of several bodies is known.

    Attributes:
        seconds: of each run, s; infinite when it was not decided after 30 days.
        leaking: the body that leaked in each run, [runs].
        right: whether that was the answer, [runs].
    """

    seconds: Array
    leaking: npt.NDArray[np.intp]
    right: npt.NDArray[np.bool_]

    @property
    def mean_s(self) -> float:
        """Expected wait, s."""
        return _mean_s(self.seconds)

    @property
    def error(self) -> float:
        """Share of wrong answers."""
        return float(1 - self.right.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Stages:
    """A plan that closes several hatches, waits, and does so again if more than one segment is left.

    Attributes:
        first: hatches to close before the first wait.
        expected_s: from now until a segment is named, s.
        p95_s: 95 of 100 searches are over by then, s.
        error: share of wrong answers in the simulation.
        again: probability that a second stage is needed.
    """

    first: tuple[str, ...]
    expected_s: float
    p95_s: float
    error: float
    again: float


def closing_s(close_s: Array, teams: int) -> float:
    """Return how long teams need that share the hatches evenly, s; a single hatch is not shared."""
    return max(float(close_s.sum()) / teams, float(close_s.max())) if len(close_s) else 0.0


def watch(volume_m3: Array, prior: Array, aim: Aim, *, runs: int = _FINE_RUNS, seed: int = _SEED) -> Waits:
    """Watch all bodies until the posterior of one is above 1 - error.

    Slopes are estimated from all data since the closing; an efficient estimate's information grows by independent
    pieces.
    """
    generator = np.random.default_rng(seed)
    bodies = len(volume_m3)
    leaking = generator.choice(bodies, runs, p=prior)
    if bodies == 1 or prior.max() > 1 - aim.error:
        return Waits(seconds=np.zeros(runs), leaking=leaking, right=leaking == prior.argmax())
    slope = aim.flow_pa_m3_s / volume_m3
    times = np.geomspace(SHORTEST_S, LONGEST_S, _LOOKS)
    seconds, answer = np.full(runs, np.inf), np.zeros(runs, dtype=np.intp)
    with np.errstate(divide="ignore"):
        log_prior = np.log(prior)
    waiting = np.arange(runs)
    seen = np.zeros((runs, bodies))  # slope estimate x information
    before = 0.0
    for time, information in zip(times, 1 / aim.noise.at(times) ** 2, strict=True):
        if slope.max() ** 2 * information < _NOTHING_YET:
            continue
        fresh = information - before
        seen += generator.standard_normal(seen.shape) * np.sqrt(fresh)
        seen[np.arange(len(waiting)), leaking[waiting]] += slope[leaking[waiting]] * fresh
        before = information
        odds = slope * seen - slope**2 * information / 2 + log_prior
        odds -= odds.max(axis=1, keepdims=True)
        answer[waiting] = odds.argmax(axis=1)
        decided = 1 / np.exp(odds).sum(axis=1) > 1 - aim.error
        seconds[waiting[decided]] = time
        waiting, seen = waiting[~decided], seen[~decided]
        if not len(waiting):
            break
    return Waits(seconds=seconds, leaking=leaking, right=answer == leaking)


def all_at_once(tree: Tree, aim: Aim, *, teams: int = 1, runs: int = _FINE_RUNS) -> Stages:
    """Close every hatch, then wait for the one segment."""
    return two_stages(tree, aim, [each.hatch for each in tree.passages], teams=teams, runs=runs)


def best_two_stages(tree: Tree, aim: Aim, *, teams: int = 1) -> Stages:
    """Return the best plan that first frees all bodies up to some size.

    A hatch stands for the smaller of the two segments it joins, which are quick to judge; tried is each number of
    hatches in the order of that size, roughly, and the best is then measured finely.
    """
    smaller = [min(tree.volume_m3[one], tree.volume_m3[other]) for one, other in tree.ends]
    order = [tree.passages[index].hatch for index in np.argsort(smaller, kind="stable")]
    tries = [order[:number] for number in range(1, len(order) + 1)]
    rough = [two_stages(tree, aim, hatches, teams=teams, runs=_ROUGH_RUNS).expected_s for hatches in tries]
    return two_stages(tree, aim, tries[int(np.argmin(rough))], teams=teams)


def two_stages(
    tree: Tree,
    aim: Aim,
    first: Collection[str],
    *,
    teams: int = 1,
    runs: int = _FINE_RUNS,
) -> Stages:
    """Close these hatches and wait; then close the others of the body that leaks and wait again."""
    closed = set(first)
    bodies = forest(
        dict(zip(tree.segments, tree.volume_m3, strict=True)),
        dict(zip(tree.segments, tree.prior, strict=True)),
        tree.passages,
        closed,
    )
    large = [index for index, body in enumerate(bodies.trees) if body.passages]
    volumes = np.array([body.volume_m3.sum() for body in bodies.trees])
    waits = watch(volumes, np.array(bodies.probability), aim, runs=runs)
    begin_s = closing_s(np.array([each.close_s for each in tree.passages if each.hatch in closed]), teams)
    total, right = begin_s + waits.seconds, waits.right.copy()
    for index in large:
        body, here = bodies.trees[index], np.flatnonzero(waits.leaking == index)
        then = watch(body.volume_m3, body.prior, aim, runs=max(len(here), 1), seed=_SEED + index + 1)
        total[here] += closing_s(body.close_s, teams) + then.seconds[: len(here)]
        right[here] &= then.right[: len(here)]
    return Stages(
        first=tuple(each.hatch for each in tree.passages if each.hatch in closed),
        expected_s=_mean_s(total),
        p95_s=float(np.quantile(total, 0.95, method="higher")),
        error=float(1 - right.mean()),
        again=_mass(bodies.probability, large),
    )


def _mean_s(seconds: Array) -> float:
    """Return the mean; the few that take over 30 days count as 30 days, and when they are many it is infinite."""
    endless = np.isinf(seconds)
    return float("inf") if endless.mean() > _MOST_UNDECIDED else float(np.where(endless, LONGEST_S, seconds).mean())


def _mass(probability: Sequence[float], which: Sequence[int]) -> float:
    return float(sum(probability[index] for index in which))
