"""How many instructions the gateway takes: steadier than time, and what says most about another processor.

Run by itself it is what is counted: a gateway of so many transducers for so many virtual seconds.
"""

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from drivers.rig import Rig
from drivers.rig_source import load_rig
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from gateway.app import Gateway
from gateway.mqtt.memory import MemoryLink
from tests.benchmarks.fleet_scale import fleet_text
from tests.benchmarks.harness import Check, Table
from tests.benchmarks.line import rig_file
from tests.benchmarks.stages import answering

_SIZES: Final = {12: (1, 12), 48: (2, 24), 200: (8, 25)}
"""Transducers -> buses and units on each."""
_SPANS_S: Final = (20, 60)  # what both have in common, the start above all, is in neither difference
_HERTZ: Final = 1.5e9
_AN_INSTRUCTION_EACH: Final = 2.0  # cycles; Python code runs at about one instruction a cycle on such cores
_MOST_OF_A_CORE: Final = 0.15


async def _station(rig: Rig, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    gateway = Gateway(
        rig,
        rig_hash="benchmark",
        make_carrier=lambda outbox, **words: MemoryLink(outbox, lambda _message: None, **words),
        make_transport=lambda _bus: MemoryTransport(answering(loop, values=2)),
        boot="0000",
        wall=lambda: 1.7e9 + loop.time(),
        sync=lambda: "ntp",
    )
    running = asyncio.create_task(gateway.run(), name="gateway")
    await asyncio.sleep(seconds)
    running.cancel()
    await asyncio.wait([running])


def simulate(buses: int, units: int, seconds: float) -> float:
    """Run a gateway of that size in virtual time, devices and broker in memory; return its CPU seconds."""
    with rig_file(fleet_text("modbus-tcp", buses=buses, units=units)) as path:
        rig = load_rig(path)
    begin_s = time.process_time()
    run_virtual(_station(rig, seconds))
    return time.process_time() - begin_s


def _instructions(buses: int, units: int, seconds: int) -> int:
    """Count the instructions of a whole run by valgrind.

    Raises:
        RuntimeError: valgrind is not installed, or says nothing.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise RuntimeError("valgrind is not installed: apt install valgrind")
    with tempfile.TemporaryDirectory() as folder:
        command = [valgrind, "--tool=cachegrind", "--cache-sim=no", f"--cachegrind-out-file={folder}/out"]
        command += [sys.executable, "-m", "tests.benchmarks.instructions", str(buses), str(units), str(seconds)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    found = re.search(r"I\s+refs:\s+([\d,]+)", ended.stderr)
    if ended.returncode or found is None:
        raise RuntimeError(f"valgrind counted nothing: {ended.stderr[-500:]}")
    return int(found[1].replace(",", ""))


def _a_second(buses: int, units: int) -> float:
    short, long = (_instructions(buses, units, seconds) for seconds in _SPANS_S)
    return (long - short) / (_SPANS_S[1] - _SPANS_S[0])


def _cpu_a_second(buses: int, units: int) -> float:
    short, long = (simulate(buses, units, seconds) for seconds in _SPANS_S)
    return (long - short) / (_SPANS_S[1] - _SPANS_S[0])


def measure() -> Table:
    """Count for some sizes, and say what that would be of a slow core."""
    counts = {transducers: _a_second(*size) for transducers, size in _SIZES.items()}
    shares = {transducers: count * _AN_INSTRUCTION_EACH / _HERTZ for transducers, count in counts.items()}
    return Table(
        conditions=(
            "A gateway polls transducers with pressure and temperature once a second, analysis and all messages"
            " included, in virtual time; devices and broker are in memory, so no system call and no wait is in it."
            " Instructions as valgrind counts them (cachegrind), the difference of"
            f" {_SPANS_S[1]} s and {_SPANS_S[0]} s. The last column is an estimate, not a measurement:"
            f" {_AN_INSTRUCTION_EACH:g} cycles an instruction at {_HERTZ / 1e9:g} GHz."
        ),
        columns=(
            "transducers at 1 Hz",
            "million instructions a second",
            "thousand a poll",
            "of a core here",
            "of a slow core",
        ),
        rows=tuple(
            (
                str(transducers),
                f"{count / 1e6:.1f}",
                f"{count / transducers / 1e3:.0f}",
                f"{_cpu_a_second(*_SIZES[transducers]):.1%}",
                f"{shares[transducers]:.0%}",
            )
            for transducers, count in counts.items()
        ),
        checks=(Check(text="48 transducers take less than 15 % of a slow core", met=shares[48] <= _MOST_OF_A_CORE),),
    )


if __name__ == "__main__":
    simulate(*(int(word) for word in sys.argv[1:]))
