"""A thousand emulated transducers behind forty TCP ports, on one core, polled once a second by a gateway on another."""

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final

import numpy as np

from drivers.reading import Readings
from drivers.rig import Rig
from gateway import process
from gateway.app import Gateway
from gateway.mqtt.memory import MemoryLink
from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.line import Emulator

_BUSES: Final = 40
_UNITS: Final = 25
_SETTLE_S: Final = 10.0  # until every unit has said who it is
_SECONDS: Final = 20.0
_REPETITIONS: Final = 3
_LEAST_POLLED: Final = 0.99
_FLOATS: Final = (
    'map.pressure = { address = 0, type = "float32", unit = "Pa" }',
    'map.temperature = { address = 2, type = "float32", unit = "K" }',
)
_KINDS: Final[dict[str, tuple[str, Iterable[str]]]] = {
    "modbus-tcp": ("modbus-map", _FLOATS),
    "rtu-over-tcp": ("keller-33x", ()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run brought.

    Attributes:
        polled: good polls of those that were due.
        emulator, gateway: share of a core that each process took.
        memory_mib: of the emulator.
    """

    polled: float
    emulator: float
    gateway: float
    memory_mib: float


def fleet_text(kind: str, *, buses: int = _BUSES, units: int = _UNITS) -> str:
    """Return the rig file: so many buses, so many transducers with pressure and temperature on each, once a second."""
    model, words = _KINDS[kind]
    lines = ["[station]", 'id = "benchmark"', 'gateway = "g1"', "[segment.cabin]"]
    for bus in range(buses):
        lines += [f"[bus.b{bus}]", f'kind = "{kind}"', f'port = "127.0.0.1:{bus + 1}"', "baud = 38400"]
        for unit in range(1, units + 1):
            lines += [f"[transducer.b{bus}_{unit}]", f'model = "{model}"', f'bus = "b{bus}"', f"unit = {unit}"]
            lines += ['segment = "cabin"', 'range = "0..160 kPa"', *words]
    return "\n".join(line for line in lines if kind != "modbus-tcp" or not line.startswith("baud")) + "\n"


async def _polled(rig: Rig, emulator: Emulator, seconds: float) -> Run:
    good = 0

    def take(readings: Readings) -> None:
        nonlocal good
        good += not np.count_nonzero(readings.quality)

    gateway = Gateway(
        rig,
        rig_hash="benchmark",
        make_carrier=lambda outbox, **words: MemoryLink(outbox, lambda _message: None, **words),
        boot="0000",
    )
    gateway.listeners.append(take)
    running = asyncio.create_task(gateway.run(), name="gateway")
    await asyncio.sleep(_SETTLE_S)
    good, begin_s, own_s, other_s = 0, time.monotonic(), time.process_time(), emulator.cpu_s()
    await asyncio.sleep(seconds)
    taken_s = time.monotonic() - begin_s
    run = Run(
        polled=good / (len(rig.transducers) * taken_s),
        emulator=(emulator.cpu_s() - other_s) / taken_s,
        gateway=(time.process_time() - own_s) / taken_s,
        memory_mib=emulator.memory_mib(),
    )
    running.cancel()
    await asyncio.wait([running])
    return run


def run(kind: str, *, seconds: float = _SECONDS) -> Run:
    """Serve and poll a fleet of one kind of bus."""
    cores = sorted(os.sched_getaffinity(0))
    emulator = Emulator(fleet_text(kind), core=cores[0])
    os.sched_setaffinity(0, {cores[-1]})
    try:
        with emulator.running():
            brought = process.run(_polled(emulator.rig, emulator, seconds))
    finally:
        os.sched_setaffinity(0, cores)
    if brought is None:
        raise KeyboardInterrupt
    return brought


def measure() -> Table:
    """Measure each kind of bus."""
    runs = interleaved({kind: lambda kind=kind: run(kind) for kind in _KINDS}, repetitions=_REPETITIONS)
    return Table(
        conditions=(
            f"{_BUSES * _UNITS:,} transducers with pressure and temperature, {_UNITS} on each of {_BUSES} TCP ports,"
            f" polled once a second for {_SECONDS:g} s after {_SETTLE_S:g} s; {_REPETITIONS} interleaved runs, median"
            " (lowest..highest); emulator and gateway each on a core of its own, the gateway's messages to a link in"
            " memory. rtu-over-tcp is emulated character by character, at 38400 baud."
        ),
        columns=("buses", "polls that came good", "emulator, of a core", "emulator, memory", "gateway, of a core"),
        rows=tuple(
            (
                f"{kind}, {_KINDS[kind][0]}",
                spread([each.polled for each in runs[kind]], ".1%"),
                spread([each.emulator for each in runs[kind]], ".0%"),
                spread([each.memory_mib for each in runs[kind]], ".0f") + " MiB",
                spread([each.gateway for each in runs[kind]], ".0%"),
            )
            for kind in _KINDS
        ),
        checks=(
            Check(
                text=f"one core emulates {_BUSES * _UNITS:,} transducers at 1 Hz: at least 99 % of the polls are good",
                met=all(median([each.polled for each in runs[kind]]) >= _LEAST_POLLED for kind in _KINDS),
            ),
        ),
    )
