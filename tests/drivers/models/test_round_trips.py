"""Whatever a sensor feels, the driver reads it from its twin: two codecs of each family, written apart, round-trip.

The frames alone, with any content, make the same round trip in `tests/drivers/wire/test_round_trips.py`.
"""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.model import Driver
from drivers.reading import Reason
from tests.drivers.models.asks import Emulated
from tests.drivers.models.test_against_firmware import FAMILIES, TEMPERATURE_K, Steady, pair
from tests.drivers.test_conformance import subject

SETTLE_S = 2.0
"""Longer than a measurement of any family that measures on its own: the value is of the pressure that was set."""

TYPES = ("float32", "float64", "int32", "uint32", "int16", "uint16")
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


async def read(driver: Driver, ask: Emulated) -> dict[str, float]:
    """Return what a poll brings, quantity -> SI; all of it good."""
    poll = await driver.poll(ask)
    assert [Reason(code) for code in poll.reasons] == [Reason.NONE] * len(poll.channels)
    pairs = zip(poll.channels, poll.values.tolist(), strict=True)
    return {channel.quantity: channel.unit.to_si(value) for channel, value in pairs}


def opened(name: str, unit: int, words: dict[str, object]) -> tuple[Driver, Emulated, Steady]:
    driver, firmware, sensor = pair(name, unit, words)
    ask = Emulated(firmware)
    assert asyncio.run(driver.identify(ask)).reason is Reason.NONE
    return driver, ask, sensor


@pytest.mark.parametrize("name", FAMILIES)
def test_any_pressure_is_read_to_the_last_digit_that_the_family_sends(name: str) -> None:
    driver, ask, sensor = opened(name, *FAMILIES[name])
    resolution = subject(name).resolution

    @settings(max_examples=25)
    @given(st.floats(55_000, 105_000))
    def round_trip(pressure_pa: float) -> None:
        sensor.pressure_pa = pressure_pa
        ask.now_s += SETTLE_S
        values = asyncio.run(read(driver, ask))
        assert values["pressure"] == pytest.approx(pressure_pa, abs=resolution["pressure"])
        assert values.get("temperature", TEMPERATURE_K) == pytest.approx(TEMPERATURE_K, abs=0.1)

    round_trip()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("order", ORDERS)
def test_registers_of_every_type_and_order(kind: str, order: str) -> None:
    scale = 1.0 if kind.startswith("float") else 0.1 if kind.endswith("32") else 4.0
    register = {"address": 4, "type": kind, "order": order, "unit": "Pa", "scale": scale}
    if kind.endswith("16"):
        register.pop("order")
    driver, ask, sensor = opened("modbus-map", 1, {"map": {"pressure": register}})

    @settings(max_examples=10)
    @given(st.floats(0, 120_000))
    def round_trip(pressure_pa: float) -> None:
        sensor.pressure_pa = pressure_pa
        values = asyncio.run(read(driver, ask))
        assert values["pressure"] == pytest.approx(pressure_pa, rel=1e-7, abs=0.51 * scale)

    round_trip()
