"""Where the microseconds of a poll go: each stage between socket and broker by itself, in one process."""

import asyncio
import struct
import time
import timeit
from collections.abc import Awaitable, Callable
from typing import Final

from drivers.bus import Bus
from drivers.exchange import Attempt, Request
from drivers.reader import reader
from drivers.rig import Rig
from drivers.rig_source import load_rig
from drivers.transport.memory import MemoryTransport
from gateway.leak.steps import Steps
from gateway.mqtt.outbox import Outbox
from gateway.mqtt.publisher import Publisher
from gateway.normalise import Normaliser
from gateway.stamps import Stamps
from tests.benchmarks.harness import Table
from tests.benchmarks.line import rig_file
from tests.benchmarks.tcp_load import VALUES, load_text

_TIMES: Final = 500
_ROUNDS: Final = 15
_POLLS_A_BATCH: Final = 20


def _hot(work: Callable[[], object]) -> float:
    """Return the time of one call, us: the least of several rounds, for whatever disturbs only adds."""
    return min(timeit.repeat(work, number=_TIMES, repeat=_ROUNDS)) / _TIMES * 1e6


async def _hot_async(work: Callable[[], Awaitable[object]]) -> float:
    least_s = float("inf")
    for _ in range(_ROUNDS):
        begin_s = time.perf_counter()
        for _ in range(_TIMES):
            await work()
        least_s = min(least_s, time.perf_counter() - begin_s)
    return least_s / _TIMES * 1e6


def answering(
    loop: asyncio.AbstractEventLoop, *, values: int = VALUES
) -> Callable[[Callable[[bytes], None], Callable[[], None]], Callable[[bytes], None]]:
    """Return what connects to a device in memory that answers each question with float32 in the loop's next turn."""
    size = 4 * values
    length = (size + 3).to_bytes(2, "big")
    data = bytes((3, size)) + struct.pack(f">{values}f", *([101_325.5, 295.25] * (values // 2)))

    def connect(receive: Callable[[bytes], None], _lost: object) -> Callable[[bytes], None]:
        def send(asked: bytes) -> None:
            loop.call_soon(receive, asked[:4] + length + asked[6:7] + data)

        return send

    return connect


async def _stages(rig: Rig) -> dict[str, float]:
    loop = asyncio.get_running_loop()
    bus = Bus("b1", rig.buses["b1"], make_transport=lambda _bus: MemoryTransport(answering(loop)))
    found: dict[str, float] = {}
    async with bus.opened():
        unit = reader(bus, 1, rig.units("b1")[1])
        raw = await unit.poll()
        turn = await _hot_async(lambda: asyncio.sleep(0))
        ask = bus.unit(1, ())
        (question,) = unit.driver.requests
        attempt = await ask(question)

        async def known(_: Request) -> Attempt:
            return attempt

        found["bus: question out, answer in, outcome, statistics"] = await _hot_async(lambda: ask(question)) - turn
        found["driver: registers to values with reasons"] = await _hot_async(lambda: unit.driver.poll(known))
    stamps = Stamps()
    normalise = Normaliser(raw.channels, rig.units("b1")[1])
    now_ms = stamps.utc_ms(raw.time_s)
    found["normalise: SI, calibration, plausibility, quality"] = _hot(lambda: normalise(raw, now_ms=now_ms))
    outbox = Outbox(clock=loop.time)
    publisher = Publisher(rig, outbox, stamps, "0000")
    readings = normalise(raw, now_ms=now_ms)

    def batched(polls: int) -> None:
        for _ in range(polls):
            publisher.publish(readings)
        publisher.flush()
        while outbox.take() is not None:
            pass

    steps = Steps(rig)
    found["leak watch: a poll into its step"] = _hot(lambda: steps.take(readings))
    batched(1)
    found["publish: a batch each poll"] = _hot(lambda: batched(1))
    found[f"publish: a batch of {_POLLS_A_BATCH} polls, for each"] = (
        _hot(lambda: batched(_POLLS_A_BATCH)) / _POLLS_A_BATCH
    )
    return found


def measure() -> Table:
    """Time each stage."""
    with rig_file(load_text()) as path:
        rig = load_rig(path)
    # the publisher shall make batches only when the benchmark says so
    found = asyncio.run(_stages(rig.model_copy(update={"mqtt": rig.mqtt.model_copy(update={"batch": 1e6})})))
    return Table(
        conditions=(
            f"One poll of {VALUES} float32 over Modbus TCP, all good, half of them calibrated; the least of {_ROUNDS}"
            f" rounds of {_TIMES}, everything warm in the caches. The device is in memory and answers at once, so no"
            " system call is in these figures."
        ),
        columns=("stage", "us a poll", "us a value"),
        rows=tuple((stage, f"{us:.1f}", f"{us / VALUES:.2f}") for stage, us in found.items()),
    )
