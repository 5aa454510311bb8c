"""Clients written by others take the emulated gauges for real ones, and fail when these are made to fail."""

import os
from collections.abc import Iterator
from typing import Final

import pytest
import serial
from alicat import FlowMeter
from pfeiffer_vacuum_protocol import pfeiffer_vacuum_protocol as pfeiffer

from firmware_sim.testing import EmulatedRig, emulated_in_thread
from tests.end_to_end.virtual_station import FALLING, rig

ACCEPTS: Final = {"alicat": ("alicat",), "pfeiffer-vacuum-protocol": ("pfeiffer-telegram",)}
"""Program -> models whose twins it reads here; docs/devices.md lists them."""
PRESSURE: dict[str, object] = {"emulator": {"seed": 1, "pressure": "100 kPa", "temperature": "21 C"}}
ALICAT = rig({"kind": "serial", "baud": 19200}, {"p1": {"model": "alicat", "segment": FALLING}}, **PRESSURE)
PFEIFFER = rig(
    {"kind": "serial", "baud": 9600}, {"p1": {"model": "pfeiffer-telegram", "unit": 3, "segment": FALLING}}, **PRESSURE
)


@pytest.fixture
def flow_meter() -> Iterator[EmulatedRig]:
    with emulated_in_thread(ALICAT) as bench:
        yield bench


@pytest.fixture
def gauge() -> Iterator[tuple[EmulatedRig, serial.Serial]]:
    with emulated_in_thread(PFEIFFER) as bench, serial.Serial(bench.ports["b"], 9600, timeout=0.5) as port:
        yield bench, port


def device(bench: EmulatedRig) -> str:
    """Return the port by the only name that the client knows a serial port by."""
    return os.path.realpath(bench.ports["b"])


async def test_alicat_reads_a_frame_and_the_firmware(flow_meter: EmulatedRig) -> None:
    async with FlowMeter(device(flow_meter), unit="A") as meter:
        values = await meter.get()
        assert values["pressure"] == pytest.approx(14.504, abs=0.02)
        assert values["temperature"] == pytest.approx(21.0, abs=0.1)
        assert (values["mass_flow"], values["gas"]) == (0.0, "Air")
        assert "10v20" in await meter.get_firmware()
        assert not await meter.is_locked()


@pytest.mark.parametrize("fault", ["silence:p1", "truncate:p1,bytes=20", "noise:p1,before=3"])
async def test_alicat_fails_on_a_planted_fault(flow_meter: EmulatedRig, fault: str) -> None:
    async with FlowMeter(device(flow_meter), unit="A") as meter:
        assert await meter.get()
        flow_meter.inject(fault)
        with pytest.raises((OSError, UnicodeDecodeError), match=r"Could not read values|can't decode"):
            await meter.get()


def test_pfeiffer_reads_everything(gauge: tuple[EmulatedRig, serial.Serial]) -> None:
    _, port = gauge
    assert pfeiffer.read_pressure(port, 3) == pytest.approx(1.0, abs=0.001)  # bar
    assert pfeiffer.read_gauge_type(port, 3) == "PPT 100"
    assert pfeiffer.read_software_version(port, 3) == (1, 4, 0)
    assert pfeiffer.read_error_code(port, 3) is pfeiffer.ErrorCode.NO_ERROR
    pfeiffer.write_correction_value(port, 3, 0.8)
    assert pfeiffer.read_correction_value(port, 3) == pytest.approx(0.8)
    pfeiffer.write_pressure_setpoint(port, 3, 1)


@pytest.mark.parametrize("fault", ["crc:p1", "silence:p1", "exception:p1", "truncate:p1,bytes=9"])
def test_pfeiffer_fails_on_a_planted_fault(gauge: tuple[EmulatedRig, serial.Serial], fault: str) -> None:
    bench, port = gauge
    assert pfeiffer.read_pressure(port, 3) > 0
    bench.inject(fault)
    with pytest.raises(ValueError, match=r"gauge response|invalid|range|parameter|logic|character"):
        pfeiffer.read_pressure(port, 3)
