"""Bounds against independently computed ones: steady Kalman filters by scipy, generalised least squares by matrices."""

import math

import numpy as np
import pytest

from gateway.leak.limit import delay_limit, slope_sd
from gateway.leak.noise import Noise
from tests.benchmarks.leak.stations import DAY_S, industrial, slope_of


@pytest.mark.parametrize(
    ("kg_per_day", "volume_m3", "noise", "mean_s", "median_s"),
    [
        (0.27, 916.0, industrial(6, 60.0), 403.66 * 60, 400 * 60),
        (1.09, 916.0, industrial(6, 60.0), 125.75 * 60, 126 * 60),
        (0.635029318, 1005.0, industrial(6, 60.0), 215.14 * 60, 215 * 60),
        (0.67, 425.0, industrial(4, 60.0), 100.14 * 60, 100 * 60),
        (0.67, 425.0, industrial(4, 60.0, air_pa=17.0, air_s=3600.0), 365.47 * 60, 369 * 60),
        (39.5, 932.0, industrial(6, 1.0), 98.28, 96),
        (986.7, 1005.0, industrial(6, 1.0), 7.0, 7),
    ],
)
def test_least_delays_at_one_false_alarm_in_thirty_days(
    kg_per_day: float, volume_m3: float, noise: Noise, mean_s: float, median_s: float
) -> None:
    limit = delay_limit(noise, slope_of(kg_per_day, volume_m3), 30 * DAY_S)
    assert limit.mean_s == pytest.approx(mean_s, rel=1e-3)
    assert limit.median_s == median_s


def test_a_leak_too_small_for_the_samples_looked_at_has_no_limit() -> None:
    assert math.isinf(delay_limit(industrial(6, 60.0), 1e-9, 30 * DAY_S, samples=100).mean_s)


@pytest.mark.parametrize(
    "noise",
    [
        Noise(white_pa=0.5, step_s=60.0),
        Noise(white_pa=0.1, drift_pa=5e-3, step_s=60.0),
        Noise(white_pa=0.2, drift_pa=1e-3, air_pa=3.4, air_s=2700.0, step_s=60.0),
    ],
)
def test_the_least_error_of_a_slope_is_that_of_least_squares(noise: Noise) -> None:
    times = np.arange(300) * noise.step_s
    covariance = (
        np.eye(300) * noise.white_pa**2
        + noise.drift_pa**2 * np.minimum.outer(times, times)
        + noise.air_pa**2 * np.exp(-np.abs(np.subtract.outer(times, times)) / noise.air_s)
    )
    design = np.column_stack([np.ones(300), times])
    exact = np.sqrt(np.linalg.inv(design.T @ np.linalg.solve(covariance, design))[1, 1])
    assert slope_sd(noise, 300 * noise.step_s) == pytest.approx(exact, rel=1e-6)
