import math
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.firmware import keller_33x
from firmware_sim.firmware.keller_33x import BOOT_NS, Channel, IntegerMap, Keller33x
from firmware_sim.wire import keller_bus, modbus

F48 = keller_bus.join(1, 48, b"")


@pytest.fixture
def twin(make):
    return make(Keller33x, "keller-33x", range="0..200 kPa", serial_number=123456)


@pytest.fixture
def running(twin):
    twin.hear(0, F48)
    return twin


def read(address, count, unit=1):
    return modbus.join(unit, struct.pack(">BHH", 3, address, count))


def registers(answer):
    frame = modbus.split(answer)
    assert frame.pdu[0] == 3
    assert frame.pdu[1] == len(frame.pdu) - 2
    return frame.pdu[2:]


def refusal(answer):
    frame = modbus.split(answer)
    assert frame.pdu[0] & 0x80
    return frame.pdu[1]


def float_and_status(answer):
    data = keller_bus.split(answer).data
    return struct.unpack(">f", data[:4])[0], data[4]


def test_after_power_up_both_protocols_answer_32_until_f48(twin, ask):
    assert ask(twin, keller_bus.join(1, 73, b"\1")) == keller_bus.join(1, 73 | 0x80, b"\x20")
    assert refusal(ask(twin, read(0x0100, 4))) == 32
    assert keller_bus.split(ask(twin, F48)).data[-1] == 0
    assert len(registers(ask(twin, read(0x0100, 4)))) == 8
    assert keller_bus.split(ask(twin, F48)).data[-1] == 1


def test_modbus_echo_answers_even_before_f48(twin, ask):
    echo = modbus.join(1, b"\x08\0\0\xa5\x5a")
    assert ask(twin, echo) == echo


def test_power_loss_ends_initialisation_and_keeps_coefficients_and_address(running, ask):
    gain = modbus.join(1, struct.pack(">BHHBf", 16, 0x0300 + 2 * 65, 2, 4, 2.0))
    assert modbus.split(ask(running, gain)).pdu == struct.pack(">BHH", 16, 0x0300 + 2 * 65, 2)
    ask(running, modbus.join(1, struct.pack(">BHH", 6, 0x020D, 7)))
    running.reboot(0)
    assert ask(running, keller_bus.join(7, 48, b""), BOOT_NS - 1) == b""
    assert refusal(ask(running, read(0x0002, 2, unit=7), BOOT_NS)) == 32
    ask(running, keller_bus.join(7, 48, b""), BOOT_NS)
    assert struct.unpack(">f", registers(ask(running, read(0x0002, 2, unit=7), BOOT_NS)))[0] == pytest.approx(2.0265)


def test_pressure_and_its_temperature_come_in_one_read(running, ask):
    pressure, temperature = struct.unpack(">ff", registers(ask(running, read(0x0100, 4))))
    assert pressure == pytest.approx(1.01325)
    assert temperature == pytest.approx(22.5)


def test_integer_map_is_in_pa_and_hundredths_of_a_degree(running, ask):
    assert struct.unpack(">i", registers(ask(running, read(0x0012, 2))))[0] == 101_325
    assert struct.unpack(">i", registers(ask(running, read(0x0018, 2))))[0] == 2250


def test_the_younger_integer_map_begins_at_0x0020(running, ask):
    running.integer_map = IntegerMap.X_LINE
    assert struct.unpack(">i", registers(ask(running, read(0x0022, 2))))[0] == 101_325
    assert struct.unpack(">i", registers(ask(running, read(0x0028, 2))))[0] == 2250
    assert refusal(ask(running, read(0x0012, 2))) == 2


def test_f66_changes_the_address_after_its_answer_and_keeps_it_without_power(running, ask):
    assert ask(running, keller_bus.join(1, 66, b"\x07")) == keller_bus.join(1, 66, b"\x07")
    assert ask(running, keller_bus.join(1, 69, b"")) == b""
    running.reboot(0)
    assert ask(running, keller_bus.join(7, 48, b""), BOOT_NS)[:2] == b"\x07\x30"


