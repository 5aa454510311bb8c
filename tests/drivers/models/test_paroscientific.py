"""Paroscientific 6000: two confusable measurements, the unit of pressure, the serial number."""

import numpy as np
import pytest

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.paroscientific import MODEL
from drivers.reading import Reason
from tests.drivers.models.asks import Script, bus, transducer

P3, Q3, SN, VR, UN = (b"*0700%s\r\n" % name for name in (b"P3", b"Q3", b"SN", b"VR", b"UN"))
IDENTITY = {SN: b"*0007SN=123456\r\n", VR: b"*0007VR=R5.10\r\n", UN: b"*0007UN=2\r\n"}


def driver(unit: int = 7, **words: object) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name, **words)}, bus())


async def test_pressure_then_temperature() -> None:
    script = Script({P3: b"*00071013.2512\r\n", Q3: b"*0007-2.125\r\n"})
    poll = await driver().poll(script)
    assert [channel.unit.symbol for channel in poll.channels] == ["hPa", "C"]
    assert poll.values.tolist() == [1013.2512, -2.125]
    assert poll.reasons.tolist() == [Reason.NONE] * 2
    assert poll.time_s == pytest.approx(1.01)  # of the pressure
    assert script.asked == [P3, Q3]


@pytest.mark.parametrize(
    "heard", [b"*00081013.25\r\n", b"*0007\r\n", b"*0007SN=123456\r\n", b"*00071013.2A\r\n", b"*00071013.25"]
)
async def test_another_units_or_a_damaged_line_is_no_pressure_and_nothing_more_is_asked(heard: bytes) -> None:
    script = Script({P3: heard, Q3: b"*000722.5\r\n"})
    poll = await driver().poll(script)
    assert np.isnan(poll.values).all()
    assert poll.reasons.tolist() == [Reason.CRC] * 2
    assert script.asked == [P3]


async def test_a_missing_temperature_leaves_the_pressure_good() -> None:
    poll = await driver().poll(Script({P3: b"*00071013.25\r\n", Q3: Outcome.LATE}))
    assert poll.values[0] == 1013.25
    assert np.isnan(poll.values[1])
    assert poll.reasons.tolist() == [Reason.NONE, Reason.LATE]


async def test_identity_is_version_and_serial_number() -> None:
    identity = await driver(serial_number=123456).identify(Script(IDENTITY))
    assert (identity.text, identity.serial_number) == ("Paroscientific Digiquartz, version R5.10", "123456")
    assert identity.reason is Reason.NONE
    assert (await driver(serial_number=7).identify(Script(IDENTITY))).reason is Reason.IDENTITY_MISMATCH


@pytest.mark.parametrize("code", ["1", "8", "0", "x"])
async def test_another_unit_of_pressure_is_refused_with_advice(code: str) -> None:
    identity = await driver().identify(Script({**IDENTITY, UN: f"*0007UN={code}\r\n".encode()}))
    assert identity.reason is Reason.CONFIG
    assert "set UN=2" in identity.text


@pytest.mark.parametrize("silent", [SN, VR, UN])
async def test_who_does_not_answer_is_not_identified(silent: bytes) -> None:
    assert (await driver().identify(Script({**IDENTITY, silent: b""}))).reason is Reason.TIMEOUT


def test_the_two_measurements_are_confusable_and_the_fences_are_not() -> None:
    pressure, temperature = driver().requests
    assert pressure.confusable(temperature)
    assert not pressure.confusable(driver(8).requests[0])
    for fence in driver().fences:
        assert not any(fence.confusable(request) or request.confusable(fence) for request in driver().requests)
    first, second = driver().fences
    assert not first.confusable(second)


def test_integration_time_is_an_option() -> None:
    assert [request.processing_s for request in driver().requests] == [0.1, 0.1]
    slow = driver(options={"integration": "0.8 s"})
    assert [request.processing_s for request in slow.requests] == [0.8, 0.8]
    assert [fence.processing_s for fence in slow.fences] == [0.0, 0.0]
    with pytest.raises(ValueError, match="needs a unit"):
        driver(options={"integration": 0.8})


async def test_the_hail_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    answer = await Script(IDENTITY)(MODEL.hail(7))
    assert MODEL.recognise(answer.frame) == "Paroscientific Digiquartz, serial number 123456"
    assert MODEL.recognise(IDENTITY[VR]) is None
