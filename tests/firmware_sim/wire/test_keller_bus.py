from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.wire import keller_bus, modbus


@given(unit=st.integers(0, 255), function=st.integers(0, 255), data=st.binary(max_size=8))
def test_join_and_split_are_inverse(unit, function, data):
    frame = keller_bus.split(keller_bus.join(unit, function, data))
    assert (frame.unit, frame.function, frame.data) == (unit, function, data)


@given(unit=st.integers(1, 250), function=st.integers(1, 127), data=st.binary(max_size=8))
def test_a_frame_fits_modbus_only_when_both_bytes_of_its_checksum_are_equal(unit, function, data):
    frame = keller_bus.join(unit, function, data)
    assert (modbus.split(frame) is not None) == (frame[-1] == frame[-2])


def test_too_short_and_corrupted_frames_are_none():
    assert keller_bus.split(b"\1\x30\x34") is None
    assert keller_bus.split(b"\1\x30\x34\1") is None


def test_a_refusal_is_the_function_plus_128_and_the_code():
    assert keller_bus.split(keller_bus.split(keller_bus.join(1, 73, b"\1")).refusal(2)).function == 73 + 128