def test_f66_with_0_tells_the_address_and_with_250_is_refused(running, ask):
    assert ask(running, keller_bus.join(250, 66, b"\0")) == keller_bus.join(250, 66, b"\1")
    assert ask(running, keller_bus.join(1, 66, b"\xfa")) == keller_bus.join(1, 66 | 0x80, b"\2")


@pytest.mark.parametrize(
    ("pressure_pa", "expected", "number"),
    [
        (219_999, 2.19999, 219_999),
        (220_001, math.inf, 2_147_483_647),
        (-19_999, -0.19999, -19_999),
        (-20_001, -math.inf, -2_147_483_648),
    ],
)
def test_beyond_ten_percent_of_range_the_value_is_infinite_and_its_status_bit_set(
    running, ask, sensor, pressure_pa, expected, number
):
    sensor.pressure_pa = pressure_pa
    value, status = float_and_status(ask(running, keller_bus.join(1, 73, b"\1")))
    assert value == pytest.approx(expected)
    assert status == (0 if math.isfinite(expected) else 0b10)
    assert struct.unpack(">i", registers(ask(running, read(0x0012, 2))))[0] == number


def test_f74_refuses_a_value_out_of_range_with_4(running, ask, sensor):
    assert keller_bus.split(ask(running, keller_bus.join(1, 74, b"\4"))).data == struct.pack(">iB", 2250, 0)
    sensor.pressure_pa = 1e6
    assert keller_bus.split(ask(running, keller_bus.join(1, 74, b"\1"))).data == b"\4"


def test_a_failed_channel_is_nan_with_its_bit_and_leaves_the_other_alone(running, ask):
    running.fail(Channel.TOB1)
    value, status = float_and_status(ask(running, keller_bus.join(1, 73, b"\4")))
    assert math.isnan(value)
    assert status == 0b1_0000
    assert float_and_status(ask(running, keller_bus.join(1, 73, b"\1")))[0] == pytest.approx(1.01325)
    running.fail(Channel.TOB1, failed=False)
    assert float_and_status(ask(running, keller_bus.join(1, 73, b"\4")))[1] == 0


def test_serial_number_from_the_rig_file_reads_the_same_in_both_protocols(running, ask):
    assert keller_bus.split(ask(running, keller_bus.join(1, 69, b""))).data == (123456).to_bytes(4, "big")
    assert registers(ask(running, read(0x0202, 2))) == (123456).to_bytes(4, "big")


def test_serial_number_without_one_in_the_rig_file_depends_on_the_name_only(make):
    one, two = (make(Keller33x, "keller-33x", unit=unit) for unit in (1, 2))
    assert one.serial_number == two.serial_number > 0


def test_identity_registers_stay_silent_beyond_four(running, ask):
    assert len(registers(ask(running, read(0x0200, 4)))) == 8
    assert ask(running, read(0x0200, 5)) == b""
    assert registers(ask(running, read(0x020D, 1))) == b"\0\1"


@pytest.mark.parametrize("address", [0x0000, 0x0004, 0x000A, 0x0104, 0x0210, 0x0500, 0xFFFF])
def test_unknown_address_is_exception_2(running, ask, address):
    assert refusal(ask(running, read(address, 1))) == 2


def test_coefficients_are_read_in_pairs_of_registers_only(running, ask):
    assert struct.unpack(">f", registers(ask(running, read(0x0300 + 2 * 81, 2))))[0] == 2.0
    assert refusal(ask(running, read(0x0300 + 2 * 81, 1))) == 3
    assert refusal(ask(running, read(0x0300 + 2 * 81 + 1, 2))) == 2


def test_coefficients_that_are_no_numbers_or_not_to_be_written_are_refused(running, ask):
    def write(number, value):
        return ask(running, modbus.join(1, struct.pack(">BHHBf", 16, 0x0300 + 2 * number, 2, 4, value)))

    assert refusal(write(64, math.nan)) == 3
    assert refusal(write(65, math.inf)) == 3
    assert refusal(write(81, 1.0)) == 2
    assert struct.unpack(">f", registers(ask(running, read(0x0002, 2))))[0] == pytest.approx(1.01325)


