import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.firmware.generic_transmitter import GenericFloat, GenericInt
from firmware_sim.firmware.modbus_map import BOOT_NS
from firmware_sim.wire import modbus


@pytest.fixture
def integers(make):
    return make(GenericInt, "generic-int", range="0..160 kPa")


@pytest.fixture
def floats(make):
    return make(GenericFloat, "generic-float")


def read(twin, address, count=1, unit=1, at_ns=0):
    replies = twin.hear(at_ns, modbus.join(unit, struct.pack(">BHH", 3, address, count)))
    return None if not replies else modbus.split(replies[0].data).pdu[1:]


def write(twin, address, value, unit=1):
    return modbus.split(twin.hear(0, modbus.join(unit, struct.pack(">BHH", 6, address, value)))[0].data).pdu


def test_unit_decimals_and_pressure_follow_each_other(integers, sensor):
    sensor.pressure_pa = 101_300.0
    assert read(integers, 0, 5) == struct.pack(">B5H", 10, 1, 3, 1, 1, 1013)


def test_another_unit_and_other_decimals_change_the_pressure_at_once(integers, sensor):
    sensor.pressure_pa = 101_300.0
    assert write(integers, 2, 4) == struct.pack(">BHH", 6, 2, 4)
    write(integers, 3, 0)
    assert read(integers, 2, 3) == struct.pack(">B3H", 6, 4, 0, 1013)
    write(integers, 3, 1)
    assert read(integers, 4) == struct.pack(">BH", 2, 10130)


def test_a_float_has_no_decimals_but_units_of_its_own_and_a_temperature(floats):
    assert struct.unpack(">f", read(floats, 0x16, 2)[1:])[0] == pytest.approx(101.325)
    write(floats, 3, 9)
    assert struct.unpack(">f", read(floats, 0x16, 2)[1:])[0] == pytest.approx(1.01325)
    assert struct.unpack(">f", read(floats, 0x26, 2)[1:])[0] == pytest.approx(22.5)


def test_a_new_address_holds_after_the_answer_and_is_lost_unless_saved(integers):
    assert write(integers, 0, 7) == struct.pack(">BHH", 6, 0, 7)
    assert read(integers, 4) is None
    assert read(integers, 4, unit=7) is not None
    integers.reboot(0)
    assert read(integers, 4, at_ns=BOOT_NS - 1) is None
    assert read(integers, 4, at_ns=BOOT_NS) is not None


def test_what_was_saved_outlives_a_power_loss(integers):
    write(integers, 2, 3)
    write(integers, 0x0F, 0)
    write(integers, 2, 6)
    integers.reboot(0)
    assert read(integers, 2, at_ns=BOOT_NS) == struct.pack(">BH", 2, 3)


@pytest.mark.parametrize(("address", "value"), [(0, 0), (0, 248), (1, 8), (2, 9), (3, 4)])
def test_values_that_do_not_fit_are_refused(integers, address, value):
    before = read(integers, address)
    assert write(integers, address, value) == b"\x86\3"
    assert read(integers, address) == before


def test_other_registers_cannot_be_written_or_read(integers):
    assert write(integers, 4, 1) == b"\x86\2"
    assert read(integers, 7) == b"\2"


def test_pressure_stays_at_the_end_of_the_range(integers, sensor):
    sensor.pressure_pa = 200_000.0
    assert read(integers, 4) == struct.pack(">BH", 2, 1600)


frames = st.one_of(
    st.binary(max_size=300),
    st.builds(modbus.join, st.just(1), st.binary(min_size=1, max_size=40)),
    st.builds(
        lambda function, address, value: modbus.join(1, struct.pack(">BHH", function, address, value)),
        st.sampled_from([3, 4, 6]),
        st.integers(0, 0x30),
        st.integers(0, 0x30),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(family=st.sampled_from([GenericInt, GenericFloat]), heard=st.lists(frames, max_size=8))
def test_whatever_it_hears_it_answers_with_at_most_one_whole_frame(make, family, heard):
    twin = make(family, "generic-int")
    for at_ns, data in enumerate(heard):
        replies = twin.hear(at_ns, data)
        assert len(replies) <= 1
        for reply in replies:
            assert modbus.split(reply.data)
