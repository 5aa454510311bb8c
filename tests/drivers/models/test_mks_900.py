"""MKS 900: state before values, questions that no other one's answer fits, NAKs, units."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.mks_900 import MODEL
from drivers.reading import Reason
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

STATE, PRESSURE, TEMPERATURE, UNIT, NUMBER, KIND = (
    b"@253%s?;FF" % name for name in (b"T", b"PR4", b"TEM", b"U", b"SN", b"MD")
)
ANSWERS = {
    STATE: b"@253ACKO;FF",
    PRESSURE: b"@253ACK7.602E+2;FF",
    TEMPERATURE: b"@253ACK2.50E+1;FF",
    UNIT: b"@253ACKTORR;FF",
    NUMBER: b"@253ACK0812345678;FF",
    KIND: b"@253ACK910;FF",
}


def driver(unit: int = 253, **words: object) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name, **words)}, bus())


async def test_state_then_pressure_and_temperature() -> None:
    script = Script(ANSWERS)
    poll = await driver().poll(script)
    assert [channel.unit.symbol for channel in poll.channels] == ["Torr", "C"]
    assert poll.values.tolist() == [760.2, 25.0]
    assert poll.reasons.tolist() == [Reason.NONE] * 2
    assert poll.time_s == pytest.approx(2.01)  # of the pressure
    assert script.asked == [STATE, PRESSURE, TEMPERATURE]


@pytest.mark.parametrize("state", [b"M", b"C", b"Z", b"R", b"G"])
async def test_a_broken_sensor_is_not_asked_for_values(state: bytes) -> None:
    script = Script({**ANSWERS, STATE: b"@253ACK%s;FF" % state})
    poll = await driver().poll(script)
    assert poll.reasons.tolist() == [Reason.SENSOR_FAILURE] * 2
    assert np.isnan(poll.values).all()
    assert script.asked == [STATE]


@pytest.mark.parametrize("nak", [b"@253NAK160;FF", b"@253NAK;FF"])
async def test_a_nak_is_an_exception(nak: bytes) -> None:
    poll = await driver().poll(Script({**ANSWERS, TEMPERATURE: nak}))
    assert poll.reasons.tolist() == [Reason.NONE, Reason.EXCEPTION]
    assert np.isnan(poll.values).tolist() == [False, True]
    answer = await Script({STATE: nak})(driver().requests[0])
    assert (answer.outcome, answer.code) == (Outcome.EXCEPTION, 160 if b"160" in nak else 0)


@pytest.mark.parametrize(
    "heard",
    [b"@252ACK7.602E+2;FF", b"64;FF", b"@253ACK2.50E+1;FF", b"@253ACKLO;FF", b"@253ACK7.602E+2;F", b"@253ACK760.2;FF"],
)
async def test_what_is_no_answer_to_this_question_is_no_pressure(heard: bytes) -> None:
    poll = await driver().poll(Script({**ANSWERS, PRESSURE: heard}))
    assert poll.reasons.tolist() == [Reason.CRC] * 2
    assert np.isnan(poll.values).all()


def test_no_answer_fits_two_questions() -> None:
    unit = driver()
    requests = {request.frame: request for request in (*unit.requests, *unit.fences)}
    for asked, other in itertools.permutations(requests, 2):
        assert requests[asked].measure(ANSWERS[other], 0) == 0
    assert requests[PRESSURE].measure(ANSWERS[NUMBER], 0) == 0


async def test_identity_is_model_and_serial_number() -> None:
    identity = await driver(serial_number=812345678).identify(Script(ANSWERS))
    assert (identity.text, identity.serial_number) == ("MKS 910", "0812345678")
    assert identity.reason is Reason.NONE
    assert (await driver(serial_number=7).identify(Script(ANSWERS))).reason is Reason.IDENTITY_MISMATCH
    assert (await driver().identify(Script({**ANSWERS, NUMBER: b""}))).reason is Reason.TIMEOUT


async def test_another_unit_of_pressure_is_refused_with_advice_unless_the_rig_file_says_it() -> None:
    script = Script({**ANSWERS, UNIT: b"@253ACKMBAR;FF"})
    identity = await driver().identify(script)
    assert identity.reason is Reason.CONFIG
    assert "its unit of pressure is MBAR, not TORR" in identity.text
    unit = driver(options={"unit": "mbar"})
    assert (await unit.identify(script)).reason is Reason.NONE
    assert unit.channels[0].unit.symbol == "mbar"


def test_fences_are_of_their_own_kind() -> None:
    assert_fences_are_of_their_own_kind(driver())


async def test_the_hail_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    answer = await Script(ANSWERS)(MODEL.hail(253))
    assert MODEL.recognise(answer.frame) == "MKS 910"
    assert MODEL.recognise(ANSWERS[UNIT]) is None


@given(st.binary(max_size=60), st.integers(0, 60))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    for request in driver().requests:
        assert -1 <= request.measure(heard, start) <= max(len(heard) - start, 0)
