"""How long the detector is silent when nothing leaks, measured over more than ten years, and what a decision costs."""

import math
import time
from typing import Any, Final

import numpy as np

from gateway.leak.detector import FALSE_ALARM_S, Detector, fast_detector, slow_detector
from tests.benchmarks.leak.levels import Array, quiet_levels
from tests.benchmarks.leak.stations import DAY_S, industrial

_YEAR_S: Final = 365.25 * DAY_S
_OVER: Final = 3.0  # logarithm under the threshold at which an alarm is over, and the next one counts again
_SLOW_S: Final = 10.5 * _YEAR_S  # watched when all seeds run
_FAST_S: Final = 120 * DAY_S
_FAST_RUNS: Final = 5  # of that, with all seeds: one false alarm in 120 days is its share, and few tell nothing
_ALL_SEEDS: Final = 200
_MOST_US: Final = 100.0
_TIMED: Final = 5000


class AlarmCount:
    """Counts alarms of some paths: rises over the threshold, each once until the statistic is low again."""

    def __init__(self, detector: Detector, paths: int) -> None:
        self._detector = detector
        self._on = np.zeros((2, paths), dtype=bool)
        self.alarms = np.zeros((2, paths), dtype=int)  # of losses, of gains

    def take(self, statistics: Array) -> None:
        """Take both statistics of all paths after a sample."""
        over = statistics >= self._detector.log_threshold
        self.alarms += over & ~self._on
        self._on = over | (self._on & (statistics > self._detector.log_threshold - _OVER))


def count_alarms(detector: Detector, x_pa: Array, warm: int) -> Array:
    """Return alarms of losses and of gains of each path, shape (2, paths), after so many samples that do not count."""
    count = AlarmCount(detector, x_pa.shape[1])
    for place, row in enumerate(x_pa):
        statistics = detector.advance(row)
        if place >= warm:
            count.take(statistics)
    return count.alarms


def microseconds_a_decision() -> float:
    """Return the CPU time of one `take` of the fast channel."""
    noise = industrial(6, 1.0)
    detector = fast_detector(noise)
    levels = quiet_levels(noise, _TIMED, 1, np.random.default_rng(1))[:, 0].tolist()
    begin_s = time.process_time()
    for x_pa in levels:
        detector.take(x_pa)
    return (time.process_time() - begin_s) / _TIMED * 1e6


def rows(seeds: int, first: int) -> list[dict[str, Any]]:
    """Return the rows of the benchmark's table."""
    part = min(seeds / _ALL_SEEDS, 1.0)
    slow = _watched("slow", seeds, first, _SLOW_S * part, runs=1)
    fast = _watched("fast", seeds, first, _FAST_S * part, runs=max(round(_FAST_RUNS * part), 1))
    # an alarm that has not come yet is taken for one that comes now
    each_s = [row["watched_s"] / max(row["alarms"], 1) for row in (slow, fast)]
    both_days = 1.0 / sum(1.0 / each for each in each_s) / DAY_S
    cost_us = microseconds_a_decision()
    return [
        {
            "name": "no leak",
            "metric": "ARL0, both channels of a body, days",
            "limit": FALSE_ALARM_S / DAY_S,
            "measured": both_days,
            "ratio": both_days * DAY_S / FALSE_ALARM_S,
            "passed": both_days * DAY_S >= FALSE_ALARM_S if part == 1.0 else not any(map(_surely_more, (slow, fast))),
            "note": f"slow: {slow['note']}; fast: {fast['note']}",
        },
        {
            "name": "cost",
            "metric": "CPU of a decision, fast channel, us",
            "limit": _MOST_US,
            "measured": cost_us,
            "ratio": cost_us / _MOST_US,
            "passed": cost_us <= _MOST_US,
            "note": "one body, on this machine",
        },
    ]


def _surely_more(row: dict[str, Any], error: float = 0.01) -> bool:
    """Say whether there are more alarms than chance allows one that holds what it promises: for short runs."""
    expected = row["watched_s"] / FALSE_ALARM_S
    fewer = sum(expected**count / math.factorial(count) for count in range(row["alarms"])) * math.exp(-expected)
    return 1.0 - fewer < error


def _watched(channel: str, paths: int, first: int, run_s: float, *, runs: int) -> dict[str, Any]:
    """Watch all paths for `run_s` together, so many times."""
    step_s, warm, make = (60.0, 4200, slow_detector) if channel == "slow" else (1.0, 1200, fast_detector)
    noise = industrial(6, step_s)
    samples = math.ceil(run_s / paths / step_s)
    losses = gains = 0
    for run in range(runs):
        x_pa = quiet_levels(noise, warm + samples, paths, np.random.default_rng([5, first, run]))
        alarms = count_alarms(make(noise, paths=paths), x_pa, warm).sum(axis=1)
        losses, gains = losses + int(alarms[0]), gains + int(alarms[1])
    watched_s = runs * samples * paths * step_s
    days = watched_s / DAY_S
    each = f"{days / losses:.1f} days each" if losses else "none"
    return {
        "watched_s": watched_s,
        "alarms": losses,
        "note": f"{losses} alarms in {days / 365.25:.2f} years ({each}), and {gains} of gains",
    }
