"""Before and after a repair: verdicts, significance, and the two ratios of E2930."""

import math
from dataclasses import replace

import pytest

from gateway.leak.repair_check import Decay, Repair, check_repair

LEAKING = Decay(slope_pa_s=0.1, slope_sd_pa_s=0.002, seconds=36_000.0, start_pa=97_000.0, end_pa=93_400.0)
TIGHT = Decay(slope_pa_s=0.0005, slope_sd_pa_s=0.002, seconds=36_000.0, start_pa=97_000.0, end_pa=96_982.0)
LIMITS = {"allowed_pa_s": 0.01, "resolution_pa": 2.44, "accuracy_pa": 16.0}


def test_a_repair_that_worked_is_tight_and_significant():
    found = check_repair(LEAKING, TIGHT, **LIMITS)
    assert found.verdict is Repair.TIGHT
    assert found.reasons == ()
    assert found.change_pa_s == pytest.approx(0.0995)
    assert found.change_ci95_pa_s == pytest.approx((0.0995 - 0.00554, 0.0995 + 0.00554), abs=1e-5)
    assert found.significance < 1e-100
    assert found.resolution_ratio == pytest.approx(360 / 2.44)
    assert found.accuracy_ratio == pytest.approx(22.5)
    assert found.drop == pytest.approx(3600 / 97_000)


@pytest.mark.parametrize(
    ("slope_pa_s", "verdict"),
    [
        (0.0066, Repair.TIGHT),
        (0.0068, Repair.BETTER),  # 1.645 standard deviations reach the limit
        (0.05, Repair.BETTER),
        (0.0990, Repair.NO_DIFFERENCE),
        (0.1, Repair.NO_DIFFERENCE),
        (0.12, Repair.WORSE),
    ],
)
def test_the_verdict_follows_the_rate_afterwards(slope_pa_s, verdict):
    assert check_repair(LEAKING, replace(TIGHT, slope_pa_s=slope_pa_s), **LIMITS).verdict is verdict


def test_two_standard_deviations_are_a_significance_of_5_percent():
    sd = math.hypot(0.002, 0.002)
    found = check_repair(LEAKING, replace(LEAKING, slope_pa_s=0.1 - 1.96 * sd), **LIMITS)
    assert found.significance == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"seconds": 2000.0}, "8.2 times the resolution, 10 are needed: test 1.2 times as long"),
        ({"seconds": 6000.0}, "3.8 times the accuracy, 4 are needed: test 1.1 times as long"),
        ({"end_pa": 87_000.0}, "moved by 10% in the test after, less than 10 % is needed"),
    ],
)
def test_a_test_that_could_not_tell_says_why_and_what_to_do(change, reason):
    found = check_repair(LEAKING, replace(TIGHT, **change), **LIMITS)
    assert found.verdict is Repair.NOT_VALID
    assert any(reason in each for each in found.reasons)


@pytest.mark.parametrize("word", ["slope_pa_s", "slope_sd_pa_s", "seconds", "start_pa", "end_pa"])
def test_a_decay_that_is_none_is_refused(word):
    with pytest.raises(ValueError, match="decay test"):
        replace(LEAKING, **{word: math.nan})


@pytest.mark.parametrize("word", sorted(LIMITS))
def test_limits_must_be_above_zero(word):
    with pytest.raises(ValueError, match="repair check"):
        check_repair(LEAKING, TIGHT, **{**LIMITS, word: 0.0})
