import math

import numpy as np
import pytest

from gateway.leak.noise import Noise, identify
from gateway.leak.noise_watch import NoiseWatch
from tests.benchmarks.leak.levels import quiet_levels

STATION = Noise(white_pa=0.26, drift_pa=0.008, air_pa=3.0, air_s=2700.0, step_s=60.0)


@pytest.mark.parametrize(
    "truth",
    [STATION, Noise(white_pa=0.65, drift_pa=0.02, air_pa=17.0, air_s=3600.0), Noise(white_pa=0.15, drift_pa=0.01)],
)
def test_quiet_days_tell_the_noise_within_the_stated_error(truth: Noise) -> None:
    x_pa = quiet_levels(truth, 5 * 1440, 4, np.random.default_rng(11)) - 2e-4 * 60 * np.arange(5 * 1440)[:, np.newaxis]
    for path in x_pa.T:
        found = identify(path, 60.0)
        for place, name in enumerate(("white_pa", "drift_pa", "air_pa", "air_s")):
            true, sd = getattr(truth, name), found.relative_sd[place]
            if true and (truth.air_pa or not name.startswith("air")) and sd < 0.5:
                assert abs(math.log(getattr(found.noise, name) / true)) < 3.5 * sd, name
        assert found.relative_sd[0] < 0.3
        assert found.cautious.white_pa > found.noise.white_pa


def test_a_second_of_data_in_a_hundred_may_be_missing() -> None:
    x_pa = quiet_levels(STATION, 3000, 1, np.random.default_rng(3))[:, 0]
    x_pa[::100] = math.nan
    assert identify(x_pa, 60.0).noise.white_pa == pytest.approx(0.26, rel=0.3)


@pytest.mark.parametrize(
    ("x_pa", "says"),
    [
        (np.ones(100), "at least 500"),
        (np.where(np.arange(1000) % 3, 1.0, np.nan), "at most 5% missing"),
        (np.full(1000, 1e5), "is it frozen"),
    ],
)
def test_data_that_cannot_tell_are_refused(x_pa: np.ndarray, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        identify(x_pa, 60.0)


@pytest.mark.parametrize(
    ("words", "says"), [({"white_pa": 0.0}, "white_pa"), ({"white_pa": 1.0, "air_s": math.nan}, "air_s")]
)
def test_an_impossible_noise_is_refused(words: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Noise(**words)


def test_means_over_a_minute_have_the_same_drift_and_less_white() -> None:
    fast = Noise(white_pa=2.0, drift_pa=0.01, air_pa=3.0, step_s=1.0)
    assert fast.resampled(60.0) == Noise(white_pa=2.0 / math.sqrt(60.0), drift_pa=0.01, air_pa=3.0, step_s=60.0)


def inflation_after(samples: int, normalised: np.ndarray) -> np.ndarray:
    watch = NoiseWatch(normalised.shape[1])
    for each in normalised[:samples]:
        watch.take(each)
    return watch.inflation


def test_noise_as_configured_is_hardly_ever_called_larger() -> None:
    inflation = inflation_after(4000, np.random.default_rng(5).standard_normal((4000, 200)))
    assert np.mean(inflation > 1.0) < 0.03


def test_noise_a_quarter_larger_is_found_by_its_variance() -> None:
    inflation = inflation_after(3000, 1.25 * np.random.default_rng(6).standard_normal((3000, 200)))
    assert np.mean(inflation > 1.3) > 0.99
    assert np.median(inflation) == pytest.approx(1.25**2, rel=0.15)


def test_noise_of_right_size_that_is_not_white_is_found_by_its_sums() -> None:
    white = np.random.default_rng(7).standard_normal((6000, 50))
    slow = np.repeat(np.random.default_rng(8).standard_normal((60, 50)), 100, axis=0)
    inflation = inflation_after(6000, math.sqrt(0.95) * white + math.sqrt(0.05) * slow)
    assert np.all(inflation > 1.2)


def test_a_puncture_is_not_taken_for_noise() -> None:
    normalised = np.random.default_rng(9).standard_normal((2000, 1))
    normalised[-5:] = -30.0
    assert inflation_after(2000, normalised)[0] < 1.3
