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
        got = mean.take(said(1000.0 - step, *names), EQUAL)
        assert math.isnan(got) if not names else got == pytest.approx(1000.0 - step + level)


def test_who_comes_later_joins_without_a_step():
    mean = FusedMean()
    for _ in range(20):
        mean.take(said(1000.0, "a", "b"), EQUAL)
    before = mean.take(said(1000.0, "a", "b"), EQUAL)
    assert mean.take(said(1000.0, "a", "b", "c"), EQUAL) == pytest.approx(before)
    assert mean.take(said(1000.0, "c"), EQUAL) == pytest.approx(before)


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
