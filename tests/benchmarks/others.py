"""The same polls by clients that others wrote, as their documentation has them used."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress

import minimalmodbus
import serial
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusSerialClient

from drivers.wire.keller_bus import INITIALISE, keller_request
from tests.benchmarks.line import UNITS, Emulator, Run, line_text

_VALUES = 0x0100
_TIMEOUT_S = 0.2  # as the gateway's longest wait
_PAUSE_S = 0.01


def _greet(port: str, baud: int) -> None:
    """Wake the transmitters: after power-up they refuse everything else. Keeps every silence."""
    with serial.Serial(port, baud, timeout=_TIMEOUT_S) as line:
        for unit in UNITS:
            request = keller_request(unit, INITIALISE)
            line.write(request.frame)
            line.read(request.answer_size)
            time.sleep(_PAUSE_S)


async def _pymodbus(port: str, baud: int, seconds: float, *, pause_s: float) -> dict[int, int]:
    polls = dict.fromkeys(UNITS, 0)
    client = AsyncModbusSerialClient(port, framer=FramerType.RTU, baudrate=baud, timeout=_TIMEOUT_S)
    await client.connect()
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for unit in UNITS:
            with suppress(ModbusException):
                answer = await client.read_holding_registers(_VALUES, count=4, device_id=unit)
                polls[unit] += not answer.isError()
            await asyncio.sleep(pause_s)
        if not client.connected:
            await client.connect()
    client.close()
    return polls


def _minimalmodbus(port: str, baud: int, seconds: float) -> dict[int, int]:
    polls = dict.fromkeys(UNITS, 0)
    instruments = {unit: minimalmodbus.Instrument(port, unit) for unit in UNITS}
    line = instruments[1].serial
    line.baudrate, line.timeout = baud, _TIMEOUT_S
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for unit, instrument in instruments.items():
            with suppress(minimalmodbus.ModbusException, OSError):
                polls[unit] += len(instrument.read_registers(_VALUES, 4)) == 4
    line.close()
    minimalmodbus._serialports.clear()  # it would use the closed port again for the next line of the same name
    return polls


def _run(client: Callable[[str, int, float], dict[int, int]], baud: int, seconds: float) -> Run:
    line = Emulator(line_text(baud))
    with line.running():
        port = line.rig.buses["line"].port
        _greet(port, baud)
        begin_s, cpu_s = time.monotonic(), time.process_time()
        polls = client(port, baud, seconds)
        run = Run(polls=polls, seconds=time.monotonic() - begin_s, cpu_s=time.process_time() - cpu_s)
    run.requests, run.violations = line.requests, line.violations
    return run


def pymodbus_async(baud: int, seconds: float, *, pause_s: float = 0.0) -> Run:
    """Poll with pymodbus' asynchronous client on asyncio's usual loop, which sleeps so long after each poll."""
    logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)
    return _run(lambda *words: asyncio.run(_pymodbus(*words, pause_s=pause_s)), baud, seconds)


def minimalmodbus_blocking(baud: int, seconds: float) -> Run:
    """Poll with minimalmodbus."""
    return _run(_minimalmodbus, baud, seconds)
