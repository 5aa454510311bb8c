"""Druck TERPS: a pressure with its unit, and words in place of numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.druck_terps import MODEL, command
from drivers.reading import Reason
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

VECTORS = {
    vector["id"]: vector["text"].encode()
    for vector in json.loads((Path(__file__).parents[2] / "golden" / "vectors.json").read_text())
    if vector["device"] == "Druck TERPS"
}
DIRECT, ADDRESSED = b" *R\r", b" 7:*R\r"


def driver(unit: int = 0) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name)}, bus())


def test_commands_are_those_of_the_manual() -> None:
    assert command(0, b"R") == VECTORS["terps-r"]
    assert command(1, b"R") == VECTORS["terps-r1"]


@pytest.mark.parametrize(
    ("text", "pascal"),
    [
        (b"1013.2512 mbar\r", 101_325.12),
        (b"1013.2512mbar\r\n", 101_325.12),
        (b"14.6959 PSI\r", 101_324.7),
        (b"1.01325E05 Pa\r", 101_325.0),
        (b"-0.5 kPa\r", -500.0),
        (b"1000.0 mbar\r1013.25 mbar\r", 100_000.0),
    ],
)
async def test_the_unit_comes_with_the_pressure(text: bytes, pascal: float) -> None:
    poll = await driver().poll(Script({DIRECT: text}))
    assert [channel.unit.symbol for channel in poll.channels] == ["Pa"]
    np.testing.assert_allclose(poll.values, [pascal], rtol=1e-5)
    assert poll.reasons.tolist() == [Reason.NONE]


@pytest.mark.parametrize("text", [b"1013.25 mbar\r", b"7:1013.25 mbar\r", b" 7: 1013.25 mbar\r"])
async def test_an_addressed_answer_may_have_its_address(text: bytes) -> None:
    assert (await driver(7).poll(Script({ADDRESSED: text}))).values[0] == pytest.approx(101_325.0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (VECTORS["terps-over"], Reason.SATURATED_HIGH),
        (b"*Under Pressure*\r", Reason.SATURATED_LOW),
        (b"**** NO RPT ****\r", Reason.SENSOR_FAILURE),
        (b"!020 No Frequency\r", Reason.SENSOR_FAILURE),
        (b"ERROR 22\r", Reason.EXCEPTION),
        (b"!022 Bad Message\r", Reason.EXCEPTION),
        (b"1013.25 bananas\r", Reason.CONFIG),
        (b"1013.25\r", Reason.CRC),  # of a stream: no unit, so nobody knows what it is
        (b"x013.25 mbar\r", Reason.CRC),
        (b"1013.25 mb", Reason.CRC),
    ],
)
async def test_words_and_damage_are_no_pressure(text: bytes, reason: Reason) -> None:
    poll = await driver().poll(Script({DIRECT: text}))
    assert np.isnan(poll.values).all()
    assert poll.reasons.tolist() == [reason]


async def test_another_units_answer_is_not_taken() -> None:
    assert (await driver(7).poll(Script({ADDRESSED: b"8:1013.25 mbar\r"}))).reasons.tolist() == [Reason.CRC]


async def test_identity_is_the_address() -> None:
    identity = await driver(7).identify(Script({b" 7:*N,?\r": b"7:Device Address = 7\r"}))
    assert (identity.text, identity.reason) == ("Druck TERPS, address 7", Reason.NONE)
    assert (await driver(7).identify(Script({}))).reason is Reason.TIMEOUT


async def test_an_interval_has_two_lines() -> None:
    interval, _ = driver().fences
    script = Script({interval.frame: b"Interval = 1\rUnits = No\r"})
    assert (await script(interval)).frame == b"Interval = 1\rUnits = No\r"
    assert (await Script({interval.frame: b"Interval = 1\r"})(interval)).outcome is not Outcome.REPLY


def test_fences_are_of_their_own_kind() -> None:
    assert_fences_are_of_their_own_kind(driver())


def test_the_hail_is_recognised() -> None:
    assert MODEL.recognise is not None
    assert MODEL.recognise(b"Device Address = 0\r") == "Druck TERPS, address 0"
    assert MODEL.recognise(b"Interval = 1\r") is None
