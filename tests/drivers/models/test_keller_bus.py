"""KELLER bus: two channels by F73, STAT, who answers, its range, and a supply that broke."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.keller_bus import MODEL
from drivers.reading import Reason
from drivers.wire.keller_bus import READ_INTEGER, keller_request
from drivers.wire.modbus import crc16
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

VECTORS = {
    vector["id"]: bytes.fromhex(vector["hex"])
    for vector in json.loads((Path(__file__).parents[2] / "golden" / "vectors.json").read_text())
    if vector["device"] == "KELLER bus"
}
P1, TOB1 = VECTORS["keller-f73-p1-1-req"], VECTORS["keller-f73-tob1-1-req"]
F48, F69, F30_80 = VECTORS["keller-f48-1-req"], VECTORS["keller-f69-req"], VECTORS["keller-f30-80-req"]
F30_81 = keller_request(1, 30, b"\x51").frame


def answer(function: int, data: bytes) -> bytes:
    frame = bytes((1, function)) + data
    return frame + crc16(frame).to_bytes(2, "big")


def value(number: float, status: int = 0) -> bytes:
    return answer(73, struct.pack(">fB", number, status))


GREETING = answer(48, bytes((5, 20, 10, 40, 10, 1)))
NUMBER = answer(69, (123456).to_bytes(4, "big"))
NOT_INITIALISED = VECTORS["keller-exc-32"]
IDENTITY = {
    F48: GREETING,
    F69: NUMBER,
    F30_80: answer(30, struct.pack(">f", 0.0)),
    F30_81: VECTORS["keller-f30-81-rep"],
}


def driver(**words: object) -> Driver:
    return MODEL.driver(1, {"p": transducer(MODEL.name, **words)}, bus())


@pytest.mark.parametrize(
    ("function", "data", "vector"),
    [
        (73, b"\x01", "keller-f73-p1-1-req"),
        (73, b"\x02", "keller-f73-p2-1-req"),
        (73, b"\x04", "keller-f73-tob1-1-req"),
        (48, b"", "keller-f48-1-req"),
        (69, b"", "keller-f69-req"),
        (30, b"\x50", "keller-f30-80-req"),
    ],
)
def test_questions_are_those_of_the_manual(function: int, data: bytes, vector: str) -> None:
    assert keller_request(1, function, data).frame == VECTORS[vector]


@pytest.mark.parametrize(
    ("unit", "function", "data", "vector"),
    [
        (250, 73, b"\x01", "keller-f73-p1-250-req"),
        (250, 73, b"\x04", "keller-f73-tob1-250-req"),
        (2, 48, b"", "keller-f48-2-req"),
    ],
)
def test_questions_to_other_units(unit: int, function: int, data: bytes, vector: str) -> None:
    assert keller_request(unit, function, data).frame == VECTORS[vector]


def test_an_answer_to_f74_is_whole_and_brings_pa() -> None:
    frame = VECTORS["keller-f74-p1-rep"]
    assert keller_request(1, READ_INTEGER, b"\x01").measure(frame, 0) == len(frame)
    assert struct.unpack(">iB", frame[2:7]) == (101_325, 0)


async def test_pressure_then_temperature() -> None:
    script = Script({P1: VECTORS["keller-f73-p1-1-rep"], TOB1: VECTORS["keller-f73-tob1-1-rep"]})
    poll = await driver().poll(script)
    assert [channel.unit.symbol for channel in poll.channels] == ["bar", "C"]
    np.testing.assert_allclose(poll.values, [0.928487, 25.28979], rtol=1e-6)
    assert poll.reasons.tolist() == [Reason.NONE] * 2
    assert (poll.time_s, script.asked) == (pytest.approx(1.01), [P1, TOB1])


@pytest.mark.parametrize(
    ("pressure", "reason"),
    [
        (VECTORS["keller-f73-over"], Reason.SATURATED_HIGH),
        (value(-np.inf, 0b10), Reason.SATURATED_LOW),
        (VECTORS["keller-f73-nan"], Reason.SENSOR_FAILURE),
        (value(np.nan), Reason.SENSOR_FAILURE),
        (value(1.0, 0b10), Reason.SENSOR_FAILURE),
        (value(1.0, 0b1_0000), Reason.SENSOR_FAILURE),  # its compensation is wrong
        (value(1.0, 0b1000_0000), Reason.WARMING_UP),
        (value(2.3, 0b10), Reason.SATURATED_HIGH),  # firmware that has no infinities
        (value(-0.3, 0b10), Reason.SATURATED_LOW),
        (value(2.3, 0b1_0010), Reason.SENSOR_FAILURE),
    ],
)
async def test_a_faulty_pressure_has_no_value(pressure: bytes, reason: Reason) -> None:
    unit = driver()
    await unit.identify(Script(IDENTITY))
    poll = await unit.poll(Script({P1: pressure, TOB1: value(22.5)}))
    assert np.isnan(poll.values[0])
    assert poll.values[1] == 22.5
    assert poll.reasons.tolist() == [reason, Reason.NONE]


@pytest.mark.parametrize("status", [0b0100_0000, 0b0010_0000, 0b1000, 0b100, 0b1])
async def test_faults_of_channels_that_are_not_read_do_not_matter(status: int) -> None:
    poll = await driver().poll(Script({P1: value(1.0, status), TOB1: value(22.5, status)}))
    assert poll.reasons.tolist() == [Reason.NONE] * 2


async def test_a_faulty_temperature_leaves_the_pressure_of_before_good() -> None:
    poll = await driver().poll(Script({P1: value(1.0), TOB1: value(22.5, 0b1_0000)}))
    assert poll.values[0] == 1.0
    assert np.isnan(poll.values[1])
    assert poll.reasons.tolist() == [Reason.NONE, Reason.SENSOR_FAILURE]


async def test_a_missing_temperature_leaves_the_pressure_good() -> None:
    poll = await driver().poll(Script({P1: value(1.0), TOB1: Outcome.LATE}))
    assert poll.reasons.tolist() == [Reason.NONE, Reason.LATE]


@pytest.mark.parametrize("before", [{}, {P1: value(1.0)}])
async def test_a_restarted_device_is_told_and_initialised(before: dict[bytes, bytes]) -> None:
    script = Script({P1: NOT_INITIALISED, TOB1: NOT_INITIALISED, F48: GREETING, **before})
    poll = await driver().poll(script)
    assert poll.reasons.tolist() == [Reason.RESTARTED] * 2
    assert np.isnan(poll.values).all()
    assert script.asked[-1] == F48


@pytest.mark.parametrize("heard", [b"", value(1.0)[:-1], value(1.0)[:-2] + b"\0\0"])
async def test_without_an_intact_pressure_nothing_more_is_asked(heard: bytes) -> None:
    script = Script({P1: heard, TOB1: value(22.5)})
    poll = await driver().poll(script)
    assert poll.reasons.tolist() == [Reason.CRC if heard else Reason.TIMEOUT] * 2
    assert script.asked == [P1]


async def test_identity_is_firmware_range_and_serial_number() -> None:
    identity = await driver(serial_number=123456).identify(Script(IDENTITY))
    assert (identity.text, identity.serial_number) == ("KELLER 5.20, firmware 10.40, 0..2 bar", "123456")
    assert identity.reason is Reason.NONE
    assert (await driver(serial_number="7").identify(Script(IDENTITY))).reason is Reason.IDENTITY_MISMATCH


@pytest.mark.parametrize("silent", IDENTITY)
async def test_who_does_not_answer_is_not_identified(silent: bytes) -> None:
    assert (await driver().identify(Script({**IDENTITY, silent: b""}))).reason is Reason.TIMEOUT


def test_both_channels_are_confusable_and_the_fences_hide_no_restart() -> None:
    pressure, temperature = driver().requests
    assert pressure.confusable(temperature)
    assert_fences_are_of_their_own_kind(driver())
    assert F48 not in [fence.frame for fence in driver().fences]


def test_only_a_greeting_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    assert MODEL.hail(1).frame == F48
    assert MODEL.recognise(GREETING) == "KELLER 5.20, firmware 10.40"
    assert MODEL.recognise(answer(48 | 0x80, b"\x01")) is None
