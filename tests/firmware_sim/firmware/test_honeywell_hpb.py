import re

import pytest
from hypothesis import HealthCheck, given, settings

from firmware_sim.firmware.honeywell_hpb import BOOT_NS, HoneywellHpb
from tests.firmware_sim.firmware.text_twins import MS, heard, said


@pytest.fixture
def twin(make):
    return make(HoneywellHpb, "honeywell-hpb", unit=12, serial_number="00123456")


def test_a_measurement_names_unit_and_quantity_and_comes_when_it_is_done(twin):
    (reply,) = twin.hear(50 * MS, b"*12P1\r")
    assert (reply.data, reply.delay_ns) == (b"#12CP= 14.696\r", 150 * MS)
    (reply,) = twin.hear(50 * MS, b"*12T1\r")
    assert reply.data == b"#12CT=22.5\r"


def test_without_an_address_it_answers_with_a_question_mark(make, ask):
    twin = make(HoneywellHpb, "honeywell-hpb", unit=0)
    assert ask(twin, b"*00P1\r") == b"?01CP= 14.696\r"
    assert ask(twin, b"*00RS\r") == b"?01RS=0000\r"


@pytest.mark.parametrize(
    ("command", "value"), [("S", "00123456"), ("V", "02.41"), ("M", "0017psia"), ("P", "03/14/19")]
)
def test_constants(twin, ask, command, value):
    assert ask(twin, f"*12{command}=\r".encode()) == f"#12{command}={value}\r".encode()
    assert ask(twin, f"*12{command}\r".encode()) == b""


def test_full_scale_is_that_of_the_range(make, ask):
    assert ask(make(HoneywellHpb, "honeywell-hpb", unit=1, range="0..207 kPa"), b"*01M=\r") == b"#01M=0030psia\r"


def test_pressure_stays_at_the_end_of_the_range(twin, ask, sensor):
    sensor.pressure_pa = 1e6
    assert ask(twin, b"*12P1\r") == b"#12CP= 17.850\r"


def test_faults(twin, ask):
    twin.fail(parity=True)
    assert ask(twin, b"*12P1\r") == b"#12CP! 14.696\r"
    twin.fail(temperature=True)
    assert ask(twin, b"*12T1\r") == b"#12CT=..\r"
    twin.fail()
    assert ask(twin, b"*12T1\r") == b"#12CT=22.5\r"


def test_a_setting_needs_we_before_it_and_sp_all_to_stay(twin, ask):
    ask(twin, b"*12ID=07\r")
    assert twin.unit == 12
    assert ask(twin, b"*12WE\r*12ID=07\r") == b""
    assert twin.unit == 7
    assert ask(twin, b"*12P1\r") == b""
    assert ask(twin, b"*07P1\r", 1000 * MS) == b"#07CP= 14.696\r"
    twin.reboot(1000 * MS)
    assert twin.unit == 12
    ask(twin, b"*12WE\r*12ID=07\r*07WE\r*07SP=ALL\r", 2000 * MS)
    twin.reboot(3000 * MS)
    assert twin.unit == 7


@pytest.mark.parametrize("setting", ["ID=90", "ID=7", "ID=xx", "I=M3", "XX=1"])
def test_values_that_do_not_fit_are_ignored(twin, ask, setting):
    ask(twin, f"*12WE\r*12{setting}\r".encode())
    assert twin.unit == 12
    assert ask(twin, b"*12P1\r") != b""


def test_fifty_readings_a_second(twin):
    twin.hear(0, b"*12WE\r*12I=R50\r")
    (reply,) = twin.hear(5 * MS, b"*12P1\r")
    assert reply.delay_ns == 15 * MS


def test_booting_is_silent(twin, ask):
    twin.reboot(0)
    assert ask(twin, b"*12P1\r", BOOT_NS - 1) == b""
    assert ask(twin, b"*12P1\r", BOOT_NS) != b""


def test_continuous_output_runs_until_any_command(twin, ask):
    assert ask(twin, b"*12P2\r") == b""
    assert twin.wakes_at_ns == 200 * MS
    assert [reply.data for reply in twin.wake(200 * MS)] == [b"#12CP= 14.696\r"]
    assert twin.wakes_at_ns == 400 * MS
    ask(twin, b"*12RS\r", 300 * MS)
    assert twin.wakes_at_ns is None


@pytest.mark.parametrize("line", [b"*13P1", b"12P1", b"*12p1", b"*12P9", b"*12", b"*1P1", b"", b"*12P1x"])
def test_other_addresses_and_garbage_are_silent(twin, ask, line):
    assert ask(twin, line + b"\r") == b""


def test_everybody_is_99_and_refusing_is_silence(twin, ask):
    assert ask(twin, b"*99RS\r") == b"#12RS=0000\r"
    twin.refuse(1)
    assert ask(twin, b"*12RS\r") == b""
    twin.refuse(None)
    assert ask(twin, b"*12RS\r") != b""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=heard(b"*12P1\r", b"*12T2\r", b"*12WE\r*12ID=33\r", b"*99S=\r"))
def test_whatever_it_hears_it_says_named_values(make, pieces):
    for data in said(make(HoneywellHpb, "honeywell-hpb", unit=12), pieces):
        assert re.fullmatch(rb"(#\d\d|\?01)[A-Z]+=[ -~]+\r", data)
