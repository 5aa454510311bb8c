"""The KELLER bus codec against damage, and against Modbus on the same line."""

from hypothesis import given
from hypothesis import strategies as st

from drivers.wire.keller_bus import (
    CHANGE_ADDRESS,
    INITIALISE,
    READ_COEFFICIENT,
    READ_FLOAT,
    READ_INTEGER,
    READ_SERIAL_NUMBER,
    KellerRequest,
    data_of,
    keller_request,
)
from drivers.wire.modbus import crc16, read_registers

SIZES = {INITIALISE: 6, CHANGE_ADDRESS: 1, READ_SERIAL_NUMBER: 4, READ_FLOAT: 5, READ_INTEGER: 5, READ_COEFFICIENT: 4}


def framed(head: bytes) -> bytes:
    return head + crc16(head).to_bytes(2, "big")


@st.composite
def answered(draw: st.DrawFn) -> tuple[KellerRequest, bytes, bytes]:
    """A question, its answer and the data in it."""
    unit, function = draw(st.integers(1, 250)), draw(st.sampled_from(list(SIZES)))
    data = draw(st.binary(min_size=SIZES[function], max_size=SIZES[function]))
    if draw(st.booleans()):
        data, function_byte = data[:1], function | 0x80
    else:
        function_byte = function
    return keller_request(unit, function), framed(bytes((unit, function_byte)) + data), data


@given(answered())
def test_answer_is_measured_and_its_data_given(case: tuple[KellerRequest, bytes, bytes]) -> None:
    request, frame, data = case
    assert request.measure(b"\xff" + frame + b"\xff", 1) == len(frame)
    assert all(request.measure(frame[:size], 0) == -1 for size in range(len(frame)))
    assert data_of(frame) == data
    assert request.refusal(frame) == (data[0] if frame[1] & 0x80 else None)


@given(answered(), st.data())
def test_a_flipped_bit_is_never_accepted(case: tuple[KellerRequest, bytes, bytes], data: st.DataObject) -> None:
    request, frame, _ = case
    damaged = bytearray(frame)
    bit = data.draw(st.integers(0, 8 * len(frame) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    assert request.measure(bytes(damaged), 0) <= 0


@given(st.binary(max_size=40), st.integers(0, 40))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    assert -1 <= keller_request(1, READ_FLOAT, b"\x01").measure(heard, start) <= max(len(heard) - start, 0)


def test_modbus_byte_order_of_the_crc_is_no_keller_answer() -> None:
    head = bytes.fromhex("01 49 3f 6d b1 53 00")
    assert keller_request(1, READ_FLOAT, b"\x01").measure(head + crc16(head).to_bytes(2, "little"), 0) == 0


def test_an_answer_names_unit_and_function_but_no_channel() -> None:
    request = keller_request(1, READ_FLOAT, b"\x01")
    assert request.confusable(keller_request(1, READ_FLOAT, b"\x04"))
    assert not request.confusable(keller_request(2, READ_FLOAT, b"\x01"))
    assert not request.confusable(keller_request(1, READ_INTEGER, b"\x01"))
    assert not request.confusable(read_registers(1, 3, 0, 1))
