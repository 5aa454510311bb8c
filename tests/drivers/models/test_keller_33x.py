"""KELLER 33X: values, their faults, who answers, and a supply that broke."""

import numpy as np
import pytest

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.keller_33x import MODEL
from drivers.reading import Reason
from drivers.wire.keller_bus import INITIALISE, keller_request
from drivers.wire.modbus import crc16, read_registers, rtu_frame
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

VALUES = read_registers(1, 3, 0x0100, 4).frame
SERIAL = read_registers(1, 3, 0x0202, 2).frame
F48 = keller_request(1, INITIALISE).frame
NOT_INITIALISED = rtu_frame(1, b"\x83\x20")


def keller(frame: str) -> bytes:
    data = bytes.fromhex(frame)
    return data + crc16(data).to_bytes(2, "big")


GREETING = keller("01 30 05 14 0a 28 0a 01")
NUMBER = rtu_frame(1, bytes.fromhex("03 04 00 01 e2 40"))


def driver(**words: object) -> Driver:
    return MODEL.driver(1, {"p": transducer(MODEL.name, **words)}, bus())


def values(pressure: float, temperature: float) -> bytes:
    return rtu_frame(1, b"\x03\x08" + np.array([pressure, temperature], ">f4").tobytes())


async def test_pressure_and_temperature_come_in_one_read() -> None:
    script = Script({VALUES: values(1.01325, 22.5)})
    poll = await driver().poll(script)
    assert [(channel.id, channel.unit.symbol) for channel in poll.channels] == [
        ("p.pressure", "bar"),
        ("p.temperature", "C"),
    ]
    np.testing.assert_allclose(poll.values, [1.01325, 22.5], rtol=1e-7)
    assert poll.reasons.tolist() == [Reason.NONE, Reason.NONE]
    assert (poll.time_s, poll.uncertainty_s) == (pytest.approx(1.01), pytest.approx(0.01))
    assert script.asked == [VALUES]


@pytest.mark.parametrize(
    ("number", "reason"),
    [(np.nan, Reason.SENSOR_FAILURE), (np.inf, Reason.SATURATED_HIGH), (-np.inf, Reason.SATURATED_LOW)],
)
async def test_a_fault_of_one_channel_leaves_no_value_and_the_other_good(number: float, reason: Reason) -> None:
    poll = await driver().poll(Script({VALUES: values(number, 22.5)}))
    assert np.isnan(poll.values[0])
    assert poll.values[1] == 22.5
    assert poll.reasons.tolist() == [reason, Reason.NONE]


async def test_a_signalling_nan_is_a_sensor_failure_without_a_warning() -> None:
    frame = rtu_frame(1, bytes.fromhex("03 08 7f 80 00 01 41 b4 00 00"))
    assert (await driver().poll(Script({VALUES: frame}))).reasons.tolist() == [Reason.SENSOR_FAILURE, Reason.NONE]


async def test_a_restarted_device_is_told_and_initialised() -> None:
    script = Script({VALUES: NOT_INITIALISED, F48: GREETING})
    poll = await driver().poll(script)
    assert poll.reasons.tolist() == [Reason.RESTARTED] * 2
    assert np.isnan(poll.values).all()
    assert script.asked == [VALUES, F48]


@pytest.mark.parametrize("outcome", [Outcome.TIMEOUT, Outcome.CRC, Outcome.LATE, Outcome.FOREIGN, Outcome.BUS_DOWN])
async def test_no_answer_gives_its_reason(outcome: Outcome) -> None:
    poll = await driver().poll(Script({VALUES: outcome}))
    assert poll.reasons.tolist() == [outcome.reason] * 2


async def test_another_refusal_is_an_exception() -> None:
    poll = await driver().poll(Script({VALUES: rtu_frame(1, b"\x83\x04")}))
    assert poll.reasons.tolist() == [Reason.EXCEPTION] * 2


async def test_identity_is_firmware_and_serial_number() -> None:
    identity = await driver(serial_number=123456).identify(Script({F48: GREETING, SERIAL: NUMBER}))
    assert (identity.text, identity.serial_number) == ("KELLER 5.20, firmware 10.40", "123456")
    assert identity.reason is Reason.NONE


async def test_another_serial_number_is_a_mismatch_also_when_written_as_text() -> None:
    script = Script({F48: GREETING, SERIAL: NUMBER})
    assert (await driver(serial_number=123457).identify(script)).reason is Reason.IDENTITY_MISMATCH
    assert (await driver(serial_number="123456").identify(script)).reason is Reason.NONE
    assert (await driver().identify(script)).reason is Reason.NONE


async def test_a_serial_number_that_cannot_be_read_matters_only_when_one_is_expected() -> None:
    refusing = Script({F48: GREETING, SERIAL: rtu_frame(1, b"\x83\x02")})
    assert (await driver().identify(refusing)).reason is Reason.NONE
    assert (await driver(serial_number=1).identify(refusing)).reason is Reason.EXCEPTION
    assert (await driver().identify(Script({F48: GREETING}))).reason is Reason.TIMEOUT
    assert (await driver().identify(Script({F48: GREETING, SERIAL: NOT_INITIALISED}))).reason is Reason.EXCEPTION


async def test_nobody_there_is_a_timeout_after_one_question() -> None:
    script = Script({})
    assert (await driver().identify(script)).reason is Reason.TIMEOUT
    assert script.asked == [F48]


def test_fences_are_of_their_own_kind_and_do_not_hide_a_restart() -> None:
    assert_fences_are_of_their_own_kind(driver())
    assert F48 not in [fence.frame for fence in driver().fences]


def test_only_a_greeting_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    assert MODEL.hail(1).frame == F48
    assert MODEL.recognise(GREETING) == "KELLER 5.20, firmware 10.40"
    assert MODEL.recognise(keller("01 b0 01")) is None
