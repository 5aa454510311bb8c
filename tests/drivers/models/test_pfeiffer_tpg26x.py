"""TPG 261 and 262: two transfers as one exchange, a status beside each pressure, the unit of pressure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.pfeiffer_tpg26x import MODEL
from drivers.reading import Reason
from drivers.wire.ascii_line import LineRequest
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

PRX, UNI = b"PRX\r\n", b"UNI\r\n"
ACK = b"\x06\r\n"


def driver(**words: object) -> Driver:
    return MODEL.driver(1, {"p": transducer(MODEL.name, **words)}, bus())


def both(**words: object) -> Driver:
    transducers = {f"p{gauge}": transducer(MODEL.name, channel=gauge, **words) for gauge in (2, 1)}
    return MODEL.driver(1, transducers, bus())


def test_a_question_is_followed_by_enq_once_it_is_acknowledged() -> None:
    (request,) = driver().requests
    assert isinstance(request, LineRequest)
    assert (request.frame, request.prompt, request.follow) == (PRX, ACK, b"\x05")
    answer = ACK + b"0,+1.0132E+03,5,+2.0000E-02\r\n"
    assert request.measure(answer, 0) == len(answer)
    assert [request.measure(answer[:size], 0) for size in range(1, len(answer))] == [-1] * (len(answer) - 1)
    assert request.measure(ACK + answer, 0) == 0  # that of an older question stands before it
    assert request.measure(ACK + answer, len(ACK)) == len(answer)
    streamed = answer[len(ACK) :]
    assert request.measure(streamed * 2, 0) == 0


async def test_pressures_of_the_gauges_in_use() -> None:
    poll = await both().poll(Script({PRX: ACK + b"0,+1.0132E+03,0,-1.0000E-02\r\n"}))
    assert [channel.id for channel in poll.channels] == ["p2.pressure", "p1.pressure"]
    assert [channel.unit.symbol for channel in poll.channels] == ["mbar"] * 2
    assert poll.values.tolist() == [-0.01, 1013.2]
    assert poll.reasons.tolist() == [Reason.NONE] * 2


@pytest.mark.parametrize(
    ("status", "reason", "there"),
    [
        (0, Reason.NONE, True),
        (1, Reason.SATURATED_LOW, True),
        (2, Reason.SATURATED_HIGH, True),
        (3, Reason.SENSOR_FAILURE, False),
        (4, Reason.CONFIG, False),
        (5, Reason.SENSOR_FAILURE, False),
        (6, Reason.SENSOR_FAILURE, False),
        (7, Reason.SENSOR_FAILURE, False),
        (9, Reason.SENSOR_FAILURE, False),
    ],
)
async def test_status(status: int, reason: Reason, there: bool) -> None:
    poll = await driver().poll(Script({PRX: ACK + b"%d,+2.0000E-02,0,+1.0000E+03\r\n" % status}))
    assert poll.reasons.tolist() == [reason]
    assert np.isfinite(poll.values).tolist() == [there]


@pytest.mark.parametrize(
    "heard",
    [
        b"0,+1.0132E+03,0,+1.0132E+03\r\n",
        ACK + b"0,+1.0132E+03\r\n",
        ACK + b"0,+1.0132E+03,0,+1.01\r\n",
        ACK + b"0,+1.0132E+03,0,+1.0132E+0\x00\r\n",
        ACK,
    ],
)
async def test_what_is_no_whole_answer_is_no_pressure(heard: bytes) -> None:
    assert (await driver().poll(Script({PRX: heard}))).reasons.tolist() == [Reason.CRC]


async def test_a_nak_is_an_exception() -> None:
    assert (await driver().poll(Script({PRX: b"\x15\r\n"}))).reasons.tolist() == [Reason.EXCEPTION]
    assert (await driver().poll(Script({PRX: Outcome.LATE}))).reasons.tolist() == [Reason.LATE]


@pytest.mark.parametrize(("code", "unit"), [(0, "mbar"), (1, "Torr"), (2, "Pa")])
async def test_the_unit_of_pressure_must_be_the_rig_files(code: int, unit: str) -> None:
    script = Script({UNI: ACK + b"%d\r\n" % code})
    named = driver(options={"unit": unit})
    assert (await named.identify(script)).reason is Reason.NONE
    assert named.channels[0].unit.symbol == unit
    other = await driver(options={"unit": "Pa" if code != 2 else "mbar"}).identify(script)
    assert other.reason is Reason.CONFIG
    assert f"code {code}" in other.text


async def test_who_does_not_answer_is_not_identified() -> None:
    assert (await driver().identify(Script({}))).reason is Reason.TIMEOUT
    assert (await driver().identify(Script({UNI: ACK + b"3\r\n"}))).reason is Reason.CONFIG


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="channel must be 1 or 2"):
        driver(channel=3)
    transducers = {
        "p1": transducer(MODEL.name, channel=1),
        "p2": transducer(MODEL.name, channel=2, options={"unit": "Pa"}),
    }
    with pytest.raises(ValueError, match=r"options\.unit must be the same"):
        MODEL.driver(1, transducers, bus())


def test_fences_are_of_their_own_kind() -> None:
    assert_fences_are_of_their_own_kind(driver())


async def test_the_hail_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    answer = await Script({UNI: ACK + b"0\r\n"})(MODEL.hail(1))
    assert MODEL.recognise(answer.frame) == "Pfeiffer TPG 26x"
    assert MODEL.recognise(b"\x15\r\n") is None


@given(st.binary(max_size=60), st.integers(0, 60))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    (request,) = driver().requests
    assert -1 <= request.measure(heard, start) <= max(len(heard) - start, 0)
