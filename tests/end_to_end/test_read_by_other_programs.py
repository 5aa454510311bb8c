"""The emulated devices are read by programs that others wrote; each of them also notices a device that misbehaves."""

import asyncio
import re
import socket
import struct
import subprocess
from collections.abc import Callable, Sequence
from typing import Any, Final

import minimalmodbus
import pytest
import serial
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusTcpClient, ModbusSerialClient, ModbusTcpClient

from drivers.rig import Rig
from firmware_sim.testing import EmulatedRig, StartEmulator, emulator

__all__ = ["emulator"]

_MODBUS: Final = ("keller-33x", "modbus-map", "waveshare-8ch")
ACCEPTS: Final = {
    "mbpoll": _MODBUS,
    "minimalmodbus": (*_MODBUS, "generic-float", "generic-int"),
    "pymodbus": _MODBUS,
}
"""Program -> models whose twins it reads here; docs/devices.md lists them."""
AMBIENT_BAR: Final = pytest.approx(1.01325, abs=1e-3)
AMBIENT_PA: Final = pytest.approx(101_325, abs=100)
AMBIENT_C: Final = pytest.approx(22.0, abs=0.5)
BAUD: Final = 19200
TIMEOUT_S: Final = 0.4
KELLER: Final = {"model": "keller-33x", "unit": 1}
MAPPED: Final = {
    "model": "modbus-map",
    "unit": 2,
    "map": {
        "pressure": {"address": 0, "type": "float32", "order": "ABCD", "unit": "Pa"},
        "temperature": {"function": 4, "address": 2, "type": "int16", "scale": 0.01, "unit": "C"},
    },
}
SWAPPED: Final = MAPPED | {"map": {"pressure": MAPPED["map"]["pressure"] | {"order": "CDAB"}}}
"""The planted fault of a device that sends its low word first, while its client expects the high one."""
CURRENT: Final = {"model": "waveshare-8ch", "unit": 10, "channel": 1, "range": "0..160 kPa", "current": "4..20 mA"}
INITIALISE: Final = bytes.fromhex("01 30 34 00")  # a KELLER refuses Modbus until somebody has said F48
FAULTS: Final = ("silence", "crc")


def station(*transducers: dict[str, Any], kind: str = "serial") -> Rig:
    return Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi1"},
            "segment": {"prk": {}},
            "bus": {"b": {"kind": kind, "port": "-", "baud": BAUD}},
            "transducer": {f"p{words['unit']}": {**words, "bus": "b", "segment": "prk"} for words in transducers},
        }
    )


@pytest.fixture
def line(emulator: StartEmulator) -> EmulatedRig:
    """Three models on one pseudo-terminal."""
    bench = emulator(station(KELLER, MAPPED, CURRENT))
    with serial.Serial(bench.ports["b"], BAUD, timeout=2) as port:
        port.write(INITIALISE)
        assert len(port.read(10)) == 10
    return bench


@pytest.fixture
def network(emulator: StartEmulator) -> EmulatedRig:
    """A mapped device behind Modbus TCP."""
    return emulator(station(MAPPED, kind="modbus-tcp"))


def host_and_port(bench: EmulatedRig) -> tuple[str, int]:
    host, _, port = bench.ports["b"].rpartition(":")
    return host, int(port)


# mbpoll


