"""Pfeiffer's telegrams: health before pressure, checksums, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.pfeiffer_telegram import MODEL
from drivers.reading import Reason
from drivers.wire.pfeiffer import data_of, expo, read_parameter
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer


def telegram(text: str) -> bytes:
    return f"{text}{sum(text.encode()) % 256:03}\r".encode()


HEALTH, PRESSURE, GAUGE, VERSION = (telegram(f"00300{parameter}02=?") for parameter in (303, 740, 349, 312))
HEALTHY = telegram("0031030306000000")
ANSWERS = {
    HEALTH: HEALTHY,
    PRESSURE: telegram("0031074006101323"),
    GAUGE: telegram("0031034906    A3"),
    VERSION: telegram("0031031206010400"),
}


def driver(unit: int = 3) -> Driver:
    return MODEL.driver(unit, {"p": transducer(MODEL.name)}, bus())


async def test_health_then_pressure() -> None:
    script = Script(ANSWERS)
    poll = await driver().poll(script)
    assert [channel.unit.symbol for channel in poll.channels] == ["hPa"]
    assert poll.values == pytest.approx([1013.0])
    assert poll.reasons.tolist() == [Reason.NONE]
    assert poll.time_s == pytest.approx(2.01)  # of the pressure
    assert script.asked == [HEALTH, PRESSURE]


@pytest.mark.parametrize("word", ["Err001", "Err002", "000001"])
async def test_a_gauge_in_trouble_is_not_asked_for_a_pressure(word: str) -> None:
    script = Script({**ANSWERS, HEALTH: telegram(f"0031030306{word}")})
    poll = await driver().poll(script)
    assert poll.reasons.tolist() == [Reason.SENSOR_FAILURE]
    assert np.isnan(poll.values).all()
    assert script.asked == [HEALTH]


@pytest.mark.parametrize("word", ["NO_DEF", "_RANGE", "_LOGIC"])
async def test_a_refusal_is_an_exception(word: str) -> None:
    poll = await driver().poll(Script({**ANSWERS, PRESSURE: telegram(f"0031074006{word}")}))
    assert poll.reasons.tolist() == [Reason.EXCEPTION]
    assert np.isnan(poll.values).all()


@pytest.mark.parametrize(
    "heard",
    [
        telegram("0041074006101323"),  # another unit
        telegram("0031074106101323"),  # another parameter
        telegram("0030074006101323"),  # a question
        telegram("003107400510132"),
        telegram("0031074006101323")[:-4] + b"000\r",
    ],
)
async def test_what_is_no_intact_answer_is_no_pressure(heard: bytes) -> None:
    poll = await driver().poll(Script({**ANSWERS, PRESSURE: heard}))
    assert poll.reasons.tolist() == [Reason.CRC]


@given(st.data())
async def test_a_flipped_bit_brings_no_value(data: st.DataObject) -> None:
    damaged = bytearray(ANSWERS[PRESSURE])
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    poll = await driver().poll(Script({**ANSWERS, PRESSURE: bytes(damaged)}))
    assert np.isnan(poll.values).all()


@given(st.integers(0, 9999), st.integers(0, 99))
def test_the_exponent_counts_from_20_below(digits: int, exponent: int) -> None:
    assert expo(b"%04d%02d" % (digits, exponent)) == pytest.approx(float(f"{digits}e{exponent - 23}"))


async def test_identity_is_type_and_version() -> None:
    identity = await driver().identify(Script(ANSWERS))
    assert (identity.text, identity.reason) == ("Pfeiffer PPT 100, version 01.04.00", Reason.NONE)
    assert (await driver().identify(Script({**ANSWERS, VERSION: b""}))).reason is Reason.TIMEOUT
    unknown = await driver().identify(Script({**ANSWERS, GAUGE: telegram("0031034906    B9")}))
    assert unknown.text.startswith("Pfeiffer gauge of type B9")


async def test_silence_is_told_as_it_is() -> None:
    assert (await driver().poll(Script({}))).reasons.tolist() == [Reason.TIMEOUT]
    assert (await driver().poll(Script({**ANSWERS, PRESSURE: Outcome.LATE}))).reasons.tolist() == [Reason.LATE]


def test_fences_are_of_their_own_kind() -> None:
    assert_fences_are_of_their_own_kind(driver())


async def test_the_hail_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    answer = await Script(ANSWERS)(MODEL.hail(3))
    assert MODEL.recognise(answer.frame) == "Pfeiffer PPT 100"
    assert MODEL.recognise(ANSWERS[VERSION]) is None


@given(st.binary(max_size=60), st.integers(0, 60))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    request = read_parameter(1, 740, rb"\d{6}", 6)
    assert -1 <= request.measure(heard, start) <= max(len(heard) - start, 0)


def test_data_stands_between_length_and_checksum() -> None:
    assert data_of(ANSWERS[PRESSURE]) == b"101323"
