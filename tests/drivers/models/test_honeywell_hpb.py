"""Honeywell HPB: quantities by name, EEPROM errors, missing temperatures, the scale as a check of the unit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.honeywell_hpb import MODEL
from drivers.reading import Reason
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

P1, T1, S, RS, V, M = (b"*12%s\r" % name for name in (b"P1", b"T1", b"S=", b"RS", b"V=", b"M="))
ANSWERS = {
    P1: b"#12CP= 14.450\r",
    T1: b"#12CT=24.5\r",
    S: b"#12S=00123456\r",
    RS: b"#12RS=0000\r",
    V: b"#12V=02.41\r",
    M: b"#12M=0017psia\r",
}


def driver(unit: int = 12, **words: object) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name, **words)}, bus())


async def identified(**words: object) -> Driver:
    unit = driver(**words)
    await unit.identify(Script(ANSWERS))
    return unit


async def test_pressure_then_temperature() -> None:
    script = Script(ANSWERS)
    poll = await (await identified()).poll(script)
    assert [channel.unit.symbol for channel in poll.channels] == ["psia", "C"]
    assert poll.values.tolist() == [14.45, 24.5]
    assert poll.reasons.tolist() == [Reason.NONE] * 2
    assert poll.time_s == pytest.approx(1.01)  # of the pressure
    assert script.asked == [P1, T1]


@pytest.mark.parametrize(
    ("answers", "reasons"),
    [
        ({T1: b"#12CT=..\r"}, [Reason.NONE, Reason.SENSOR_FAILURE]),
        ({P1: b"#12CP! 14.450\r"}, [Reason.SENSOR_FAILURE, Reason.NONE]),
        ({P1: b"#12CP=..\r"}, [Reason.SENSOR_FAILURE, Reason.NONE]),
        ({P1: b"#12CP=1013.2\r"}, [Reason.OUT_OF_RANGE, Reason.NONE]),  # set to another unit
        ({P1: b"#12CP=-2.000\r"}, [Reason.OUT_OF_RANGE, Reason.NONE]),
        ({T1: Outcome.LATE}, [Reason.NONE, Reason.LATE]),
    ],
)
async def test_faults_have_no_value(answers: dict[bytes, bytes], reasons: list[Reason]) -> None:
    poll = await (await identified()).poll(Script({**ANSWERS, **answers}))
    assert poll.reasons.tolist() == reasons
    assert np.isnan(poll.values).tolist() == [reason is not Reason.NONE for reason in reasons]


@pytest.mark.parametrize(
    ("psi", "reason"),
    [
        (b"17.000", Reason.SATURATED_HIGH),
        (b"18.6", Reason.SATURATED_HIGH),
        (b"-.1", None),
        (b"-0.1", Reason.SATURATED_LOW),
    ],
)
async def test_at_the_ends_of_its_scale_a_pressure_is_uncertain(psi: bytes, reason: Reason | None) -> None:
    poll = await (await identified()).poll(Script({**ANSWERS, P1: b"#12CP=%s\r" % psi}))
    assert poll.reasons[0] == (Reason.CRC if reason is None else reason)


@pytest.mark.parametrize(
    "heard", [b"#13CP= 14.450\r", b"?01CP= 14.450\r", b"#12CT= 24.5\r", b"#12CP= 14.4A0\r", b"#12CP=\r", b"#12CP= 14.4"]
)
async def test_another_units_or_quantitys_or_a_damaged_line_is_no_pressure(heard: bytes) -> None:
    poll = await (await identified()).poll(Script({**ANSWERS, P1: heard}))
    assert poll.reasons.tolist() == [Reason.CRC] * 2
    assert np.isnan(poll.values).all()


async def test_a_unit_without_an_address_answers_with_a_question_mark() -> None:
    assert driver(0).requests[0].frame == b"*00P1\r"
    assert driver(0).requests[0].measure(b"?01CP= 14.450\r", 0) == 14


async def test_identity_is_scale_version_and_status() -> None:
    identity = await driver(serial_number=123456).identify(Script(ANSWERS))
    assert identity.text == "Honeywell 0017psia, version 02.41, status 0000"
    assert identity.serial_number == "00123456"
    assert identity.reason is Reason.NONE
    assert (await driver(serial_number=7).identify(Script(ANSWERS))).reason is Reason.IDENTITY_MISMATCH


@pytest.mark.parametrize("scale", [b"0017psig", b"0005psid", b"17psia"])
async def test_what_does_not_measure_absolute_pressure_is_refused(scale: bytes) -> None:
    identity = await driver().identify(Script({**ANSWERS, M: b"#12M=%s\r" % scale}))
    assert identity.reason is Reason.CONFIG
    assert "absolute" in identity.text


@pytest.mark.parametrize("silent", [S, RS, V, M])
async def test_who_does_not_answer_is_not_identified(silent: bytes) -> None:
    assert (await driver().identify(Script({**ANSWERS, silent: b""}))).reason is Reason.TIMEOUT


@pytest.mark.parametrize("unit", [0, 12])
def test_fences_are_of_their_own_kind(unit: int) -> None:
    assert_fences_are_of_their_own_kind(driver(unit))
    pressure, temperature = driver(unit).requests
    assert not pressure.confusable(temperature)


async def test_the_hail_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    answer = await Script(ANSWERS)(MODEL.hail(12))
    assert MODEL.recognise(answer.frame) == "Honeywell HPB, HPA or PPT, serial number 00123456"
    assert MODEL.recognise(ANSWERS[RS]) is None


@given(st.binary(max_size=60), st.integers(0, 60))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    for request in driver().requests:
        assert -1 <= request.measure(heard, start) <= max(len(heard) - start, 0)
