import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.rig import Bus, BusKind
from firmware_sim.firmware.current_loop import LoopFailure
from firmware_sim.firmware.waveshare_8ch import BOOT_NS, Waveshare8ch
from firmware_sim.wire import modbus


@pytest.fixture
def twin(make):
    return make(Waveshare8ch, "waveshare-8ch", channel=3, range="0..160 kPa", current="4..20 mA")


def inputs(twin, first=0, count=8, at_ns=0):
    answer = twin.serve(at_ns, struct.pack(">BHH", 4, first, count))
    assert answer[:2] == bytes((4, 2 * count))
    return struct.unpack(f">{count}H", answer[2:])


def write(twin, address, *values):
    if len(values) == 1:
        return twin.serve(0, struct.pack(">BHH", 6, address, values[0]))
    return twin.serve(0, struct.pack(f">BHHB{len(values)}H", 16, address, len(values), 2 * len(values), *values))


def stored(twin, address, count=1):
    return twin.serve(0, struct.pack(">BHH", 3, address, count))


def test_pressure_becomes_microamperes_on_its_channel_and_unused_inputs_read_0(twin, sensor):
    sensor.pressure_pa = 80e3
    assert inputs(twin) == (0, 0, 12000, 0, 0, 0, 0, 0)
    sensor.pressure_pa = 0.0
    assert inputs(twin, first=2, count=1) == (4000,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pressure_pa=st.floats(-1e6, 1e6))
def test_current_keeps_to_saturation_and_to_12_bit_steps(twin, sensor, pressure_pa):
    sensor.pressure_pa = pressure_pa
    current = inputs(twin)[2]
    assert 3798 <= current <= 20502
    assert current == round(round(current * 4095 / 20000) * 20000 / 4095)
    exact = 4000 + 16000 * pressure_pa / 160e3
    if 3800 <= exact <= 20500:
        assert current == pytest.approx(exact, abs=3)


@pytest.mark.parametrize(("pressure_pa", "current"), [(-50e3, 3800), (500e3, 20500)])
def test_pressure_out_of_range_saturates(twin, sensor, pressure_pa, current):
    sensor.pressure_pa = pressure_pa
    assert inputs(twin)[2] == pytest.approx(current, abs=3)


@pytest.mark.parametrize(
    ("failure", "current"), [(LoopFailure.BROKEN_WIRE, 0), (LoopFailure.LOW, 3500), (LoopFailure.HIGH, 21500)]
)
def test_failures_show_as_currents_of_ne_43(twin, failure, current):
    twin.fail(3, failure)
    assert inputs(twin)[2] == pytest.approx(current, abs=3)
    twin.fail(3, None)
    assert 3800 < inputs(twin)[2] < 20500


def test_a_loop_without_live_zero_goes_down_to_0(make, sensor):
    twin = make(Waveshare8ch, "waveshare-8ch", channel=1, range="0..100 kPa", current="0..20 mA")
    sensor.pressure_pa = 0.0
    assert inputs(twin)[0] == 0


def test_input_types_are_kept_without_power_and_change_the_reading(twin, sensor):
    sensor.pressure_pa = -10e3
    assert stored(twin, 0x1000, 8) == b"\3\x10" + b"\0\2" * 8
    assert write(twin, 0x1002, 3) == struct.pack(">BHH", 6, 0x1002, 3)
    twin.reboot(0)
    assert twin.serve(BOOT_NS - 1, b"\4\0\0\0\x08") is None
    assert inputs(twin, at_ns=BOOT_NS)[2] == 4000


def test_several_types_are_written_at_once_or_not_at_all(twin):
    assert write(twin, 0x1000, 0, 1, 4) == struct.pack(">BHH", 16, 0x1000, 3)
    assert write(twin, 0x1000, 2, 9) == b"\x90\3"
    assert write(twin, 0x1006, 2, 2, 2) == b"\x90\2"
    assert stored(twin, 0x1000, 3)[2:] == b"\0\0\0\1\0\4"
    assert inputs(twin)[2] == round(inputs_ua(twin) * 4095 / 20000)


def inputs_ua(twin):
    write(twin, 0x1002, 2)
    current = inputs(twin)[2]
    write(twin, 0x1002, 4)
    return current


def test_a_new_address_answers_from_the_next_frame_on(twin, ask):
    change = modbus.join(1, struct.pack(">BHH", 6, 0x4000, 9))
    assert ask(twin, change) == change
    assert ask(twin, change) == b""
    assert modbus.split(ask(twin, modbus.join(9, b"\3\x40\0\0\1"))).pdu == b"\3\2\0\x09"


def test_a_broadcast_is_obeyed_in_silence(twin, ask):
    assert ask(twin, modbus.join(0, struct.pack(">BHH", 6, 0x4000, 5))) == b""
    assert twin.unit == 5


def test_serial_settings_and_version(twin):
    assert stored(twin, 0x2000) == b"\3\2\0\1"
    assert write(twin, 0x2000, 0x0105) is not None
    assert write(twin, 0x2000, 0x0008) == b"\x86\3"
    assert stored(twin, 0x2000) == b"\3\2\1\5"
    assert stored(twin, 0x8000)[0] == 3
    assert write(twin, 0x8000, 1) == b"\x86\2"


def test_unknown_addresses_and_functions_are_refused(twin):
    assert twin.serve(0, b"\4\0\1\0\x08") == b"\x84\2"
    assert stored(twin, 0x1008) == b"\x83\2"
    assert twin.serve(0, b"\x08\0\0\1\2") == b"\x88\1"


def test_refusing(twin):
    twin.refuse(4)
    assert stored(twin, 0x4000) == b"\x83\4"


def test_a_transducer_without_channel_or_range_is_an_error(make):
    with pytest.raises(ValueError, match="p1"):
        make(Waveshare8ch, "waveshare-8ch", channel=9, range="0..160 kPa")
    with pytest.raises(ValueError, match="p1"):
        make(Waveshare8ch, "waveshare-8ch", channel=1)


def test_two_transducers_on_one_channel_are_an_error(words, sensor):
    one = words("waveshare-8ch", channel=1, range="0..160 kPa")
    with pytest.raises(ValueError, match="same channel"):
        Waveshare8ch(
            unit=1,
            bus=Bus(kind=BusKind.SERIAL, port="x"),
            transducers={"p1": one, "p2": one},
            sensors={"p1": sensor, "p2": sensor},
        )


pdus = st.builds(
    lambda function, address, rest: struct.pack(">BH", function, address) + rest,
    st.sampled_from([3, 4, 6, 16]),
    st.one_of(st.sampled_from([0, 5, 0x1000, 0x1007, 0x2000, 0x4000, 0x8000]), st.integers(0, 0xFFFF)),
    st.binary(max_size=8),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heard=st.lists(st.one_of(st.binary(max_size=300), st.builds(modbus.join, st.just(1), pdus)), max_size=6))
def test_whatever_it_hears_it_answers_with_at_most_one_whole_frame(make, heard):
    twin = make(Waveshare8ch, "waveshare-8ch", channel=3, range="0..160 kPa")
    for at_ns, data in enumerate(heard):
        replies = twin.hear(at_ns, data)
        assert len(replies) <= 1
        assert all(modbus.split(reply.data) for reply in replies)
