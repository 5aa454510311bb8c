"""Hatches partition a station; levels do not move for any reason but air."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quality
from drivers.rig import HatchState, Segment
from gateway.leak.bodies import T_REF_K, BodyLevel, ClosedHatch, Level, bodies, differ
from gateway.leak.segment_state import SegmentState

OPEN, CLOSED, UNKNOWN = HatchState.OPEN, HatchState.CLOSED, HatchState.UNKNOWN
SEGMENTS = {
    "prk": Segment(volume="6 m3", volume_uncertainty="20 %"),
    "zvezda": Segment(volume="89 m3", volume_uncertainty="5 %"),
    "zarya": Segment(volume="71.5 m3", volume_uncertainty="10 %"),
}


def state(segment, pressure_pa=101325.0, temperature_k=295.15, **changes):
    whole = SegmentState(
        segment=segment,
        time_s=0.0,
        pressure_pa=pressure_pa,
        u95_pa=20.0,
        temperature_k=temperature_k,
        white_pa=2.0,
        coarse_pa=0.0,
        fresh=True,
        used=("p1", "p2"),
        rejected={},
        quality=Quality.GOOD,
        agreed=True,
        alone=False,
    )
    return replace(whole, **changes)


def test_closed_and_unknown_hatches_part_open_ones_join():
    passages = [(("prk", "zvezda"), CLOSED), (("zvezda", "zarya"), OPEN)]
    prk, rest = bodies(SEGMENTS, passages)
    assert (prk.segments, rest.segments) == (("prk",), ("zvezda", "zarya"))
    assert rest.volume_m3 == pytest.approx(160.5)
    assert rest.volume_relative_sigma == pytest.approx(math.hypot(89 * 0.025, 71.5 * 0.05) / 160.5)
    assert len(bodies(SEGMENTS, [(pair, UNKNOWN) for pair, _ in passages])) == 3


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7), st.sampled_from(list(HatchState))), max_size=20))
def test_a_partition_is_what_walking_through_open_hatches_reaches(hatches):
    segments = {f"s{number}": Segment(volume="1 m3") for number in range(8)}
    found = bodies(segments, [((f"s{a}", f"s{b}"), how) for a, b, how in hatches])
    assert sorted(name for body in found for name in body.segments) == sorted(segments)
    for body in found:
        reached, edge = {body.segments[0]}, {body.segments[0]}
        while edge:
            edge = {
                f"s{there}"
                for a, b, how in hatches
                for here, there in ((a, b), (b, a))
                if how is OPEN and f"s{here}" in edge
            } - reached
            reached |= edge
        assert reached == set(body.segments)
        assert body.volume_m3 == len(body.segments)


def test_a_body_with_an_unknown_volume_has_a_slope_but_no_rate():
    (body,) = bodies({"prk": Segment()}, [])
    assert math.isnan(body.volume_m3)
    assert math.isnan(body.rate_kg_per_s(0.1))


def test_one_kg_a_day_is_84_72_pa_a_day_in_1000_m3():
    (body,) = bodies({"all": Segment(volume="1000 m3")}, [])
    assert body.slope_pa_per_s(1.0 / 86400) * 86400 == pytest.approx(84.72, abs=0.01)
    assert body.rate_kg_per_s(body.slope_pa_per_s(1e-5)) == pytest.approx(1e-5)


def whole():
    (body,) = bodies(SEGMENTS, [(("prk", "zvezda"), OPEN), (("zvezda", "zarya"), OPEN)])
    return BodyLevel(body, SEGMENTS)


def test_warming_air_is_no_gain_and_a_fall_is_a_fall():
    level = whole()
    for factor, share in ((1.0, 1.0), (1.003, 1.0), (1.003, 0.99)):
        states = {name: state(name, 101325.0 * factor * share, 295.15 * factor) for name in SEGMENTS}
        now = level.take(states)
        assert now.x_pa == pytest.approx(101325.0 * share)
    assert now.white_pa == pytest.approx(2.0 / math.sqrt(3))


def test_segments_weigh_by_volume_in_temperature_and_by_noise_in_pressure():
    level = whole()
    states = {
        "prk": state("prk", 101320.0, 300.0, white_pa=1.0),
        "zvezda": state("zvezda", 101330.0, 295.0, white_pa=2.0),
        "zarya": state("zarya", 101330.0, 295.0, white_pa=2.0),
    }
    now = level.take(states)
    assert now.pressure_pa == pytest.approx((101320.0 + 2 * 0.25 * 101330.0) / 1.5)
    assert 1 / now.temperature_k == pytest.approx((6 / 300.0 + 160.5 / 295.0) / 166.5)


@given(st.lists(st.sets(st.sampled_from(sorted(SEGMENTS))), min_size=1, max_size=20))
def test_segments_that_fall_silent_or_contradict_themselves_do_not_move_the_level(quiet):
    level = whole()
    offsets = {"prk": 40.0, "zvezda": -20.0, "zarya": 5.0}
    said = {name: state(name, 101325.0 + offsets[name], 295.15 + offsets[name] / 100) for name in SEGMENTS}
    for _ in range(20):
        usual = level.take(said).x_pa
    for number, names in enumerate(quiet):
        change = {"fresh": False} if number % 2 else {"agreed": False}
        now = level.take({name: replace(each, **(change if name in names else {})) for name, each in said.items()})
        assert math.isnan(now.x_pa) if len(names) == 3 else now.x_pa == pytest.approx(usual)


def test_without_any_temperature_the_level_is_the_pressure_and_says_so():
    now = whole().take({name: state(name, temperature_k=math.nan) for name in SEGMENTS})
    assert now.x_pa == now.pressure_pa == 101325.0
    assert math.isnan(now.temperature_k)


def side(pressure_pa, temperature_k):
    return Level(
        x_pa=pressure_pa * T_REF_K / temperature_k,
        pressure_pa=pressure_pa,
        white_pa=1.0,
        coarse_pa=0.0,
        temperature_k=temperature_k,
    )


def watched(hours, *, passes, swing_k=0.1, seed=1):
    """A hatch between two bodies whose air warms and cools in different phases."""
    hatch = ClosedHatch(error_pa=3.4, apart_s=2700.0, limit=7.0)
    rng = np.random.default_rng(seed)
    for second in range(0, int(hours * 3600), 10):
        warm = [295.15 + swing_k * math.sin(math.tau * second / 5520 + phase) for phase in (0.0, 2.0)]
        own = [101325.0 * each / 295.15 for each in warm]
        pressures = [sum(own) / 2] * 2 if passes else own
        levels = [side(p + rng.normal(0, 1), t) for p, t in zip(pressures, warm, strict=True)]
        hatch.take(levels[0], levels[1], float(second))
    return hatch


@pytest.mark.parametrize("seed", range(3))
def test_a_closed_hatch_whose_sides_stay_equal_is_found_and_a_tight_one_is_not(seed):
    assert watched(12.0, passes=True, seed=seed).passes_air
    assert watched(48.0, passes=False, seed=seed).log_odds < 1.0


def test_without_a_difference_of_temperatures_nothing_is_claimed():
    assert watched(48.0, passes=True, swing_k=0.0).log_odds == pytest.approx(0.0, abs=0.1)


def test_pressures_that_differ_by_more_than_calibrations_allow_prove_a_closed_hatch():
    assert differ(state("prk", 100_000.0), state("zvezda"))
    assert not differ(state("prk", 101_290.0), state("zvezda"))
    assert not differ(state("prk", 100_000.0, agreed=False), state("zvezda"))
    assert not differ(state("prk", u95_pa=math.nan), state("zvezda"))
