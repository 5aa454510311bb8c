"""The Modbus codec against pymodbus' own and against damage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from drivers.wire.keller_bus import INITIALISE, keller_request
from drivers.wire.modbus import (
    ModbusRequest,
    ProtocolError,
    crc16,
    echo_test,
    foreign_frame,
    read_registers,
    registers_of,
    rtu_frame,
    split_tcp,
    tcp_frame,
)

units = st.integers(0, 255)
reads = st.builds(
    read_registers,
    units,
    st.sampled_from([3, 4]),
    st.integers(0, 0xFFFF - 124),
    st.integers(1, 125),
)


def answer_to(request: ModbusRequest, registers: bytes) -> bytes:
    return rtu_frame(request.unit, bytes((request.frame[1:-2][0], len(registers))) + registers)


@st.composite
def answered(draw: st.DrawFn) -> tuple[ModbusRequest, bytes]:
    """A read with a value or a refusal that answers it."""
    request = draw(reads)
    if draw(st.booleans()):
        return request, rtu_frame(request.unit, bytes((request.frame[1:-2][0] | 0x80, draw(st.integers(1, 255)))))
    count = request.answer_size - 5
    return request, answer_to(request, draw(st.binary(min_size=count, max_size=count)))


@given(st.binary(max_size=256))
def test_crc_is_that_of_pymodbus(data: bytes) -> None:
    assert crc16(data).to_bytes(2, "little") == FramerRTU.compute_CRC(data).to_bytes(2, "big")


@given(reads)
def test_question_is_what_pymodbus_reads(request: ModbusRequest) -> None:
    used, unit, _, pdu = FramerRTU(DecodePDU(is_server=True)).decode(request.frame)
    assert (used, unit, pdu) == (8, request.unit, request.frame[1:-2])


@given(answered())
def test_whole_answer_is_found_anywhere_and_its_beginning_waited_for(case: tuple[ModbusRequest, bytes]) -> None:
    request, frame = case
    assert request.measure(b"abc" + frame + b"def", 3) == len(frame)
    assert all(request.measure(frame[:size], 0) == -1 for size in range(len(frame)))
    assert (request.refusal(frame) is None) == (frame[1] < 0x80)


@given(answered(), st.data())
def test_a_flipped_bit_is_never_accepted(case: tuple[ModbusRequest, bytes], data: st.DataObject) -> None:
    request, frame = case
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    damaged = bytearray(frame)
    damaged[bit // 8] ^= 1 << bit % 8
    assert request.measure(bytes(damaged), 0) <= 0


@given(reads, st.binary(max_size=300), st.integers(0, 300))
def test_random_bytes_never_raise(request: ModbusRequest, heard: bytes, start: int) -> None:
    length = request.measure(heard, start)
    assert -1 <= length <= max(len(heard) - start, 0)
    assert 0 <= foreign_frame(heard, start) <= max(len(heard) - start, 0)


@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125))
def test_registers_of_an_answer_round_trip(numbers: list[int]) -> None:
    frame = answer_to(read_registers(1, 3, 0, len(numbers)), np.array(numbers, ">u2").tobytes())
    assert registers_of(frame).tolist() == numbers


def test_confusable_is_same_unit_function_and_size() -> None:
    request = read_registers(1, 3, 0, 4)
    assert request.confusable(read_registers(1, 3, 100, 4))
    assert not request.confusable(read_registers(1, 3, 0, 5))
    assert not request.confusable(read_registers(1, 4, 0, 4))
    assert not request.confusable(read_registers(2, 3, 0, 4))
    assert not request.confusable(echo_test(1, 7))
    assert not request.confusable(keller_request(1, INITIALISE))


def test_echo_test_is_answered_by_itself_and_by_no_other_nonce() -> None:
    request = echo_test(9, 0x1234)
    assert request.measure(request.frame, 0) == 8
    assert request.measure(echo_test(9, 0x1235).frame, 0) == 0
    assert not request.confusable(echo_test(9, 0x1235))


@pytest.mark.parametrize(
    ("function", "address", "count"), [(6, 0, 1), (3, 0, 0), (3, 0, 126), (3, -1, 1), (3, 0xFFFF, 2)]
)
def test_impossible_read_is_refused(function: int, address: int, count: int) -> None:
    with pytest.raises(ValueError, match="unit 7"):
        read_registers(7, function, address, count)


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(read_registers(5, 3, 0, 2).frame, id="question"),
        pytest.param(rtu_frame(5, bytes.fromhex("03 04 42 ca a6 66")), id="answer"),
        pytest.param(rtu_frame(5, bytes.fromhex("83 02")), id="exception"),
        pytest.param(rtu_frame(5, bytes.fromhex("10 00 00 00 01 02 12 34")), id="write"),
        pytest.param(rtu_frame(5, bytes.fromhex("06 00 00 00 03")), id="write one"),
    ],
)
def test_foreign_traffic_is_measured_and_damage_is_not(frame: bytes) -> None:
    assert foreign_frame(b"\x00" + frame + b"\x00", 1) == len(frame)
    assert foreign_frame(frame[:-1], 0) == 0
    assert foreign_frame(frame[:-1] + bytes((frame[-1] ^ 1,)), 0) == 0


@given(st.lists(st.tuples(reads, st.integers(0, 0xFFFF)), max_size=5), st.data())
def test_tcp_frames_come_out_as_they_went_in_wherever_the_stream_is_cut(
    sent: list[tuple[ModbusRequest, int]], data: st.DataObject
) -> None:
    stream = b"".join(tcp_frame(request, transaction) for request, transaction in sent)
    cut = data.draw(st.integers(0, len(stream)))
    frames, used = split_tcp(stream[:cut])
    rest, used_later = split_tcp(stream[used:])
    assert used + used_later == len(stream)
    assert frames + rest == [(transaction, request.frame[:-2]) for request, transaction in sent]


@given(reads, st.integers(0, 0xFFFF))
def test_tcp_question_is_what_pymodbus_reads(request: ModbusRequest, transaction: int) -> None:
    _, unit, found, pdu = FramerSocket(DecodePDU(is_server=True)).decode(tcp_frame(request, transaction))
    assert (unit, found, pdu) == (request.unit, transaction, request.frame[1:-2])


@given(st.binary(max_size=64))
def test_random_tcp_bytes_raise_nothing_but_a_protocol_error(buffer: bytes) -> None:
    try:
        _, used = split_tcp(buffer)
    except ProtocolError:
        return
    assert 0 <= used <= len(buffer)


@pytest.mark.parametrize("header", ["00 01 00 01 00 06 01", "00 01 00 00 00 01 01", "00 01 00 00 00 ff 01"])
def test_nonsense_header_raises_once_the_frames_before_it_are_out(header: str) -> None:
    good = tcp_frame(read_registers(1, 3, 0, 1), 1)
    frames, used = split_tcp(good + bytes.fromhex(header))
    assert (len(frames), used) == (1, len(good))
    with pytest.raises(ProtocolError, match="no Modbus TCP header"):
        split_tcp(bytes.fromhex(header))
