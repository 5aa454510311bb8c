"""B08: where is 1 kg/day lost? Plans against the published optimum, random trees, and searches played through."""

import math
from functools import cache, partial
from statistics import mean
from time import perf_counter
from typing import Any, Final

import numpy as np

from gateway.leak import look_ahead
from gateway.leak.aim import Aim
from gateway.leak.plan import by_rule, halve_count, halve_prior, plan
from gateway.leak.together import all_at_once, best_two_stages, two_stages
from gateway.leak.tree import Tree
from tests.benchmarks.leak.row import ERROR, row
from tests.benchmarks.leak.search_station import NOISES, aim, random_station, station
from tests.benchmarks.leak.searched import Search

_row = partial(row, "B08 locate 1 kg/day")
_HOUR_S: Final = 3600.0
_SMALL_M3: Final = 20.0

# hours of the reference calculation, in the order of NOISES; two teams where several hatches are closed together
PUBLISHED: Final = {
    "one at a time, best": (1.65, 4.45, 22.7),
    "one at a time, prior halved": (1.88, 7.2, 35.0),
    "one at a time, count halved": (2.65, 10.6, 50.0),
    "13 hatches of small bodies, then the rest": (1.95, 2.8, 8.0),
    "all 21 at once": (2.7, 3.25, 6.9),
}
_WITHIN: Final = 0.05  # of the published figure: Monte Carlo, and rounding to two digits
_RATIO: Final = 1.15


def rows(seeds: int, first: int) -> list[dict[str, Any]]:
    """Return the rows of the benchmark's table."""
    return [*_published(), *_random_trees(min(seeds, 60), first), *_played(seeds, first)]


def published_plans(noise: str) -> dict[str, float]:
    """Return the expected hours of each published plan, with 1 % error for each single answer as published."""
    tree, question = station().trees[0], aim(noise)
    small = [
        passage.hatch
        for passage, (one, other) in zip(tree.passages, tree.ends, strict=True)
        if min(tree.volume_m3[one], tree.volume_m3[other]) < _SMALL_M3
    ]
    seconds = (
        plan(tree, question).expected_s,
        by_rule(tree, question, halve_prior).expected_s,
        by_rule(tree, question, halve_count).expected_s,
        two_stages(tree, question, small, teams=2).expected_s,
        all_at_once(tree, question, teams=2).expected_s,
    )
    return {name: each / _HOUR_S for name, each in zip(PUBLISHED, seconds, strict=True)}


def _published() -> list[dict[str, Any]]:
    found = []
    for place, noise in enumerate(NOISES):
        for name, hours in published_plans(noise).items():
            reference = PUBLISHED[name][place]
            # Ours may be quicker: in the second stage only the hatches of the body that leaks are closed.
            close = hours <= reference * (1 + _WITHIN) and hours >= reference * (1 - _WITHIN)
            found.append(_row(f"hours, {noise}: {name}", reference, hours, passed=close, note="limit: published"))
        tree = station().trees[0]
        begun = perf_counter()
        plan(tree, aim(noise))
        took_s = perf_counter() - begun
        found.append(_row(f"seconds to plan, {noise}", 1.0, took_s, passed=took_s < 1.0, note="wall clock"))
        stages = best_two_stages(tree, aim(noise), teams=2)
        found.append(
            _row(
                f"hours, {noise}: best two stages, 2 teams",
                PUBLISHED["13 hatches of small bodies, then the rest"][place],
                stages.expected_s / _HOUR_S,
                passed=stages.error <= ERROR,
                note=f"{len(stages.first)} hatches first, error {stages.error:.2%}",
            )
        )
    return found


