"""A coolant loop against closed forms and the published loss of Soyuz MS-22."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.physics.climate import ORBIT_S, Climate, loop_temperature
from firmware_sim.physics.coolant import Breach, Filling, Loop, hole, seep

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
MS22 = Filling(volume_m3=0.044, gas_m3=0.006, stroke_m3=0.005, pressure_pa=304e3)


def still(_at_ns):
    return 295.15


def loop(filling=MS22, temperature=still, **breaches):
    made = Loop(filling, temperature)
    for name, breach in breaches.items():
        made.breach(name, breach, 0)
    return made


def litres_a_minute(made, at_ns):
    return (made.lost_m3(at_ns + SECOND) - made.lost_m3(at_ns)) * 60e3


def test_a_whole_loop_has_its_pressure_and_feels_the_warmth_of_its_liquid():
    assert loop().feel(HOUR) == (304e3, 295.15)
    warmer = loop(temperature=lambda _: 296.15).feel(0)[0]
    assert warmer / 304e3 - 1 == pytest.approx(0.0088, abs=1e-4)  # 52.8 mL more liquid in 6 L of gas
    assert warmer == pytest.approx(304e3 * 6 / (6 - 0.0528))


def test_a_hole_of_ms22_sprays_half_a_litre_a_minute_at_first():
    made = loop(hole=hole(0.8e-3))
    assert litres_a_minute(made, 0) == pytest.approx(0.555, abs=0.001)
    assert litres_a_minute(made, 0) * 60 * 0.69 == pytest.approx(23, abs=0.1)  # kg/h


def test_its_pressure_halves_in_about_eleven_minutes_and_is_that_of_vapour_within_thirty():
    made = loop(hole=hole(0.8e-3))
    halved = next(second for second in range(3600) if made.feel(second * SECOND)[0] < 152e3)
    assert halved / 60 == pytest.approx(11, abs=1)
    assert made.feel(30 * MINUTE)[0] == 3000.0
    assert made.lost_m3(3 * HOUR) < 0.020  # it boils off for hours
    assert litres_a_minute(made, 3 * HOUR) == pytest.approx(0.0551, abs=2e-4)
    assert made.feel(20 * HOUR)[0] == 0
    assert made.lost_m3(20 * HOUR) == pytest.approx(0.044)


def test_a_hole_under_a_moving_spring_follows_the_closed_form():
    # with V = gas + lost: V' = c / sqrt(V), so V^1.5 = V0^1.5 + 1.5 c t
    made = loop(hole=hole(0.5e-3))
    area = 0.62 * math.pi * 0.25e-3**2
    speed = area * math.sqrt(2 * 304e3 * 0.006 / 690)
    for seconds in (1.5, 100, 777):
        volume = (0.006**1.5 + 1.5 * speed * seconds) ** (2 / 3)
        assert made.lost_m3(round(seconds * SECOND)) == pytest.approx(volume - 0.006, rel=1e-6)
        assert made.feel(round(seconds * SECOND))[0] == pytest.approx(304e3 * 0.006 / volume, rel=1e-7)


def test_a_seep_goes_with_the_pressure():
    made = loop(seep=seep(10e-3 / 3600, MS22))
    first, last = litres_a_minute(made, 0), litres_a_minute(made, 100 * HOUR)
    assert first * 60 * 0.69 == pytest.approx(10e-3, rel=1e-4)  # kg/h
    assert last / first == pytest.approx(made.feel(100 * HOUR)[0] / 304e3, rel=1e-4)


def test_a_breach_ends_and_another_adds():
    made = loop(one=hole(0.5e-3))
    made.breach("two", hole(0.5e-3), MINUTE)
    made.breach("one", None, 2 * MINUTE)
    made.breach("two", None, 3 * MINUTE)
    before, both, after = (litres_a_minute(made, at * SECOND) for at in (58, 61, 121))
    assert both == pytest.approx(2 * before, rel=0.02)
    assert after == pytest.approx(before, rel=0.15)
    assert made.lost_m3(3 * MINUTE) == made.lost_m3(HOUR) > 0.6e-3


def test_thirty_millilitres_are_gone_within_seconds_of_the_hole():
    made = loop(hole=hole(0.8e-3))
    assert 9e-6 < made.lost_m3(SECOND) < made.lost_m3(3 * SECOND) < 28e-6


def test_its_temperature_swings_with_the_orbit_from_where_it_starts():
    course = loop_temperature("radiator", Climate(loop_k=3.0), seed=1, start_k=295.15)
    values = [course(round(ORBIT_S * share * SECOND / 200)) for share in range(201)]
    assert values[0] == pytest.approx(295.15)
    assert values[-1] == pytest.approx(295.15)
    assert max(values) - min(values) == pytest.approx(6.0, abs=0.01)
    assert loop_temperature("other", Climate(), seed=1, start_k=0)(HOUR) != course(HOUR) - 295.15


@settings(max_examples=20, deadline=None)
@given(
    moments=st.lists(st.integers(0, 3 * HOUR), min_size=1, max_size=5),
    told=st.integers(0, 3 * HOUR),
    at=st.integers(-HOUR, 2 * HOUR),
    area_m2=st.floats(1e-9, 1e-6),
)
def test_order_changes_nothing_and_no_liquid_comes_back(moments, told, at, area_m2):
    course = loop_temperature("radiator", Climate(loop_k=3.0), seed=1, start_k=295.15)
    early, late = loop(temperature=course, first=hole(0.3e-3)), loop(temperature=course, first=hole(0.3e-3))
    early.breach("second", Breach(area_m2=area_m2), at)
    late.feel(told)
    late.breach("second", Breach(area_m2=area_m2), at)
    assert [early.feel(each) for each in moments] == [late.feel(each) for each in moments]
    lost = [early.lost_m3(each) for each in sorted(moments)]
    assert lost == sorted(lost)
    assert lost[-1] <= 0.044
