import numpy as np
import pytest

from firmware_sim.physics.climate import STILL, Climate, Temperatures

NAMES = ("a", "b", "c")
DAY = 86_400.0


def course(climate, times, *, names=NAMES, seed=1):
    temperatures = Temperatures(names, climate, seed=seed, start_k=293.15)
    return np.array([temperatures.at(at) for at in times])


def test_it_starts_where_it_is_told_and_is_still_without_a_climate():
    assert course(Climate(), [0.0])[0] == pytest.approx(293.15)
    assert (course(STILL, [0.0, 1e5, -30.0]) == 293.15).all()


def test_orbit_and_day_swing_by_half_to_all_of_their_amplitude():
    for climate, period_s in ((Climate(orbit_k=0.2, day_k=0, wander_k=0), 5520), (Climate(orbit_k=0, wander_k=0), DAY)):
        values = course(climate, np.linspace(0, period_s, 500))
        amplitude = max(climate.orbit_k, climate.day_k)
        swing = values.max(0) - values.min(0)
        assert (swing > amplitude * 0.99).all()
        assert (swing < amplitude * 2.01).all()
        assert values[-1] == pytest.approx(values[0], abs=1e-9)


def test_wandering_has_the_deviation_and_the_memory_that_it_was_given():
    climate = Climate(orbit_k=0, day_k=0, wander_k=0.05, wander_s=2700)
    names = tuple(f"s{number}" for number in range(20))
    values = course(climate, np.arange(0, 20 * DAY, 300), names=names)
    values -= values.mean(0)
    assert values.std() == pytest.approx(0.05, rel=0.05)
    assert (values[9:] * values[:-9]).mean() / values.var() == pytest.approx(np.exp(-1), abs=0.05)


def test_a_moment_is_the_same_in_any_order_and_whoever_else_is_there():
    times = [5 * DAY, 0.0, 100.0, 3 * DAY, -30.0]
    ahead = course(Climate(), times)
    assert (course(Climate(), times[::-1])[::-1] == ahead).all()
    assert (course(Climate(), times, names=("x", "b")).T[1] == ahead.T[1]).all()
    assert (course(Climate(), times, seed=2)[0] != ahead[0]).all()


def test_transducers_share_an_error_of_their_segment():
    temperatures = Temperatures(NAMES, Climate(error_k=0.01), seed=1, start_k=293.15)
    errors = np.array([temperatures.error_at(at) for at in np.arange(0, 40 * DAY, 600)])
    assert errors.std(0) == pytest.approx(0.01, rel=0.1)
    assert abs(np.corrcoef(errors.T)[0, 1]) < 0.1
    assert (Temperatures(NAMES, Climate(), seed=1, start_k=293.15).error_at(DAY) == 0).all()
