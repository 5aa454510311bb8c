"""One topic a reading: what it costs to publish each value of 1,000 channels ten times a second on its own topic."""

from functools import partial
from statistics import median
from typing import Final
from unittest.mock import patch

from gateway.mqtt import publisher
from tests.benchmarks.gateway_load import Run, gateway_load, loaded
from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.tcp_load import load_text

_SECONDS: Final = 5.0
_REPETITIONS: Final = 3
_MOST_CPU_S: Final = 3.0
_UNITS: Final = 20
_CHANNELS: Final = 50


def _run() -> Run:
    text = load_text(units=_UNITS, values=_CHANNELS, batch="1 s", poll="0.1 s")
    with patch.object(publisher, "_LATEST_S", 0.1), patch.object(publisher, "_JITTER_S", 0.05):
        return loaded(text, partial(gateway_load, settle_s=3.0), _SECONDS)


def measure() -> Table:
    """Measure it."""
    runs = interleaved({"gateway": _run}, repetitions=_REPETITIONS)["gateway"]
    cpu_s = [1e5 * run.core / run.got_per_s for run in runs]
    return Table(
        conditions=(
            f"{_UNITS} units of {_CHANNELS} float32 on one Modbus TCP port, polled ten times a second, and, for this"
            " benchmark, each reading retained on its channel's own topic at QoS 1 (a gateway in use does that once a"
            " second), besides 1 s batches; mosquitto and mosquitto_sub;"
            f" {_SECONDS:g} s a run, {_REPETITIONS} runs, median (lowest..highest)."
        ),
        columns=("CPU s per 100,000 messages", "of a core", "messages/s at the subscriber"),
        rows=(
            (
                spread(cpu_s, ".2f"),
                spread([run.core for run in runs], ".1%"),
                spread([run.got_per_s for run in runs], ",.0f"),
            ),
        ),
        checks=(
            Check(
                text="3 CPU s per 100,000 messages",
                met=median(cpu_s) <= _MOST_CPU_S,
                found=f"{median(cpu_s):.2f}",
                aim="1.5",
            ),
        ),
    )