def test_unknown_functions_are_exception_1(running, ask):
    assert refusal(ask(running, modbus.join(1, b"\x04\0\0\0\1"))) == 1
    assert keller_bus.split(ask(running, keller_bus.join(1, 99, b""))).data == b"\1"


def test_wrong_channel_length_and_coefficient_are_refused(running, ask):
    assert keller_bus.split(ask(running, keller_bus.join(1, 73, b"\2"))).data == b"\2"
    assert keller_bus.split(ask(running, keller_bus.join(1, 73, b""))).data == b"\3"
    assert keller_bus.split(ask(running, keller_bus.join(1, 30, b"\7"))).data == b"\2"


def test_a_checksum_of_two_equal_bytes_is_understood_in_either_protocol(running, ask):
    both = [nonce for nonce in range(0x10000) if _equal_crc(b"\x01\x08\0\0" + nonce.to_bytes(2, "big"))]
    echo = modbus.join(1, b"\x08\0\0" + both[0].to_bytes(2, "big"))
    assert ask(running, echo) == echo
    address = next(unit for unit in range(1, 250) if _equal_crc(bytes((unit, 69))))
    ask(running, keller_bus.join(1, keller_bus.Function.CHANGE_ADDRESS, bytes((address,))))
    assert keller_bus.split(ask(running, keller_bus.join(address, 69, b""))).data == (123456).to_bytes(4, "big")


def _equal_crc(body):
    return keller_bus.join(body[0], body[1], body[2:])[-2:] == modbus.join(body[0], body[1:])[-2:]


def test_refusals_of_others_at_the_same_address_stay_unanswered(running, ask):
    assert ask(running, keller_bus.join(1, 73 | 0x80, b"\x20")) == b""
    assert ask(running, modbus.join(1, b"\x83\2")) == b""


def test_others_are_silent_and_address_250_reaches_everybody(running, ask):
    assert ask(running, keller_bus.join(2, 48, b"")) == b""
    assert ask(running, read(0x0100, 4, unit=2)) == b""
    assert modbus.split(ask(running, read(0x0100, 4, unit=250))).unit == 250


def test_refusing_covers_both_protocols_until_it_ends(running, ask):
    running.refuse(6)
    assert refusal(ask(running, read(0x0100, 4))) == 6
    assert keller_bus.split(ask(running, F48)).data == b"\6"
    running.refuse(None)
    assert len(registers(ask(running, read(0x0100, 4)))) == 8


frames = st.one_of(
    st.binary(max_size=300),
    st.builds(modbus.join, st.sampled_from([1, 250]), st.binary(min_size=1, max_size=40)),
    st.builds(
        modbus.join,
        st.just(1),
        st.builds(
            lambda function, address, rest: struct.pack(">BH", function, address) + rest,
            st.sampled_from([3, 6, 8, 16]),
            st.one_of(st.integers(0, 0x0420), st.integers(0, 0xFFFF)),
            st.one_of(st.binary(max_size=8), st.binary(min_size=4, max_size=4).map(lambda value: b"\0\2\4" + value)),
        ),
    ),
    st.builds(keller_bus.join, st.just(1), st.integers(0, 255), st.binary(max_size=4)),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heard=st.lists(frames, max_size=8))
def test_whatever_it_hears_it_answers_with_at_most_one_whole_frame(make, heard):
    twin = make(Keller33x, "keller-33x")
    twin.hear(0, F48)
    for at_ns, data in enumerate(heard):
        replies = twin.hear(at_ns, data)
        assert len(replies) <= 1
        for reply in replies:
            assert len(reply.data) <= 256
            assert modbus.split(reply.data) or keller_bus.split(reply.data)


def test_after_power_up_stat_says_so_for_a_while(running, ask):
    p1 = keller_bus.join(1, keller_bus.Function.READ_FLOAT, b"\x01")
    running.reboot(0)
    ask(running, keller_bus.join(1, keller_bus.Function.INITIALISE, b""), BOOT_NS)
    warm_ns = BOOT_NS + keller_33x.WARM_UP_NS
    assert [ask(running, p1, at_ns)[6] for at_ns in (BOOT_NS, warm_ns - 1, warm_ns)] == [0x80, 0x80, 0]
