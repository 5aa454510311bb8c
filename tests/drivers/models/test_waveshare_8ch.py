"""Waveshare 8CH: currents become pressures, NE 43 with hysteresis tells faults, wrongly set inputs are named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Outcome
from drivers.model import Driver
from drivers.models.current_loop import LoopStates
from drivers.models.waveshare_8ch import MODEL
from drivers.reading import Reason
from drivers.wire.modbus import read_registers, rtu_frame
from tests.drivers.models.asks import Script, assert_fences_are_of_their_own_kind, bus, transducer
from tests.drivers.wire.vectors import MINE

TYPES = read_registers(1, 3, 0x1000, 8).frame
VERSION = rtu_frame(1, bytes.fromhex("03 02 00 c8"))
VERSION_QUESTION = read_registers(1, 3, 0x8000, 1).frame


def driver(*channels: int, **words: object) -> Driver:
    words = {"range": "0..160 kPa", **words}
    return MODEL.driver(
        1, {f"p{channel}": transducer(MODEL.name, channel=channel, **words) for channel in channels}, bus()
    )


def inputs(*microamps: int) -> bytes:
    return rtu_frame(1, bytes((4, 2 * len(microamps))) + np.array(microamps, ">u2").tobytes())


def types(*codes: int) -> bytes:
    return rtu_frame(1, b"\x03\x10" + np.array(codes, ">u2").tobytes())


async def test_the_inputs_from_first_to_last_in_use_are_read_at_once() -> None:
    unit = driver(6, 3)
    question = read_registers(1, 4, 2, 4).frame
    assert [request.frame for request in unit.requests] == [question]
    poll = await unit.poll(Script({question: inputs(12000, 0, 0, 8000)}))
    assert [channel.id for channel in poll.channels] == ["p6.pressure", "p3.pressure"]
    assert poll.values.tolist() == pytest.approx([40e3, 80e3])
    assert poll.reasons.tolist() == [Reason.NONE] * 2


async def test_the_golden_answer_has_four_kinds_of_current() -> None:
    unit = driver(*range(1, 9))
    poll = await unit.poll(Script({unit.requests[0].frame: MINE["ws-read8-rep"].data}))
    np.testing.assert_allclose(poll.values, [80e3, 0.0] + [np.nan] * 6, atol=1e-6)
    assert poll.reasons.tolist() == [Reason.NONE] * 2 + [Reason.SENSOR_FAILURE] * 6


@pytest.mark.parametrize(
    ("microamps", "reason", "pressure"),
    [
        (0, Reason.SENSOR_FAILURE, np.nan),
        (3500, Reason.SENSOR_FAILURE, np.nan),
        (3600, Reason.SENSOR_FAILURE, np.nan),
        (3700, Reason.SATURATED_LOW, -3e3),
        (3800, Reason.SATURATED_LOW, -2e3),
        (3900, Reason.NONE, -1e3),
        (4000, Reason.NONE, 0.0),
        (20000, Reason.NONE, 160e3),
        (20400, Reason.NONE, 164e3),
        (20500, Reason.SATURATED_HIGH, 165e3),
        (20700, Reason.SATURATED_HIGH, 167e3),
        (21000, Reason.SENSOR_FAILURE, np.nan),
        (21500, Reason.SENSOR_FAILURE, np.nan),
    ],
)
async def test_ne_43(microamps: int, reason: Reason, pressure: float) -> None:
    unit = driver(1)
    poll = await unit.poll(Script({unit.requests[0].frame: inputs(microamps)}))
    assert poll.reasons.tolist() == [reason]
    assert poll.values.tolist() == [pytest.approx(pressure, abs=1e-6, nan_ok=True)]


def states(*microamps: int, low: bool = True, high: bool = True) -> list[int]:
    loop = LoopStates(np.array([low]), np.array([high]))
    return [int(loop.next(np.array([current]))[0]) for current in microamps]


def test_worse_is_believed_at_once_and_better_only_beyond_the_hysteresis() -> None:
    assert states(4000, 3810, 3820, 3830, 3831) == [0, -1, -1, -1, 0]
    assert states(3811) == [0]
    assert states(20000, 20490, 20480, 20469) == [0, 1, 1, 0]
    assert states(3610, 3630, 3631) == [-2, -2, -1]
    assert states(20990, 20970, 20969) == [2, 2, 1]


def test_a_broken_wire_that_comes_back_measures_at_once() -> None:
    assert states(0, 12000, 21500, 0, 20700) == [-2, 0, 2, -2, 1]


def test_limits_outside_the_loops_own_range_do_not_hold() -> None:
    assert states(0, 20700, low=False) == [0, 1]
    assert states(0, 24000, high=False) == [-2, 0]


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=20))
def test_a_state_is_never_better_than_the_limits_say_nor_worse_than_with_hysteresis(currents: list[int]) -> None:
    for current, state in zip(currents, states(*currents), strict=True):
        (plain,) = states(current)
        assert abs(state) >= abs(plain)
        assert plain * state >= 0
        if 3830 < current < 20470:
            assert state == 0


async def test_a_loop_without_live_zero_has_no_low_failure() -> None:
    unit = driver(1, current="0..20 mA")
    poll = await unit.poll(Script({unit.requests[0].frame: inputs(0)}))
    assert (poll.values.tolist(), poll.reasons.tolist()) == ([0.0], [Reason.NONE])


async def test_an_input_that_measures_voltage_is_named_and_bad_until_set_right() -> None:
    unit = driver(1, 2, 3)
    answers = {
        VERSION_QUESTION: VERSION,
        TYPES: types(2, 0, 3, 0, 0, 0, 0, 0),
        unit.requests[0].frame: inputs(*[12000] * 3),
    }
    identity = await unit.identify(Script(answers))
    assert identity.reason is Reason.NONE
    assert "version 200" in identity.text
    assert "input 2 is of type 0-5 V, set it to 0-20 mA" in identity.text
    assert "input 3 is of type 4-20 mA, set it to 0-20 mA" in identity.text
    poll = await unit.poll(Script(answers))
    assert poll.reasons.tolist() == [Reason.NONE, Reason.CONFIG, Reason.NONE]
    assert np.isnan(poll.values[1])
    await unit.identify(Script({**answers, TYPES: types(*[2] * 8)}))
    assert (await unit.poll(Script(answers))).reasons.tolist() == [Reason.NONE] * 3


@pytest.mark.parametrize("silent", [VERSION_QUESTION, TYPES])
async def test_who_does_not_tell_its_types_is_not_identified(silent: bytes) -> None:
    answers = {VERSION_QUESTION: VERSION, TYPES: types(*[2] * 8)}
    assert (await driver(1).identify(Script({**answers, silent: b""}))).reason is Reason.TIMEOUT


async def test_no_answer_gives_its_reason() -> None:
    unit = driver(1, 2)
    poll = await unit.poll(Script({unit.requests[0].frame: Outcome.CRC}))
    assert poll.reasons.tolist() == [Reason.CRC] * 2


def test_fences_are_of_their_own_kind() -> None:
    assert_fences_are_of_their_own_kind(driver(*range(1, 9)))
    assert_fences_are_of_their_own_kind(driver(1))


def test_only_eight_types_of_inputs_are_recognised() -> None:
    assert MODEL.recognise is not None
    assert MODEL.hail is not None
    assert MODEL.hail(1).frame == TYPES == MINE["ws-types-req"].data
    assert "0-20 mA" in (MODEL.recognise(MINE["ws-types-rep"].data) or "")
    assert MODEL.recognise(types(2, 2, 2, 2, 2, 2, 2, 5)) is None
    assert MODEL.recognise(rtu_frame(1, b"\x03\x02\x00\x02")) is None


@pytest.mark.parametrize(
    ("words", "complaint"),
    [({"channel": 9}, "channel must be 1 to 8"), ({"channel": None}, "channel"), ({"range": None}, "needs its range")],
)
def test_words_that_say_nothing_are_refused(words: dict[str, object], complaint: str) -> None:
    words = {"channel": 1, "range": "0..160 kPa", **words}
    with pytest.raises(ValueError, match=f"transducer p: .*{complaint}"):
        MODEL.driver(1, {"p": transducer(MODEL.name, **words)}, bus())
