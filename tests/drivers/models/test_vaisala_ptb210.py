"""Vaisala PTB210: a bare number between limits, stars outside them, a page that says who it is."""

import numpy as np
import pytest

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.vaisala_ptb210 import MODEL
from drivers.reading import Reason
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

P, PAGE = b"7.P\r", b"\r7.?\r"
LINES = (
    b"PTB210 Ver 2.0                 ",
    b"CAL DATE       :2017-08-15",
    b"ID CODE        :7",
    b"SERIAL NUMBER  :N3310370       ",
    b"MULTIPOINT CORR:ON",
    b"MEAS PER MINUTE:    60",
    b"AVERAGING      :     0",
    b"PRESSURE UNIT  : mBar          ",
    b"Pressure Min...Max:   490  1110",
    b"LOW CURRENT MODE",
    b"RS485 RESISTOR OFF",
)
TEXT = b"".join(line + b"\r\n" for line in LINES)


def driver(unit: int = 7, **words: object) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name, **words)}, bus())


@pytest.mark.parametrize("text", [b"1013.25\r\n", b" 998.12\r\n", b"  998.12 \r\n"])
async def test_a_number_is_the_pressure(text: bytes) -> None:
    poll = await driver().poll(Script({P: text}))
    assert [channel.unit.symbol for channel in poll.channels] == ["hPa"]
    assert poll.values.tolist() == [float(text)]
    assert poll.reasons.tolist() == [Reason.NONE]


def test_unit_0_is_asked_without_an_id() -> None:
    assert driver(0).requests[0].frame == b".P\r"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"****.**\r\n", Reason.OUT_OF_RANGE),
        (b"13.25\r\n", Reason.CRC),  # its head was lost
        (b"013.25\r\n", Reason.CRC),
        (b"x1013.25\r\n", Reason.CRC),
        (b"9013.25\r\n", Reason.CRC),
        (b"1013.25", Reason.CRC),
        (b"", Reason.TIMEOUT),
    ],
)
async def test_stars_and_damage_are_no_pressure(text: bytes, reason: Reason) -> None:
    unit = driver()
    await unit.identify(Script({PAGE: TEXT}))
    poll = await unit.poll(Script({P: text}))
    assert np.isnan(poll.values).all()
    assert poll.reasons.tolist() == [reason]


async def test_identity_is_version_and_serial_number() -> None:
    identity = await driver(serial_number="N3310370").identify(Script({PAGE: TEXT}))
    assert (identity.text, identity.serial_number) == ("Vaisala PTB210 Ver 2.0", "N3310370")
    assert identity.reason is Reason.NONE
    assert (await driver(serial_number="N1").identify(Script({PAGE: TEXT}))).reason is Reason.IDENTITY_MISMATCH
    assert (await driver().identify(Script({}))).reason is Reason.TIMEOUT


@pytest.mark.parametrize("damaged", [b"2.0", b"N3310370", b"mBar"])
async def test_a_page_with_bytes_that_are_no_text_is_read_as_far_as_it_is_text(damaged: bytes) -> None:
    page = TEXT.replace(damaged, b"\x9d" * len(damaged))
    who = await driver().identify(Script({PAGE: page}))
    assert "Vaisala" in who.text
    assert MODEL.recognise(page) is None or "PTB210" in MODEL.recognise(page)


async def test_another_unit_of_pressure_is_refused_with_advice() -> None:
    identity = await driver().identify(Script({PAGE: TEXT.replace(b"mBar", b"mmHg")}))
    assert identity.reason is Reason.CONFIG
    assert "'mmHg': set the barometer to hPa" in identity.text


async def test_the_two_fences_are_parts_of_one_page_and_wait_for_its_end() -> None:
    end, start = driver().fences
    assert (await Script({end.frame: TEXT})(end)).frame == b"RS485 RESISTOR OFF\r\n"
    assert (await Script({start.frame: TEXT})(start)).frame == TEXT.removesuffix(b"RS485 RESISTOR OFF\r\n")
    unfinished = TEXT.removesuffix(b"OFF\r\n")
    assert (await Script({start.frame: unfinished})(start)).outcome is not Outcome.REPLY
    assert_fences_are_of_their_own_kind(driver())


def test_the_hail_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    assert MODEL.hail(7).frame == PAGE
    assert MODEL.recognise(TEXT) == "Vaisala PTB210 Ver 2.0, serial number N3310370"
    assert MODEL.recognise(b"1013.25\r\n") is None
