"""Our drivers read servers that others wrote: libmodbus, which is C, and pymodbus'."""

import asyncio
import contextlib
import ctypes
import ctypes.util
import os
import struct
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from drivers.bus import Bus
from drivers.reader import reader
from drivers.reading import RawPoll, Reason
from drivers.rig import Rig

PRESSURE: Final = 101_325.25
TEMPERATURE: Final = -12.5
COUNT: Final = -1234
UNIT: Final = 7
REGISTERS: Final = 16
BAUD: Final = 115200
MAP: Final = {
    "abcd": {"pressure": {"address": 0, "unit": "Pa"}, "temperature": {"address": 2, "unit": "C"}},
    "cdab": {"pressure": {"address": 4, "order": "CDAB", "unit": "Pa"}},
    "badc": {"pressure": {"address": 6, "order": "BADC", "unit": "Pa"}},
    "dcba": {"pressure": {"address": 8, "order": "DCBA", "unit": "Pa"}},
    "whole": {"pressure": {"address": 10, "type": "int16", "scale": 0.5, "unit": "Pa"}},
}
IMAGE: Final = (
    struct.pack(">2f", PRESSURE, TEMPERATURE)
    + b"".join(
        bytes(struct.pack(">f", PRESSURE)[place] for place in order)
        for order in ((2, 3, 0, 1), (1, 0, 3, 2), (3, 2, 1, 0))
    )
    + struct.pack(">h", COUNT)
)
WORDS: Final = list(struct.unpack(f">{len(IMAGE) // 2}H", IMAGE))
EXPECTED: Final = [PRESSURE, TEMPERATURE, PRESSURE, PRESSURE, PRESSURE, COUNT / 2]


def station(kind: str, port: str) -> Rig:
    return Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi1"},
            "segment": {"prk": {}},
            "bus": {"b": {"kind": kind, "port": port, "baud": BAUD}},
            "transducer": {
                name: {"model": "modbus-map", "bus": "b", "unit": UNIT, "segment": "prk", "map": words}
                for name, words in MAP.items()
            },
        }
    )


async def polled(rig: Rig, times: int = 3) -> list[RawPoll]:
    async with Bus("b", rig.buses["b"]).opened() as bus:
        each = reader(bus, UNIT, rig.units("b")[UNIT])
        return [await each.poll() for _ in range(times)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that only the operating system can report."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


def assert_right(polls: list[RawPoll]) -> None:
    for poll in polls:
        assert poll.reasons.tolist() == [Reason.NONE] * len(EXPECTED)
        assert poll.values.tolist() == pytest.approx(EXPECTED, rel=1e-7)


# libmodbus


class _Mapping(ctypes.Structure):
    """modbus_mapping_t."""

    _fields_ = (
        *((f"nb_{table}", ctypes.c_int) for table in ("bits", "start_bits", "input_bits", "start_input_bits")),
        *((f"nb_{table}", ctypes.c_int) for table in ("input_registers", "start_input_registers", "registers")),
        ("start_registers", ctypes.c_int),
        ("tab_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_registers", ctypes.POINTER(ctypes.c_uint16)),
        ("tab_registers", ctypes.POINTER(ctypes.c_uint16)),
    )


class Libmodbus:
    """A server of libmodbus, in a thread of its own; ctypes lets others run while it waits."""

    def __init__(self, library: ctypes.CDLL, context: int | None) -> None:
        assert context
        self.library = library
        self.context = ctypes.c_void_p(context)
        self.mapping: Any = library.modbus_mapping_new(0, 0, REGISTERS, 0)
        for place, word in enumerate(WORDS):
            self.mapping.contents.tab_registers[place] = word
        self.served = 0
        self.stopping = False

    def serve(self) -> None:
        """Answer until there is nobody to hear."""
        query = ctypes.create_string_buffer(260)
        while not self.stopping:
            length = self.library.modbus_receive(self.context, query)
            if length > 0:
                self.served += self.library.modbus_reply(self.context, query, length, self.mapping) > 0
            elif length < 0 and ctypes.get_errno() not in _GOES_ON:
                return

    def free(self) -> None:
        self.library.modbus_close(self.context)
        self.library.modbus_mapping_free(self.mapping)
        self.library.modbus_free(self.context)


_GOES_ON: Final = (110,)  # ETIMEDOUT: nothing was asked for a while


@pytest.fixture
def libmodbus() -> ctypes.CDLL:
    name = ctypes.util.find_library("modbus")
    if name is None:
        message = "libmodbus is not installed (apt install libmodbus5)"
        if os.environ.get("MANOVAC_NO_SKIPS"):
            pytest.fail(message)
        pytest.skip(message)
    library = ctypes.CDLL(name, use_errno=True)
    library.modbus_new_tcp.restype = ctypes.c_void_p
    library.modbus_new_rtu.restype = ctypes.c_void_p
    library.modbus_mapping_new.restype = ctypes.POINTER(_Mapping)
    library.modbus_new_rtu.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_char, ctypes.c_int, ctypes.c_int)
    return library


