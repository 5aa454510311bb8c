"""What `manovac run` needs for 48 transducers: memory, and the time from its start to its first reading."""

import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from gateway.unit_file import ENVIRONMENT
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
_SERVICE: Final = "manovac run, as its service"
_HTTP: Final = "manovac run --http-port"
_HTTP_WORDS: Final = ("--http-port", "0")
_STARTS: Final[dict[str, tuple[Sequence[str], Mapping[str, str]]]] = {
    _PLAIN: ((), {}),
    _SERVICE: ((), ENVIRONMENT),
    _HTTP: (_HTTP_WORDS, {}),
}
"""How it is started: words behind the rig file, and environment."""
_MOST_MB: Final = {
    _SERVICE: ("60 MB without page, as `manovac service` starts it", 60.0, "45 MB"),
    _HTTP: ("90 MB with HTTP and analysis", 90.0, "70 MB"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one run needed.

    Attributes:
        resident_mb: after a while.
        own_mb: of it, what is no page of a file: the kernel cannot take it back.
        start_s: until the subscriber had the first reading.
    """

    resident_mb: float
    own_mb: float
    start_s: float


def _run(words: Sequence[str], environment: Mapping[str, str], compiled: str) -> _Run:
    """Start it with modules that an earlier start has compiled to that folder, as an installation has them."""
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
                # a journal of an earlier run is not read
                env={**_environment(environment, compiled), "XDG_STATE_HOME": state},
            ) as gateway,
        ):
            begin_s = time.monotonic()
            try:
                start_s = _first_reading_s(at, begin_s)
                with _asked(gateway.stderr if words else None):
                    time.sleep(_SECONDS)
                resident, of_files = map(int, Path(f"/proc/{gateway.pid}/statm").read_text().split()[1:3])
            finally:
                gateway.terminate()
    page_mb = os.sysconf("SC_PAGE_SIZE") / 1e6
    return _Run(resident_mb=resident * page_mb, own_mb=(resident - of_files) * page_mb, start_s=start_s)


def _environment(environment: Mapping[str, str], compiled: str) -> dict[str, str]:
    usual = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**usual, **environment, "PYTHONPYCACHEPREFIX": compiled}


def _first_reading_s(at: Broker, begin_s: float) -> float:
    while not at.got:
        if time.monotonic() - begin_s > _GIVE_UP_S:
            raise RuntimeError(f"no reading within {_GIVE_UP_S:g} s")
        time.sleep(0.005)
    return time.monotonic() - begin_s


@contextmanager
def _asked(said: IO[str] | None) -> Iterator[None]:
    """Ask a gateway for metrics and health once a second, where it has said that it answers; with None nobody."""
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
    """Measure the gateway alone, as a service, and with somebody who asks by HTTP."""
    with tempfile.TemporaryDirectory() as compiled:
        starts = {name: partial(_run, *start, compiled) for name, start in _STARTS.items()}
        interleaved(starts, repetitions=1)  # compiles
        runs = interleaved(starts, repetitions=_REPETITIONS)
    most_mb = {name: max(run.resident_mb for run in each) for name, each in runs.items()}
    slowest_s = max(run.start_s for each in runs.values() for run in each)
    return Table(
        conditions=(
            f"{_BUSES * _UNITS} transducers with pressure and temperature on {_BUSES} Modbus TCP ports, polled once a"
            f" second; mosquitto; journal on disk; with HTTP, one client asks for /metrics and /healthz each second;"
            f" memory {_SECONDS:g} s after the first reading; {_REPETITIONS} interleaved runs, median"
            " (lowest..highest)."
        ),
        columns=(
            "command",
            "resident memory, MB",
            "of it not of files",
            "start to the first reading at a subscriber, s",
        ),
        rows=tuple(
            (
                name,
                spread([run.resident_mb for run in each]),
                spread([run.own_mb for run in each]),
                spread([run.start_s for run in each], ".2f"),
            )
            for name, each in runs.items()
        ),
        checks=(
            *(
                Check(text=text, met=most_mb[name] <= most, found=f"{most_mb[name]:.1f} MB", aim=aim)
                for name, (text, most, aim) in _MOST_MB.items()
            ),
            Check(
                text="first reading within 3 s", met=slowest_s <= _MOST_START_S, found=f"{slowest_s:.2f} s", aim="1.5 s"
            ),
        ),
    )
