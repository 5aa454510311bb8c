"""What a value costs from a Modbus TCP socket to a broker, with all features, and what it costs others."""

import asyncio
import json
import os
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import urlsplit

import aiomqtt
from pymodbus.client import AsyncModbusTcpClient

from drivers.rig import Rig
from tests.benchmarks.broker import Broker
from tests.benchmarks.gateway_load import Meter, Run, gateway_load, loaded
from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.line import Emulator
from tests.benchmarks.peers import installed
from tests.benchmarks.tcp_load import SERVER, UNITS, VALUES, alone, load_text

_SECONDS: Final = 5.0
_REPETITIONS: Final = 3
_MOST_CPU_S: Final = 0.20
_LEAST_VALUES: Final = 300_000
_POLL: Final = "gateway, a message each poll, QoS 0"
_POLL_1: Final = "gateway, a message each poll, QoS 1"
_BATCH: Final = "gateway, 1 s batches, QoS 1"
_JOURNAL: Final = "gateway, 1 s batches, QoS 1, journal on disk"
_DRAFT: Final = "pymodbus + aiomqtt, a message each poll, QoS 0"


async def draft_load(rig: Rig, at: Broker, seconds: float) -> Run:
    """Do the same as the documentation of pymodbus and aiomqtt suggests: one task for each unit, one JSON a poll."""
    meter = Meter(at)
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


async def _journalled(rig: Rig, at: Broker, seconds: float) -> Run:
    with TemporaryDirectory() as folder:
        return await gateway_load(rig, at, seconds, folder=Path(folder))


def _server_alone() -> float:
    cores = sorted(os.sched_getaffinity(0))
    emulator = Emulator(load_text(), core=cores[0], program=SERVER)
    os.sched_setaffinity(0, {cores[-1]})
    try:
        with emulator.running():
            return alone(emulator.rig.buses["b1"].port, _SECONDS) * VALUES
    finally:
        os.sched_setaffinity(0, cores)


def measure() -> Table:
    """Compare the gateway with a draft that anybody would write first."""
    each_poll, batches = load_text(batch="0 s"), load_text(batch="1 s")
    contenders = {
        _POLL: partial(loaded, each_poll, partial(gateway_load, qos=0), _SECONDS, saturate=True),
        _POLL_1: partial(loaded, each_poll, gateway_load, _SECONDS, saturate=True),
        _BATCH: partial(loaded, batches, gateway_load, _SECONDS, saturate=True),
        _JOURNAL: partial(loaded, batches, _journalled, _SECONDS, saturate=True),
        _DRAFT: partial(loaded, each_poll, draft_load, _SECONDS),
        **{name: partial(loaded, each_poll, load, _SECONDS) for name, load in installed().items()},
    }
    runs = interleaved(contenders, repetitions=_REPETITIONS)
    servers = interleaved({"alone": _server_alone}, repetitions=3)["alone"]
    values_per_s = median([run.values_per_s for run in runs[_POLL]])
    cpu_s = {name: median([run.cpu_s for run in each]) for name, each in runs.items()}
    return Table(
        conditions=(
            f"{len(UNITS)} units of {VALUES} float32 on one Modbus TCP port, each asked again as soon as it has"
            f" answered; mosquitto and mosquitto_sub; {_SECONDS:g} s a run, {_REPETITIONS} interleaved runs, median"
            " (lowest..highest). The gateway has calibration, plausibility, quality and numbers on and publishes each"
            " channel's own topic once a second besides, at QoS 1; at QoS 0 the benchmark takes the acknowledgement off"
            " its batches, for the draft has none either. CPU is user and system time of the gateway's process, which"
            " has a core of its own; load server, broker and subscriber share the other. The load server alone, asked"
            f" by a client that only counts: {spread(servers, ',.0f')} values/s."
        ),
        columns=("gateway", "CPU s per 100,000 values", "of the draft's", "values/s", "messages/s at the subscriber"),
        rows=tuple(
            (
                name,
                spread([run.cpu_s for run in each], ".3f"),
                f"{cpu_s[name] / cpu_s[_DRAFT]:.0%}",
                spread([run.values_per_s for run in each], ",.0f"),
                spread([run.got_per_s for run in each], ",.0f"),
            )
            for name, each in runs.items()
        ),
        checks=(
            *(
                Check(
                    text=f"0.20 CPU s per 100,000 values, {name.removeprefix('gateway, ')}",
                    met=cpu_s[name] <= _MOST_CPU_S,
                    found=f"{cpu_s[name]:.3f}",
                    aim="0.10",
                )
                for name in (_POLL, _BATCH, _JOURNAL)
            ),
            Check(
                text="300,000 values/s on one core, a message each poll at QoS 0",
                met=values_per_s >= _LEAST_VALUES,
                found=f"{values_per_s:,.0f}",
                aim="600,000",
            ),
        ),
    )
