from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.wire.crc import crc16


def test_check_value_of_the_catalogue():
    assert crc16(b"123456789") == 0x4B37


@given(data=st.binary(min_size=1, max_size=64), bit=st.integers(0, 511))
def test_every_flipped_bit_changes_the_checksum(data, bit):
    flipped = bytearray(data)
    flipped[bit // 8 % len(data)] ^= 1 << bit % 8
    assert crc16(bytes(flipped)) != crc16(data)


@given(data=st.binary(max_size=64))
def test_a_message_followed_by_its_checksum_low_byte_first_has_checksum_0(data):
    assert crc16(data + crc16(data).to_bytes(2, "little")) == 0
