import json
import math

import numpy as np
import pytest

from gateway.leak.detector import Detector, fast_detector, parity_detector, slow_detector
from gateway.leak.noise import Noise
from tests.benchmarks.leak.levels import quiet_levels, ramp

SECOND = Noise(white_pa=0.4, drift_pa=0.002, air_pa=1.0, air_s=600.0, step_s=1.0)
LOSS_PA_S = 0.3


def leaking(
    loss_pa_s: float, *, before: int = 400, after: int = 120, noise: Noise = SECOND, seed: int = 1
) -> list[float]:
    x_pa = quiet_levels(noise, before + after, 1, np.random.default_rng(seed))
    x_pa -= loss_pa_s * ramp(before + after, before, noise.step_s)
    levels: list[float] = x_pa[:, 0].tolist()
    return levels


def first_alarm(detector: Detector, levels: list[float]) -> tuple[int, object]:
    for place, x_pa in enumerate(levels):
        verdict = detector.take(x_pa)
        if verdict.alarm:
            return place, verdict
    return -1, None


def test_the_statistic_is_the_sum_of_exact_likelihood_ratios() -> None:
    """By matrices, with gaps, an unknown level and another one after a reset: nothing of the filter is used."""
    slopes, samples, reset = [0.05, 0.4], 14, 8
    x_pa = quiet_levels(SECOND, samples, 1, np.random.default_rng(2))[:, 0] - 0.3 * ramp(samples, 4, 1.0)[:, 0]
    x_pa[[3, 10]] = math.nan
    x_pa[reset:] += 1000.0
    detector = Detector(SECOND, longest_s=1000.0, false_alarm_s=1e6, slopes_pa_s=slopes)
    detector._onsets.__init__(2, kept=20, certified=False)  # room for every onset
    detector.__dict__.update(_match=np.zeros((1, 20)), _energy=np.zeros((1, 20)))
    detector._linear, detector._quadratic, detector._ratios = (np.zeros((1, 20, 2)) for _ in range(3))
    detector._whitener.level, detector._whitener.air = np.zeros(21), np.zeros(21)
    detector._values = np.zeros(21)
    for place, each in enumerate(x_pa.tolist()):
        if place == reset:
            detector.reset_level()
        found = detector.take(each).log_statistic

    there = np.flatnonzero(np.isfinite(x_pa))
    times = there * 1.0
    walk = SECOND.drift_pa**2 * np.minimum.outer(times, times)
    air = SECOND.air_pa**2 * np.exp(-np.abs(np.subtract.outer(times, times)) / SECOND.air_s)
    covariance = np.eye(len(there)) * SECOND.white_pa**2 + walk + air
    unknown = np.column_stack([there < reset, there >= reset]).astype(float)
    inverse = np.linalg.inv(covariance)
    free = inverse - inverse @ unknown @ np.linalg.inv(unknown.T @ inverse @ unknown) @ unknown.T @ inverse
    ratio = 0.0
    for onset in range(samples):
        lost = -np.maximum(there - onset + 1.0, 0.0)
        for slope in slopes:
            ratio += math.exp(slope * lost @ free @ x_pa[there] - slope**2 / 2 * lost @ free @ lost)
    assert found == pytest.approx(math.log(ratio / len(slopes)), abs=1e-6)


@pytest.mark.parametrize("certified", [False, True])
def test_a_loss_is_found_with_onset_and_slope(certified: bool) -> None:
    place, verdict = first_alarm(fast_detector(SECOND, certified=certified), leaking(LOSS_PA_S))
    assert 400 < place < 440
    assert verdict.kind == "leak"
    assert abs(verdict.since_s - (place - 399)) < 15
    assert verdict.slope_pa_s == pytest.approx(LOSS_PA_S, rel=0.5)
    assert verdict.log_statistic >= verdict.log_threshold


def test_a_rise_is_a_class_of_its_own() -> None:
    place, verdict = first_alarm(fast_detector(SECOND), leaking(-LOSS_PA_S))
    assert 400 < place < 440
    assert verdict.kind == "gain"
    assert verdict.slope_pa_s == pytest.approx(-LOSS_PA_S, rel=0.5)


def test_a_known_leak_is_no_news_but_its_change_is() -> None:
    detector = fast_detector(SECOND)
    detector.known_slope_pa_s = LOSS_PA_S
    steady = np.array(leaking(0.0)) - LOSS_PA_S * np.arange(520)
    assert first_alarm(detector, steady.tolist()) == (-1, None)
    detector = fast_detector(SECOND)
    detector.known_slope_pa_s = LOSS_PA_S
    doubled = steady - LOSS_PA_S * ramp(520, 400, 1.0)[:, 0]
    place, verdict = first_alarm(detector, doubled.tolist())
    assert 400 < place < 440
    assert verdict.slope_pa_s == pytest.approx(LOSS_PA_S, rel=0.5)
    assert first_alarm(fast_detector(SECOND), steady.tolist())[0] > 0


