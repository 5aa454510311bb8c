import subprocess
import sys

import serial

from firmware_sim.clock import run_virtual
from firmware_sim.testing import emulated, emulator
from tests.firmware_sim.devices import Client, rig, rtu

__all__ = ["emulator"]


def test_an_emulated_rig_in_virtual_time():
    async def main():
        async with emulated(rig(), memory=True, faults=["crc:p1@#2"]) as fleet:
            client = Client(fleet)
            return [await client.ask(rtu(1)) for _ in range(3)]

    first, second, third = run_virtual(main())
    assert len(first) == len(second) == len(third) == 9
    assert first[:3] == third[:3] == b"\1\3\4"


def test_a_blocking_program_beside_the_emulator(emulator):
    bench = emulator(rig())
    assert bench.rig.buses["b"].port == bench.ports["b"]
    with serial.Serial(bench.ports["b"], 19200, timeout=2) as port:
        port.write(rtu(1))
        answered = port.read(9)
        bench.inject("silence:p1")
        port.timeout = 0.1
        port.write(rtu(1))
        silent = port.read(9)
        bench.clear()
        port.timeout = 2
        port.write(rtu(1))
        assert (len(answered), silent, len(port.read(9))) == (9, b"", 9)
    assert bench.call(lambda fleet: fleet.lines["b"].statistics.answers) == 2


def test_live_control_beside_a_blocking_test(emulator):
    bench = emulator(rig())
    with serial.Serial(bench.ports["b"], 19200, timeout=0.1) as port:
        bench.control("pause")
        port.write(rtu(1))
        silent = port.read(9)
        told = bench.control("step", span="1 s")
        port.timeout = 2
        assert (silent, len(port.read(9)), told["span_s"]) == (b"", 9, 1.0)


def test_it_loads_neither_the_gateways_codecs_nor_its_mqtt_client():
    code = "import sys, firmware_sim.testing; print([m for m in ('pymodbus', 'aiomqtt', 'paho') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
