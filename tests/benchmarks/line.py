"""One line of keller-33x transducers, polled faster than it can carry: by the gateway, in real and in virtual time."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from drivers.reading import Quality, Readings
from drivers.rig import Bus, BusKind, Rig
from drivers.rig_source import load_rig
from drivers.transport.choose import transport_for
from drivers.transport.memory import MemoryTransport
from drivers.transport.transport import MakeTransport
from firmware_sim.clock import run_virtual
from firmware_sim.testing import emulated
from gateway import process
from gateway.app import Gateway
from gateway.mqtt.memory import MemoryLink
from tests.benchmarks.harness import process_cpu_s

UNITS: Final = range(1, 9)
_QUESTION_CHARACTERS: Final = 8
_ANSWER_CHARACTERS: Final = 13
_SETTLE_S: Final = 2.0  # until every unit has said who it is
_EMULATE: Final = ("-c", "from gateway.cli import main; main()", "emulate")
_OVERLOAD: Final = 1.4  # polls asked for, of those that the line can carry


@dataclass(slots=True, kw_only=True)
class Run:
    """What one run brought.

    Attributes:
        polls: good polls per unit.
        seconds: in which they came.
        cpu_s: of the process that polled, in that time.
        requests, violations: as the emulator counted them, the settling included.
    """

    polls: dict[int, int]
    seconds: float
    cpu_s: float = 0.0
    requests: int = 0
    violations: int = 0

    @property
    def polls_per_s(self) -> float:
        return sum(self.polls.values()) / self.seconds

    @property
    def turns(self) -> int:
        """How many more polls the unit with most had than the one with fewest."""
        return max(self.polls.values()) - min(self.polls.values())


@dataclass(slots=True)
class _Tally:
    """Counts good polls once it is told to."""

    polls: Counter[int] = field(default_factory=Counter)

    def take(self, readings: Readings) -> None:
        if all(reading.quality is Quality.GOOD for reading in readings):
            self.polls[int(readings.channels[0].transducer.removeprefix("p"))] += 1


def line_text(baud: int, *, units: Iterable[int] = UNITS) -> str:
    """Return the rig file of such a line, polled once a second."""
    lines = ["[station]", 'id = "benchmark"', 'gateway = "g1"', "[segment.cabin]", "[bus.line]", 'kind = "serial"']
    lines += ['port = "/dev/none"', f"baud = {baud}", 'format = "8N1"']
    for unit in units:
        lines += [f"[transducer.p{unit}]", 'model = "keller-33x"', 'bus = "line"', f"unit = {unit}"]
        lines += ['segment = "cabin"', 'range = "0..160 kPa"']
    return "\n".join(lines) + "\n"


def wire_s(baud: int) -> float:
    """Return the least time that one poll takes on the wire: question, T3.5, answer, T3.5."""
    line = Bus(kind=BusKind.SERIAL, port="-", baud=baud)
    return (_QUESTION_CHARACTERS + _ANSWER_CHARACTERS) * line.character_s + 2 * line.silence_s


@contextmanager
def rig_file(text: str) -> Iterator[Path]:
    """Keep a rig file for a `with` block."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rig.toml"
        path.write_text(text, encoding="utf-8")
        yield path


def saturated(rig: Rig) -> Rig:
    """Return the rig polled faster than its line can carry, which a rig file may not ask for."""
    period_s = len(rig.transducers) * wire_s(rig.buses["line"].baud) / _OVERLOAD
    faster = {name: words.model_copy(update={"poll": period_s}) for name, words in rig.transducers.items()}
    return rig.model_copy(update={"transducers": faster})


