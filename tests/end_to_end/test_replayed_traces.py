"""Bugs as recorded lines: a fix begins with a trace that replays what went wrong.

late-answer.jsonl: pressure in registers 0 and 1 of a device, temperature in 100 and 101: two answers of equal form.
From 2 s on its answers come 300 ms late, in order. A client that takes the next frame for the answer then takes the
pressure for the temperature, without any error.
"""

import asyncio
import struct
from pathlib import Path
from typing import Final

from drivers.reading import Quality, Reading, Reason
from drivers.trace.exchanges import conversations
from drivers.trace.records import read_trace, with_header
from firmware_sim.clock import run_virtual
from firmware_sim.replay import Replay, load_replay
from tests.end_to_end.virtual_station import FALLING, memory_gateway, rig

TRACE: Final = Path(__file__).parents[1] / "golden" / "traces" / "late-answer.jsonl"
PRESSURE: Final = bytes.fromhex("0103 0000 0002 c40b")
TEMPERATURE: Final = bytes.fromhex("0103 0064 0002 85d4")
DEVICE: Final = rig(
    {"kind": "serial", "baud": 19200},
    {
        "p1": {
            "model": "modbus-map",
            "segment": FALLING,
            "poll": "250 ms",
            "map": {"pressure": {"address": 0, "unit": "Pa"}, "temperature": {"address": 100, "unit": "K"}},
        }
    },
)
TIMEOUT_S: Final = 0.25


def value(frame: bytes) -> float:
    return float(struct.unpack(">f", frame[3:7])[0])


def recorded(question: bytes) -> list[float]:
    """Return the values that truly answered a question."""
    trace = read_trace(TRACE)
    exchanges = conversations(trace, with_header(trace, TRACE))["b"].by_question()[question]
    return [value(each.answer) for each in exchanges if each.runs]


async def trusting(replay: Replay, seconds: float) -> dict[bytes, list[float]]:
    """Ask in turn, and take whatever frame comes next for the answer."""
    loop = asyncio.get_running_loop()
    taken: dict[bytes, list[float]] = {PRESSURE: [], TEMPERATURE: []}
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    async with replay.fleet.serve(memory=True) as fleet:
        write = fleet.memory["b"].connect(frames.put_nowait, lambda: None)
        while loop.time() < seconds:
            for question, values in taken.items():
                write(question)
                try:
                    async with asyncio.timeout(TIMEOUT_S):
                        values.append(value(await frames.get()))
                except TimeoutError:
                    continue
                await asyncio.sleep(0.1)
    return taken


async def ours(replay: Replay, seconds: float) -> list[Reading]:
    readings: list[Reading] = []
    async with replay.fleet.serve(memory=True) as fleet:
        gateway = memory_gateway(DEVICE, fleet, lambda message: None)
        gateway.listeners.append(readings.extend)
        try:
            async with asyncio.timeout(seconds):
                await gateway.run()
        except TimeoutError:
            pass
    return readings


def test_a_trusting_client_takes_a_late_pressure_for_a_temperature() -> None:
    taken = run_virtual(trusting(load_replay(TRACE), 4.0))
    assert max(recorded(TEMPERATURE)) < 300 < 70_000 < min(recorded(PRESSURE))
    assert max(taken[TEMPERATURE]) > 70_000


def test_the_bus_takes_no_late_answer_for_another_question_and_recovers() -> None:
    readings = run_virtual(ours(load_replay(TRACE), 6.0))
    for quantity, question in (("pressure", PRESSURE), ("temperature", TEMPERATURE)):
        own = [each for each in readings if each.channel.quantity == quantity]
        good = [each.raw for each in own if each.quality is Quality.GOOD]
        assert set(good) <= set(recorded(question))
        assert len(good) >= 12
        assert any(each.reason in {Reason.TIMEOUT, Reason.LATE} for each in own)
        assert own[-1].quality is Quality.GOOD
