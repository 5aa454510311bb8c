import numpy as np
import pytest

from firmware_sim.physics.sensor import GRADES, Grade, SensingElement

SECOND = 1_000_000_000
STILL = Grade(noise_pa=0.0, drift_pa=0.0, step_pa=1e-6, temperature_pa=0.0)


def element(grade, *, seed=1, name="p1", pressure_pa=101_325.0, temperature_k=295.15):
    return SensingElement(grade=grade, seed=seed, name=name, truth=lambda _at_ns: (pressure_pa, temperature_k))


def readings(sensor, count, step_ns=SECOND):
    return np.array([sensor.read(at * step_ns)[0] for at in range(count)])


@pytest.mark.parametrize("name", GRADES)
def test_noise_is_that_of_the_grade(name):
    grade = GRADES[name]
    values = readings(element(grade), 4000)
    noise = np.std(np.diff(values)) / np.sqrt(2)
    assert noise == pytest.approx(np.hypot(grade.noise_pa, grade.step_pa / np.sqrt(12)), rel=0.06)


@pytest.mark.parametrize("name", GRADES)
def test_readings_are_whole_steps(name):
    steps = readings(element(GRADES[name]), 50) / GRADES[name].step_pa
    assert steps == pytest.approx(np.round(steps), abs=1e-6)


@pytest.mark.parametrize("step_ns", [SECOND, 100 * SECOND])
def test_drift_grows_with_the_square_root_of_time(step_ns):
    grade = Grade(noise_pa=0.0, drift_pa=0.02, step_pa=1e-6, temperature_pa=0.0)
    values = readings(element(grade), 4000, step_ns)
    assert values[0] == pytest.approx(101_325.0, abs=1e-5)
    assert np.std(np.diff(values)) == pytest.approx(0.02 * np.sqrt(step_ns / SECOND), rel=0.06)


def test_temperature_bends_the_pressure_and_is_itself_the_true_one():
    grade = Grade(noise_pa=0.0, drift_pa=0.0, step_pa=1e-6, temperature_pa=5.0)
    pressure_pa, temperature_k = element(grade, temperature_k=297.15).read(0)
    assert pressure_pa == pytest.approx(101_335.0)
    assert temperature_k == 297.15


def test_an_ideal_element_gives_the_truth():
    assert readings(element(STILL), 5) == pytest.approx([101_325.0] * 5)


def test_history_depends_on_seed_name_and_times_only():
    def history(**more):
        return readings(element(GRADES["C"], **more), 5000).tolist()

    assert history() == history()
    assert history() != history(seed=2)
    assert history() != history(name="p2")


def test_reading_again_at_one_moment_or_before_adds_no_drift():
    grade = Grade(noise_pa=0.0, drift_pa=1.0, step_pa=1e-6, temperature_pa=0.0)
    sensor = element(grade)
    sensor.read(0)
    assert sensor.read(SECOND) == sensor.read(SECOND) == sensor.read(0)
