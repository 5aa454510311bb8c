import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.wire.numbers import float32, integer, registers


@pytest.mark.parametrize(
    ("order", "expected"), [("ABCD", "12345678"), ("CDAB", "56781234"), ("BADC", "34127856"), ("DCBA", "78563412")]
)
def test_orders_of_32_bits(order, expected):
    assert registers(0x12345678, "uint32", order).hex() == expected


def test_orders_of_64_bits_and_of_a_single_register():
    data = struct.pack(">d", 1.01325)
    assert registers(1.01325, "float64", "ABCD") == data
    assert registers(1.01325, "float64", "DCBA") == data[::-1]
    assert registers(1.01325, "float64", "CDAB") == data[6:] + data[4:6] + data[2:4] + data[:2]
    assert registers(-2, "int16", "DCBA") == b"\xff\xfe"


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("int16", -0x8000, 0x7FFF),
        ("uint16", 0, 0xFFFF),
        ("int32", -(1 << 31), (1 << 31) - 1),
        ("uint32", 0, (1 << 32) - 1),
    ],
)
def test_integers_stay_at_their_limits(kind, low, high):
    signed = low < 0
    assert int.from_bytes(registers(math.inf, kind, "ABCD"), "big", signed=signed) == high
    assert int.from_bytes(registers(-math.inf, kind, "ABCD"), "big", signed=signed) == low
    assert int.from_bytes(registers(math.nan, kind, "ABCD"), "big", signed=signed) == low


@given(value=st.floats(-40_000, 40_000))
def test_integers_are_the_nearest(value):
    got = int.from_bytes(integer(value, bits=16, signed=True), "big", signed=True)
    assert abs(got - min(max(value, -32768), 32767)) <= 0.5


@given(value=st.floats())
def test_a_single_never_fails_and_is_near(value):
    (got,) = struct.unpack(">f", float32(value))
    if math.isnan(value):
        assert math.isnan(got)
    elif abs(value) > 3.4028235677973366e38:
        assert got == math.copysign(math.inf, value)
    else:
        assert got == pytest.approx(value, rel=1e-7, abs=1e-44)
