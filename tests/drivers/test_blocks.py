"""Blocks cover exactly the channels asked, at least cost, and all byte orders round trip."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.blocks import (
    Block,
    Holes,
    cuts_between,
    gathers,
    halves,
    plan,
    question_cost,
    spare_counts,
    take,
)
from drivers.rig import BusKind, Register
from drivers.wire.modbus import rtu_frame
from tests.drivers.models.asks import bus

ORDERS = {
    "ABCD": "01 02 03 04",
    "CDAB": "03 04 01 02",
    "BADC": "02 01 04 03",
    "DCBA": "04 03 02 01",
}
LONG_ORDERS = {
    "ABCD": "01 02 03 04 05 06 07 08",
    "CDAB": "07 08 05 06 03 04 01 02",
    "BADC": "02 01 04 03 06 05 08 07",
    "DCBA": "08 07 06 05 04 03 02 01",
}
FORMATS = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f", "float64": ">d"}


def register(address: int, kind: str = "float32", **words: object) -> Register:
    return Register.model_validate({"address": address, "type": kind, "unit": "Pa", **words})


def floats(*addresses: int) -> list[Register]:
    return [register(address) for address in addresses]


registers = st.lists(
    st.builds(
        lambda address, kind, function: register(address, kind, function=function),
        st.integers(0, 300),
        st.sampled_from(list(FORMATS)),
        st.sampled_from([3, 4]),
    ),
    min_size=1,
    max_size=25,
)
costs = st.floats(0, 300)


def wire_characters(blocks: tuple[Block, ...], cost: float) -> float:
    return sum(cost + 2 * block.count for block in blocks)


@given(registers, costs, st.data())
def test_each_readable_channel_is_in_exactly_one_block(
    channels: list[Register], cost: float, data: st.DataObject
) -> None:
    unreadable = data.draw(st.frozensets(st.integers(0, len(channels) - 1)))
    blocks = plan(channels, cost, Holes(unreadable=unreadable))
    members = sorted(member for block in blocks for member in block.members)
    assert members == sorted(set(range(len(channels))) - unreadable)
    for block in blocks:
        spans = [range(channels[m].address, channels[m].address + channels[m].count) for m in block.members]
        assert {channels[member].function for member in block.members} == {block.function}
        assert block.address == min(span.start for span in spans)
        assert block.end == max(span.stop for span in spans)
        assert 1 <= block.count <= 125


@given(registers, costs, st.data())
def test_no_block_reaches_over_a_hole_or_a_cut(channels: list[Register], cost: float, data: st.DataObject) -> None:
    unreadable = data.draw(st.frozensets(st.integers(0, len(channels) - 1)))
    cut = data.draw(st.integers(0, len(channels) - 1))
    at = channels[cut].function, channels[cut].address
    covered = {
        (each.function, address)
        for place, each in enumerate(channels)
        if place not in unreadable
        for address in range(each.address, each.address + each.count)
    }
    for block in plan(channels, cost, Holes(unreadable=unreadable, cuts=frozenset({at}))):
        inside = {(block.function, address) for address in range(block.address, block.end)}
        refused = {
            (channels[place].function, channels[place].address + word)
            for place in unreadable
            for word in range(channels[place].count)
        }
        assert not inside & (refused - covered)
        starts = {channels[member].address for member in block.members}
        if block.function == at[0] and at[1] in starts:
            assert min(starts) == at[1]


@given(st.lists(st.integers(0, 200), min_size=1, max_size=8, unique=True), costs)
def test_no_other_way_to_part_the_channels_is_cheaper(addresses: list[int], cost: float) -> None:
    channels = [register(address, "int16") for address in sorted(addresses)]
    found = wire_characters(plan(channels, cost, Holes()), cost)
    cheapest = np.inf
    for choice in range(1 << len(channels) - 1):
        total, first = 0.0, 0
        for last in range(len(channels)):
            if last == len(channels) - 1 or choice >> last & 1:
                count = channels[last].address + 1 - channels[first].address
                total += cost + 2 * count if count <= 125 else np.inf
                first = last + 1
        cheapest = min(cheapest, total)
    assert found == pytest.approx(cheapest)


def test_a_gap_is_read_over_while_that_is_cheaper_than_another_question() -> None:
    at_9600 = question_cost(bus(baud=9600))
    assert at_9600 == pytest.approx(8 + 5 + 7)
    assert [block.count for block in plan(floats(0, 2 + 9), at_9600, Holes())] == [13]
    assert [block.count for block in plan(floats(0, 2 + 11), at_9600, Holes())] == [2, 2]


def test_silences_make_questions_dear_on_fast_lines_and_on_tcp() -> None:
    assert question_cost(bus(baud=115200)) > 50
    assert question_cost(bus(baud=9600, guard="10 ms")) > question_cost(bus(baud=9600)) + 18
    tcp = question_cost(bus(BusKind.MODBUS_TCP))
    assert [block.count for block in plan(floats(0, 80), tcp, Holes())] == [82]


def test_functions_and_125_registers_part_blocks() -> None:
    far = [register(address, "int16") for address in (0, 124, 125)]
    assert [block.count for block in plan(far, 1e6, Holes())] == [1, 2]
    mixed = [register(0, function=3), register(2, function=4)]
    assert [(block.function, block.count) for block in plan(mixed, 1e6, Holes())] == [(3, 2), (4, 2)]


def test_a_refused_block_is_halved_at_its_widest_gap_else_in_the_middle() -> None:
    channels = floats(0, 2, 4, 20)
    (block,) = plan(channels, 1e6, Holes())
    assert [half.members for half in halves(block, channels)] == [(0, 1, 2), (3,)]
    channels = floats(0, 2, 4, 6)
    (block,) = plan(channels, 1e6, Holes())
    first, second = halves(block, channels)
    assert (first.members, second.members) == ((0, 1), (2, 3))
    assert cuts_between(first, second) == {(3, 4)}


@given(registers, costs)
def test_halves_have_all_members_of_the_block(channels: list[Register], cost: float) -> None:
    for block in plan(channels, cost, Holes()):
        if len(block.members) > 1:
            first, second = halves(block, channels)
            assert first.members
            assert second.members
            assert first.members + second.members == block.members


def test_halves_that_share_registers_are_not_cut_apart() -> None:
    channels = [register(0, "float64"), register(2, "int16")]
    (block,) = plan(channels, 0, Holes())
    assert cuts_between(*halves(block, channels)) == frozenset()


def test_fences_of_floats_read_half_a_float_and_of_a_single_one_only_that() -> None:
    channels = floats(10, 12, 14)
    blocks = plan(channels, 20, Holes())
    assert spare_counts(channels, blocks[0], blocks)[:2] == [1, 3]
    single = floats(10)
    blocks = plan(single, 20, Holes())
    assert spare_counts(single, blocks[0], blocks) == [1]


def test_fences_stay_out_of_gaps_and_of_the_blocks_that_gaps_may_leave() -> None:
    channels = [register(4), register(7, "int16")]
    blocks = plan(channels, 1e6, Holes())
    assert [block.count for block in blocks] == [4]
    assert spare_counts(channels, blocks[0], blocks) == []


@pytest.mark.parametrize(("order", "data"), [*ORDERS.items(), *LONG_ORDERS.items()])
def test_byte_orders(order: str, data: str) -> None:
    kind = "uint32" if len(data) < 12 else "float64"
    expected = struct.unpack(FORMATS[kind], bytes(range(1, 5 if kind == "uint32" else 9)))[0]
    channels = [register(0, kind, order=order)]
    (block,) = plan(channels, 0, Holes())
    numbers = np.zeros(1)
    payload = bytes.fromhex(data)
    take(gathers(block, channels), rtu_frame(1, bytes((3, len(payload))) + payload), numbers)
    assert numbers[0] == expected


def in_registers(each: Register, value: float) -> bytes:
    data = struct.pack(FORMATS[each.type], value)
    words = [data[at : at + 2] for at in range(0, len(data), 2)]
    if each.order in ("CDAB", "DCBA"):
        words.reverse()
    if len(words) > 1 and each.order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return b"".join(words)


VALUES = {
    "int16": st.integers(-(2**15), 2**15 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "float32": st.floats(width=32),
    "float64": st.floats(),
}


@given(st.lists(st.tuples(st.sampled_from(list(VALUES)), st.sampled_from(list(ORDERS))), max_size=30), st.data())
def test_all_types_and_orders_round_trip_in_one_block(kinds: list[tuple[str, str]], data: st.DataObject) -> None:
    channels, values, payload = [register(0, "int16")], [7.0], struct.pack(">h", 7)
    for kind, order in kinds:
        channels.append(register(len(payload) // 2, kind, order=order))
        values.append(data.draw(VALUES[kind]))
        payload += in_registers(channels[-1], values[-1])
    (block,) = plan(channels, 1e6, Holes())
    numbers = np.full(len(channels), -1.0)
    take(gathers(block, channels), rtu_frame(1, bytes((3, len(payload))) + payload), numbers)
    np.testing.assert_array_equal(numbers, values)


def test_sixty_floats_are_one_array_operation() -> None:
    channels = floats(*range(0, 120, 2))
    (block,) = plan(channels, 20, Holes())
    (part,) = gathers(block, channels)
    assert (part.channels, part.places) == (slice(0, 60), slice(0, 240))
