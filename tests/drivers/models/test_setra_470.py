"""Setra 470: one line that says everything, alarms, and what is no true pressure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Quiet
from drivers.model import Driver
from drivers.models.setra_470 import MODEL
from drivers.reading import Reason
from tests.drivers.models.asks import Script, bus, transducer

P = b"P\r"


def driver() -> Driver:
    return MODEL.driver(1, {"p1": transducer(MODEL.name)}, bus(baud=2400))


@pytest.mark.parametrize(
    ("answer", "pascal"),
    [
        (b" +14.6960  PSI    A OK\r\n", 101_325.35),
        (b"+1013.25  mbar   A OK\r\n", 101_325.0),
        (b"  +760.000  mmHg   A\r\n", 101_325.0),
        (b"-0.01000  kPa    A OK\r\n", -10.0),
    ],
)
async def test_a_reading_in_any_unit_is_a_pressure_in_pa(answer: bytes, pascal: float) -> None:
    poll = await driver().poll(Script({P: answer}))
    assert [channel.id for channel in poll.channels] == ["p1.pressure"]
    assert poll.values.tolist() == pytest.approx([pascal], abs=0.1)
    assert poll.reasons.tolist() == [Reason.NONE]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HI ALARM\r\n", Reason.SATURATED_HIGH),
        (b"LO ALARM\r\n", Reason.SATURATED_LOW),
        (b" +0.00010  PSI    T OK\r\n", Reason.CONFIG),
        (b" +30.0100  inHg   A OK SEA LEVEL\r\n", Reason.CONFIG),
        (b" +70.3070  g/cm2  A OK\r\n", Reason.CONFIG),
        (b"UNABLE\r\n", Reason.EXCEPTION),
        (b" +14.696  PSI    A OK\r\n", Reason.CRC),
        (b" +14.6.60  PSI    A OK\r\n", Reason.CRC),
        (b".6960  PSI    A OK\r\n", Reason.CRC),
        (b"", Reason.TIMEOUT),
    ],
)
async def test_what_is_no_true_pressure_has_no_value_but_a_reason(answer: bytes, reason: Reason) -> None:
    poll = await driver().poll(Script({P: answer}))
    assert poll.reasons.tolist() == [reason]
    assert np.isnan(poll.values).all()


async def test_it_tells_of_itself_only_how_it_is_set() -> None:
    identity = await driver().identify(Script({P: b" +0.00010  PSI    T OK SEA LEVEL\r\n"}))
    assert identity.text == "Setra 470, in PSI, tared: undo that, reduced to sea level: undo that"
    assert (await driver().identify(Script({}))).reason is Reason.TIMEOUT
    assert MODEL.recognise is not None
    assert MODEL.recognise(b"HI ALARM\r\n") is None


def test_silence_is_its_fence_longer_than_any_answer() -> None:
    fence = driver().fences
    assert isinstance(fence, Quiet)
    (request,) = driver().requests
    assert fence.span_s > bus().timeout + request.processing_s + request.answer_size * bus(baud=2400).character_s


@given(st.binary(max_size=80), st.integers(0, 80))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    (request,) = driver().requests
    assert -1 <= request.measure(heard, start) <= max(len(heard) - start, 0)