class Emulator:
    """The emulator of a rig file in a process of its own.

    Args:
        text: the rig file.
        faults: from the start.
        core: on which it runs, None for any.
        program: the words behind `python` that serve a rig file as `manovac emulate` does.

    Attributes:
        rig: the rig file with the emulator's ports.
        requests, violations: as the emulator counted them on its lines, once the `with` block is over.
        told: all that it said at its end.
    """

    def __init__(
        self, text: str, *, faults: Iterable[str] = (), core: int | None = None, program: Sequence[str] = _EMULATE
    ) -> None:
        self._text = text
        self._program = program
        self._faults = [word for fault in faults for word in ("--fault", fault)]
        self._core = core
        self._pid = 0
        self.rig: Rig
        self.requests = self.violations = 0
        self.told: dict[str, Any] = {}

    @contextmanager
    def running(self) -> Iterator["Emulator"]:
        with rig_file(self._text) as path:
            command = [sys.executable, *self._program, str(path), "--json", "--until-input-ends", *self._faults]
            pipe = subprocess.PIPE
            with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as emulator:
                assert emulator.stdout is not None
                self._pid = emulator.pid
                if self._core is not None:
                    os.sched_setaffinity(emulator.pid, {self._core})
                ports = emulator.stdout.readline()
                if not ports:
                    raise RuntimeError(f"the emulator did not start: {emulator.communicate()[1].decode()}")
                self.rig = load_rig(path).with_ports(orjson.loads(ports)["ports"])
                try:
                    yield self
                finally:
                    told, _ = emulator.communicate(timeout=10)
            self.told = orjson.loads(told)
            lines = self.told["lines"].values()
            self.requests = sum(line["requests"] for line in lines)
            self.violations = sum(line["violations"] for line in lines)

    def cpu_s(self) -> float:
        """Return the CPU seconds that the emulator has taken so far."""
        return process_cpu_s(self._pid)

    def memory_mib(self) -> float:
        """Return the memory that the emulator holds."""
        return int(Path(f"/proc/{self._pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def poll(rig: Rig, seconds: float, make_transport: MakeTransport = transport_for) -> Run:
    """Run the whole gateway but for its broker, on the running loop, and count after it has settled."""
    tally = _Tally()
    loop = asyncio.get_running_loop()
    gateway = Gateway(
        saturated(rig),
        rig_hash="benchmark",
        make_carrier=lambda outbox, **words: MemoryLink(outbox, lambda _message: None, **words),
        make_transport=make_transport,
        boot="0000",
        wall=lambda: 1.7e9 + loop.time(),  # as virtual as the loop's, where that is
    )
    gateway.listeners.append(tally.take)
    running = asyncio.create_task(gateway.run(), name="gateway")
    await asyncio.sleep(_SETTLE_S)
    tally.polls = Counter(dict.fromkeys(rig.units("line"), 0))
    begin_s, cpu_s = loop.time(), time.process_time()
    await asyncio.sleep(seconds)
    run = Run(polls=dict(tally.polls), seconds=loop.time() - begin_s, cpu_s=time.process_time() - cpu_s)
    running.cancel()
    await asyncio.wait([running])
    return run


def in_real_time(baud: int, seconds: float, *, faults: Iterable[str] = ()) -> Run:
    """Poll over a pseudo-terminal, the emulator in another process."""
    line = Emulator(line_text(baud), faults=faults)
    with line.running():
        run = process.run(poll(line.rig, seconds))
    if run is None:
        raise KeyboardInterrupt
    run.requests, run.violations = line.requests, line.violations
    return run


def in_virtual_time(baud: int, seconds: float, *, faults: Iterable[str] = ()) -> Run:
    """Poll over memory, on a clock that jumps: the same gateway and emulator without a machine's delays."""

    async def both() -> Run:
        async with emulated(rig, memory=True, faults=faults) as fleet:
            run = await poll(rig, seconds, lambda _bus: MemoryTransport(fleet.memory["line"].connect))
            counted = fleet.lines["line"].statistics
            run.requests, run.violations = counted.requests, counted.violations
            return run

    with rig_file(line_text(baud)) as path:
        rig = load_rig(path)
    return run_virtual(both())
