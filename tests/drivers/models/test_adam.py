"""ADAM-4117 and ADAM-6017: eight currents in one line, NE 43, refusals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.model import Driver
from drivers.models.adam import ADAM_4117 as MODEL
from drivers.models.adam import ADAM_6017
from drivers.reading import Reason
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer

CURRENTS, NAME, VERSION = b"#1A\r", b"$1AM\r", b"$1AF\r"


def driver() -> Driver:
    transducers = {f"p{place}": transducer(MODEL.name, channel=place, range="0..160 kPa") for place in (8, 1)}
    return MODEL.driver(0x1A, transducers, bus())


def currents(first: float, last: float = 12.0) -> bytes:
    return b">" + b"".join(b"%+07.3f" % value for value in (first, *(0.0,) * 6, last)) + b"\r"


@pytest.mark.parametrize("address", [b"", b"1A"])
async def test_currents_become_pressures(address: bytes) -> None:
    poll = await driver().poll(Script({CURRENTS: currents(4.0).replace(b">", b">" + address)}))
    assert [channel.id for channel in poll.channels] == ["p8.pressure", "p1.pressure"]
    assert poll.values.tolist() == pytest.approx([80e3, 0.0])
    assert poll.reasons.tolist() == [Reason.NONE] * 2


@pytest.mark.parametrize(
    ("current", "reason", "there"),
    [
        (0.0, Reason.SENSOR_FAILURE, False),
        (3.5, Reason.SENSOR_FAILURE, False),
        (3.75, Reason.SATURATED_LOW, True),
        (20.0, Reason.NONE, True),
        (20.6, Reason.SATURATED_HIGH, True),
        (21.5, Reason.SENSOR_FAILURE, False),
        (-0.1, Reason.SENSOR_FAILURE, False),
    ],
)
async def test_ne_43(current: float, reason: Reason, there: bool) -> None:
    poll = await driver().poll(Script({CURRENTS: currents(current)}))
    assert poll.reasons.tolist() == [Reason.NONE, reason]
    assert np.isfinite(poll.values).tolist() == [True, there]


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        (b"?1A\r", Reason.EXCEPTION),
        (b"?1B\r", Reason.CRC),
        (currents(4.0).replace(b">", b">1B"), Reason.CRC),
        (currents(4.0)[:-8] + b"\r", Reason.CRC),
        (currents(4.0)[7:], Reason.CRC),
        (b"", Reason.TIMEOUT),
    ],
)
async def test_what_is_no_whole_line_has_no_value(heard: bytes, reason: Reason) -> None:
    poll = await driver().poll(Script({CURRENTS: heard}))
    assert poll.reasons.tolist() == [reason] * 2
    assert np.isnan(poll.values).all()


async def test_identity_is_name_and_firmware() -> None:
    identity = await driver().identify(Script({NAME: b"!1A4117\r", VERSION: b"!1AA2.02\r"}))
    assert (identity.text, identity.reason) == ("Advantech ADAM-4117, firmware A2.02", Reason.NONE)
    assert (await driver().identify(Script({NAME: b"!1A4017P\r"}))).reason is Reason.CRC


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="channel must be 1 to 8"):
        MODEL.driver(1, {"p": transducer(MODEL.name, channel=9, range="0..160 kPa")}, bus())
    with pytest.raises(ValueError, match="needs its range"):
        MODEL.driver(1, {"p": transducer(MODEL.name, channel=1)}, bus())


def test_fences_are_of_their_own_kind() -> None:
    assert_fences_are_of_their_own_kind(driver())


async def test_the_hail_is_recognised() -> None:
    assert MODEL.hail is not None
    assert MODEL.recognise is not None
    answer = await Script({NAME: b"!1A4117\r"})(MODEL.hail(0x1A))
    assert MODEL.recognise(answer.frame) == "Advantech ADAM-4117"
    assert MODEL.recognise(b"!1AA2.02\r") is None


async def test_one_on_the_network_is_told_apart_by_its_name() -> None:
    remote = ADAM_6017.driver(1, {"p": transducer(ADAM_6017.name, channel=1, range="0..160 kPa")}, bus())
    assert_fences_are_of_their_own_kind(remote)
    identity = await remote.identify(Script({b"$01M\r": b"!016017\r", b"$01F\r": b"!01 A1.00B01\r"}))
    assert (identity.text, identity.reason) == ("Advantech ADAM-6017, firmware A1.00B01", Reason.NONE)
    assert (await remote.identify(Script({b"$01M\r": b"!016015\r"}))).reason is Reason.CRC
    poll = await remote.poll(Script({b"#01\r": currents(20.0).replace(b">", b">01")}))
    assert poll.values.tolist() == pytest.approx([160e3])


@given(st.binary(max_size=80), st.integers(0, 80))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    for request in (*driver().requests, *driver().fences):
        assert -1 <= request.measure(heard, start) <= max(len(heard) - start, 0)
