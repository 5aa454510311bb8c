"""Cheap transmitters: pressure in whatever unit the device says, and none at all when nobody knows that unit."""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.generic_transmitter import FLOAT_MODEL, INTEGER_MODEL
from drivers.reading import Reason
from drivers.wire.modbus import read_registers, rtu_frame
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

VECTORS = {
    vector["id"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parents[2] / "golden" / "vectors.json").read_text())
    if vector["device"].startswith("QDW90A")
}
ALL = VECTORS["qdw-req"]
UNIT = read_registers(1, 3, 3, 1).frame
PRESSURE = read_registers(1, 3, 0x16, 2).frame
TEMPERATURE = read_registers(1, 3, 0x26, 2).frame
MERCURY = {"units": {12: "mmHg"}}


def integers(**words: Any) -> Driver:
    return INTEGER_MODEL.driver(1, {"p": transducer(INTEGER_MODEL.name, **words)}, bus())


def floats(**words: Any) -> Driver:
    return FLOAT_MODEL.driver(1, {"p": transducer(FLOAT_MODEL.name, **words)}, bus())


def registers(*values: int) -> bytes:
    return rtu_frame(1, struct.pack(f">BB{len(values)}H", 3, 2 * len(values), *values))


def number(value: float) -> bytes:
    return rtu_frame(1, b"\x03\x04" + struct.pack(">f", value))


def told(code: int = 0, pressure: float = 101.325, temperature: float = 22.5) -> Mapping[bytes, bytes | Outcome]:
    return {UNIT: registers(code), PRESSURE: number(pressure), TEMPERATURE: number(temperature)}


async def test_integers_come_with_unit_and_decimals_in_one_read() -> None:
    script = Script({ALL: VECTORS["qdw-rep"]})
    poll = await integers().poll(script)
    assert script.asked == [ALL]
    assert [(channel.id, channel.unit.symbol) for channel in poll.channels] == [("p.pressure", "Pa")]
    np.testing.assert_allclose(poll.values, [101_300.0])
    assert poll.reasons.tolist() == [Reason.NONE]


@pytest.mark.parametrize(
    ("code", "decimals", "value", "pascal"),
    [
        (0, 3, 101, 101_000.0),
        (1, 0, 101, 101_000.0),
        (2, 0, 0xFFFE, -2.0),
        (3, 3, 1013, 101_300.0),
        (4, 1, 10132, 101_320.0),
        (5, 3, 1033, 101_302.69),
        (6, 2, 1470, 101_352.9),
        (7, 2, 1033, 101_302.7),
        (8, 0, 10330, 101_302.7),
    ],
)
async def test_each_unit_of_the_integer_map(code: int, decimals: int, value: int, pascal: float) -> None:
    poll = await integers().poll(Script({ALL: registers(code, decimals, value)}))
    np.testing.assert_allclose(poll.values, [pascal], rtol=1e-5)
    assert poll.reasons.tolist() == [Reason.NONE]


@pytest.mark.parametrize("settings", [(9, 1), (0xFFFF, 1), (1, 4), (1, 0xFFFF)])
async def test_an_unknown_unit_or_number_of_decimals_is_never_guessed(settings: tuple[int, int]) -> None:
    poll = await integers().poll(Script({ALL: registers(*settings, 1013)}))
    assert np.isnan(poll.values).all()
    assert poll.reasons.tolist() == [Reason.CONFIG]


@pytest.mark.parametrize(("value", "reason"), [(0x7FFF, Reason.SATURATED_HIGH), (0x8000, Reason.SATURATED_LOW)])
async def test_the_ends_of_an_integer_are_suspect(value: int, reason: Reason) -> None:
    assert (await integers().poll(Script({ALL: registers(2, 0, value)}))).reasons.tolist() == [reason]


@pytest.mark.parametrize(
    ("value", "reason"),
    [(0, Reason.SATURATED_LOW), (1, Reason.NONE), (1599, Reason.NONE), (1600, Reason.SATURATED_HIGH)],
)
async def test_the_ends_of_the_range_are_suspect(value: int, reason: Reason) -> None:
    poll = await integers(range="0..160 kPa").poll(Script({ALL: registers(1, 1, value)}))
    assert poll.values[0] == pytest.approx(100.0 * value)
    assert poll.reasons.tolist() == [reason]


async def test_floats_bring_a_temperature_too() -> None:
    answers = {**told(), PRESSURE: VECTORS["qdw-float-rep"]}
    poll = await floats().poll(Script(answers))
    np.testing.assert_allclose(poll.values, [101_325.0, 22.5])
    assert poll.reasons.tolist() == [Reason.NONE] * 2


@pytest.mark.parametrize(("code", "scale"), [(0, 1e3), (1, 1e6), (8, 6894.757), (9, 1e5), (10, 100.0), (14, 133.3224)])
async def test_each_unit_of_the_float_map(code: int, scale: float) -> None:
    poll = await floats().poll(Script(told(code, 2.0)))
    assert poll.values[0] == pytest.approx(2.0 * scale)


@pytest.mark.parametrize("code", [2, 7, 11, 12, 13, 15])
async def test_units_that_revisions_disagree_on_leave_no_pressure(code: int) -> None:
    poll = await floats().poll(Script(told(code)))
    assert np.isnan(poll.values[0])
    assert poll.values[1] == 22.5
    assert poll.reasons.tolist() == [Reason.CONFIG, Reason.NONE]


async def test_the_rig_file_can_say_what_a_code_means() -> None:
    assert (await floats(options=MERCURY).poll(Script(told(12, 760.0)))).values[0] == pytest.approx(101_325.0, rel=1e-6)
    with pytest.raises(ValidationError, match="unknown unit"):
        floats(options={"units": {12: "bananas"}})


@pytest.mark.parametrize(
    ("pressure", "reason"),
    [(np.nan, Reason.SENSOR_FAILURE), (np.inf, Reason.SATURATED_HIGH), (-np.inf, Reason.SATURATED_LOW)],
)
async def test_what_is_no_number_is_no_pressure(pressure: float, reason: Reason) -> None:
    poll = await floats().poll(Script(told(0, pressure)))
    assert np.isnan(poll.values[0])
    assert poll.reasons.tolist() == [reason, Reason.NONE]


@pytest.mark.parametrize(
    ("missing", "reasons"),
    [
        (UNIT, [Reason.LATE, Reason.NONE]),
        (PRESSURE, [Reason.LATE, Reason.NONE]),
        (TEMPERATURE, [Reason.NONE, Reason.LATE]),
    ],
)
async def test_without_its_unit_a_pressure_is_none(missing: bytes, reasons: list[Reason]) -> None:
    poll = await floats().poll(Script({**told(), missing: Outcome.LATE}))
    assert poll.reasons.tolist() == reasons
    assert np.isnan(poll.values).tolist() == [reason is not Reason.NONE for reason in reasons]


async def test_identity_is_the_unit_or_advice_what_to_do() -> None:
    identity = await integers().identify(Script({ALL: VECTORS["qdw-rep"]}))
    assert (identity.text, identity.reason) == ("pressure transmitter, generic map, kPa", Reason.NONE)
    unknown = await floats().identify(Script(told(13)))
    assert unknown.reason is Reason.CONFIG
    assert 'options.units = { 13 = "..." }' in unknown.text
    assert (await floats().identify(Script({}))).reason is Reason.TIMEOUT


@pytest.mark.parametrize("make", [integers, floats])
def test_fences_are_of_their_own_kind(make: Any) -> None:
    assert_fences_are_of_their_own_kind(make())