def mbpoll(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [program, "-0", "-1", "-o", str(TIMEOUT_S), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)


def told(run: subprocess.CompletedProcess[str]) -> list[float]:
    """The values of lines like `[256]:  1.01325`."""
    return [float(value) for value in re.findall(r"^\[\d+\]:\s+(\S+)", run.stdout, re.MULTILINE)]


def rtu(bench: EmulatedRig, unit: int) -> list[str]:
    return ["-m", "rtu", "-a", str(unit), "-b", str(BAUD), "-P", "none", bench.ports["b"]]


@pytest.mark.parametrize(
    ("unit", "words", "expected"),
    [
        (1, ["-t", "4:float", "-B", "-r", "256", "-c", "2"], [AMBIENT_BAR, AMBIENT_C]),
        (2, ["-t", "4:float", "-B", "-r", "0", "-c", "1"], [AMBIENT_PA]),
        (2, ["-t", "3", "-r", "2", "-c", "1"], [pytest.approx(2200, abs=50)]),
        (10, ["-t", "3", "-r", "0", "-c", "1"], [pytest.approx(4000 + 16000 * 101_325 / 160_000, abs=60)]),
    ],
    ids=["keller-33x", "modbus-map float", "modbus-map integer", "waveshare-8ch"],
)
def test_mbpoll_reads_rtu(
    line: EmulatedRig, require_program: Callable[[str], str], unit: int, words: list[str], expected: list[Any]
) -> None:
    program = require_program("mbpoll")
    healthy = mbpoll(program, *words, *rtu(line, unit))
    assert told(healthy) == expected, healthy.stdout + healthy.stderr
    for fault in FAULTS:
        armed = line.inject(f"{fault}:p{unit}")
        broken = mbpoll(program, *words, *rtu(line, unit))
        line.clear(armed)
        assert told(broken) == []
        assert broken.returncode != 0
    assert told(mbpoll(program, *words, *rtu(line, unit))) == expected


def test_mbpoll_reads_tcp(network: EmulatedRig, require_program: Callable[[str], str]) -> None:
    program = require_program("mbpoll")
    host, port = host_and_port(network)
    words = ["-m", "tcp", "-a", "2", "-p", str(port), "-t", "4:float", "-B", "-r", "0", "-c", "1", host]
    healthy = mbpoll(program, *words)
    assert told(healthy) == [AMBIENT_PA], healthy.stdout + healthy.stderr
    for fault in ("silence", "truncate"):  # it does not look at the unit of an answer in TCP
        armed = network.inject(f"{fault}:p2")
        broken = mbpoll(program, *words)
        network.clear(armed)
        assert told(broken) == []
        assert broken.returncode != 0


def test_mbpoll_sees_when_the_words_are_swapped(emulator: StartEmulator, require_program: Callable[[str], str]) -> None:
    program, bench = require_program("mbpoll"), emulator(station(SWAPPED))
    words = ["-t", "4:float", "-r", "0", "-c", "1", *rtu(bench, 2)]
    (wrong,) = told(mbpoll(program, "-B", *words))
    assert wrong != pytest.approx(101_325, rel=0.1)
    assert told(mbpoll(program, *words)) == [AMBIENT_PA]


# minimalmodbus


def test_minimalmodbus_reads_all_models(line: EmulatedRig) -> None:
    instruments = {unit: minimalmodbus.Instrument(line.ports["b"], unit) for unit in (1, 2, 10)}
    for each in instruments.values():
        each.serial.baudrate = BAUD
        each.serial.timeout = TIMEOUT_S
    try:
        assert instruments[1].read_float(0x0100) == AMBIENT_BAR
        assert instruments[1].read_float(0x0102) == AMBIENT_C
        assert instruments[2].read_float(0) == AMBIENT_PA
        assert instruments[2].read_register(2, functioncode=4) == pytest.approx(2200, abs=50)
        assert 13_000 < instruments[10].read_register(0, functioncode=4) < 15_000
        for fault, error in (("silence", minimalmodbus.NoResponseError), ("crc", minimalmodbus.InvalidResponseError)):
            armed = line.inject(f"{fault}:p1")
            with pytest.raises(error):
                instruments[1].read_float(0x0100)
            line.clear(armed)
        with pytest.raises(minimalmodbus.IllegalRequestError):
            instruments[2].read_register(99)
    finally:
        instruments[1].serial.close()  # all of them share one


def test_minimalmodbus_reads_cheap_transmitters_and_sees_when_their_words_are_swapped(emulator: StartEmulator) -> None:
    bench = emulator(station({"model": "generic-int", "unit": 3}, {"model": "generic-float", "unit": 4}, SWAPPED))
    integers, floats_, other = (minimalmodbus.Instrument(bench.ports["b"], unit) for unit in (3, 4, 2))
    for each in (integers, floats_, other):
        each.serial.baudrate = BAUD
        each.serial.timeout = TIMEOUT_S
    try:
        assert integers.read_registers(2, 3) == [1, 1, pytest.approx(1013, abs=1)]
        integers.write_register(2, 2, functioncode=6)
        assert integers.read_register(2) == 2, "the unit's code is now that of Pa"
        assert floats_.read_float(0x16) == pytest.approx(101.325, abs=0.1)
        assert floats_.read_float(0x26) == AMBIENT_C
        assert other.read_float(0) != pytest.approx(101_325, rel=0.1)
        assert other.read_float(0, byteorder=minimalmodbus.BYTEORDER_LITTLE_SWAP) == AMBIENT_PA
    finally:
        integers.serial.close()  # all of them share one


# pymodbus


def floats(registers: Sequence[int]) -> list[float]:
    return list(struct.unpack(f">{len(registers) // 2}f", struct.pack(f">{len(registers)}H", *registers)))


def test_pymodbus_serial_client_reads_all_models(line: EmulatedRig) -> None:
    client = ModbusSerialClient(line.ports["b"], baudrate=BAUD, timeout=TIMEOUT_S, retries=0)
    assert client.connect()
    try:
        assert floats(client.read_holding_registers(0x0100, count=4, device_id=1).registers) == [AMBIENT_BAR, AMBIENT_C]
        assert floats(client.read_holding_registers(0, count=2, device_id=2).registers) == [AMBIENT_PA]
        assert 13_000 < client.read_input_registers(0, count=8, device_id=10).registers[0] < 15_000
        assert client.read_holding_registers(99, count=1, device_id=2).exception_code == 2
        for fault in FAULTS:
            armed = line.inject(f"{fault}:p1")
            with pytest.raises(ModbusException):
                client.read_holding_registers(0x0100, count=4, device_id=1)
            line.clear(armed)
    finally:
        client.close()


def test_pymodbus_tcp_client_reads_a_mapped_device(network: EmulatedRig) -> None:
    host, port = host_and_port(network)
    client = ModbusTcpClient(host, port=port, timeout=TIMEOUT_S, retries=0)
    assert client.connect()
    try:
        assert floats(client.read_holding_registers(0, count=2, device_id=2).registers) == [AMBIENT_PA]
        for fault in ("silence", "foreign", "truncate"):  # TCP brings every byte: damage is half an answer or another's
            armed = network.inject(f"{fault}:p2")
            with pytest.raises(ModbusException):
                client.read_holding_registers(0, count=2, device_id=2)
            network.clear(armed)
    finally:
        client.close()


def test_pymodbus_sees_when_the_words_are_swapped(emulator: StartEmulator) -> None:
    bench = emulator(station(SWAPPED))
    client = ModbusSerialClient(bench.ports["b"], baudrate=BAUD, timeout=TIMEOUT_S, retries=0)
    assert client.connect()
    try:
        registers = client.read_holding_registers(0, count=2, device_id=2).registers
    finally:
        client.close()
    float32 = client.DATATYPE.FLOAT32
    assert client.convert_from_registers(registers, float32, word_order="big") != pytest.approx(101_325, rel=0.1)
    assert client.convert_from_registers(registers, float32, word_order="little") == AMBIENT_PA


@pytest.mark.parametrize(("kind", "framer"), [("modbus-tcp", FramerType.SOCKET), ("rtu-over-tcp", FramerType.RTU)])
async def test_pymodbus_asyncio_client_reads_several_at_once(
    emulator: StartEmulator, kind: str, framer: FramerType
) -> None:
    bench = emulator(station(MAPPED, kind=kind))
    host, port = host_and_port(bench)
    client = AsyncModbusTcpClient(host, port=port, framer=framer, timeout=TIMEOUT_S, retries=0)
    assert await client.connect()
    try:
        answers = await asyncio.gather(*(client.read_holding_registers(0, count=2, device_id=2) for _ in range(5)))
        assert [floats(answer.registers) for answer in answers] == [[AMBIENT_PA]] * 5
        bench.inject("silence:p2")
        with pytest.raises(ModbusException):
            await client.read_holding_registers(0, count=2, device_id=2)
    finally:
        client.close()


# what any program sees of it


def test_a_plain_socket_sees_one_answer_to_each_of_several_requests(network: EmulatedRig) -> None:
    with socket.create_connection(host_and_port(network), timeout=2) as peer:
        peer.sendall(
            b"".join(number.to_bytes(2, "big") + bytes.fromhex("0000 0006 02 03 0000 0002") for number in (7, 8, 9))
        )
        answers = b""
        while len(answers) < 3 * 13:
            answers += peer.recv(100)
    assert [answers[at : at + 2] for at in (0, 13, 26)] == [b"\0\7", b"\0\x08", b"\0\x09"]
