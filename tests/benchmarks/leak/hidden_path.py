"""B09: PrK, closed, stops falling, and the station begins to lose 0.9 kg/day through the seal of its hatch (June 2025).

The hatch was closed long before, so the levels are known when it begins; the station's slope alone decides.
"""

from functools import partial
from itertools import pairwise
from typing import Any, Final

import numpy as np

from gateway.leak.aim import flow_pa_m3_s
from gateway.leak.localise import Evidence, Suspect, judge
from gateway.leak.slope import SlopeNoise
from gateway.leak.tree import Passage
from tests.benchmarks.leak.row import ERROR, most_wrong, row

_row = partial(row, "B09 June 2025")
_DAY_S: Final = 86_400.0
_MINUTE_S: Final = 60.0
_LIMIT_MIN: Final = 161.0  # when the station's slope alone can be seen by the best detector, one false alarm in 30 days
_RATIO: Final = 1.35
_FLOW: Final = flow_pa_m3_s(0.9 / _DAY_S)
_FLOW_KNOWN: Final = 0.05  # from the months before, as a fraction
_SENSORS: Final = 6
_STATION_M3: Final = 1005.0
_PRIOR: Final = {"prk": 20.0, "zvezda": 3.0, "rest": 19.0}
_VOLUMES: Final = {("prk",): 6.0, ("zvezda", "rest"): _STATION_M3 - 6.0}
_PASSAGES: Final = (
    Passage(hatch="prk--zvezda", ends=("prk", "zvezda"), close_s=900.0),
    Passage(hatch="zvezda--rest", ends=("zvezda", "rest"), close_s=900.0),
)
_NOISE: Final = SlopeNoise.of(
    white_pa=5.0 / _SENSORS**0.5, drift_pa=2e-2 / _SENSORS**0.5, air_pa=3.0, air_s=2700.0, before_s=_DAY_S
)
_LOOKS: Final = np.arange(5, 24 * 60, 5) * _MINUTE_S


def judged(case: str, generator: np.random.Generator) -> tuple[float, Suspect]:
    """Watch until the verdict is in: return minutes since the hatch was closed, and the verdict.

    Args:
        case: who loses air: "station" (PrK is fed), "prk" (as before), or "nobody".
        generator: of the noise.
    """
    falling = {"station": ("zvezda", "rest"), "prk": ("prk",), "nobody": ()}[case]
    information = 1 / _NOISE.at(_LOOKS) ** 2
    fresh = np.array([information[0], *(later - before for before, later in pairwise(information))])
    noise = np.cumsum(generator.standard_normal((len(_VOLUMES), len(_LOOKS))) * np.sqrt(fresh), axis=1)
    for look, seconds in enumerate(_LOOKS):
        evidence = [
            Evidence(
                segments=frozenset(segments),
                volume_m3=volume,
                volume_relative_sigma=0.1 if segments == ("prk",) else 0.02,
                slope_pa_s=_FLOW / volume * (segments == falling) + noise[body, look] / information[look],
                slope_sd_pa_s=information[look] ** -0.5,
                seconds=float(seconds),
            )
            for body, (segments, volume) in enumerate(_VOLUMES.items())
        ]
        found = judge("prk", (_FLOW, _FLOW * _FLOW_KNOWN), _PRIOR, evidence, _PASSAGES)
        if found.verdict is not Suspect.UNDECIDED:
            return float(seconds) / _MINUTE_S, found.verdict
    return float("inf"), Suspect.UNDECIDED


def rows(seeds: int, first: int) -> list[dict[str, Any]]:
    """Return the rows of the benchmark's table."""
    generator = np.random.default_rng([2025, first])
    wanted = {"station": Suspect.HIDDEN_PATH, "prk": Suspect.LEAKS, "nobody": Suspect.HOLDS}
    games = {case: [judged(case, generator) for _ in range(seeds)] for case in wanted}
    minutes = float(np.mean([each for each, _ in games["station"]]))
    found = [_row("minutes to the verdict", _LIMIT_MIN, minutes, passed=minutes <= _RATIO * _LIMIT_MIN)]
    for case, verdict in wanted.items():
        wrong = sum(each is not verdict for _, each in games[case])
        note = f"{wrong} of {seeds}; {case} loses air, right is '{verdict}'"
        found.append(
            _row(f"wrong verdicts, {case}", ERROR, wrong / seeds, passed=wrong <= most_wrong(seeds), note=note)
        )
    quiet = sum(each is Suspect.HOLDS for _, each in games["station"])
    metric = "called 'holds' while the station loses"
    found.append(_row(metric, ERROR, quiet / seeds, passed=quiet <= most_wrong(seeds), note=f"{quiet} of {seeds}"))
    return found
