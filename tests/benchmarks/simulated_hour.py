"""How much processor time one simulated hour of twelve transducers takes, drivers, gateway and emulator together."""

import asyncio
import os
import time
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from drivers.reading import Readings
from drivers.rig import Rig
from drivers.rig_source import load_rig
from drivers.trace.records import Trace
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.testing import emulated
from gateway.app import Gateway
from gateway.mqtt.memory import MemoryLink
from tests.benchmarks.harness import Check, Table, spread
from tests.benchmarks.line import line_text, rig_file

_UNITS: Final = range(1, 13)
_HOUR_S: Final = 3600.0
_REPETITIONS: Final = 3
_MOST_CPU_S: Final = 10.0


async def _station(rig: Rig, seconds: float, trace: Trace | None) -> tuple[int, int]:
    """Run emulator and gateway for that time; return good readings and published messages."""
    good = published = 0

    def take(readings: Readings) -> None:
        nonlocal good
        good += len(readings.channels) - int(np.count_nonzero(readings.quality))  # GOOD is 0

    def deliver(_message: object) -> None:
        nonlocal published
        published += 1

    loop = asyncio.get_running_loop()
    async with emulated(rig, memory=True, trace=trace) as fleet:
        gateway = Gateway(
            rig,
            rig_hash="benchmark",
            make_carrier=lambda outbox, **words: MemoryLink(outbox, deliver, **words),
            make_transport=lambda _bus: MemoryTransport(fleet.memory["line"].connect),
            boot="0000",
            wall=lambda: 1.7e9 + loop.time(),
            sync=lambda: "ntp",
        )
        gateway.listeners.append(take)
        running = asyncio.create_task(gateway.run(), name="gateway")
        await asyncio.sleep(seconds)
        running.cancel()
        await asyncio.wait([running])
    return good, published


def simulate(seconds: float, trace: Trace | None = None) -> tuple[int, int, float]:
    """Return good readings, published messages and the CPU seconds that they took."""
    with rig_file(line_text(19200, units=_UNITS)) as path:
        rig = load_rig(path)
    begin_s = time.process_time()
    good, published = run_virtual(_station(rig, seconds, trace))
    return good, published, time.process_time() - begin_s


def _hash() -> str:
    with Path(os.devnull).open("wb") as nowhere:
        trace = Trace(nowhere)
        simulate(_HOUR_S, trace)
    return trace.hash()


def measure() -> Table:
    """Time the hour, then run it twice more with a trace and compare the hashes."""
    runs = [simulate(_HOUR_S) for _ in range(_REPETITIONS)]
    cpu_s = [each[2] for each in runs]
    good, published, _ = runs[0]
    hashes = {_hash(), _hash()}
    return Table(
        conditions=(
            f"12 units keller-33x at 1 Hz on one line of 19200 baud, virtual time, {_REPETITIONS} runs, median"
            " (lowest..highest); drivers, gateway with all its MQTT messages (to a link in memory) and the emulated"
            " line, character by character, in one process."
        ),
        columns=("CPU seconds", "good readings", "messages", "times real time", "traces of two more runs"),
        rows=(
            (
                spread(cpu_s, ".2f"),
                str(good),
                str(published),
                spread([_HOUR_S / each for each in cpu_s], ".0f"),
                "equal" if len(hashes) == 1 else "different",
            ),
        ),
        checks=(
            Check(
                text="one hour in less than 10 CPU seconds",
                met=median(cpu_s) < _MOST_CPU_S,
                found=f"{median(cpu_s):.2f} s",
            ),
            Check(text="same seed, same trace hash", met=len(hashes) == 1),
        ),
    )
