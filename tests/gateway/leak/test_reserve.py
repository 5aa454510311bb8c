"""Reserve times against tables and against their own order."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.leak.reserve import reserve

MMHG = 133.322387415


@pytest.mark.parametrize(
    ("slope_pa_s", "exponential_h", "linear_h"),
    [(0.0106, 1170, 947), (0.0422, 292, 237), (0.264, 46.8, 37.9), (1.056, 11.7, 9.5), (4.23, 2.9, 2.4)],
    ids=["1 mm", "2 mm", "5 mm", "10 mm", "20 mm"],
)
def test_the_table_of_holes_in_a_station_of_916_m3(slope_pa_s, exponential_h, linear_h):
    found = reserve(101_325.0, 490 * MMHG, slope_pa_s, (slope_pa_s, slope_pa_s))
    assert found.exponential_s / 3600 == pytest.approx(exponential_h, rel=0.02)
    assert found.linear_s / 3600 == pytest.approx(linear_h, rel=0.02)


@given(st.floats(7e4, 1.1e5), st.floats(1e3, 6.9e4), st.floats(1e-6, 100), st.floats(0, 3), st.floats(0, 3))
def test_the_fast_end_comes_first_and_the_slow_end_last(pressure_pa, to_pa, slope_pa_s, below, above):
    interval = (slope_pa_s * (1 - below), slope_pa_s * (1 + above))
    found = reserve(pressure_pa, to_pa, slope_pa_s, interval)
    assert 0 < found.fast_s <= found.linear_s <= found.exponential_s <= found.slow_s
    assert found.slow_s == math.inf or interval[0] > 0


def test_exponential_is_what_an_integration_gives():
    pressure_pa, seconds = 100_000.0, 0.0
    while pressure_pa > 70_000.0:
        pressure_pa -= 2.0 * pressure_pa / 100_000.0
        seconds += 1.0
    found = reserve(100_000.0, 70_000.0, 2.0, (1.9, 2.1))
    assert found.exponential_s == pytest.approx(seconds, rel=1e-3)


def test_a_pressure_that_does_not_fall_lasts_for_ever_but_the_fast_end_may_not():
    found = reserve(101_325.0, 66_700.0, -0.1, (-0.3, 0.1))
    assert found.exponential_s == found.linear_s == found.slow_s == math.inf
    assert found.fast_s == pytest.approx(34_625 / 0.1)


def test_below_the_limit_nothing_is_left():
    found = reserve(60_000.0, 66_700.0, 0.1, (0.05, 0.2))
    assert (found.exponential_s, found.linear_s, found.fast_s, found.slow_s) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((0.0, 66_700.0, 0.1, (0.0, 1.0)), "pressures"),
        ((101_325.0, -1.0, 0.1, (0.0, 1.0)), "pressures"),
        ((math.nan, 66_700.0, 0.1, (0.0, 1.0)), "pressures"),
        ((101_325.0, 66_700.0, 2.0, (0.0, 1.0)), "interval"),
        ((101_325.0, 66_700.0, math.nan, (0.0, 1.0)), "interval"),
    ],
)
def test_what_makes_no_sense_is_refused(words, message):
    with pytest.raises(ValueError, match=message):
        reserve(*words)
