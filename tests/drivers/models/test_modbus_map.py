"""Devices by register map: numbers, their validity, refused registers found once."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Attempt, Outcome, Request
from drivers.models.modbus_map import MODEL, ModbusMap
from drivers.reading import Reason
from drivers.rig import BusKind
from drivers.wire.modbus import ModbusRequest, rtu_frame
from tests.drivers.models.asks import assert_fences_are_of_their_own_kind, attempt, bus, transducer


@dataclass
class Registers:
    """A unit whose registers hold their own address; it refuses blocks with an unreadable one."""

    unreadable: set[int] = field(default_factory=set)
    contents: dict[int, int] = field(default_factory=dict)
    longest: int = 125
    refuses_everything: bool = False
    silent_at: int | None = None
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def __call__(self, request: Request) -> Attempt:
        assert isinstance(request, ModbusRequest)
        start, count = (int.from_bytes(request.frame[1:-2][at : at + 2], "big") for at in (1, 3))
        self.asked.append((start, count))
        wanted = range(start, start + count)
        answer = b""
        if self.refuses_everything or count > self.longest or not self.unreadable.isdisjoint(wanted):
            answer = rtu_frame(request.unit, bytes((request.frame[1:-2][0] | 0x80, 2)))
        elif self.silent_at not in wanted:
            data = b"".join(self.contents.get(at, at).to_bytes(2, "big") for at in wanted)
            answer = rtu_frame(request.unit, bytes((request.frame[1:-2][0], 2 * count)) + data)
        return attempt(request, answer, float(len(self.asked)))


def at(address: int, kind: str = "uint16", **words: object) -> dict[str, object]:
    return {"address": address, "type": kind, "unit": "Pa", **words}


def driver(*pressures: dict[str, object], **bus_words: object) -> ModbusMap:
    transducers = {f"p{place}": transducer(MODEL.name, map={"pressure": each}) for place, each in enumerate(pressures)}
    return ModbusMap(1, transducers, bus(**bus_words))  # type: ignore[arg-type]


async def test_channels_of_several_transducers_on_one_unit_come_in_one_read() -> None:
    words = {
        "a": transducer(
            MODEL.name, map={"pressure": at(0, scale=0.1, offset=5, unit="kPa"), "temperature": at(1, unit="C")}
        ),
        "b": transducer(MODEL.name, map={"pressure": at(2)}),
    }
    device = Registers(contents={0: 1000, 1: 21, 2: 7})
    poll = await MODEL.driver(1, words, bus()).poll(device)
    assert [channel.id for channel in poll.channels] == ["a.pressure", "a.temperature", "b.pressure"]
    assert [channel.unit.symbol for channel in poll.channels] == ["kPa", "C", "Pa"]
    assert poll.values.tolist() == [105.0, 21.0, 7.0]
    assert poll.reasons.tolist() == [Reason.NONE] * 3
    assert device.asked == [(0, 3)]


@pytest.mark.parametrize(
    ("words", "number", "reason"),
    [
        pytest.param({"valid": (0, 10)}, 11, Reason.OUT_OF_RANGE, id="above valid"),
        pytest.param({"valid": (5, 10), "scale": 0.1}, 49, Reason.OUT_OF_RANGE, id="below valid, which is scaled"),
        pytest.param({"invalid": (0x8000,)}, 0x8000, Reason.SENSOR_FAILURE, id="code"),
        pytest.param({"invalid": (-32768,), "type": "int16"}, 0x8000, Reason.SENSOR_FAILURE, id="signed code"),
        pytest.param({"invalid": (0x8000,), "type": "int16"}, 0x8000, Reason.SENSOR_FAILURE, id="unsigned code"),
        pytest.param({"invalid": (11,), "valid": (0, 10)}, 11, Reason.SENSOR_FAILURE, id="code outside valid"),
    ],
)
async def test_what_is_no_measurement_has_no_value(words: dict[str, object], number: int, reason: Reason) -> None:
    poll = await driver({**at(0), **words}).poll(Registers(contents={0: number}))
    assert np.isnan(poll.values[0])
    assert poll.reasons.tolist() == [reason]


@pytest.mark.parametrize(
    ("high_word", "reason"),
    [(0x7FC0, Reason.SENSOR_FAILURE), (0x7F80, Reason.SATURATED_HIGH), (0xFF80, Reason.SATURATED_LOW)],
)
async def test_non_numbers_of_floats_are_faults(high_word: int, reason: Reason) -> None:
    poll = await driver(at(0, "float32")).poll(Registers(contents={0: high_word, 1: 0}))
    assert np.isnan(poll.values[0])
    assert poll.reasons.tolist() == [reason]


async def test_a_gap_that_is_refused_is_cut_once_and_remembered() -> None:
    device, unit = Registers(unreadable={3}), driver(at(1), at(2), at(4), at(5))
    first = await unit.poll(device)
    assert device.asked == [(1, 5), (1, 2), (4, 2)]
    device.asked.clear()
    second = await unit.poll(device)
    assert device.asked == [(1, 2), (4, 2)]
    for poll in (first, second):
        assert poll.values.tolist() == [1, 2, 4, 5]
        assert poll.reasons.tolist() == [Reason.NONE] * 4


async def test_an_unreadable_register_costs_its_own_channel_only() -> None:
    device, unit = Registers(unreadable={13}), driver(*(at(address) for address in range(10, 18)))
    for questions in (7, 2, 2):
        device.asked.clear()
        poll = await unit.poll(device)
        assert len(device.asked) == questions
        np.testing.assert_array_equal(poll.values, [10, 11, 12, np.nan, 14, 15, 16, 17])
        assert poll.reasons.tolist() == [
            Reason.EXCEPTION if address == 13 else Reason.NONE for address in range(10, 18)
        ]


async def test_a_device_that_takes_short_reads_only_is_read_in_short_ones() -> None:
    device, unit = Registers(longest=4), driver(*(at(address) for address in range(10)))
    for _ in range(3):
        poll = await unit.poll(device)
        assert poll.values.tolist() == list(range(10))
    device.asked.clear()
    await unit.poll(device)
    assert max(count for _, count in device.asked) <= 4


async def test_nothing_is_learned_from_a_unit_that_refuses_everything() -> None:
    device, unit = Registers(refuses_everything=True), driver(*(at(address) for address in range(8)))
    assert (await unit.poll(device)).reasons.tolist() == [Reason.EXCEPTION] * 8
    device.asked.clear()
    assert (await unit.poll(device)).reasons.tolist() == [Reason.EXCEPTION] * 8
    assert device.asked == [(0, 8)]
    device.refuses_everything = False
    assert (await unit.poll(device)).values.tolist() == list(range(8))


async def test_a_unit_that_refused_everything_is_searched_again_later() -> None:
    device, unit = Registers(refuses_everything=True), driver(at(0), at(1))
    await unit.poll(device)
    device.refuses_everything, device.unreadable = False, {0}
    values = [(await unit.poll(device)).values.tolist()[1] for _ in range(30)]
    assert np.isnan(values[0])
    assert values[-1] == 1


async def test_identifying_anew_forgets_what_was_refused() -> None:
    device, unit = Registers(unreadable={1}), driver(at(0), at(1))
    assert (await unit.poll(device)).reasons.tolist() == [Reason.NONE, Reason.EXCEPTION]
    device.unreadable.clear()
    assert (await unit.poll(device)).reasons.tolist() == [Reason.NONE, Reason.EXCEPTION]
    assert (await unit.identify(device)).reason is Reason.NONE
    assert (await unit.poll(device)).reasons.tolist() == [Reason.NONE, Reason.NONE]


async def test_silence_of_one_block_leaves_the_other_good() -> None:
    device, unit = Registers(silent_at=500), driver(at(0), at(500))
    poll = await unit.poll(device)
    assert poll.reasons.tolist() == [Reason.NONE, Reason.TIMEOUT]
    assert poll.values[0] == 0
    assert poll.time_s == pytest.approx(1.01)  # of the block that came


async def test_the_time_of_a_poll_spans_all_its_blocks() -> None:
    poll = await driver(at(0), at(500)).poll(Registers())
    assert (poll.time_s, poll.uncertainty_s) == (pytest.approx(1.51), pytest.approx(0.51))


async def test_an_exception_that_is_not_about_registers_is_not_searched() -> None:
    async def busy(request: Request) -> Attempt:
        asked.append(request)
        return attempt(request, rtu_frame(1, b"\x83\x06"), 1.0)

    asked: list[Request] = []
    poll = await driver(at(0), at(1)).poll(busy)
    assert poll.reasons.tolist() == [Reason.EXCEPTION] * 2
    assert len(asked) == 1


@given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30)))
async def test_after_some_polls_each_readable_channel_is_good_and_right_whatever_is_refused(
    mapped: set[int], unreadable: set[int]
) -> None:
    addresses = sorted(mapped)
    device, unit = Registers(unreadable=unreadable), driver(*(at(address) for address in addresses))
    for _ in range(4):
        poll = await unit.poll(device)
        good = poll.reasons == Reason.NONE
        assert poll.values[good].tolist() == [address for address, fine in zip(addresses, good, strict=True) if fine]
        assert good.tolist() == [address not in unreadable for address in addresses]


def test_the_same_question_is_the_same_object() -> None:
    unit = driver(at(0), at(500))
    assert unit.requests[0] is unit.requests[0]
    assert len(unit.requests) == 2


@pytest.mark.parametrize(
    "registers",
    [
        pytest.param([at(0, "float32")], id="one float"),
        pytest.param([at(0)], id="one integer"),
        pytest.param([at(address) for address in range(10)], id="integers"),
        pytest.param([at(0), at(5), at(9, "float32")], id="gaps"),
        pytest.param([at(0, function=3), at(0, function=4)], id="both functions"),
    ],
)
@pytest.mark.parametrize("kind", [BusKind.SERIAL, BusKind.MODBUS_TCP])
def test_fences_are_of_their_own_kind(registers: list[dict[str, object]], kind: BusKind) -> None:
    assert_fences_are_of_their_own_kind(driver(*registers, kind=kind))


@pytest.mark.parametrize("address", [0, 0xFFFF])
async def test_refusals_of_the_fences_differ_so_that_one_proves_what_the_other_does_not(address: int) -> None:
    unit = driver(at(address, type="int16"))
    refusals = {(fence.unit, fence.frame[1] | 0x80) for fence in unit.fences}
    assert len(refusals) == 2


def test_a_map_without_quantities_is_refused() -> None:
    with pytest.raises(ValueError, match="transducer p: needs a map"):
        MODEL.driver(1, {"p": transducer(MODEL.name, map={})}, bus())


def test_a_unit_of_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="temperature"):
        driver(at(0, unit="C"))


async def test_a_silent_unit_brings_nothing() -> None:
    poll = await driver(at(0), at(1)).poll(Registers(silent_at=0))
    assert np.isnan(poll.values).all()
    assert poll.reasons.tolist() == [Outcome.TIMEOUT.reason] * 2


async def test_a_unit_that_is_silent_to_one_block_is_not_asked_for_the_others() -> None:
    device = Registers(silent_at=0)
    poll = await driver(at(0), at(1000), at(2000)).poll(device)
    assert device.asked == [(0, 1)]
    assert poll.reasons.tolist() == [Reason.TIMEOUT] * 3
