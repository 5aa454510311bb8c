"""What a value costs from a Modbus TCP socket to a broker, with all features, and what it costs others."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any, Final
from urllib.parse import urlsplit

import aiomqtt
import numpy as np
from pymodbus.client import AsyncModbusTcpClient

from drivers.reading import Readings
from drivers.rig import Rig
from gateway import process
from gateway.app import Gateway
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Message, Outbox
from tests.benchmarks.broker import Broker, broker
from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.line import Emulator
from tests.benchmarks.tcp_load import UNITS, VALUES, alone, load_text, saturated

_SETTLE_S: Final = 1.5
_SECONDS: Final = 5.0
_REPETITIONS: Final = 5
_SERVER: Final = ("-m", "tests.benchmarks.tcp_load")
_TOPIC: Final = "manovac/#"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run brought.

    Attributes:
        values_per_s: good values that were published.
        cpu_s: of the gateway's process, for each 100,000 of them.
        got_per_s: messages that reached the subscriber.
    """

    values_per_s: float
    cpu_s: float
    got_per_s: float


class _Meter:
    """Counts values for a while after the start has settled."""

    def __init__(self, at: Broker) -> None:
        self._broker = at
        self.values = 0

    async def measure(self, seconds: float) -> Run:
        await asyncio.sleep(_SETTLE_S)
        self.values, got = 0, self._broker.got
        begin_s, cpu_s = time.monotonic(), time.process_time()
        await asyncio.sleep(seconds)
        cpu_s, taken_s = time.process_time() - cpu_s, time.monotonic() - begin_s
        return Run(
            values_per_s=self.values / taken_s,
            cpu_s=1e5 * cpu_s / max(self.values, 1),
            got_per_s=(self._broker.got - got) / taken_s,
        )

    def take(self, readings: Readings) -> None:
        self.values += len(readings.quality) - np.count_nonzero(readings.quality)


class _AtMostOnce:
    """An outbox whose telemetry asks for no acknowledgement, as the peers' does not."""

    def __init__(self, outbox: Outbox) -> None:
        put = outbox.put
        outbox.put = lambda message: put(_unacknowledged(message))  # type: ignore[method-assign]


def _unacknowledged(message: Message) -> Message:
    return message if message.retain else replace(message, qos=0)


async def gateway_load(rig: Rig, at: Broker, seconds: float, *, qos: int = 1) -> Run:
    """Run the whole gateway against the broker."""
    meter = _Meter(at)
    rig = rig.model_copy(update={"mqtt": rig.mqtt.model_copy(update={"url": at.url})})

    def carrier(outbox: Outbox, **words: Any) -> Link:
        if qos == 0:
            _AtMostOnce(outbox)
        return Link(rig.mqtt, outbox, **words)

    gateway = Gateway(rig, rig_hash="benchmark", make_carrier=carrier, boot="0000")
    gateway.listeners.append(meter.take)
    running = asyncio.create_task(gateway.run(), name="gateway")
    run = await meter.measure(seconds)
    running.cancel()
    await asyncio.wait([running])
    return run


async def draft_load(rig: Rig, at: Broker, seconds: float) -> Run:
    """Do the same as the documentation of pymodbus and aiomqtt suggests: one task for each unit, one JSON a poll."""
    meter = _Meter(at)
    host, _, port = rig.buses["b1"].port.rpartition(":")
    modbus = AsyncModbusTcpClient(host, port=int(port))
    await modbus.connect()
    async with aiomqtt.Client("127.0.0.1", urlsplit(at.url).port or 0) as mqtt:

        async def poll(unit: int) -> None:
            while True:
                answer = await modbus.read_holding_registers(0, count=2 * VALUES, device_id=unit)
                values = modbus.convert_from_registers(answer.registers, modbus.DATATYPE.FLOAT32)
                payload = json.dumps({"unit": unit, "time": time.time(), "values": values})
                await mqtt.publish(f"manovac/v1/draft/{unit}", payload, qos=0)
                meter.values += len(values)

        polls = [asyncio.create_task(poll(unit)) for unit in UNITS]
        run = await meter.measure(seconds)
        for each in polls:
            each.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*polls)
    modbus.close()
    return run


def loaded(text: str, load: Callable[[Rig, Broker, float], Any], seconds: float = _SECONDS) -> Run:
    """Run a gateway on a core of its own against the load server and a broker, which share the other."""
    cores = sorted(os.sched_getaffinity(0))
    emulator = Emulator(text, core=cores[0], program=_SERVER)
    os.sched_setaffinity(0, {cores[-1]})
    try:
        with broker(_TOPIC, cores[0]) as at, emulator.running():
            brought: Run | None = process.run(load(saturated(emulator.rig), at, seconds))
    finally:
        os.sched_setaffinity(0, cores)
    if brought is None:
        raise KeyboardInterrupt
    return brought
