"""Our drivers read the emulator's firmware, whose codecs somebody else wrote: a mistake shows in one of them."""

from dataclasses import dataclass
from importlib.metadata import entry_points

import numpy as np
import pytest

from drivers.exchange import Outcome, Quiet
from drivers.model import Driver
from drivers.reading import Reason
from drivers.registry import model
from drivers.wire.keller_bus import (
    CHANGE_ADDRESS,
    INITIALISE,
    READ_COEFFICIENT,
    READ_FLOAT,
    READ_INTEGER,
    READ_SERIAL_NUMBER,
    data_of,
    keller_request,
)
from firmware_sim.firmware.firmware import Firmware
from firmware_sim.firmware.keller_33x import IntegerMap
from tests.drivers.models.asks import Emulated, bus, transducer

PRESSURE_PA, TEMPERATURE_K = 101_325.0, 295.15
MAP = {
    "pressure": {"address": 4, "type": "float32", "order": "CDAB", "unit": "kPa"},
    "temperature": {"address": 7, "type": "int16", "scale": 0.01, "unit": "C", "function": 4},
}
FAMILIES = {
    "adam-4117": (1, {"channel": 3, "range": "0..160 kPa"}),
    "adam-6017": (1, {"channel": 3, "range": "0..160 kPa"}),
    "alicat": (1, {"serial_number": 77}),
    "druck-terps": (1, {}),
    "generic-float": (1, {}),
    "generic-int": (1, {}),
    "honeywell-hpb": (12, {"serial_number": "77"}),
    "keller-33x": (1, {"serial_number": 77}),
    "keller-bus": (1, {"serial_number": 77}),
    "mensor-cpt": (1, {"serial_number": 77, "options": {"unit": "psi"}}),
    "mks-900": (253, {"serial_number": "A0000077"}),
    "modbus-map": (1, {"map": MAP}),
    "paroscientific-6000": (98, {"serial_number": 77}),
    "pfeiffer-telegram": (1, {}),
    "pfeiffer-tpg26x": (1, {}),
    "setra-470": (1, {}),
    "vaisala-ptb210": (7, {"serial_number": "N0000077"}),
    "vaisala-ptb330": (0, {"serial_number": "A0000077"}),
    "waveshare-8ch": (1, {"channel": 3, "range": "0..160 kPa"}),
}


@dataclass
class Steady:
    """A sensing element at one pressure and temperature."""

    pressure_pa: float = PRESSURE_PA

    def read(self, at_ns: int) -> tuple[float, float]:
        return self.pressure_pa, TEMPERATURE_K


def pair(name: str, unit: int, words: dict[str, object]) -> tuple[Driver, Firmware, Steady]:
    transducers, line, sensor = {"p": transducer(name, unit=unit, **words)}, bus(), Steady()
    (twin,) = entry_points(group="manovac.twins", name=name)
    firmware = twin.load()(unit=unit, bus=line, transducers=transducers, sensors={"p": sensor})
    return model(name).driver(unit, transducers, line), firmware, sensor


@pytest.mark.parametrize(("name", "unit", "words"), [(name, *case) for name, case in FAMILIES.items()])
async def test_a_driver_identifies_and_reads_its_twin(name: str, unit: int, words: dict[str, object]) -> None:
    driver, firmware, _ = pair(name, unit, words)
    ask = Emulated(firmware)
    identity = await driver.identify(ask)
    assert identity.reason is Reason.NONE
    if "serial_number" in words:
        assert identity.serial_number == str(words["serial_number"])
    poll = await driver.poll(ask)
    assert poll.reasons.tolist() == [Reason.NONE] * len(driver.channels)
    expected = {"pressure": PRESSURE_PA, "temperature": TEMPERATURE_K}
    for channel, value in zip(poll.channels, poll.values, strict=True):
        assert channel.unit.to_si(value) == pytest.approx(expected[channel.quantity], rel=5e-4)


@pytest.mark.parametrize("name", ["keller-33x", "keller-bus", "vaisala-ptb330"])
async def test_a_restarted_twin_is_noticed_and_read_again(name: str) -> None:
    driver, firmware, _ = pair(name, *FAMILIES[name])
    ask = Emulated(firmware)
    await driver.identify(ask)
    firmware.reboot(int(ask.now_s * 1e9))
    ask.now_s += 60.0
    assert (await driver.poll(ask)).reasons.tolist() == [Reason.RESTARTED] * 2
    assert (await driver.poll(ask)).reasons.tolist() == [Reason.NONE] * 2


