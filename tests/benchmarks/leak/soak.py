"""B10: thirty days with everything that happens on a station but a leak.

The noise is what the product itself finds in five quiet days before, harmonics and all; nothing else is set.
"""

import math
from typing import Any, Final

import numpy as np

from gateway.leak.detector import slow_detector
from gateway.leak.noise import Noise, identify
from tests.benchmarks.leak.false_alarms import AlarmCount
from tests.benchmarks.leak.levels import Array
from tests.benchmarks.leak.stations import DAY_S, Event, Scenario, industrial, levels, tell

_MMHG_PA: Final = 133.322
_DAYS: Final = 30
_WARM_DAYS: Final = 3
_QUIET_DAYS: Final = 5
# what thermometers leave of the swings of temperature, 3 % of 0.1 K an orbit and of 0.3 K a day, at 343 Pa/K
_HARMONICS: Final = ((92 * 60.0, 1.0), (DAY_S, 3.0))
_EXPECTED: Final = 1.0
_MOST: Final = 3

_REPRESS: Final = tuple(
    Event(at_s=day * DAY_S, moved_pa=3 * _MMHG_PA, sd_pa=0.005 * 3 * _MMHG_PA) for day in (4.2, 11.7, 19.3, 26.1)
)
_UNKNOWN: Final = tuple(
    Event(at_s=day * DAY_S)
    for day in (2.4, 7.5, 7.8, 13.0, 13.3, 22.6)  # docking, hatches, an EVA's airlock, undocking
)
_STATION: Final = Scenario(
    name="B10 soak of 30 days, no leak",
    volume_m3=1005.0,
    noise=industrial(6, 60.0),
    loss_kg_day=0.0,
    crew=7,
    events=(*_REPRESS, *_UNKNOWN),
)


def _harmonics(samples: int, paths: int, rng: np.random.Generator) -> Array:
    times_s = np.arange(samples)[:, np.newaxis] * _STATION.noise.step_s
    return sum(
        amplitude_pa * np.sin(2.0 * math.pi * (times_s / period_s + rng.random(paths)))
        for period_s, amplitude_pa in _HARMONICS
    )


def found_noise(first: int = 0) -> Noise:
    """Return what the product finds in quiet days of the station."""
    samples = round(_QUIET_DAYS * DAY_S / _STATION.noise.step_s)
    rng = np.random.default_rng([21, first])
    quiet = Scenario(name="", volume_m3=_STATION.volume_m3, noise=_STATION.noise, loss_kg_day=0.0, crew=_STATION.crew)
    x_pa = levels(quiet, 0, samples, 1, rng) + _harmonics(samples, 1, rng)
    return identify(x_pa[:, 0], _STATION.noise.step_s).cautious


def alarms(paths: int, *, days: int = _DAYS, first: int = 0) -> Array:
    """Return the alarms of losses and of gains of each path, shape (2, paths)."""
    step_s = _STATION.noise.step_s
    warm, samples = (round(each * DAY_S / step_s) for each in (_WARM_DAYS, days))
    rng = np.random.default_rng([22, first])
    x_pa = levels(_STATION, warm, warm + samples, paths, rng) + _harmonics(warm + samples, paths, rng)
    detector = slow_detector(found_noise(first), paths=paths)
    count = AlarmCount(detector, paths)
    for place, row in enumerate(x_pa):
        tell(detector, _STATION, (place - warm) * step_s)
        statistics = detector.advance(row)
        if place >= warm:
            count.take(statistics)
    return count.alarms


def rows(seeds: int, first: int) -> list[dict[str, Any]]:
    """Return the rows of the benchmark's table."""
    losses, gains = alarms(seeds, first=first)
    mean = float(losses.mean())
    noise = found_noise(first)
    return [
        {
            "name": _STATION.name,
            "metric": "false alarms of leaks, slow channel",
            "limit": _EXPECTED,
            "measured": mean,
            "ratio": mean / _EXPECTED,
            "passed": mean <= _EXPECTED,
            "note": (
                f"{np.mean(losses > _MOST):.1%} of {seeds} stations had more than {_MOST};"
                f" gains {float(gains.mean()):.2f};"
                f" noise found: white {noise.white_pa:.2f} Pa, drift {noise.drift_pa:.4f} Pa/sqrt(s),"
                f" air {noise.air_pa:.1f} Pa over {noise.air_s / 60.0:.0f} min"
            ),
        }
    ]
