import re

import pytest
from hypothesis import HealthCheck, given, settings

from firmware_sim.firmware.adam import BOOT_NS, Adam4117, Adam6017
from firmware_sim.firmware.current_loop import LoopFailure
from tests.firmware_sim.firmware.text_twins import heard, said


@pytest.fixture
def twin(make):
    return make(Adam4117, "adam-4117", channel=2, range="0..160 kPa")


def test_currents_of_all_channels(twin, ask, sensor):
    sensor.pressure_pa = 80e3
    assert ask(twin, b"#01\r") == b">+00.000+12.000" + b"+00.000" * 6 + b"\r"


@pytest.mark.parametrize(
    ("failure", "current"),
    [(LoopFailure.BROKEN_WIRE, b"+00.000"), (LoopFailure.LOW, b"+03.500"), (LoopFailure.HIGH, b"+21.500")],
)
def test_a_broken_loop(twin, ask, sensor, failure, current):
    sensor.pressure_pa = 80e3
    twin.fail(2, failure)
    assert ask(twin, b"#01\r")[8:15] == current
    twin.fail(2, None)
    assert ask(twin, b"#01\r")[8:15] == b"+12.000"


@pytest.mark.parametrize(("pressure_pa", "current"), [(0.0, b"+04.000"), (-1e4, b"+03.800"), (1e6, b"+20.500")])
def test_currents_stop_where_ne_43_says(twin, ask, sensor, pressure_pa, current):
    sensor.pressure_pa = pressure_pa
    assert ask(twin, b"#01\r")[8:15] == current


@pytest.mark.parametrize(
    ("command", "answer"), [(b"$01M", b"!014117"), (b"$01F", b"!01A2.02"), (b"$012", b"!01070600"), (b"$01X", b"?01")]
)
def test_commands(twin, ask, command, answer):
    assert ask(twin, command + b"\r") == answer + b"\r"


def test_a_new_address_counts_after_the_answer_and_stays_without_power(twin, ask):
    assert ask(twin, b"%011A070600\r") == b"!1A\r"
    assert ask(twin, b"$01M\r") == b""
    twin.reboot(0)
    assert ask(twin, b"$1AM\r", BOOT_NS - 1) == b""
    assert ask(twin, b"$1AM\r", BOOT_NS) == b"!1A4117\r"


@pytest.mark.parametrize("settings_", [b"070700", b"070640", b"080600", b"0706"])
def test_baud_and_checksum_change_only_in_init_mode(twin, ask, settings_):
    assert ask(twin, b"%0102" + settings_ + b"\r") == b"?01\r"
    assert twin.unit == 1


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"#01", b">01+00.000+12.000" + b"+00.000" * 6),
        (b"$01M", b"!016017"),
        (b"$01F", b"!01 A1.00B01"),
        (b"$01A0107", b"!01"),
        (b"$01A0907", b"?01"),
        (b"$01A0108", b"?01"),
        (b"%0102070600", b"?01"),
    ],
)
def test_one_on_the_network_puts_its_address_before_the_currents(make, ask, sensor, command, answer):
    sensor.pressure_pa = 80e3
    assert ask(make(Adam6017, "adam-6017", channel=2, range="0..160 kPa"), command + b"\r") == answer + b"\r"


@pytest.mark.parametrize("line", [b"#02", b"01", b"$1M", b"#0g", b"", b"\xff#01"])
def test_other_addresses_and_garbage_are_silent(twin, ask, line):
    assert ask(twin, line + b"\r") == b""


def test_refusing_is_a_question_mark(twin, ask):
    twin.refuse(1)
    assert ask(twin, b"#01\r") == b"?01\r"
    twin.refuse(None)
    assert ask(twin, b"#01\r")[:1] == b">"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=heard(b"#01\r", b"$01M\r", b"%0102070600\r", b"$01A\r"))
def test_whatever_it_hears_it_says_lines_of_its_own(make, pieces):
    for data in said(make(Adam4117, "adam-4117", channel=1, range="0..160 kPa"), pieces):
        assert re.fullmatch(rb">([-+]\d\d\.\d{3}){8}\r|!\d[0-9A-F][ -~]*\r|\?\d[0-9A-F]\r", data)
