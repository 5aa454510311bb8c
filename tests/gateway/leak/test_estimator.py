import math

import numpy as np
import pytest

from gateway.leak.estimator import Estimate, _middle_95, estimate
from gateway.leak.noise import Noise
from tests.benchmarks.leak.levels import START_PA, quiet_levels, ramp

MINUTE = Noise(white_pa=0.3, drift_pa=0.008, air_pa=3.0, air_s=2700.0, step_s=60.0)
CHAMBER = Noise(white_pa=0.65, drift_pa=0.02, air_pa=17.0, air_s=3600.0, step_s=60.0)
TIMES_S = 1000.0 + np.arange(900) * 60.0
SLOPE_PA_S = 0.002
CHAMBER_PA = 97325.0
CHAMBER_S = 110 * 3600.0


def fits(slope_pa_s: float, onset: int, paths: int, seed: int) -> list[Estimate]:
    x_pa = quiet_levels(MINUTE, 900, paths, np.random.default_rng(seed)) - slope_pa_s * ramp(900, onset, 60.0)
    return [estimate(TIMES_S, path, MINUTE) for path in x_pa.T]


def test_the_interval_holds_the_true_slope_and_onset_about_95_times_in_100() -> None:
    found = fits(SLOPE_PA_S, 500, 60, 1)
    holds = [each.ci95[0] <= SLOPE_PA_S <= each.ci95[1] for each in found]
    began = [each.onset_ci95[0] <= TIMES_S[499] <= each.onset_ci95[1] for each in found]
    assert 0.88 <= np.mean(holds) <= 1.0
    assert np.mean(began) >= 0.88
    assert np.mean([each.slope_pa_s for each in found]) == pytest.approx(SLOPE_PA_S, rel=0.1)
    assert np.mean([each.ci95[1] - each.ci95[0] for each in found]) < 0.6 * SLOPE_PA_S
    assert np.mean([each.older_than_data for each in found]) < 0.1


def test_a_leak_older_than_the_data_is_known_as_such() -> None:
    found = fits(SLOPE_PA_S, 0, 10, 2)
    assert np.mean([each.older_than_data for each in found]) > 0.5


def test_a_gain_is_a_negative_slope() -> None:
    assert fits(-SLOPE_PA_S, 500, 1, 3)[0].ci95[1] < 0.0


def test_gaps_and_an_existing_leak_change_nothing() -> None:
    x_pa = quiet_levels(MINUTE, 900, 1, np.random.default_rng(4))[:, 0] - SLOPE_PA_S * ramp(900, 500, 60.0)[:, 0]
    alone = estimate(TIMES_S, x_pa, MINUTE)
    existing = 0.001
    both = estimate(TIMES_S, x_pa - existing * (TIMES_S - TIMES_S[0]), MINUTE, known_slope_pa_s=existing)
    assert both.slope_pa_s == pytest.approx(alone.slope_pa_s + existing, rel=1e-6)
    x_pa[::7] = math.nan
    assert estimate(TIMES_S, x_pa, MINUTE).slope_pa_s == pytest.approx(alone.slope_pa_s, rel=0.2)


@pytest.mark.parametrize("law", ["orifice", "crack"])
def test_the_law_of_a_closed_chamber_is_told_when_its_curve_shows(law: str) -> None:
    for hours, sure in ((1.0, False), (30.0, True)):
        times = np.arange(round(hours * 60)) * 60.0
        left = np.exp(-times / CHAMBER_S) if law == "orifice" else 1.0 / (1.0 + times / CHAMBER_S)
        noise = quiet_levels(CHAMBER, len(times), 1, np.random.default_rng(5))[:, 0] - START_PA
        found = estimate(times, CHAMBER_PA * left + noise, CHAMBER, onset_s=0.0)
        true = CHAMBER_PA / CHAMBER_S * left[-1] ** (1 if law == "orifice" else 2)
        assert found.ci95[0] < true < found.ci95[1]
        assert found.law == (law if sure else None)
    later_s = times[-1] + 24 * 3600.0
    true = CHAMBER_PA * (math.exp(-later_s / CHAMBER_S) if law == "orifice" else 1.0 / (1.0 + later_s / CHAMBER_S))
    forecast = found.forecast(later_s)
    assert forecast.low_pa < true < forecast.high_pa
    assert forecast.high_pa - forecast.low_pa < 0.01 * true


def test_while_the_law_is_not_known_the_forecast_is_the_lowest_a_line() -> None:
    found = fits(SLOPE_PA_S, 500, 1, 6)[0]
    assert found.law is None
    ahead = found.forecast(found.time_s + 86400.0)
    assert ahead.level_pa == pytest.approx(found.level_pa - found.slope_pa_s * 86400.0)
    assert ahead.low_pa < found.level_pa - found.ci95[1] * 86400.0 + 1.0
    assert found.level_pa == pytest.approx(START_PA - SLOPE_PA_S * 400 * 60.0, abs=12.0)


def test_many_samples_are_averaged_and_say_the_same() -> None:
    fast = MINUTE.resampled(10.0)
    times = np.arange(5400) * 10.0
    x_pa = quiet_levels(fast, 5400, 1, np.random.default_rng(7))[:, 0] - SLOPE_PA_S * ramp(5400, 3000, 10.0)[:, 0]
    found = estimate(times, x_pa, fast)
    assert found.ci95[0] < SLOPE_PA_S < found.ci95[1]


@pytest.mark.parametrize(
    ("times_s", "x_pa", "says"),
    [
        (np.arange(4.0), np.ones(4), "wait for 5"),
        (np.arange(9.0), np.full(9, math.nan), "from 0 samples"),
        (np.zeros(9), np.ones(9), "must rise"),
        (np.arange(9.0), np.ones(8), "differ in shape"),
    ],
)
def test_data_that_make_no_estimate_are_refused(times_s: np.ndarray, x_pa: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        estimate(times_s, x_pa, MINUTE)


def test_an_onset_after_the_data_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be seen"):
        estimate(np.arange(9.0), np.ones(9), MINUTE, onset_s=8.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_an_unlikely_onset_with_a_wild_slope_leaves_the_mean_in_its_interval(sign: float) -> None:
    """Found by the soak: a reserve time with a slope outside its interval is none, and ended the leak watch."""
    chances, means, variances = np.array([0.985, 0.015]), sign * np.array([0.0, 10.0]), np.full(2, 1e-4)
    low, high = _middle_95(chances, means, variances)
    assert low <= chances @ means <= high
    assert high - low == pytest.approx(0.17, abs=0.01), "and no wider than that"
