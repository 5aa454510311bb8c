"""Coolant loops: what is missing, alarms within seconds, litres with an interval that covers, hole or seep."""

import math
from dataclasses import replace

import numpy as np
import pytest

from gateway.leak.coolant import LoopNoise, LoopWatch, assess
from tests.benchmarks.leak.coolant_loop import LOOP, NOISE, hole_m3_s, played


def test_pressure_and_temperature_tell_what_is_missing():
    lost = 0.002
    half = np.array(LOOP.pressure_pa * LOOP.gas_m3 / (LOOP.gas_m3 + lost))
    assert float(LOOP.lost_m3(half, np.array(LOOP.temperature_k))) == pytest.approx(lost)


def test_warmth_alone_is_no_loss():
    warm_k = LOOP.temperature_k + 3
    gas_m3 = LOOP.gas_m3 - LOOP.liquid_m3 * LOOP.expansion_per_k * 3
    assert gas_m3 - LOOP.gas_m3 == pytest.approx(-52.8e-6 * 3)
    pressure = np.array(LOOP.pressure_pa * LOOP.gas_m3 / gas_m3)
    assert float(LOOP.lost_m3(pressure, np.array(warm_k))) == pytest.approx(0.0, abs=1e-12)


def test_a_hole_of_ms_22_loses_what_was_published():
    assert hole_m3_s() * 60e3 == pytest.approx(0.555, rel=0.01)
    assert LOOP.hole_m(hole_m3_s(), LOOP.pressure_pa) == pytest.approx(0.8e-3)
    assert LOOP.hole_m(-1.0, LOOP.pressure_pa) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_alarm_comes_within_three_seconds_and_not_before(seed):
    record = played(np.random.default_rng(seed), seconds=240, onset_s=200.3, rate_m3_s=hole_m3_s())
    watch = LoopWatch(LOOP, NOISE)
    states = [watch.take(*each) for each in zip(record.pressure_pa, record.temperature_k, strict=True)]
    alarm = next(index for index, state in enumerate(states) if state.alarm)
    assert 200.3 < alarm <= 203.3
    assert states[alarm].since_s <= 4
    assert record.lost_m3[alarm] <= 28e-6


def test_a_seep_is_found_by_the_long_means():
    record = played(np.random.default_rng(6), seconds=6000, onset_s=3000.0, rate_m3_s=0.02e-6, power=1.0)
    watch = LoopWatch(LOOP, NOISE)
    states = [watch.take(*each) for each in zip(record.pressure_pa, record.temperature_k, strict=True)]
    alarm = next(index for index, state in enumerate(states) if state.alarm)
    assert alarm > 3000
    assert states[alarm].since_s > 100


def test_a_quiet_loop_in_orbit_stays_quiet_and_a_missing_sample_counts_as_none():
    record = played(np.random.default_rng(7), seconds=3000, onset_s=math.inf, rate_m3_s=0.0)
    watch = LoopWatch(LOOP, NOISE)
    for index, each in enumerate(zip(record.pressure_pa, record.temperature_k, strict=True)):
        state = watch.take(math.nan, each[1]) if index % 100 == 99 else watch.take(*each)
        assert not state.alarm
        assert math.isnan(state.lost_m3) == (index % 100 == 99)


def test_a_stuck_zero_is_a_missing_sample_not_a_loss():
    watch = LoopWatch(LOOP, NOISE)
    for pressure_pa in (LOOP.pressure_pa, LOOP.pressure_pa, 0.0, -5.0):
        state = watch.take(pressure_pa, LOOP.temperature_k)
    assert not state.alarm
    assert math.isnan(state.lost_m3)


def test_after_a_restart_the_step_of_a_refill_is_no_loss():
    watch = LoopWatch(LOOP, NOISE)
    for _ in range(50):
        watch.take(LOOP.pressure_pa, LOOP.temperature_k)
    assert watch.take(LOOP.pressure_pa - 20_000, LOOP.temperature_k).alarm
    watch.restart()
    assert not any(watch.take(LOOP.pressure_pa - 20_000, LOOP.temperature_k).alarm for _ in range(50))


@pytest.mark.parametrize(("power", "law"), [(0.5, "hole"), (1.0, "seep")])
def test_litres_rate_and_law_once_the_pressure_has_fallen(power, law):
    covered = rates = 0
    for seed in range(20):
        record = played(np.random.default_rng(seed), seconds=420, onset_s=200.4, rate_m3_s=hole_m3_s(), power=power)
        loss = assess(LOOP, NOISE, record.times_s, record.pressure_pa, record.temperature_k)
        rate = hole_m3_s() * (1 + record.lost_m3[-1] / LOOP.gas_m3) ** -power
        assert loss.law == law
        assert loss.onset_s == pytest.approx(200.4, abs=0.3)
        covered += loss.lost_ci95_m3[0] <= record.lost_m3[-1] <= loss.lost_ci95_m3[1]
        rates += loss.rate_ci95_m3_s[0] <= rate <= loss.rate_ci95_m3_s[1]
    assert covered >= 16
    assert rates >= 16


def test_soon_after_the_onset_hole_and_seep_are_not_told_apart():
    record = played(np.random.default_rng(1), seconds=220, onset_s=200.0, rate_m3_s=hole_m3_s())
    assert assess(LOOP, NOISE, record.times_s, record.pressure_pa, record.temperature_k).law is None


def test_gas_volume_that_is_not_known_well_widens_the_interval():
    record = played(np.random.default_rng(1), seconds=400, onset_s=200.0, rate_m3_s=hole_m3_s())
    loss = assess(
        replace(LOOP, gas_relative_sigma=0.1), NOISE, record.times_s, record.pressure_pa, record.temperature_k
    )
    width = loss.lost_ci95_m3[1] - loss.lost_ci95_m3[0]
    assert width == pytest.approx(2 * 1.96 * 0.1 * loss.lost_m3, rel=0.02)


def test_missing_samples_are_left_out():
    record = played(np.random.default_rng(2), seconds=420, onset_s=200.0, rate_m3_s=hole_m3_s())
    holed = record.pressure_pa.copy()
    holed[::7] = np.nan
    loss = assess(LOOP, NOISE, record.times_s, holed, record.temperature_k)
    assert loss.law == "hole"
    assert loss.lost_m3 == pytest.approx(record.lost_m3[-1], rel=0.01)


def test_too_few_samples_are_refused():
    few = np.full(20, np.nan)
    with pytest.raises(ValueError, match="0 samples with a value are too few"):
        assess(LOOP, NOISE, np.arange(20.0), few, few)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: replace(LOOP, gas_m3=0.0),
        lambda: replace(LOOP, expansion_per_k=-1.0),
        lambda: LoopNoise(white_pa=0.0, slow_pa=1.0, slow_s=1.0),
        lambda: LoopWatch(LOOP, NOISE, step_s=0.0),
        lambda: LoopWatch(LOOP, NOISE, false_alarm_s=10.0),
    ],
)
def test_what_makes_no_sense_is_refused(spoil):
    with pytest.raises(ValueError, match="coolant loop"):
        spoil()
