from dataclasses import replace

import numpy as np
import pytest

from firmware_sim.physics.sensor import GRADES, Grade, SensingElement, Upset

SECOND = 1_000_000_000
STILL = Grade(noise_pa=0.0, drift_pa=0.0, step_pa=1e-6, temperature_pa=0.0, noise_k=0.0)


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
    grade = Grade(noise_pa=0.0, drift_pa=0.02, step_pa=1e-6, temperature_pa=0.0, noise_k=0.0)
    values = readings(element(grade), 4000, step_ns)
    assert values[0] == pytest.approx(101_325.0, abs=1e-5)
    assert np.std(np.diff(values)) == pytest.approx(0.02 * np.sqrt(step_ns / SECOND), rel=0.06)


def allan_deviations(values, spans):
    """Return the Allan deviation (overlapping) of readings at 1 Hz for spans in s."""
    total = np.concatenate([[0.0], np.cumsum(values - values[0])])
    deviations = []
    for span in spans:
        means = (total[span:] - total[:-span]) / span
        deviations.append(np.sqrt(np.mean((means[span:] - means[:-span]) ** 2) / 2))
    return np.array(deviations)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_white_noise_and_drift_are_recovered_by_an_allan_deviation(name):
    # variance = white^2 / span + drift^2 span / 3: each by least squares over spans where it shows
    grade = GRADES[name]
    # drift as strong as it will be after some weeks shows in the thousands of seconds that a test has time for
    strong = replace(grade, drift_pa=grade.noise_pa / 10)
    spans = np.array([1, 2, 4, 8, 16, 32, 64, 128])
    variances = np.mean(
        [allan_deviations(readings(element(strong, seed=seed), 8192), spans) ** 2 for seed in range(5)], 0
    )
    design = np.column_stack([1 / spans, spans / 3]) / variances[:, None]
    white, drift = np.sqrt(np.linalg.lstsq(design, np.ones(len(spans)), rcond=None)[0])
    assert white == pytest.approx(np.hypot(grade.noise_pa, grade.step_pa / np.sqrt(12)), rel=0.03)
    assert drift == pytest.approx(strong.drift_pa, rel=0.06)


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_drift_of_a_month_is_that_of_its_grade(name):
    grade = GRADES[name]
    days = [readings(element(grade, seed=seed), 30, 86_400 * SECOND) for seed in range(60)]
    walks = np.diff(np.array(days) - 101_325.0, axis=1)
    expected = np.sqrt(grade.drift_pa**2 * 86_400 + 2 * grade.noise_pa**2 + grade.step_pa**2 / 6)
    assert np.std(walks) == pytest.approx(expected, rel=0.05)
    assert abs(np.mean(walks)) < 3 * expected / np.sqrt(walks.size)


@pytest.mark.parametrize(
    ("name", "noise", "drift", "step", "per_k"),
    [
        ("A", 0.2, 1e-3, 0.01, 0.5),
        ("B", 1.0, 5e-3, 0.1, 1.6),
        ("C", 5.0, 2e-2, 2.44, 5.0),
        ("toy", 4.5, 0.0, 1.0, 0.0),
    ],
)
def test_grades_are_those_of_docs_physics(name, noise, drift, step, per_k):
    grade = GRADES[name]
    assert (grade.noise_pa, grade.drift_pa, grade.temperature_pa) == (noise, drift, per_k)
    assert grade.step_pa == pytest.approx(step, abs=0.005)


@pytest.mark.parametrize("name", GRADES)
def test_temperature_bends_each_grade_by_its_coefficient(name):
    grade = GRADES[name]
    warm, cool = (readings(element(grade, temperature_k=kelvin), 2000).mean() for kelvin in (305.15, 285.15))
    error = 3 * grade.noise_pa / np.sqrt(1000) + grade.drift_pa * np.sqrt(2000)
    assert (warm - cool) / 20 == pytest.approx(grade.temperature_pa, abs=error / 20 + 1e-3)


@pytest.mark.parametrize("name", GRADES)
def test_its_temperature_has_noise_too_around_the_true_one(name):
    sensor = element(GRADES[name])
    temperatures = np.array([sensor.read(at * SECOND)[1] for at in range(4000)])
    assert np.std(temperatures) == pytest.approx(GRADES[name].noise_k, rel=0.06)
    assert np.mean(temperatures) == pytest.approx(295.15, abs=GRADES[name].noise_k / 10)


def test_temperature_bends_the_pressure():
    grade = Grade(noise_pa=0.0, drift_pa=0.0, step_pa=1e-6, temperature_pa=5.0, noise_k=0.0)
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
    grade = Grade(noise_pa=0.0, drift_pa=1.0, step_pa=1e-6, temperature_pa=0.0, noise_k=0.0)
    sensor = element(grade)
    sensor.read(0)
    assert sensor.read(SECOND) == sensor.read(SECOND) == sensor.read(0)


def stepping(grade, *, low_pa=90_000.0, high_pa=100_000.0):
    """Make an element whose pressure steps up after 10 s."""
    return SensingElement(
        grade=grade, seed=1, name="p1", truth=lambda at: (high_pa if at > 10 * SECOND else low_pa, 295.15)
    )


def test_a_lagging_element_follows_in_its_time():
    sensor = stepping(replace(STILL, lag_s=5.0))
    assert sensor.read(0)[0] == sensor.read(10 * SECOND)[0] == pytest.approx(90_000)
    assert sensor.read(15 * SECOND)[0] == pytest.approx(100_000 - 10_000 * np.exp(-1))
    assert sensor.read(100 * SECOND)[0] == pytest.approx(100_000, abs=1e-3)


def test_a_creeping_element_shows_too_much_at_first_and_settles():
    sensor = stepping(replace(STILL, creep=1e-3, creep_s=1000.0))
    sensor.read(10 * SECOND)
    assert sensor.read(11 * SECOND)[0] == pytest.approx(100_010, abs=0.1)
    assert sensor.read(1011 * SECOND)[0] == pytest.approx(100_000 + 10 * np.exp(-1), abs=0.1)


def test_upsets_hold_until_the_next_in_whatever_order_they_are_told():
    sensor = element(STILL)
    for upset in (
        Upset(at_ns=30 * SECOND),
        Upset(at_ns=10 * SECOND, offset_pa=100.0, drift_pa_per_s=2.0),
        Upset(at_ns=20 * SECOND, stuck=True),
    ):
        sensor.upset(upset)
    values = [sensor.read(at * SECOND)[0] - 101_325 for at in (5, 10, 15, 25, 35)]
    assert values == pytest.approx([0, 100, 110, 0, 0], abs=1e-5)
