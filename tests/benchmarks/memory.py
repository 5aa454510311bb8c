"""What `manovac run` needs for 48 transducers: memory, and the time from its start to its first reading."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.benchmarks.broker import Broker, broker
from tests.benchmarks.fleet_scale import fleet_text
from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.line import Emulator, rig_file
from tests.benchmarks.tcp_load import SERVER

_BUSES: Final = 2
_UNITS: Final = 24
_SECONDS: Final = 15.0
_REPETITIONS: Final = 3
_MOST_MB: Final = 60.0
_MOST_START_S: Final = 3.0
_GIVE_UP_S: Final = 20.0
_MANOVAC: Final = str(Path(sys.executable).parent / "manovac")


def _run() -> tuple[float, float]:
    """Return resident memory after a while, MiB, and the time until the subscriber had the first reading, s."""
    core = min(os.sched_getaffinity(0))
    text = fleet_text("modbus-tcp", buses=_BUSES, units=_UNITS)
    emulator = Emulator(text, program=SERVER)
    with broker("manovac/v1/benchmark/seg/#", core) as at, emulator.running():
        text += f'[mqtt]\nurl = "{at.url}"\n'
        for name, bus in emulator.rig.buses.items():
            text = text.replace(f'"127.0.0.1:{int(name[1:]) + 1}"', f'"{bus.port}"')
        with (
            rig_file(text) as path,
            subprocess.Popen([_MANOVAC, "run", str(path)], stderr=subprocess.DEVNULL) as gateway,
        ):
            begin_s = time.monotonic()
            try:
                start_s = _first_reading_s(at, begin_s)
                time.sleep(_SECONDS)
                pages = int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[1])
            finally:
                gateway.terminate()
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, start_s


def _first_reading_s(at: Broker, begin_s: float) -> float:
    while not at.got:
        if time.monotonic() - begin_s > _GIVE_UP_S:
            raise RuntimeError(f"no reading within {_GIVE_UP_S:g} s")
        time.sleep(0.005)
    return time.monotonic() - begin_s


def measure() -> Table:
    """Measure both."""
    runs = interleaved({"manovac run": _run}, repetitions=_REPETITIONS)["manovac run"]
    memory, start = ([run[place] for run in runs] for place in (0, 1))
    return Table(
        conditions=(
            f"{_BUSES * _UNITS} transducers with pressure and temperature on {_BUSES} Modbus TCP ports, polled once a"
            f" second; mosquitto; memory is the resident set {_SECONDS:g} s after the first reading; {_REPETITIONS}"
            " runs, median (lowest..highest)."
        ),
        columns=("command", "resident memory, MiB", "start to the first reading at a subscriber, s"),
        rows=(("manovac run", spread(memory), spread(start, ".2f")),),
        checks=(
            Check(
                text="60 MB without page",
                met=max(memory) * 2**20 <= _MOST_MB * 1e6,
                found=f"{max(memory) * 2**20 / 1e6:.1f} MB",
                aim="45 MB",
            ),
            Check(
                text="first reading within 3 s",
                met=max(start) <= _MOST_START_S,
                found=f"{max(start):.2f} s",
                aim="1.5 s",
            ),
        ),
    )
