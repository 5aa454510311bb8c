"""A thousand transducers at 1 Hz from forty Modbus TCP ports to a broker, and what a value costs with ever more."""

from functools import partial
from itertools import pairwise
from statistics import median
from typing import Final

from tests.benchmarks.fleet_scale import fleet_text
from tests.benchmarks.gateway_load import Run, gateway_load, loaded
from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.plot import log_log

_SECONDS: Final = 10.0
_SETTLE_S: Final = 5.0  # until every unit has said who it is
_REPETITIONS: Final = 3
_MOST_OF_A_CORE: Final = 0.15
_LEAST_POLLED: Final = 0.99
_CONDITIONS: Final = (
    "mosquitto and mosquitto_sub, 1 s batches, each channel's own topic once a second, all at QoS 1;"
    f" {_SECONDS:g} s a run after {_SETTLE_S:g} s, median (lowest..highest) of runs: {{repetitions}}. CPU is that of"
    " the gateway's process, which has a core of its own; load server, broker and subscriber share the other."
)
_GROWTH: Final = {10: (1, 5), 100: (2, 25), 1_000: (20, 25), 9_900: (198, 25)}
"""Channels -> buses and units on each, two channels a unit; 10,000 topics of a gateway are what its outbox takes."""
_GROWTH_REPETITIONS: Final = 2
_NOT_RISING: Final = 1.1  # runs differ by that much


def _run(buses: int, units: int, settle_s: float) -> Run:
    text = fleet_text("modbus-tcp", buses=buses, units=units)
    return loaded(text, partial(gateway_load, settle_s=settle_s), _SECONDS)


def measure() -> Table:
    """Measure a thousand transducers."""
    runs = interleaved({"gateway": partial(_run, 40, 25, _SETTLE_S)}, repetitions=_REPETITIONS)["gateway"]
    return Table(
        conditions=(
            "1,000 transducers with pressure and temperature, 25 on each of 40 Modbus TCP ports, polled once a second; "
            + _CONDITIONS.format(repetitions=_REPETITIONS)
        ),
        columns=("of a core", "CPU s per 100,000 values", "values/s", "messages/s at the subscriber"),
        rows=(
            (
                spread([run.core for run in runs], ".1%"),
                spread([run.cpu_s for run in runs], ".2f"),
                spread([run.values_per_s for run in runs], ",.0f"),
                spread([run.got_per_s for run in runs], ",.0f"),
            ),
        ),
        checks=(
            Check(
                text="1,000 transducers take 15 % of a core",
                met=median([run.core for run in runs]) <= _MOST_OF_A_CORE,
                found=f"{median([run.core for run in runs]):.1%}",
                aim="8%",
            ),
            Check(
                text="99 % of the polls bring good values",
                met=median([run.values_per_s for run in runs]) >= _LEAST_POLLED * 2000,
            ),
        ),
    )


def growth() -> Table:
    """Measure ten to ten thousand channels."""
    runs = interleaved(
        {channels: partial(_run, *size, _SETTLE_S) for channels, size in _GROWTH.items()},
        repetitions=_GROWTH_REPETITIONS,
    )
    costs = [median([run.cpu_s for run in each]) for each in runs.values()]
    return Table(
        conditions=(
            "Transducers with pressure and temperature at 1 Hz, up to 25 on a Modbus TCP port; "
            + _CONDITIONS.format(repetitions=_GROWTH_REPETITIONS)
        ),
        columns=("channels", "CPU s per 100,000 values", "of a core", "values/s"),
        rows=tuple(
            (
                f"{channels:,}",
                spread([run.cpu_s for run in each], ".2f"),
                spread([run.core for run in each], ".1%"),
                spread([run.values_per_s for run in each], ",.0f"),
            )
            for channels, each in runs.items()
        ),
        checks=(
            Check(
                text="a value of many channels costs no more than one of few",
                met=all(after <= _NOT_RISING * before for before, after in pairwise(costs)),
                found=", ".join(f"{cost:.1f}" for cost in costs),
                aim="falling",
            ),
        ),
        plot=log_log(
            {channels: [run.cpu_s for run in each] for channels, each in runs.items()},
            x="channels at 1 Hz",
            y="CPU s per 100,000 values",
        ),
    )
