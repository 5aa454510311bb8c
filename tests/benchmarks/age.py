"""How old a reading is when a subscriber has it: from the end of the answer's last character on the line.

Run with a rig file it is the emulator of that file, which tells at its end when each answer ended.
"""

import asyncio
import os
import statistics
import struct
import sys
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from drivers.precise_loop import precise_event_loop
from drivers.rig_source import load_rig
from drivers.trace.records import HOST, Trace
from firmware_sim.fleet import Fleet
from firmware_sim.physics.world import World
from gateway import process
from tests.benchmarks.broker import Broker
from tests.benchmarks.gateway_load import Run, gateway_load
from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.line import Emulator, line_text, saturated

_BAUDS: Final = (19200, 115200)
_SECONDS: Final = 10.0
_REPETITIONS: Final = 3
_MOST_S: Final = (0.002, 0.006)  # p50, p99
_LEAST_FOUND: Final = 0.99
_LATEST: Final = 0.5  # s; an answer that was heard later than that was another one with the same value
_VALUES: Final = struct.Struct(">3xff2x")  # head, bar, degrees Celsius, CRC
_PA_A_BAR: Final = 1e5
_BATCHES: Final = "manovac/v1/benchmark/seg/cabin/batch"
_SERVER: Final = ("-m", "tests.benchmarks.age")


async def _serve(path: Path) -> None:
    """Emulate a rig; at the end of the input print what `manovac emulate` does, and the answers with their ends."""
    rig, trace = load_rig(path), Trace()
    fleet = Fleet(rig, world=World(rig), trace=trace)
    character_ns = rig.buses["line"].character_s * 1e9
    async with fleet.serve():
        print(orjson.dumps({"ports": dict(fleet.ports)}).decode(), flush=True)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(sys.stdin.fileno(), lambda: os.read(0, 4096) or ended.set())
        await ended.wait()
        began_ns = time.time_ns() - fleet.now_ns()
        counted = fleet.lines["line"].statistics
    answers = [
        (began_ns + each.t_ns + len(each.data) * character_ns, each.data.hex())
        for each in trace.records
        if each.talker != HOST and len(each.data) == _VALUES.size
    ]
    lines = {"line": {"requests": counted.requests, "violations": counted.violations}}
    print(orjson.dumps({"lines": lines, "answers": answers}).decode())


def _ages(answers: Sequence[tuple[float, str]], heard: Sequence[bytes]) -> list[float]:
    """Return how long each answer took to a subscriber, s; those before the first message are left out.

    Args:
        answers: when the last character ended, ns UTC, and the bytes in hex.
        heard: of each batch, when it came, s UTC, and the payload.
    """
    ends: defaultdict[tuple[int, float], deque[float]] = defaultdict(deque)
    for end_ns, text in answers:
        data = bytes.fromhex(text)
        ends[data[0], _VALUES.unpack(data)[0]].append(end_ns / 1e9)
    ages: list[float] = []
    for line in heard:
        at_s, _, payload = line.partition(b" ")
        for name, column in orjson.loads(payload)["channels"].items():
            if name.endswith(".pressure") and column["quality"] == "good":
                ages += _age(float(at_s), ends, int(name[1:].partition(".")[0]), column["value"][0])
    return ages


def _age(at_s: float, ends: Mapping[tuple[int, float], deque[float]], unit: int, value_pa: float) -> list[float]:
    """Return the age of one value, nothing when no such answer ended shortly before."""
    bar = struct.unpack(">f", struct.pack(">f", value_pa / _PA_A_BAR))[0]
    waiting = ends.get((unit, bar), deque())
    while waiting and (age_s := at_s - waiting.popleft()) >= 0:
        if age_s < _LATEST:
            return [age_s]
    return []


def _run(baud: int) -> tuple[list[float], float]:
    """Return the ages in one run, and the share of the messages whose answer was found."""
    emulator: Emulator = Emulator(line_text(baud) + '[mqtt]\nbatch = "0 s"\n', program=_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        at = Broker(Path(folder), form="%U %p")
        with at.running(_BATCHES, min(os.sched_getaffinity(0))), emulator.running():
            if process.run(_load(emulator, at)) is None:
                raise KeyboardInterrupt
        heard = at.lines.read_bytes().splitlines()
    ages = _ages(emulator.told["answers"], heard)
    return ages, len(ages) / max(len(heard), 1)


async def _load(emulator: Emulator, at: Broker) -> Run:
    return await gateway_load(saturated(emulator.rig), at, _SECONDS)


def _quantile(ages: Sequence[float], share: float) -> float:
    return sorted(ages)[min(int(share * len(ages)), len(ages) - 1)]


def measure() -> Table:
    """Measure at two speeds."""
    runs: dict[int, list[Any]] = interleaved({baud: partial(_run, baud) for baud in _BAUDS}, repetitions=_REPETITIONS)
    quantiles = {
        baud: [[_quantile(ages, share) for ages, _ in each] for share in (0.5, 0.99)] for baud, each in runs.items()
    }
    p50, p99 = (statistics.median(values) for values in quantiles[_BAUDS[0]])
    return Table(
        conditions=(
            f"The line of rtu-line in full use, each poll published at once at QoS 1; {_SECONDS:g} s a run,"
            f" {_REPETITIONS} interleaved runs, median (lowest..highest). From the end of an answer's last character on"
            " the emulated line to the moment that mosquitto_sub stamps its message: pseudo-terminal, gateway,"
            " mosquitto and subscriber."
        ),
        columns=("baud", "p50, ms", "p99, ms", "answers found again"),
        rows=tuple(
            (
                str(baud),
                *(spread([1e3 * value for value in values], ".2f") for values in quantiles[baud]),
                spread([found for _, found in each], ".1%"),
            )
            for baud, each in runs.items()
        ),
        checks=(
            Check(
                text=f"at {_BAUDS[0]} baud p50 within {1e3 * _MOST_S[0]:g} ms, p99 within {1e3 * _MOST_S[1]:g} ms",
                met=p50 <= _MOST_S[0] and p99 <= _MOST_S[1],
                found=f"{1e3 * p50:.1f} and {1e3 * p99:.1f} ms",
                aim="1 and 3 ms",
            ),
            Check(
                text="99 % of the messages found among the answers",
                met=all(found >= _LEAST_FOUND for each in runs.values() for _, found in each),
            ),
        ),
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=precise_event_loop) as runner, suppress(KeyboardInterrupt):
        runner.run(_serve(Path(sys.argv[1])))
