"""How much of a core the leak watch of a whole station takes: voting, levels, detectors, drift, search."""

import time
from itertools import pairwise
from statistics import median
from typing import Final

import numpy as np

from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import Rig
from drivers.units import UNITS
from gateway.leak.watch import StationWatch
from tests.benchmarks.harness import Check, Table, spread

_SEGMENTS: Final = 22
_TRANSDUCERS: Final = 48
_SECONDS: Final = 600
_WARM_UP_S: Final = 200
_LEAK_S: Final = 400
_REPETITIONS: Final = 3
_MOST: Final = 0.05  # of one core


def _rig(state: str) -> Rig:
    """Return a chain of segments."""
    names = [f"s{number}" for number in range(_SEGMENTS)]
    return Rig.model_validate(
        {
            "station": {"id": "benchmark", "gateway": "g"},
            "segment": {name: {"volume": "45 m3"} for name in names},
            "hatch": [{"between": [one, other], "state": state} for one, other in pairwise(names)],
            "bus": {"b": {"kind": "serial", "port": "-"}},
            "transducer": {
                f"t{number}": {
                    "model": "keller-33x",
                    "bus": "b",
                    "unit": number + 1,
                    "segment": names[number % _SEGMENTS],
                }
                for number in range(_TRANSDUCERS)
            },
        }
    )


def _share(rig: Rig) -> float:
    """Return the CPU time for each second of readings, after the noise is learned; half of it with a leak."""
    watch, rng = StationWatch(rig, 0.0), np.random.default_rng(1)
    channels = {
        name: tuple(
            Channel(transducer=name, quantity=what, unit=UNITS[unit])
            for what, unit in (("pressure", "Pa"), ("temperature", "K"))
        )
        for name in rig.transducers
    }
    good = np.full(2, Quality.GOOD, dtype=np.uint8)
    nothing = np.full(2, Reason.NONE, dtype=np.uint8)
    spent_s = 0.0
    for second in range(_SECONDS):
        pressure = 101_325.0 - max(second - _LEAK_S, 0) * 0.05
        values = rng.normal((pressure, 295.15), (5.0, 0.002), (_TRANSDUCERS, 2))
        polls = [
            Readings(
                channels=channels[name],
                values=row,
                quality=good,
                reasons=nothing,
                raw=row,
                time_s=second + 0.5,
                uncertainty_s=0.0,
            )
            for name, row in zip(rig.transducers, values, strict=True)
        ]
        begin_s = time.process_time()
        for poll in polls:
            watch.take(poll)
        for _ in watch.advance(second + 1.6):
            pass
        watch.news()
        for _ in watch.observations():
            pass
        if second >= _WARM_UP_S:
            spent_s += time.process_time() - begin_s
    return spent_s / (_SECONDS - _WARM_UP_S)


def measure() -> Table:
    """Time the watch with all hatches open and with all of them closed."""
    shares = {state: [_share(_rig(state)) for _ in range(_REPETITIONS)] for state in ("open", "closed")}
    return Table(
        conditions=(
            f"{_SEGMENTS} segments, {_TRANSDUCERS} transducers, one reading a second each, {_REPETITIONS} runs, median"
            " (lowest..highest); everything from readings to findings, half of the time with a leak."
        ),
        columns=("hatches", "air bodies", "share of one core, %"),
        rows=tuple(
            (state, str(1 if state == "open" else _SEGMENTS), spread([100 * each for each in values], ".2f"))
            for state, values in shares.items()
        ),
        checks=(
            Check(
                text="all analysis in less than 5 % of one core",
                met=all(median(values) < _MOST for values in shares.values()),
            ),
        ),
    )
