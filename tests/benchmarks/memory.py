"""What `manovac run` needs for 48 transducers: memory, and the time from its start to its first reading."""

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Final

from tests.benchmarks.broker import Broker, broker
from tests.benchmarks.fleet_scale import fleet_text
from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.line import Emulator, rig_file
from tests.benchmarks.tcp_load import SERVER

_BUSES: Final = 2
_UNITS: Final = 24
_SECONDS: Final = 15.0
_REPETITIONS: Final = 3
_MOST_START_S: Final = 3.0
_GIVE_UP_S: Final = 20.0
_MANOVAC: Final = str(Path(sys.executable).parent / "manovac")
_PLAIN: Final = "manovac run"
_HTTP: Final = "manovac run --http-port"
_WORDS: Final = {_PLAIN: (), _HTTP: ("--http-port", "0")}
_MOST_MB: Final = {_PLAIN: ("60 MB without HTTP", 60.0, "45 MB"), _HTTP: ("90 MB with HTTP", 90.0, "70 MB")}


def _run(words: Sequence[str]) -> tuple[float, float]:
    """Return resident memory after a while, MB, and the time until the subscriber had the first reading, s."""
    core = min(os.sched_getaffinity(0))
    text = fleet_text("modbus-tcp", buses=_BUSES, units=_UNITS)
    emulator = Emulator(text, program=SERVER)
    with broker("manovac/v1/benchmark/seg/#", core) as at, emulator.running(), tempfile.TemporaryDirectory() as state:
        text += f'[mqtt]\nurl = "{at.url}"\n'
        for name, bus in emulator.rig.buses.items():
            text = text.replace(f'"127.0.0.1:{int(name[1:]) + 1}"', f'"{bus.port}"')
        with (
            rig_file(text) as path,
            subprocess.Popen(
                [_MANOVAC, "run", str(path), *words],
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "XDG_STATE_HOME": state},  # where a journal of an earlier run is not read
            ) as gateway,
        ):
            begin_s = time.monotonic()
            try:
                start_s = _first_reading_s(at, begin_s)
                with _asked(gateway.stderr if words else None):
                    time.sleep(_SECONDS)
                pages = int(Path(f"/proc/{gateway.pid}/statm").read_text().split()[1])
            finally:
                gateway.terminate()
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6, start_s


def _first_reading_s(at: Broker, begin_s: float) -> float:
    while not at.got:
        if time.monotonic() - begin_s > _GIVE_UP_S:
            raise RuntimeError(f"no reading within {_GIVE_UP_S:g} s")
        time.sleep(0.005)
    return time.monotonic() - begin_s


@contextmanager
def _asked(said: IO[str] | None) -> Iterator[None]:
    """Ask a gateway for its metrics and its health once a second, where it has said that it answers; None asks nobody."""
    if said is None:
        yield
        return
    address = next(line for line in said if line.startswith("http")).partition("/metrics")[0]
    over = threading.Event()

    def ask() -> None:
        while not over.wait(1.0):
            for path in ("/metrics", "/healthz"):
                with urllib.request.urlopen(address + path, timeout=5) as answer:
                    answer.read()

    asking = threading.Thread(target=ask, name="metrics")
    asking.start()
    try:
        yield
    finally:
        over.set()
        asking.join()


def measure() -> Table:
    """Measure both, without and with somebody who asks by HTTP."""
    runs = interleaved({name: partial(_run, words) for name, words in _WORDS.items()}, repetitions=_REPETITIONS)
    memory, start = ({name: [run[place] for run in each] for name, each in runs.items()} for place in (0, 1))
    slowest_s = max(max(each) for each in start.values())
    return Table(
        conditions=(
            f"{_BUSES * _UNITS} transducers with pressure and temperature on {_BUSES} Modbus TCP ports, polled once a"
            f" second; mosquitto; journal on disk; with HTTP, one client asks for /metrics and /healthz each second;"
            f" memory is the resident set {_SECONDS:g} s after the first reading; {_REPETITIONS} interleaved runs,"
            " median (lowest..highest)."
        ),
        columns=("command", "resident memory, MB", "start to the first reading at a subscriber, s"),
        rows=tuple((name, spread(memory[name]), spread(start[name], ".2f")) for name in _WORDS),
        checks=(
            *(
                Check(text=text, met=max(memory[name]) <= most, found=f"{max(memory[name]):.1f} MB", aim=aim)
                for name, (text, most, aim) in _MOST_MB.items()
            ),
            Check(
                text="first reading within 3 s", met=slowest_s <= _MOST_START_S, found=f"{slowest_s:.2f} s", aim="1.5 s"
            ),
        ),
    )
