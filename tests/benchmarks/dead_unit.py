"""What one silent unit of eight costs the others."""

from functools import partial
from statistics import median
from typing import Final

from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.line import in_real_time, in_virtual_time

_BAUD: Final = 19200
_SECONDS: Final = 15.0
_REPETITIONS: Final = 3
_VIRTUAL_S: Final = 120.0
_DEAD: Final = "silence:p3"
_LEAST_KEPT: Final = 0.9


def measure() -> Table:
    """Compare good polls a second with and without the silent unit, in real and in virtual time."""
    real = interleaved(
        {
            "healthy": partial(in_real_time, _BAUD, _SECONDS),
            "dead": partial(in_real_time, _BAUD, _SECONDS, faults=[_DEAD]),
        },
        repetitions=_REPETITIONS,
    )
    rates = {name: [run.polls_per_s for run in runs] for name, runs in real.items()}
    kept = {
        f"real time, {_BAUD} baud": [
            dead / healthy for dead, healthy in zip(rates["dead"], rates["healthy"], strict=True)
        ]
    }
    rows = [(f"real time, {_BAUD} baud", spread(rates["healthy"]), spread(rates["dead"]))]
    for baud in (9600, _BAUD, 115200):
        healthy, dead = (in_virtual_time(baud, _VIRTUAL_S, faults=faults).polls_per_s for faults in ([], [_DEAD]))
        rows.append((f"virtual time, {baud} baud", f"{healthy:.1f}", f"{dead:.1f}"))
        kept[rows[-1][0]] = [dead / healthy]
    return Table(
        conditions=(
            "The line of rtu-line; unit 3 does not answer from the start. Good polls a second of all units together;"
            f" real time: {_SECONDS:g} s a run, {_REPETITIONS} interleaved runs, median (lowest..highest)."
        ),
        columns=("where", "healthy, polls/s", "unit 3 silent, polls/s", "kept"),
        rows=tuple((*row, spread(kept[row[0]], ".1%")) for row in rows),
        checks=(
            Check(
                text="a dead unit costs at most 10 % of the healthy throughput",
                met=all(median(each) >= _LEAST_KEPT for each in kept.values()),
                found=f"{min(median(each) for each in kept.values()):.1%} kept",
                aim="95%",
            ),
        ),
    )
