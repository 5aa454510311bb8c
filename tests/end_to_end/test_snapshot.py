"""A snapshot of a whole station: what follows after its return is, to the byte, what followed after it was taken."""

import asyncio
import time
from collections.abc import Iterable
from importlib.resources import as_file, files
from typing import Final

import pytest

from drivers.rig import Rig
from drivers.rig_source import load_rig
from drivers.trace.records import Record, Trace
from firmware_sim.clock import run_virtual
from firmware_sim.control.control import Control
from firmware_sim.fleet import MARK, Fleet
from firmware_sim.physics.world import World
from tests.end_to_end.virtual_station import observe

SPAN_S: Final = 12.0
TURN_S: Final = 0.12
FAULTS: Final = (
    "crc:aft@5%",
    "late:node3@3%,delay=300ms",
    "silence:node1@/9",
    "reboot:zvezda_p1@14s",
    "stuck:prk_p1@8s+9s",
)


@pytest.fixture(scope="module")
def iss() -> Rig:
    with as_file(files("hil") / "rigs" / "iss.toml") as path:
        return load_rig(path)


@pytest.fixture(scope="module")
def questions(iss: Rig) -> dict[str, list[bytes]]:
    """What a gateway asks on each bus in its first seconds."""
    asked: dict[str, list[bytes]] = {name: [] for name in iss.buses}
    for record in observe(iss, 3.0, make_world=World).trace.records:
        if record.talker == "host":
            asked[record.bus].append(record.data)
    assert all(asked.values())
    return asked


async def ask(fleet: Fleet, questions: dict[str, list[bytes]], clients: dict[str, list[bytes]]) -> None:
    """Ask the same questions in the same order for `SPAN_S`; a client that lost its port connects again."""
    writers = {}
    for turn in range(round(SPAN_S / TURN_S)):
        for bus, asked in questions.items():
            try:
                if bus not in writers:
                    writers[bus] = fleet.memory[bus].connect(clients[bus].append, lambda bus=bus: writers.pop(bus))
                writers[bus](asked[turn % len(asked)])
            except ConnectionError:
                continue
        await asyncio.sleep(TURN_S)


def hashed(records: Iterable[Record]) -> str:
    trace = Trace()
    for record in records:
        if record.talker != MARK:
            trace.add(record)
    return trace.hash()


def test_the_same_bytes_follow_again_as_followed_before(iss: Rig, questions: dict[str, list[bytes]]) -> None:
    async def main() -> tuple[list[str], list[int], list[dict[str, list[bytes]]], set[str], list[object]]:
        trace = Trace()
        hashes, sizes, heard, truths = [], [], [], []
        async with Fleet(iss, world=World(iss), trace=trace, faults=FAULTS).serve(memory=True) as fleet:
            control = Control(fleet)
            control.do({"do": "hole", "segment": "prk", "diameter": "5 mm"})
            control.set("hatch.prk--zvezda.state", "valve")
            control.do({"do": "repress", "segment": "unity", "gas": "air", "rate": "1 kg/s", "lasts": "20 s"})
            await ask(fleet, questions, {bus: [] for bus in questions})
            control.snapshot()
            for turn in range(3):
                begin = len(trace.records)
                clients: dict[str, list[bytes]] = {bus: [] for bus in questions}
                await ask(fleet, questions, clients)
                hashes.append(hashed(trace.records[begin:]))
                sizes.append(len(trace.records) - begin)
                heard.append(clients)
                truths.append(control.get())
                if turn == 0:  # whatever happens now must leave nothing behind
                    control.do({"do": "hole", "segment": "zvezda", "diameter": "30 cm"})
                    control.set("transducer.zvezda_p1.stuck", "true")
                    control.clear()
                    control.inject("noise:*")
                    control.reboot("zvezda_p1")
                    await ask(fleet, questions, {bus: [] for bus in questions})
                    await control.step("1 h")
                    control.resume()
                control.restore()
        notes = {kind for record in trace.records for kind in record.note.split(", ")}
        return hashes, sizes, heard, notes, truths

    hashes, sizes, heard, notes, truths = run_virtual(main())
    assert min(sizes) > 1000
    assert all(heard[0].values())
    assert notes >= {"crc", "late", "silence", "restored"}
    assert heard[0] == heard[1] == heard[2]
    assert truths[0] == truths[1] == truths[2]
    assert hashes[0] == hashes[1] == hashes[2]


def test_without_its_return_something_else_follows(iss: Rig, questions: dict[str, list[bytes]]) -> None:
    async def main() -> list[str]:
        trace, hashes = Trace(), []
        async with Fleet(iss, world=World(iss), trace=trace).serve(memory=True) as fleet:
            control = Control(fleet)
            for turn in range(2):
                begin = len(trace.records)
                await ask(fleet, questions, {bus: [] for bus in questions})
                hashes.append(hashed(trace.records[begin:]))
                if turn == 0:
                    fleet.clock.put(0)  # the time alone does not bring the rest back
                    assert control.status()["t_ns"] == 0
        return hashes

    first, second = run_virtual(main())
    assert first != second


def test_a_snapshot_is_quick_and_holds_nothing_of_the_loop(iss: Rig, questions: dict[str, list[bytes]]) -> None:
    async def main() -> tuple[float, float]:
        async with Fleet(iss, world=World(iss)).serve(memory=True) as fleet:
            await ask(fleet, questions, {bus: [] for bus in questions})
            fleet.clock.pause()
            began_s = time.process_time()
            state = fleet.snapshot()
            taken_s = time.process_time()
            fleet.restore(state)
            return taken_s - began_s, time.process_time() - taken_s

    taken_s, put_back_s = run_virtual(main())
    print(f"snapshot {taken_s * 1e3:.1f} ms, restore {put_back_s * 1e3:.1f} ms of CPU")
    assert taken_s < 3.0  # 0.03 s as measured; the margin is for a machine that does a hundred other things