@pytest.mark.parametrize(
    "name",
    [
        "adam-4117",
        "adam-6017",
        "alicat",
        "generic-float",
        "generic-int",
        "honeywell-hpb",
        "keller-33x",
        "keller-bus",
        "pfeiffer-tpg26x",
        "setra-470",
        "vaisala-ptb330",
        "waveshare-8ch",
    ],
)
async def test_a_pressure_beyond_the_range_is_never_good(name: str) -> None:
    driver, firmware, sensor = pair(name, FAMILIES[name][0], {**FAMILIES[name][1], "range": "80..110 kPa"})
    ask = Emulated(firmware)
    await driver.identify(ask)
    sensor.pressure_pa = 500e3
    poll = await driver.poll(ask)
    assert poll.reasons[0] in (Reason.SATURATED_HIGH, Reason.SENSOR_FAILURE)
    assert np.isnan(poll.values[0]) or poll.reasons[0] == Reason.SATURATED_HIGH


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"generic-float", "generic-int", "modbus-map"}))
async def test_a_twin_answers_the_hail_and_the_fences(name: str) -> None:
    driver, firmware, _ = pair(name, *FAMILIES[name])
    ask, family = Emulated(firmware), model(name)
    assert family.hail is not None
    assert family.recognise is not None
    assert family.recognise((await ask(family.hail(FAMILIES[name][0]))).frame) is not None
    for fence in () if isinstance(driver.fences, Quiet) else driver.fences:
        assert (await ask(fence)).outcome is Outcome.REPLY


async def test_the_last_fence_of_a_barometer_stops_its_continuous_output() -> None:
    driver, firmware, _ = pair("vaisala-ptb330", *FAMILIES["vaisala-ptb330"])
    firmware.hear(0, b"ECHO OFF\rR\r")
    ask = Emulated(firmware)
    assert not isinstance(driver.fences, Quiet)
    assert (await ask(driver.fences[0])).outcome is not Outcome.REPLY
    assert (await ask(driver.fences[-1])).outcome is Outcome.REPLY
    assert (await ask(driver.fences[0])).outcome is Outcome.REPLY


@pytest.mark.parametrize("name", sorted(set(FAMILIES) - {"modbus-map"}))
async def test_no_driver_writes_a_memory_that_bears_few_writes(name: str) -> None:
    driver, firmware, _ = pair(name, *FAMILIES[name])
    ask = Emulated(firmware)
    for _ in range(3):
        await driver.identify(ask)
        await driver.poll(ask)
        firmware.reboot(int(ask.now_s * 1e9))
        ask.now_s += 60.0
    # A PTB330 gets its start mode at each start: with echo on nothing that it says can be relied on before.
    written = 3 if name == "vaisala-ptb330" else 0
    assert firmware.settings.writes == written  # type: ignore[attr-defined] # all twins with a memory have it


async def test_all_six_functions_of_the_keller_bus_are_understood_on_both_sides() -> None:
    _, firmware, sensor = pair("keller-bus", 1, {"serial_number": 77})
    ask = Emulated(firmware)
    sensor.pressure_pa = 101_325.0

    async def data(function: int, sent: bytes = b"", unit: int = 1) -> bytes:
        attempt = await ask(keller_request(unit, function, sent))
        assert attempt.outcome is Outcome.REPLY
        return data_of(attempt.frame)

    assert (await data(INITIALISE))[:2] == bytes((5, 20))
    assert int.from_bytes((await data(READ_INTEGER, b"\x01"))[:4], "big", signed=True) == 101_325
    assert await data(READ_FLOAT, b"\x01") == bytes.fromhex("3F 81 B2 2D 00")
    assert await data(READ_COEFFICIENT, b"\x51") == bytes.fromhex("41 20 00 00")
    assert await data(CHANGE_ADDRESS, b"\x09") == b"\x09"
    assert await data(CHANGE_ADDRESS, b"\x00", unit=9) == b"\x09"
    assert int.from_bytes(await data(READ_SERIAL_NUMBER, unit=9), "big") == 77
    assert (await ask(keller_request(1, READ_SERIAL_NUMBER))).outcome is Outcome.TIMEOUT


@pytest.mark.parametrize(("integer_map", "at"), [(IntegerMap.SERIES_30, 0x0012), (IntegerMap.X_LINE, 0x0022)])
async def test_both_integer_maps_of_a_keller_are_read_by_a_register_map(integer_map: IntegerMap, at: int) -> None:
    _, firmware, _ = pair("keller-33x", 1, {})
    firmware.integer_map = integer_map  # type: ignore[attr-defined]
    ask = Emulated(firmware)
    await ask(keller_request(1, INITIALISE))
    words = {"pressure": {"address": at, "type": "int32", "unit": "Pa"}}
    words |= {"temperature": {"address": at + 6, "type": "int32", "scale": 0.01, "unit": "C"}}
    reading = model("modbus-map").driver(1, {"p1": transducer("modbus-map", map=words)}, bus())
    poll = await reading.poll(ask)
    assert poll.values.tolist() == pytest.approx([PRESSURE_PA, TEMPERATURE_K - 273.15])
    other = {"pressure": {"address": at ^ 0x30, "type": "int32", "unit": "Pa"}}
    wrong = model("modbus-map").driver(1, {"p1": transducer("modbus-map", map=other)}, bus())
    assert (await wrong.poll(ask)).reasons.tolist() == [Reason.EXCEPTION]
