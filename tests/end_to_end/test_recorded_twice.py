"""The same minute recorded by the emulator and by the gateway: both tell the same story, and a diff says so."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from drivers.rig import Rig
from drivers.trace.comparison import BusDifference, Limits, compare
from drivers.trace.exchanges import conversations
from drivers.trace.records import Header, Trace, View, read_trace
from drivers.transport.memory import MemoryTransport
from drivers.transport.tap import Recording
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from firmware_sim.replay import Replay
from gateway.app import Gateway
from gateway.mqtt.memory import MemoryLink
from tests.end_to_end.virtual_station import FALLING, RISING, MovingAir, keller, rig

SECONDS = 10.0


def header(words: Rig, view: View) -> Header:
    return Header(view=view, by="test", buses=words.buses)


async def twice(words: Rig, make_fleet: Any) -> tuple[Trace, Trace]:
    """Return what the gateway and what the emulator recorded of the same run."""
    seen, said = Trace(header=header(words, View.HOST)), Trace(header=header(words, View.LINE))
    async with make_fleet(said).serve(memory=True) as fleet:
        recording = Recording(seen, words.buses)
        gateway = Gateway(
            words,
            rig_hash="0" * 64,
            make_carrier=lambda outbox, **more: MemoryLink(outbox, lambda message: None, **more),
            make_transport=recording.over(lambda _: MemoryTransport(fleet.memory["b"].connect)),
        )
        try:
            async with asyncio.timeout(SECONDS):
                await gateway.run()
        except TimeoutError:
            pass
        recording.close()
    return seen, said


def difference(a: Trace, b: Trace, **limits: Any) -> BusDifference:
    assert a.header is not None
    assert b.header is not None
    (bus,) = compare(conversations(a, a.header), conversations(b, b.header), Limits(**limits))
    return bus


def findings(bus: BusDifference) -> list[str]:
    return [*bus.findings, *(f"{each.question!r}: {what}" for each in bus.questions for what in each.findings)]


MAPPED = {"model": "modbus-map", "poll": "250 ms", "map": {"pressure": {"address": 0, "unit": "kPa"}}}
BAROMETER = {"model": "vaisala-ptb330", "unit": 1, "segment": FALLING, "poll": "1 s"}


@pytest.mark.parametrize("echo", [(), ("b",)], ids=["silent adapter", "adapter that hears itself"])
@pytest.mark.parametrize(
    ("bus", "transducers"),
    [
        ({"kind": "serial", "baud": 19200}, {"p1": keller(1, FALLING), "p2": keller(2, RISING)}),
        ({"kind": "serial", "baud": 2400, "format": "7E1"}, {"p1": BAROMETER}),
        (
            {"kind": "modbus-tcp"},
            {"p1": {**MAPPED, "segment": FALLING}, "p2": {**MAPPED, "unit": 2, "segment": RISING}},
        ),
    ],
    ids=["keller", "text", "tcp"],
)
def test_gateway_and_emulator_record_the_same_to_the_byte(bus: Any, transducers: Any, echo: tuple[str, ...]) -> None:
    words = rig(bus, transducers)
    seen, said = run_virtual(
        twice(words, lambda trace: Fleet(words, world=MovingAir(words), trace=trace, echo=echo)),
    )
    told = difference(seen, said, exact=True, latency_s=0.0005, tail_s=0.0005)
    assert told.equal, findings(told)
    assert sum(each.a.asked for each in told.questions if each.a) >= 8


def test_a_replayed_line_is_the_line_that_was_recorded(tmp_path: Path) -> None:
    """Bytes, order and delays: a gateway that asks the same meets the same, faults and all."""
    words = rig({"kind": "serial", "baud": 19200}, {"p1": keller(1, FALLING), "p2": keller(2, RISING)})
    faults = ["late:p1@4s+500ms,delay=150ms", "crc:p2@6s+1s", "silence:p1@8s+500ms"]
    _, first = run_virtual(twice(words, lambda trace: Fleet(words, world=MovingAir(words), trace=trace, faults=faults)))
    copy = tmp_path / "again.jsonl"
    with copy.open("wb") as file:
        replay = Replay(first, tmp_path, copy=file)
        run_virtual(twice(words, lambda _: replay.fleet))
    bus = difference(first, read_trace(copy), exact=True, latency_s=1e-6, tail_s=1e-6)
    assert bus.equal, findings(bus)
    assert {"late", "crc", "silence"} <= bus.notes[0].keys()
    assert bus.notes[1] == {}