@pytest.fixture
def libmodbus_tcp(libmodbus: ctypes.CDLL, free_port: int) -> Iterator[tuple[Libmodbus, int]]:
    server = Libmodbus(libmodbus, libmodbus.modbus_new_tcp(b"127.0.0.1", free_port))
    listening = libmodbus.modbus_tcp_listen(server.context, 1)
    assert listening >= 0

    def accept_and_serve() -> None:
        libmodbus.modbus_tcp_accept(server.context, ctypes.byref(ctypes.c_int(listening)))
        server.serve()

    thread = threading.Thread(target=accept_and_serve, daemon=True)
    thread.start()
    yield server, free_port
    thread.join(5)
    assert not thread.is_alive(), "it ends with its client"
    server.free()


async def test_libmodbus_over_tcp(libmodbus_tcp: tuple[Libmodbus, int]) -> None:
    server, port = libmodbus_tcp
    assert_right(await polled(station("modbus-tcp", f"127.0.0.1:{port}")))
    assert server.served >= 3


@pytest.fixture
def wire(require_program: Callable[[str], str], tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """Two pseudo-terminals tied together by socat."""
    ends = tmp_path / "ours", tmp_path / "theirs"
    command = [require_program("socat"), *(f"pty,raw,echo=0,link={end}" for end in ends)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        deadline_s = time.monotonic() + 5
        while not all(end.exists() for end in ends):
            assert process.poll() is None
            assert time.monotonic() < deadline_s
            time.sleep(0.01)
        yield ends
        process.terminate()


@pytest.fixture
def libmodbus_rtu(libmodbus: ctypes.CDLL, wire: tuple[Path, Path]) -> Iterator[Libmodbus]:
    server = Libmodbus(libmodbus, libmodbus.modbus_new_rtu(bytes(wire[1]), BAUD, b"N", 8, 1))
    assert libmodbus.modbus_set_slave(server.context, UNIT) == 0
    assert libmodbus.modbus_set_indication_timeout(server.context, 0, 100_000) == 0
    assert libmodbus.modbus_connect(server.context) == 0
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server
    server.stopping = True
    thread.join(5)
    assert not thread.is_alive()
    server.free()


async def test_libmodbus_over_rtu(libmodbus_rtu: Libmodbus, wire: tuple[Path, Path]) -> None:
    assert_right(await polled(station("serial", str(wire[0]))))
    assert libmodbus_rtu.served >= 3


# pymodbus


@contextlib.asynccontextmanager
async def pymodbus_server(framer: FramerType, port: int) -> AsyncIterator[None]:
    device = SimDevice(UNIT, simdata=[SimData(0, values=WORDS, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer(device, framer=framer, address=("127.0.0.1", port))
    await server.serve_forever(background=True)
    try:
        yield
    finally:
        await server.shutdown()


@pytest.mark.parametrize(("kind", "framer"), [("modbus-tcp", FramerType.SOCKET), ("rtu-over-tcp", FramerType.RTU)])
async def test_pymodbus_server(kind: str, framer: FramerType, free_port: int) -> None:
    async with pymodbus_server(framer, free_port):
        assert_right(await polled(station(kind, f"127.0.0.1:{free_port}")))


async def test_values_are_bad_while_a_server_is_away_and_right_when_it_is_back(free_port: int) -> None:
    rig = station("modbus-tcp", f"127.0.0.1:{free_port}")
    async with contextlib.AsyncExitStack() as stack:
        async with pymodbus_server(FramerType.SOCKET, free_port):
            bus = await stack.enter_async_context(Bus("b", rig.buses["b"]).opened())
            each = reader(bus, UNIT, rig.units("b")[UNIT])
            assert_right([await each.poll()])
        async with asyncio.timeout(10):
            await until(lambda: not bus.up)
            away = await each.poll()
            assert away.reasons.tolist() == [Reason.BUS_DOWN] * len(EXPECTED)
            assert np.isnan(away.values).all()
            async with pymodbus_server(FramerType.SOCKET, free_port):
                await until(lambda: bus.up)
                assert_right([await each.poll()])
