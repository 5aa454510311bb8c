import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.rig import Bus, BusKind
from firmware_sim.firmware.modbus_map import BOOT_NS, ModbusMap
from firmware_sim.wire import modbus

MAP = {
    "pressure": {"address": 10, "type": "int32", "order": "CDAB", "scale": 0.5, "unit": "Pa"},
    "temperature": {"function": 4, "address": 0, "type": "int16", "scale": 0.1, "offset": -50.0, "unit": "C"},
}


@pytest.fixture
def twin(make):
    return make(ModbusMap, "modbus-map", map=MAP, range="0..120 kPa")


def read(twin, function, address, count):
    return twin.serve(0, struct.pack(">BHH", function, address, count))


def test_values_are_encoded_by_type_order_scale_offset_and_unit(twin):
    assert read(twin, 3, 10, 2) == b"\3\4" + struct.pack(">HH", 202_650 & 0xFFFF, 202_650 >> 16)
    assert read(twin, 4, 0, 1) == b"\4\2" + struct.pack(">h", 725)


def test_holding_and_input_registers_are_kept_apart(twin):
    assert read(twin, 4, 10, 2) == b"\x84\2"
    assert read(twin, 3, 0, 1) == b"\x83\2"


def test_a_read_that_touches_a_hole_is_refused_as_a_whole(twin):
    assert read(twin, 3, 9, 3) == b"\x83\2"
    assert read(twin, 3, 10, 3) == b"\x83\2"


def test_a_held_register_fills_a_hole_and_an_unreadable_one_makes_one(twin):
    twin.hold(3, 8, 513, 2)
    assert read(twin, 3, 8, 4)[2:6] == b"\2\1\0\2"
    twin.block(3, 11)
    assert read(twin, 3, 8, 4) == b"\x83\2"
    assert read(twin, 3, 8, 3) is not None
    twin.block(3, 11, unreadable=False)
    assert read(twin, 3, 8, 4)[0] == 3


def test_pressure_stays_at_the_end_of_the_range(twin, sensor):
    sensor.pressure_pa = 130_000.0
    assert read(twin, 3, 10, 2)[2:] == struct.pack(">HH", 240_000 & 0xFFFF, 240_000 >> 16)


def test_a_value_of_several_registers_is_measured_once_a_read(twin, sensor):
    read(twin, 3, 10, 2)
    assert sensor.reads == 1


def test_several_transducers_share_one_unit(words, sensor):
    two = {**MAP, "pressure": {"address": 20, "unit": "kPa"}}
    transducers = {
        "p1": words("modbus-map", map={"pressure": MAP["pressure"]}),
        "p2": words("modbus-map", map=two),
    }
    twin = ModbusMap(
        unit=1,
        bus=Bus(kind=BusKind.MODBUS_TCP, port="h:502"),
        transducers=transducers,
        sensors={"p1": sensor, "p2": sensor},
    )
    assert struct.unpack(">f", read(twin, 3, 20, 2)[2:])[0] == pytest.approx(101.325)
    assert read(twin, 3, 10, 2)[0] == 3


def test_two_quantities_in_one_register_are_an_error(make):
    clash = {"pressure": {"address": 1, "unit": "kPa"}, "temperature": {"address": 2, "unit": "C"}}
    with pytest.raises(ValueError, match=r"p1.*register 2 .*unit 1"):
        make(ModbusMap, "modbus-map", map=clash)


def test_a_quantity_that_the_emulator_does_not_have_is_an_error(make):
    with pytest.raises(ValueError, match="humidity"):
        make(ModbusMap, "modbus-map", map={"humidity": {"address": 1, "unit": "%"}})


def test_other_functions_are_exception_1_and_answers_are_ignored(twin):
    assert twin.serve(0, b"\x06\0\x0a\0\1") == b"\x86\1"
    assert twin.serve(0, b"\x08\0\0\1\2") == b"\x88\1"
    assert twin.serve(0, b"\x83\2") is None
    assert twin.serve(0, b"") is None


def test_impossible_counts_are_refused(twin):
    assert read(twin, 3, 10, 0) == b"\x83\3"
    assert read(twin, 3, 10, 126) == b"\x83\3"
    assert read(twin, 3, 0xFFFF, 2) == b"\x83\2"
    assert twin.serve(0, b"\3\0\0") == b"\x83\3"


def test_frames_for_others_broken_ones_and_broadcasts_stay_unanswered(twin, ask):
    question = struct.pack(">BHH", 3, 10, 2)
    assert modbus.split(ask(twin, modbus.join(1, question))).pdu == read(twin, 3, 10, 2)
    assert ask(twin, modbus.join(2, question)) == b""
    assert ask(twin, modbus.join(0, question)) == b""
    assert ask(twin, modbus.join(1, question)[:-1] + b"\0") == b""


def test_refusing_and_rebooting(twin):
    twin.refuse(4)
    assert read(twin, 3, 10, 2) == b"\x83\4"
    twin.refuse(None)
    twin.reboot(0)
    assert read(twin, 3, 10, 2) is None
    assert twin.serve(BOOT_NS, struct.pack(">BHH", 3, 10, 2)) is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heard=st.one_of(st.binary(max_size=300), st.builds(modbus.join, st.just(1), st.binary(min_size=1, max_size=12))))
def test_whatever_it_hears_it_answers_with_at_most_one_whole_frame(make, heard):
    replies = make(ModbusMap, "modbus-map", map=MAP).hear(0, heard)
    assert len(replies) <= 1
    assert all(modbus.split(reply.data) for reply in replies)
