"""The leak benchmark made short: few seeds, the same code, and bounds that chance does not reach."""

import dataclasses
import math

import numpy as np
import pytest

from gateway.leak.detector import FALSE_ALARM_S
from gateway.leak.limit import delay_limit
from tests.benchmarks.leak import decay_law, false_alarms, lying_transducers, onset_delays, soak
from tests.benchmarks.leak.__main__ import DOCUMENT, parts, table
from tests.benchmarks.leak.baselines import Baselines, delays, drop_below_mean, fall_over
from tests.benchmarks.leak.levels import quiet_levels, ramp
from tests.benchmarks.leak.stations import industrial, least_delay_s

BY_NAME = {scenario.name: scenario for scenario in onset_delays.SCENARIOS}
SEEDS = 48
SHORT_WARM = 1500


@pytest.mark.parametrize("name", BY_NAME)
def test_leaks_are_found_near_the_limit_with_honest_intervals(name: str) -> None:
    scenario = BY_NAME[name]
    found = onset_delays.play(scenario, SEEDS, warm=400 if onset_delays.is_fast(scenario) else SHORT_WARM)
    coverage = np.array([onset_delays.covered(scenario, found, after) for after in (1.0, 2.0)])
    row = onset_delays.delay_row(scenario, found, coverage)
    assert row["passed"], row
    assert row["ratio"] > 0.9, "nobody is quicker than the limit"
    hits, total = coverage.sum(axis=0).tolist()
    assert hits / total >= 0.9 - 2.0 * math.sqrt(0.9 * 0.1 / SEEDS), "both estimates of a path are much alike"


def test_without_a_leak_alarms_are_as_rare_as_promised() -> None:
    """Months of the slow channel of an air body, days of its fast one."""
    row, _ = false_alarms.rows(6, 0)
    assert row["passed"], row


def test_what_happens_on_a_station_makes_no_leak() -> None:
    losses, _ = soak.alarms(12, days=5)
    assert losses.sum() <= 3


def test_the_law_of_a_decay_is_told_at_its_limit() -> None:
    _, noise, hours, _ = decay_law.CASES[0]
    right, wrong = decay_law.told(noise, hours, 4, 0)
    assert right == 1.0
    assert wrong == 0.0


@pytest.mark.parametrize("fault", ["stuck", "+30 sigma"])
def test_a_transducer_that_lies_is_named_and_makes_no_leak(fault: str) -> None:
    kind, delay_min, named = lying_transducers.play(fault, 4, apart=60)
    assert kind == "found"
    assert 0 < delay_min < 200
    assert named == {"a"}


def test_events_only_lengthen_the_limit() -> None:
    scenario = BY_NAME["B02 2020 five-fold, 0.27 -> 1.36 kg/day, repress"]
    plain = delay_limit(scenario.noise, scenario.loss_pa_s, FALSE_ALARM_S).mean_s
    assert least_delay_s(scenario, FALSE_ALARM_S, events=False) == pytest.approx(plain, rel=1e-6)
    assert plain < least_delay_s(scenario, FALSE_ALARM_S) < 2.0 * plain
    before = dataclasses.replace(scenario, events=(dataclasses.replace(scenario.events[0], at_s=-1e6),))
    assert least_delay_s(before, FALSE_ALARM_S) == pytest.approx(plain, rel=0.01)


def test_the_baselines_are_what_they_are_called() -> None:
    falling = 1e5 - 2e-3 * ramp(400, 100, 60.0) + np.zeros((1, 2))
    assert fall_over(falling, 60)[300:] / 60.0 == pytest.approx(np.full((100, 2), 2e-3))
    assert drop_below_mean(falling, 100)[399, 0] == pytest.approx(2e-3 * 60.0 * 49.5)
    noise = industrial(6, 60.0)
    baselines = Baselines(noise=noise, windows=(60,), mean=200, longest=200, design_pa_s=5e-4)
    thresholds = baselines.thresholds(800, 20, FALSE_ALARM_S, seed=1)
    leaking = quiet_levels(noise, 1200, 20, np.random.default_rng(2)) - 0.02 * ramp(1200, 600, 60.0)
    for mean, missed in delays(baselines.statistics(leaking), thresholds, 600, 600).values():
        assert missed == 0
        assert 1.0 <= mean < 60.0


def test_every_part_has_its_place_in_the_document_and_the_table_shows_its_rows() -> None:
    text = DOCUMENT.read_text()
    for name in parts():
        assert f"<!-- {name}: measured -->\n" in text
        assert f"<!-- {name}: end -->" in text
    row = {"name": "B99", "metric": "m", "limit": None, "measured": math.pi, "ratio": 1.5, "passed": False, "note": ""}
    shown = table([row, row | {"passed": None}], 3, 0).markdown()
    assert "| 3.142" in shown
    assert shown.count("MISSED: B99: m") == 1
