"""A mean that does not jump when members come and go."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.leak.fused import FusedMean

OFFSETS = {"a": 50.0, "b": -30.0, "c": 10.0}
EQUAL = dict.fromkeys(OFFSETS, 1.0)


def said(truth, *names):
    return {name: truth + OFFSETS[name] for name in names}


def test_with_everybody_there_it_is_the_weighted_mean():
    mean = FusedMean()
    weights = {"a": 1.0, "b": 2.0, "c": 3.0}
    for truth in (100.0, 103.0, 90.0):
        values = said(truth, "a", "b", "c")
        expected = sum(weights[name] * value for name, value in values.items()) / 6
        assert mean.take(values, weights) == pytest.approx(expected)


@given(st.lists(st.sets(st.sampled_from("abc")), min_size=1, max_size=40))
def test_it_follows_the_truth_whoever_is_missing(present):
    mean = FusedMean()
    for _ in range(20):
        level = mean.take(said(1000.0, "a", "b", "c"), EQUAL) - 1000.0
    for step, names in enumerate(present):
        got = mean.take(said(1000.0 - 0.1 * step, *names), EQUAL)  # offsets of those polled in turn are 0.1 a step off
        assert math.isnan(got) if not names else got == pytest.approx(1000.0 - 0.1 * step + level, abs=0.1)


def test_who_comes_later_is_compared_for_a_while_and_joins_without_a_step():
    rng = np.random.default_rng(1)
    mean = FusedMean()

    def taken(*names):
        return mean.take({name: each + rng.normal(0, 5) for name, each in said(1000.0, *names).items()}, EQUAL)

    before = np.mean([taken("a", "b") for _ in range(1500)])
    joined = []
    after = []
    for _ in range(1500):
        after.append(taken("a", "b", "c"))
        joined.append(mean.knows("c"))
    assert joined == [False] * 59 + [True] * 1441
    small = 5 / math.sqrt(60) / 3  # what is left of the newcomer's first offset, and its share
    assert np.mean(after[60:]) == pytest.approx(before, abs=3 * math.hypot(small, 5 * math.sqrt(1 / 1500)))
    assert np.std(after[60:]) == pytest.approx(5 / math.sqrt(3), rel=0.05)
    assert not mean.anew


def test_who_has_been_away_for_long_is_a_newcomer_again():
    mean = FusedMean()
    for _ in range(20):
        mean.take(said(1000.0, "a", "b"), EQUAL)
    for _ in range(700):
        mean.take(said(1000.0, "a"), EQUAL)
    drifted = said(1000.0, "a") | {"b": 980.0}
    for step in range(100):
        assert mean.take(drifted, EQUAL) == pytest.approx(1010.0)
        assert mean.knows("b") is (step >= 59)


def test_when_nobody_else_is_left_a_newcomer_counts_at_once_and_the_mean_is_a_new_one():
    mean = FusedMean()
    for _ in range(20):
        mean.take(said(1000.0, "a", "b"), EQUAL)
    assert not mean.anew
    mean.take(said(1000.0, "a", "b", "c"), EQUAL)
    assert math.isnan(mean.take(said(1000.0, "c"), EQUAL)), "the others are only between two polls"
    assert not mean.anew
    assert mean.take(said(1000.0, "c"), {"c": 1.0}) == pytest.approx(1010.0)
    assert mean.anew
    for _ in range(100):
        assert mean.take(said(1000.0, "a", "b", "c"), EQUAL) == pytest.approx(1010.0)
    assert not mean.anew


@pytest.mark.parametrize("turns", ["a b c", "ab c", "abc", "ab ab c"])
@pytest.mark.parametrize("seed", range(2))
def test_members_that_are_polled_in_turn_have_one_mean(seed, turns):
    rng = np.random.default_rng(seed)
    mean = FusedMean()
    got = {turn: [] for turn in turns.split()}
    for step in range(4500):
        turn = turns.split()[step % len(turns.split())]
        values = {name: each + rng.normal(0, 5) for name, each in said(1000.0, *turn).items()}
        got[turn].append(mean.take(values, EQUAL))
    levels = [np.mean(each[-1000:]) for each in got.values()]
    assert np.ptp(levels) < 1.0, "whoever speaks, it is one level"
    assert levels[0] == pytest.approx(1010.0, abs=2.0)
    for turn, each in got.items():
        assert np.std(each[-1000:]) == pytest.approx(5.0 / math.sqrt(len(turn)), rel=0.1)


def test_one_alone_is_what_it_says():
    mean = FusedMean()
    assert [mean.take({"a": value}, EQUAL) for value in (5.0, 7.0, 6.0)] == [5.0, 7.0, 6.0]


def test_who_comes_within_the_first_steps_counts_from_the_start():
    mean = FusedMean()
    mean.take(said(1000.0, "a"), EQUAL)
    assert mean.take(said(1000.0, "a", "b", "c"), EQUAL) == pytest.approx(1010.0)


def test_offsets_are_averaged_so_that_a_gap_adds_no_noise():
    rng = np.random.default_rng(4)
    mean = FusedMean()
    for _ in range(400):
        mean.take({name: value + rng.normal(0, 5) for name, value in said(1000.0, "a", "b", "c").items()}, EQUAL)
    alone = [mean.take({"a": 1050.0}, EQUAL) for _ in range(10)]
    assert np.mean(alone) == pytest.approx(1010.0, abs=4 * 5 / math.sqrt(400))


def test_forgotten_and_unlearned_members():
    mean = FusedMean()
    for _ in range(20):
        mean.take(said(1000.0, "a", "b"), EQUAL)
    assert mean.knows("a")
    before = mean.offset("a")
    mean.take({"a": 5000.0, "b": 970.0}, EQUAL, learn=False)
    assert mean.offset("a") == before
    mean.forget("a")
    assert not mean.knows("a")
    assert mean.offset("a") == 0.0
