import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.wire import modbus
from firmware_sim.wire.modbus import Code, Function

ALL = frozenset(Function)


@given(unit=st.integers(0, 255), pdu=st.binary(min_size=1, max_size=253))
def test_join_and_split_are_inverse(unit, pdu):
    frame = modbus.split(modbus.join(unit, pdu))
    assert (frame.unit, frame.pdu) == (unit, pdu)


def test_frames_of_impossible_length_or_wrong_checksum_are_none():
    assert modbus.split(b"") is None
    assert modbus.split(modbus.join(1, b"")) is None
    assert modbus.split(modbus.join(1, bytes(254))) is None
    assert modbus.split(modbus.join(1, b"\3\0\0\0\1")[:-1] + b"\0") is None


def test_questions_of_every_function_are_parsed():
    assert modbus.parse(b"\3\1\2\0\4", ALL) == modbus.Read(function=Function.READ_HOLDING, address=0x0102, count=4)
    assert modbus.parse(b"\6\1\2\0\4", ALL) == modbus.Write(function=Function.WRITE_ONE, address=0x0102, values=(4,))
    assert modbus.parse(b"\x10\1\2\0\2\4\0\5\0\6", ALL) == modbus.Write(
        function=Function.WRITE_MANY, address=0x0102, values=(5, 6)
    )
    assert modbus.parse(b"\x08\0\0\xa5\x5a", ALL) == modbus.Echo(data=b"\xa5\x5a")


@pytest.mark.parametrize(
    ("pdu", "code"),
    [
        (b"\5\0\0\0\1", Code.ILLEGAL_FUNCTION),
        (b"\1\0\0\x07\xd1", Code.ILLEGAL_VALUE),
        (b"\2\xff\xff\0\2", Code.ILLEGAL_ADDRESS),
        (b"\x08\0\1\0\0", Code.ILLEGAL_FUNCTION),
        (b"\3\0\0\0\0", Code.ILLEGAL_VALUE),
        (b"\4\0\0\0\x7e", Code.ILLEGAL_VALUE),
        (b"\3\0\0\0", Code.ILLEGAL_VALUE),
        (b"\3\xff\xff\0\2", Code.ILLEGAL_ADDRESS),
        (b"\6\0\0\0", Code.ILLEGAL_VALUE),
        (b"\x10\0\0\0\1", Code.ILLEGAL_VALUE),
        (b"\x10\0\0\0\2\2\0\1", Code.ILLEGAL_VALUE),
        (b"\x10\0\0\0\1\2\0", Code.ILLEGAL_VALUE),
        (b"\x10\xff\xff\0\2\4\0\1\0\1", Code.ILLEGAL_ADDRESS),
    ],
)
def test_what_is_not_well_formed_is_refused(pdu, code):
    with pytest.raises(modbus.Refusal) as refused:
        modbus.parse(pdu, ALL)
    assert refused.value.code == code


def test_bits_are_read_by_up_to_two_thousand():
    read = modbus.parse(b"\2\0\5\x07\xd0", ALL)
    assert read == modbus.Read(function=Function.READ_DISCRETE, address=5, count=2000)
    assert read.of_bits
    assert read.answer(b"\x0d") == b"\2\1\x0d"


def test_writes_are_confirmed_by_value_or_by_count():
    assert modbus.parse(b"\6\1\2\0\4", ALL).answer() == b"\6\1\2\0\4"
    assert modbus.parse(b"\x10\1\2\0\2\4\0\5\0\6", ALL).answer() == struct.pack(">BHH", 16, 0x0102, 2)


@given(pdu=st.binary(max_size=20))
def test_serving_any_bytes_answers_the_same_function_or_refuses_it(pdu):
    def do(request):
        return request.answer(bytes(2 * request.count)) if isinstance(request, modbus.Read) else request.answer()

    answer = modbus.serve(pdu, ALL, do)
    if pdu and 0 < pdu[0] < 0x80:
        assert answer[0] & 0x7F == pdu[0]
    else:
        assert answer is None
