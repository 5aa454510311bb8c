"""Mensor CPT: the pressure in a unit that the rig file says, its own range, who it is."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from drivers.model import Driver
from drivers.models.mensor_cpt import MODEL
from drivers.reading import Reason
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

VECTORS = {
    vector["id"]: vector["text"].encode()
    for vector in json.loads((Path(__file__).parents[2] / "golden" / "vectors.json").read_text())
    if vector["device"] == "Mensor/WIKA"
}
P = VECTORS["mensor-req"]
IDENTITY = {
    b"#1ID?\r": b"1 ID MENSOR, CPT6010, 410123, V1.20\r\n",
    b"#1R-?\r": b"1 R- 0.0000\r\n",
    b"#1R+?\r": b"1 R+ 30.0000\r\n",
}


def driver(unit: int = 1, symbol: str = "psi", **words: Any) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name, options={"unit": symbol}, **words)}, bus())


@pytest.mark.parametrize(
    ("symbol", "text", "number"), [("psi", VECTORS["mensor-rep"], 14.696), ("mbar", b"1 -2.5\r\n", -2.5)]
)
async def test_the_pressure_is_in_the_unit_that_the_rig_file_says(symbol: str, text: bytes, number: float) -> None:
    poll = await driver(symbol=symbol).poll(Script({P: text}))
    assert [channel.unit.symbol for channel in poll.channels] == [symbol]
    assert poll.values.tolist() == [number]
    assert poll.reasons.tolist() == [Reason.NONE]


def test_without_a_unit_there_is_no_driver() -> None:
    with pytest.raises(ValidationError, match="Field required"):
        MODEL.driver(1, {"p": transducer(MODEL.name)}, bus())
    with pytest.raises(ValidationError, match="unknown unit"):
        driver(symbol="bananas")


def test_addresses_go_on_with_letters() -> None:
    assert [driver(unit).requests[0].frame for unit in (0, 9, 10, 35)] == [b"#0?\r", b"#9?\r", b"#A?\r", b"#Z?\r"]


@pytest.mark.parametrize(
    "heard",
    [b"2 14.6960\r\n", b"1 14.6960", b"14.6960\r\n", b"x1 14.6960\r\n", b"1 R- 0.0000\r\n", b"1 14.69x\r\n", b"R"],
)
async def test_another_units_or_a_damaged_line_is_no_pressure(heard: bytes) -> None:
    poll = await driver().poll(Script({P: heard}))
    assert np.isnan(poll.values).all()
    assert poll.reasons.tolist() == [Reason.CRC]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"1 30.0000\r\n", Reason.SATURATED_HIGH),
        (b"1 0.0000\r\n", Reason.SATURATED_LOW),
        (b"1 29.9999\r\n", Reason.NONE),
    ],
)
async def test_the_ends_of_its_own_range_are_suspect(text: bytes, reason: Reason) -> None:
    unit = driver()
    await unit.identify(Script(IDENTITY))
    assert (await unit.poll(Script({P: text}))).reasons.tolist() == [reason]


async def test_identity_is_model_version_and_serial_number() -> None:
    identity = await driver(serial_number=410123).identify(Script(IDENTITY))
    assert (identity.text, identity.serial_number) == ("Mensor CPT6010, version 1.20", "410123")
    assert identity.reason is Reason.NONE
    assert (await driver(serial_number=7).identify(Script(IDENTITY))).reason is Reason.IDENTITY_MISMATCH


@pytest.mark.parametrize("silent", IDENTITY)
async def test_who_does_not_answer_is_not_identified(silent: bytes) -> None:
    assert (await driver().identify(Script({**IDENTITY, silent: b""}))).reason is Reason.TIMEOUT


def test_fences_are_of_their_own_kind() -> None:
    assert_fences_are_of_their_own_kind(driver())


def test_the_hail_is_recognised() -> None:
    assert MODEL.recognise is not None
    assert MODEL.recognise(IDENTITY[b"#1ID?\r"]) == "Mensor CPT6010, serial number 410123"
    assert MODEL.recognise(b"1 14.6960\r\n") is None
