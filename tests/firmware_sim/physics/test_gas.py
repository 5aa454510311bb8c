"""Holes, cracks and valves against the closed forms and published numbers."""

import numpy as np
import pytest

from firmware_sim.physics.gas import (
    CRITICAL_RATIO,
    DAY_S,
    DRY_AIR_KG,
    REFERENCE_K,
    between,
    choked_kg_per_s_m2,
    crack_kg_per_s,
    hole_kg_per_s,
    pascals_per_s,
)

MMHG = 133.322
POUND_A_DAY = 0.45359237 / DAY_S


def test_choked_air_at_the_reference_state():
    assert choked_kg_per_s_m2() == pytest.approx(238.36, abs=0.005)
    assert pytest.approx(0.5283, abs=5e-5) == CRITICAL_RATIO


@pytest.mark.parametrize(
    ("pounds", "bound_mm", "thick_mm", "sharp_mm", "station", "zvezda", "prk"),
    [
        (0.2, 0.075, 0.081, 0.096, 7.6, 86, 1281),
        (0.6, 0.130, 0.141, 0.166, 22.9, 259, 3843),
        (1.0, 0.168, 0.182, 0.214, 38.2, 432, 6405),
        (2.4, 0.259, 0.281, 0.332, 91.8, 1036, 15372),
        (3.7, 0.322, 0.349, 0.412, 141.5, 1598, 23698),
    ],
)
def test_leaks_in_pounds_a_day(pounds, bound_mm, thick_mm, sharp_mm, station, zvezda, prk):
    flow = pounds * POUND_A_DAY
    for coefficient, diameter_mm in ((1.0, bound_mm), (0.85, thick_mm), (0.61, sharp_mm)):
        assert hole_kg_per_s(diameter_mm * 1e-3, coefficient) == pytest.approx(flow, rel=0.014)
    for volume_m3, fall in ((1005.0, station), (89.0, zvezda), (6.0, prk)):
        assert pascals_per_s(flow, volume_m3) * DAY_S == pytest.approx(fall, rel=0.007)


@pytest.mark.parametrize(
    ("diameter_mm", "kg_a_day", "mmhg_an_hour", "pa_per_s", "hours", "straight_hours"),
    [
        (1, 9.87, 0.285, 0.0106, 1170, 947),
        (2, 39.5, 1.14, 0.0422, 292, 237),
        (5, 247, 7.13, 0.264, 46.8, 37.9),
        (10, 987, 28.5, 1.056, 11.7, 9.5),
        (20, 3947, 114, 4.23, 2.9, 2.4),
    ],
)
def test_holes_in_the_whole_station(diameter_mm, kg_a_day, mmhg_an_hour, pa_per_s, hours, straight_hours):
    flow = hole_kg_per_s(diameter_mm * 1e-3, 0.61)
    assert flow * DAY_S == pytest.approx(kg_a_day, rel=0.002)
    fall = pascals_per_s(flow, 916)
    assert fall == pytest.approx(pa_per_s, rel=0.004)
    assert fall * 3600 / MMHG == pytest.approx(mmhg_an_hour, rel=0.005)
    # reserve to 490 mmHg: by the exponential, and by a straight line
    assert 101_325 / fall * np.log(101_325 / (490 * MMHG)) / 3600 == pytest.approx(hours, rel=0.015)
    assert (101_325 - 490 * MMHG) / fall / 3600 == pytest.approx(straight_hours, rel=0.015)


def test_a_kilogram_a_day():
    assert pytest.approx(34.52, abs=0.005) == 1 / DRY_AIR_KG
    assert pascals_per_s(1 / DAY_S, 1000) * DAY_S == pytest.approx(84.72, abs=0.005)


def test_a_crack_of_prk_loses_a_pound_a_day_through_ten_micrometres():
    assert crack_kg_per_s(0.045, 9.4e-6, 2e-3) == pytest.approx(POUND_A_DAY, rel=0.02)


def flow(high_pa, low_pa):
    args = (np.array([each]) for each in (high_pa, low_pa, REFERENCE_K, DRY_AIR_KG, 1e-4))
    return between(*args)[0]


def test_flow_between_segments_chokes_and_is_straight_at_small_differences():
    choked = choked_kg_per_s_m2() * 1e-4 / DRY_AIR_KG
    assert flow(101_325.0, 0.0) == pytest.approx(choked, rel=1e-4)
    assert flow(101_325.0, 0.5 * 101_325.0) == flow(101_325.0, 0.0)
    assert flow(101_325.0, 0.6 * 101_325.0) < choked
    assert flow(101_325.0, 101_325.0) == 0
    assert flow(101_325.0, 101_323.0) == pytest.approx(2 * flow(101_325.0, 101_324.0), rel=1e-9)
    assert flow(101_325.0, 101_305.0) == pytest.approx(
        1e-4 * np.sqrt(2 * 20 * 101_325.0 / (8.314462618 * REFERENCE_K * DRY_AIR_KG)), rel=1e-3
    )
    assert flow(0.0, 0.0) == pytest.approx(0, abs=1e-20)