def test_a_step_that_was_announced_raises_no_alarm_and_blinds_only_shortly() -> None:
    step = np.where(np.arange(520) >= 300, -50.0, 0.0)
    quiet = np.array(leaking(0.0)) + step
    assert first_alarm(fast_detector(SECOND), quiet.tolist())[0] == 300
    for words in ({}, {"moved_pa": -48.0, "extra_variance_pa2": 4.0}):
        found = []
        for levels in (quiet, np.array(leaking(LOSS_PA_S)) + step):
            detector = fast_detector(SECOND)
            assert first_alarm(detector, levels[:300].tolist())[0] == -1
            detector.reset_level(**words)
            found.append(first_alarm(detector, levels[300:].tolist())[0])
        assert found[0] == -1
        assert 100 < found[1] < 150


def test_missing_samples_cost_time_not_alarms() -> None:
    levels = np.array(leaking(LOSS_PA_S))
    levels[50:350] = math.nan
    levels[::3] = math.nan
    place, _ = first_alarm(fast_detector(SECOND), levels.tolist())
    assert 400 < place < 450


def test_only_some_paths_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 samples are missing"):
        fast_detector(SECOND, paths=2).advance(np.array([1e5, math.nan]))


def test_paths_do_not_touch_each_other() -> None:
    x_pa = quiet_levels(SECOND, 200, 3, np.random.default_rng(4))
    together, alone = fast_detector(SECOND, paths=3), fast_detector(SECOND)
    for row in x_pa:
        both = together.advance(row)[:, 1].copy()
        assert np.allclose(alone.advance(row[1:2])[:, 0], both)


def test_a_restored_detector_goes_on_as_the_first() -> None:
    levels = leaking(LOSS_PA_S)
    first, second = fast_detector(SECOND), fast_detector(SECOND)
    for x_pa in levels[:410]:
        first.take(x_pa)
    second.restore(json.loads(json.dumps(first.state())))
    assert [first.take(x_pa) for x_pa in levels[410:]] == [second.take(x_pa) for x_pa in levels[410:]]


def test_the_state_of_another_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be gone on from"):
        fast_detector(SECOND).restore(slow_detector(SECOND.resampled(60.0)).state())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"longest_s": 0.5}, "longest_s"),
        ({"false_alarm_s": math.nan}, "false_alarm_s"),
        ({"slopes_pa_s": [0.0]}, "above 0"),
    ],
)
def test_impossible_settings_are_refused(words: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Detector(SECOND, **words)


def test_no_level_is_too_large_for_it() -> None:
    detector = fast_detector(SECOND)
    for x_pa in (1e5, 1e5, -1e12, 1e12, 1e5, math.inf, -math.inf):
        assert math.isfinite(detector.take(x_pa).log_statistic)


def test_noise_larger_than_configured_is_said_and_allowed_for() -> None:
    """Twice the noise: a detector that believed in its setting would raise an alarm every minute or so."""
    loud = Noise(white_pa=0.8, drift_pa=0.004, air_pa=2.0, air_s=600.0, step_s=1.0)
    detector = fast_detector(SECOND, paths=50)
    x_pa = quiet_levels(loud, 2500, 50, np.random.default_rng(12))
    alarms = np.array([detector.advance(row).max(axis=0) >= detector.log_threshold for row in x_pa])
    assert np.all(np.abs(detector.inflation - 2.0) < 0.5)
    assert not alarms[600:].any()
    single = fast_detector(SECOND)
    assert [single.take(x) for x in x_pa[:, 0].tolist()][-1].inflated == pytest.approx(detector.inflation[0])


def test_certified_statistics_have_at_most_the_mean_that_the_theorem_needs() -> None:
    """The mean of a certified statistic is at most the number of samples; of a small slope it is nearly reached."""
    detector = Detector(SECOND, longest_s=64.0, false_alarm_s=1e6, slopes_pa_s=[0.02], certified=True, paths=4000)
    for row in quiet_levels(SECOND, 60, 4000, np.random.default_rng(13)):
        statistics = np.exp(detector.advance(row))
    assert np.all(statistics.mean(axis=1) < 1.02 * 60)
    assert np.all(statistics.mean(axis=1) > 0.5 * 60)


def test_a_drifting_transducer_is_found_by_its_parity_and_a_leak_is_not() -> None:
    noise = Noise(white_pa=0.9, drift_pa=0.03, step_s=60.0)
    rng = np.random.default_rng(14)
    parities = 40.0 + quiet_levels(noise, 2600, 1, rng)[:, 0] - 1e5
    assert first_alarm(parity_detector(noise), parities.tolist())[0] == -1
    drifting = parities + 600.0 / 86400.0 * ramp(2600, 1500, 60.0)[:, 0]
    place, verdict = first_alarm(parity_detector(noise), drifting.tolist())
    assert place > 1500
    assert verdict.kind == "gain"
