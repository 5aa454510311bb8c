"""A whole gateway, or somebody's draft of one, between the load server and a real broker, and what it takes."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from drivers.reading import Readings
from drivers.rig import Rig
from gateway import process
from gateway.app import Gateway
from gateway.mqtt.journal import Journal
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Message, Outbox
from tests.benchmarks.broker import Broker, broker
from tests.benchmarks.line import Emulator
from tests.benchmarks.tcp_load import SERVER, saturated

_TOPIC: Final = "manovac/#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run brought.

    Attributes:
        values_per_s: good values that were published.
        cpu_s: of the gateway's process, for each 100,000 of them.
        core: share of a core that it took.
        got_per_s: messages that reached the subscriber.
    """

    values_per_s: float
    cpu_s: float
    core: float
    got_per_s: float


class Meter:
    """Counts values for a while after the start has settled."""

    def __init__(self, at: Broker, *, settle_s: float = 1.5) -> None:
        self._broker = at
        self._settle_s = settle_s
        self.values = 0

    async def measure(self, seconds: float) -> Run:
        await asyncio.sleep(self._settle_s)
        self.values, got = 0, self._broker.got
        begin_s, cpu_s = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        cpu_s, taken_s = time.process_time() - cpu_s, time.monotonic() - begin_s
        return Run(
            values_per_s=self.values / taken_s,
            cpu_s=1e5 * cpu_s / max(self.values, 1),
            core=cpu_s / taken_s,
            got_per_s=(self._broker.got - got) / taken_s,
        )

    def take(self, readings: Readings) -> None:
        self.values += len(readings.quality) - int(np.count_nonzero(readings.quality))


def _at_most_once(outbox: Outbox) -> None:
    """Let telemetry ask for no acknowledgement, as the peers' does not."""
    put = outbox.put

    def put_unacknowledged(message: Message) -> None:
        put(message if message.retain else Message(topic=message.topic, payload=message.payload, qos=0, n=message.n))

    outbox.put = put_unacknowledged  # type: ignore[method-assign]


async def gateway_load(
    rig: Rig, at: Broker, seconds: float, *, qos: int = 1, settle_s: float = 1.5, folder: Path | None = None
) -> Run:
    """Run the whole gateway against the broker; its telemetry, as its state, at QoS 1 unless told otherwise.

    With a folder its journal is on disk there, else in memory.
    """
    meter = Meter(at, settle_s=settle_s)
    rig = rig.model_copy(update={"mqtt": rig.mqtt.model_copy(update={"url": at.url})})

    def carrier(outbox: Outbox, **words: Any) -> Link:
        if qos == 0:
            _at_most_once(outbox)
        return Link(rig.mqtt, outbox, **words)

    journal = None
    if folder is not None:
        journal = Journal(folder / "journal.sqlite", max_bytes=10**9, max_age_ms=10**9)
        journal.open()
    gateway = Gateway(rig, rig_hash="benchmark", make_carrier=carrier, boot="0000", journal=journal)
    gateway.listeners.append(meter.take)
    running = asyncio.create_task(gateway.run(), name="gateway")
    run = await meter.measure(seconds)
    running.cancel()
    await asyncio.wait([running])
    return run


Load = Callable[[Rig, Broker, float], Awaitable[Run]]
"""Polls a rig and publishes to a broker for so many seconds."""


def loaded(text: str, load: Load, seconds: float, *, saturate: bool = False) -> Run:
    """Run a gateway on a core of its own; load server, broker and subscriber share the other.

    Args:
        text: the rig file.
        load: the gateway.
        seconds: how long it is measured.
        saturate: whether each unit is polled as fast as it goes.
    """
    cores = sorted(os.sched_getaffinity(0))
    emulator = Emulator(text, core=cores[0], program=SERVER)
    os.sched_setaffinity(0, {cores[-1]})
    try:
        with broker(_TOPIC, cores[0]) as at, emulator.running():
            rig = saturated(emulator.rig) if saturate else emulator.rig
            brought = process.run(_run(load, rig, at, seconds))
    finally:
        os.sched_setaffinity(0, cores)
    if brought is None:
        raise KeyboardInterrupt
    return brought


async def _run(load: Load, rig: Rig, at: Broker, seconds: float) -> Run:
    return await load(rig, at, seconds)