def brute_force_s(tree: Tree, question: Aim) -> float:
    """Return the least expected time of all plans, by trying every one of them (small trees only)."""
    places = {name: index for index, name in enumerate(tree.segments)}

    def parts(suspects: frozenset[int], hatch: int) -> tuple[frozenset[int], frozenset[int]]:
        first = {index for index in suspects if tree.first_side[hatch] >> index & 1}
        return frozenset(first), suspects - first

    @cache
    def least(suspects: frozenset[int]) -> float:
        options = [hatch for hatch, (one, other) in enumerate(tree.ends) if one in suspects and other in suspects]
        if not options:
            return 0.0
        mass = sum(tree.prior[index] for index in suspects)
        totals = []
        for hatch in options:
            sides = parts(suspects, hatch)
            volumes = [sum(tree.volume_m3[index] for index in side) for side in sides]
            later = sum(sum(tree.prior[index] for index in side) / mass * least(side) for side in sides)
            totals.append(float(tree.close_s[hatch] + question.wait_s(*volumes)) + later)
        return min(totals)

    return least(frozenset(places.values()))


def _random_trees(number: int, first: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng([8, first])
    question = aim("C sensors, 50 mK")
    exact, ahead = [], []
    for _ in range(number):
        tree = random_station(generator, int(generator.integers(5, 13))).trees[0]
        best_s = brute_force_s(tree, question)
        exact.append(plan(tree, question).expected_s / best_s)
        cut, bound_s = look_ahead.solve(tree, question)
        looked_s = by_rule(tree, question, lambda _tree, part, cut=cut: cut(part)).expected_s
        assert bound_s <= best_s * (1 + 1e-9) <= looked_s * (1 + 2e-9)
        ahead.append(looked_s / best_s)
    return [
        _row(
            "plan / optimum, worst of random trees",
            _RATIO,
            max(exact),
            passed=max(exact) <= _RATIO,
            note=f"{number} trees of 5-12 segments, brute force",
        ),
        _row(
            "look-ahead / optimum, mean",
            _RATIO,
            mean(ahead),
            passed=mean(ahead) <= _RATIO,
            note=f"worst {max(ahead):.3f}; used above 500000 connected parts",
        ),
    ]


def _played(seeds: int, first: int) -> list[dict[str, Any]]:
    """Play the leak in every segment equally often, and weigh by the prior: much less scatter than to draw it.

    Six searches of random trees for each seed: an error of 1 % is not decided by fewer.
    """
    generator = np.random.default_rng([9, first])
    found = []
    some = [random_station(generator, int(generator.integers(5, 13))).trees[0] for _ in range(20)]
    for name, trees, games in (("ISS", [station().trees[0]], seeds), ("random trees", some, 6 * seeds)):
        each = max(round(games / sum(len(tree.segments) for tree in trees)), 1)
        ratios, errors, variances = zip(*(play_all(tree, each, generator) for tree in trees), strict=True)
        number = each * sum(len(tree.segments) for tree in trees)
        note = f"{number} searches, rate unknown; optimum: rate known, 1 % for each answer"
        metric = f"searched, {name}: time / optimum"
        asked = name != "ISS"  # the requirement is of random trees
        passed = mean(ratios) <= _RATIO if asked else None
        found.append(_row(metric, _RATIO, mean(ratios), passed=passed, note=note))
        metric = f"searched, {name}: wrong segment"
        note = f"{number} searches, standard error {math.sqrt(sum(variances)) / len(trees):.2%}"
        found.append(_row(metric, ERROR, mean(errors), passed=mean(errors) <= ERROR, note=note))
    return found


def play_all(tree: Tree, each: int, generator: np.random.Generator) -> tuple[float, float, float]:
    """Play a leak in each segment so often.

    Returns:
        mean time against the optimum, the error, and the variance of that, under the prior.
    """
    question = aim("C sensors, 50 mK")
    search = Search(tree, question)
    seconds = error = variance = 0.0
    for segment, probability in zip(tree.segments, tree.prior.tolist(), strict=True):
        games = [search.play(segment, generator) for _ in range(each)]
        seconds += probability * mean(game.seconds for game in games)
        wrong = mean(game.named != segment for game in games)
        error += probability * wrong
        variance += probability**2 * wrong * (1 - wrong) / each
    return seconds / plan(tree, question).expected_s, error, variance
