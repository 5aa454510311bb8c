"""The plan of a search against brute force, naive rules, published optima and its own bound."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings

from gateway.leak import lattice, look_ahead
from gateway.leak.plan import MOST_PARTS, Step, by_rule, halve_count, halve_prior, plan
from gateway.leak.search import only, search
from gateway.leak.together import all_at_once, best_two_stages, two_stages, watch
from gateway.leak.tree import Passage, forest
from tests.benchmarks.leak.locate_1kg import PUBLISHED, brute_force_s, published_plans
from tests.benchmarks.leak.search_station import NOISES, aim, random_station, station
from tests.gateway.leak.stations import AIM, trees


@given(trees(most=6))
@settings(max_examples=40, deadline=None)
def test_it_is_the_best_of_all_plans(tree):
    best = plan(tree, AIM)
    assert best.exact
    assert best.expected_s == pytest.approx(brute_force_s(tree, AIM), rel=1e-9)


@given(trees(most=10))
@settings(max_examples=25, deadline=None)
def test_no_rule_beats_it_and_no_bound_lies_above_it(tree):
    best_s = plan(tree, AIM).expected_s
    for rule in (halve_prior, halve_count):
        assert by_rule(tree, AIM, rule).expected_s >= best_s * (1 - 1e-9)
    cut, bound_s = look_ahead.solve(tree, AIM)
    looked_s = by_rule(tree, AIM, lambda _tree, part: cut(part)).expected_s
    assert bound_s * (1 - 1e-9) <= best_s <= looked_s * (1 + 1e-9)


@given(trees(most=9))
@settings(max_examples=25, deadline=None)
def test_every_leaf_of_the_decisions_is_one_segment_and_chances_add_up(tree):
    named: list[tuple[str, float]] = []

    def follow(step: Step | None, segments: tuple[str, ...], chance: float) -> None:
        if step is None:
            assert len(segments) == 1
            named.append((segments[0], chance))
            return
        assert sorted(step.sides[0].segments + step.sides[1].segments) == sorted(segments)
        for side in step.sides:
            follow(side.step, side.segments, chance * side.probability)

    follow(plan(tree, AIM).step, tree.segments, 1.0)
    expected = dict(zip(tree.segments, tree.prior.tolist(), strict=True))
    assert dict(named) == pytest.approx(expected)
    assert len(named) == len(tree.segments)


@given(trees(most=9))
@settings(max_examples=25, deadline=None)
def test_connected_parts_are_counted_as_they_are_made(tree):
    count = 0
    for bits in range(1, tree.whole + 1):
        members = [index for index in range(len(tree.segments)) if bits >> index & 1]
        inside = sum(1 for one, other in tree.ends if bits >> one & 1 and bits >> other & 1)
        count += inside == len(members) - 1
    assert lattice.count(tree) == count


@pytest.mark.parametrize("place", range(len(NOISES)), ids=list(NOISES))
def test_the_published_plans_of_the_iss_are_reproduced(place):
    hours = published_plans(list(NOISES)[place])
    assert hours == pytest.approx({name: each[place] for name, each in PUBLISHED.items()}, rel=0.05)


def test_the_iss_is_planned_in_less_than_a_second_of_processor_time():
    tree, question = station().trees[0], aim("C sensors, 50 mK")
    begun = time.thread_time()
    plan(tree, question)
    assert time.thread_time() - begun < 1.0


def test_the_first_cuts_of_the_iss_free_small_suspects():
    step = plan(station().trees[0], aim("C sensors, 50 mK")).step
    cuts = []
    for _ in range(4):
        cuts.append((step.hatch, round(step.wait_s / 60)))
        step = max(step.sides, key=lambda side: side.volume_m3).step
    assert cuts == [("prk--zvezda", 4), ("zarya--rassvet", 16), ("pkho--poisk", 6), ("nauka--prichal", 9)]


def test_a_station_with_too_many_parts_is_planned_with_a_stated_gap():
    tree = random_station(np.random.default_rng(4), 34).trees[0]
    assert lattice.count(tree) > MOST_PARTS
    found = plan(tree, AIM)
    assert not found.exact
    assert 0 < found.bound_s < found.expected_s < by_rule(tree, AIM, halve_prior).expected_s


def test_a_hub_with_sixty_six_airlocks_is_planned():
    names = ["hub", *(f"lock{index}" for index in range(66))]
    ends = [("hub", name) for name in names[1:]]
    bodies = forest(
        dict.fromkeys(names, 20.0),
        dict.fromkeys(names, 1.0),
        [Passage(hatch="--".join(each), ends=each, close_s=600.0) for each in ends],
    )
    found = plan(bodies.trees[0], AIM)
    assert found.bound_s < found.expected_s < math.inf


def test_rings_are_closed_first_and_their_time_counts():
    (tree,) = station().trees
    ring = Passage(hatch="soyuz--poisk", ends=("soyuz", "poisk"), close_s=500.0)
    alone, ringed = plan(tree, AIM), plan(tree, AIM, rings=[ring])
    assert ringed.expected_s == pytest.approx(alone.expected_s + 500)
    assert ringed.hatches == pytest.approx(alone.hatches + 1)


def test_segments_without_a_prior_are_parted_last():
    bodies = forest(
        {"a": 10.0, "b": 20.0, "c": 1.0},
        {"a": 1.0, "b": 1.0, "c": 0.0},
        [Passage(hatch=f"{one}--{other}", ends=(one, other), close_s=60.0) for one, other in ("ab", "bc")],
    )
    found = plan(bodies.trees[0], AIM)
    assert found.step.hatch == "a--b"
    assert found.hatches == pytest.approx(1.5)


def test_a_leak_too_small_takes_for_ever_and_says_so():
    tree = station().trees[0]
    assert math.isinf(plan(tree, aim("C sensors, 300 mK", kg_per_day=1e-4)).expected_s)
    assert math.isinf(all_at_once(tree, aim("C sensors, 300 mK", kg_per_day=1e-4), runs=50).expected_s)


def test_more_teams_are_quicker_and_the_best_two_stages_no_slower_than_the_published_ones():
    tree, question = station().trees[0], aim("C sensors, 50 mK")
    one, two = (all_at_once(tree, question, teams=teams, runs=500) for teams in (1, 2))
    assert one.expected_s - two.expected_s == pytest.approx(21 * 900 / 2)
    small = [each for each in PUBLISHED if each.startswith("13")]
    best = best_two_stages(tree, question, teams=2)
    assert best.expected_s / 3600 < PUBLISHED[small[0]][1] * 1.05
    assert best.error <= 0.01


def test_two_stages_that_close_everything_are_all_at_once():
    tree, question = station().trees[0], aim("B sensors, 10 mK")
    everything = [each.hatch for each in tree.passages]
    assert two_stages(tree, question, everything, runs=200) == all_at_once(tree, question, runs=200)
    assert two_stages(tree, question, everything, runs=200).again == 0


def test_watching_is_over_at_once_when_the_prior_decides():
    waits = watch(np.array([10.0, 20.0]), np.array([0.995, 0.005]), AIM, runs=1000)
    assert waits.mean_s == 0
    assert waits.error == pytest.approx(0.005, abs=0.01)


def test_bodies_that_are_apart_are_watched_before_anything_is_closed():
    whole = station()
    tree = whole.trees[0]
    volumes = dict(zip(tree.segments, tree.volume_m3.tolist(), strict=True))
    prior = dict(zip(tree.segments, tree.prior.tolist(), strict=True))
    apart = forest(volumes, prior, tree.passages, closed=["prk--zvezda"])
    found = search(apart, AIM)
    assert found.next_hatch is None
    assert found.watch_s > 0
    each = zip(apart.probability, found.plans, strict=True)
    assert found.expected_s == pytest.approx(found.watch_s + sum(share * one.expected_s for share, one in each))
    known = search(only(apart, "prk"), AIM)
    assert known.next_hatch == "progress--prk"
    assert known.watch_s == 0
    with pytest.raises(ValueError, match="no segment named 'mir'"):
        only(apart, "mir")


def test_the_ways_are_told_quickest_first():
    ways = search(station(), aim("C sensors, 50 mK"), teams=2).ways
    assert [way.expected_s for way in ways] == sorted(way.expected_s for way in ways)
    assert {way.name for way in ways} >= {"one hatch at a time, this plan", "all 21 hatches, 2 teams"}
