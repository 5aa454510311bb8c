"""How well a slope is known, against the closed forms of the three noises."""

import numpy as np
import pytest

from gateway.leak.slope import SlopeNoise

DAY_S = 86_400.0
LITTLE = 1e-6


@pytest.mark.parametrize(
    ("noise", "expected_pa_s"),
    [
        ({"white_pa": 1.0, "drift_pa": 0.0, "air_pa": 0.0, "air_s": 1.0}, np.sqrt(12 / DAY_S**3)),
        ({"white_pa": LITTLE, "drift_pa": 5e-3, "air_pa": 0.0, "air_s": 1.0}, 5e-3 / np.sqrt(DAY_S)),
        ({"white_pa": LITTLE, "drift_pa": 0.0, "air_pa": 3.4, "air_s": 600.0}, np.sqrt(24 * 3.4**2 * 600 / DAY_S**3)),
    ],
    ids=["white", "drift", "air"],
)
def test_each_noise_alone_meets_its_closed_form_after_a_day(noise, expected_pa_s):
    assert float(SlopeNoise.of(**noise).at(DAY_S)) == pytest.approx(expected_pa_s, rel=0.03)


def test_a_published_figure():
    """10 mK for 45 min, one industrial sensor, 1005 m3: 1 sigma is 1.25 kg/day after an hour, 0.25 after six."""
    noise = SlopeNoise.of(white_pa=5.0, drift_pa=2e-2, air_pa=3.4, air_s=2700.0)
    kg_per_day = noise.at(np.array([3600.0, 21_600.0])) * 1005 / (287.05 * 295.15) * DAY_S
    assert kg_per_day == pytest.approx([1.25, 0.25], rel=0.03)


def test_the_time_for_a_precision_undoes_the_precision_of_a_time():
    noise = SlopeNoise.of(white_pa=5.0, drift_pa=2e-2, air_pa=17.0, air_s=3600.0)
    times = np.geomspace(200, 20 * DAY_S, 30)
    assert noise.seconds_for(noise.at(times)) == pytest.approx(times, rel=1e-6)


def test_what_no_month_can_tell_takes_for_ever():
    noise = SlopeNoise.of(white_pa=5.0, drift_pa=2e-2, air_pa=17.0, air_s=3600.0)
    assert np.isinf(noise.seconds_for(1e-9))


def test_a_known_level_halves_the_error_of_a_slope_at_most():
    """White noise: 3 instead of 12 sigma^2 / T^3 when the level is known."""
    words = {"white_pa": 1.0, "drift_pa": 0.0, "air_pa": 0.0, "air_s": 1.0}
    fresh, known = SlopeNoise.of(**words), SlopeNoise.of(**words, before_s=1e9)
    assert 0.5 < float(known.at(3600.0) / fresh.at(3600.0)) < 0.75


@pytest.mark.parametrize("word", ["white_pa", "drift_pa", "air_pa", "air_s"])
def test_noise_that_is_none_is_refused(word):
    words = {"white_pa": 1.0, "drift_pa": 0.0, "air_pa": 0.0, "air_s": 1.0}
    with pytest.raises(ValueError, match="noise"):
        SlopeNoise.of(**{**words, word: -1.0})
