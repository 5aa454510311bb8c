import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.rig import Bus, BusKind
from firmware_sim.firmware.vaisala_ptb330 import BOOT_NS, UNKNOWN, Mode, VaisalaPtb330

SECOND = 1_000_000_000
FORM = b'FORM "P=" 4.3 P " T=" 2.3 TP1 " E=" ERR " N=" MCTR " " CS2 #RN\r'


@pytest.fixture
def twin(make):
    bus = Bus(kind=BusKind.SERIAL, port="x", baud=4800, format="7E1")
    return make(VaisalaPtb330, "vaisala-ptb330", unit=0, bus=bus, serial_number="A1234567")


@pytest.fixture
def quiet(twin):
    """Echo off: answers only."""
    twin.hear(0, b"ECHO OFF\r")
    return twin


def test_echo_and_prompt_are_on_after_power_up(twin, ask):
    assert ask(twin, b"VE") == b"VE"
    assert ask(twin, b"RS\r\n") == b"RS\r\nPTB330 / 1.01\r\n>"
    assert ask(twin, b"\r") == b"\r\n>"


def test_echo_off_ends_echo_and_prompt(twin, ask):
    assert ask(twin, b"echo off\r") == b"echo off\r\nEcho           : OFF\r\n"
    assert ask(twin, b"snum\r") == b"Serial number  : A1234567\r\n"
    assert ask(twin, b"ECHO ON\r") == b"Echo           : ON\r\n>"


def test_the_listing_names_every_setting(quiet, ask):
    listing = ask(quiet, b"?\r")
    assert listing == ask(quiet, b"??\r")
    assert listing.decode().split("\r\n") == [
        "PTB330 / 1.01",
        "Serial number  : A1234567",
        "Batch number   : B8901234",
        'Output format  : 4.2 P " " U #RN',
        "Start mode     : STOP",
        "Baud P D S     : 4800 E 7 1",
        "Output interval: 1 s",
        "Address        : 0",
        "Echo           : OFF",
        "",
    ]


def test_a_message_has_labels_values_error_flag_counter_and_checksum(quiet, ask):
    assert ask(quiet, FORM) == b"OK\r\n"
    message = ask(quiet, b"SEND\r", 7 * SECOND)
    assert message.startswith(b"P=1013.250 T=22.500 E=0   N=7 ")
    body, check = message[:-4], message[-4:]
    assert check == b"%02X\r\n" % (sum(body) % 256)


def test_the_counter_counts_measurements_and_a_second_reading_repeats_the_first(quiet, ask, sensor):
    ask(quiet, b'FORM P " " MCTR #RN\r')
    first = ask(quiet, b"SEND\r", 3 * SECOND)
    sensor.pressure_pa += 100
    assert ask(quiet, b"SEND\r", 3 * SECOND + 1) == first == b"1013.25 3\r\n"
    assert ask(quiet, b"SEND\r", 4 * SECOND) == b"1014.25 4\r\n"


@pytest.mark.parametrize("pressure_pa", [49_999.0, 110_001.0, float("nan")])
def test_out_of_range_is_stars_and_error_1_but_temperature_stays(quiet, ask, sensor, pressure_pa):
    ask(quiet, b'FORM 4.3 P " " TP1 " " ERR\r')
    sensor.pressure_pa = pressure_pa
    assert ask(quiet, b"SEND\r") == b"******** " + b"  22.500 " + b"1  "


def test_a_failed_transducer_is_stars_until_it_is_mended(quiet, ask):
    ask(quiet, b'FORM 4.2 P " " 2.2 TP1 " " ERR\r')
    quiet.fail()
    assert ask(quiet, b"SEND\r") == b"******* ***** 1  "
    quiet.fail(failed=False)
    assert ask(quiet, b"SEND\r") == b"1013.25 22.50 0  "


def test_power_loss_brings_back_echo_and_default_format_and_keeps_the_installation(quiet, ask):
    ask(quiet, FORM + b"ADDR 3\rINTV 10 min\rSDELAY 20\r")
    quiet.reboot(5 * SECOND)
    assert quiet.wakes_at_ns == 5 * SECOND + BOOT_NS
    assert ask(quiet, b"?\r", 5 * SECOND) == b""
    assert b"".join(reply.data for reply in quiet.wake(quiet.wakes_at_ns)) == b"\r\n>"
    replies = quiet.hear(6 * SECOND, b"?\r")
    assert [reply.delay_ns for reply in replies] == [0, 200_000_000]
    listing = replies[1].data.decode()
    assert 'Output format  : 4.2 P " " U #RN\r\n' in listing
    assert "Address        : 3\r\n" in listing
    assert "Output interval: 10 min\r\n" in listing
    assert "Echo           : ON\r\n" in listing
    assert ask(quiet, b"SEND\r", 6 * SECOND) == b"SEND\r\n1013.25 hPa\r\n>"


def test_the_counter_begins_again_after_a_power_loss(quiet, ask):
    quiet.reboot(50 * SECOND)
    quiet.wake(50 * SECOND + BOOT_NS)
    ask(quiet, b"ECHO OFF\rFORM MCTR\r", 52 * SECOND)
    assert ask(quiet, b"SEND\r", 53 * SECOND) == b"3"


def test_reset_is_a_power_cycle_and_what_follows_it_is_lost(quiet, ask):
    assert ask(quiet, b"SMODE POLL\r") == b"Start mode     : POLL\r\n"
    assert ask(quiet, b"RESET\rSEND\r") == b""
    assert quiet.mode is Mode.BOOT
    assert list(quiet.wake(BOOT_NS)) == []
    assert quiet.mode is Mode.POLL


def test_a_unit_with_a_number_is_installed_for_polling(make, ask):
    twin = make(VaisalaPtb330, "vaisala-ptb330", unit=1)
    assert ask(twin, b"VERS\r") == b""
    assert ask(twin, b"SEND 1\r") == b"1013.25 hPa\r\n"
    twin.reboot(0)
    twin.wake(BOOT_NS)
    assert twin.mode is Mode.POLL


def test_polling_listens_to_its_own_address_only(quiet, ask):
    ask(quiet, b"SMODE POLL\rADDR 1\rRESET\r")
    quiet.wake(BOOT_NS)
    later = 2 * SECOND
    assert ask(quiet, b"SEND 1\r", later) == b"1013.25 hPa\r\n"
    for silent in (b"SEND\r", b"SEND 2\r", b"?\r", b"VERS\r", b"OPEN 2\r", b"rubbish\r"):
        assert ask(quiet, silent, later) == b""
    assert ask(quiet, b"??\r", later).startswith(b"PTB330 / 1.01\r\n")


def test_open_gives_an_operators_line_and_close_takes_it_back(quiet, ask):
    ask(quiet, b"SMODE POLL\rADDR 1\rRESET\r")
    quiet.wake(BOOT_NS)
    later = 2 * SECOND
    assert ask(quiet, b"OPEN 1\r", later) == b"PTB330: 1 line opened for operator commands\r\n>"
    assert ask(quiet, b"VERS\r", later) == b"VERS\r\nPTB330 / 1.01\r\n>"
    assert ask(quiet, b"CLOSE\r", later) == b"CLOSE\r\nline closed\r\n"
    assert ask(quiet, b"VERS\r", later) == b""


def test_close_means_nothing_without_polling(quiet, ask):
    assert ask(quiet, b"CLOSE\r") == b"line closed\r\n"
    assert ask(quiet, b"VERS\r") == b"PTB330 / 1.01\r\n"


def test_continuous_output_comes_every_interval_until_s(quiet, ask):
    ask(quiet, b"FORM MCTR #RN\rINTV 10 s\r")
    assert ask(quiet, b"R\r", SECOND) == b"1\r\n"
    assert quiet.wakes_at_ns == 11 * SECOND
    assert [reply.data for reply in quiet.wake(11 * SECOND)] == [b"11\r\n"]
    assert ask(quiet, b"VERS\r", 12 * SECOND) == b""
    assert ask(quiet, b"S\r", 12 * SECOND) == b""
    assert quiet.wakes_at_ns is None
    assert list(quiet.wake(21 * SECOND)) == []


def test_start_mode_run_talks_by_itself_after_power_up(quiet):
    quiet.hear(0, b"SMODE RUN\rINTV 0\r")
    quiet.reboot(0)
    assert list(quiet.wake(BOOT_NS)) == []
    assert quiet.wakes_at_ns == BOOT_NS + SECOND
    assert len(quiet.wake(BOOT_NS + SECOND)) == 1


def test_a_late_wake_does_nothing_twice(quiet):
    quiet.hear(0, b"R\r")
    assert len(quiet.hear(SECOND, b"")) == 1
    assert list(quiet.wake(SECOND)) == []


@pytest.mark.parametrize(
    "command",
    [b"RUBBISH", b"ADDR 256", b"ADDR -1", b"SDELAY 255", b"INTV x", b"INTV 5 y", b"SMODE FAST", b"ECHO X", b"FORM P?"],
)
def test_what_does_not_fit_gets_the_error_text_and_changes_nothing(quiet, ask, command):
    before = ask(quiet, b"?\r")
    assert ask(quiet, command + b"\r") == UNKNOWN.encode() + b"\r\n"
    assert ask(quiet, b"?\r") == before


def test_settings_without_argument_are_shown(quiet, ask):
    ask(quiet, b"FORM P\r")
    assert ask(quiet, b"FORM\r") == b"Output format  : P\r\n"
    assert ask(quiet, b"FORM /\r") == b"OK\r\n"
    assert ask(quiet, b"SEND\r") == b"1013.25 hPa\r\n"
    assert ask(quiet, b"INTV 3\rINTV\r").endswith(b"Output interval: 3 s\r\n")
    assert ask(quiet, b"ADDR\r") == b"Address        : 0\r\n"
    assert ask(quiet, b"SMODE\r") == b"Start mode     : STOP\r\n"


def test_errs_names_a_failed_transducer(quiet, ask):
    healthy = ask(quiet, b"ERRS\r")
    quiet.fail()
    assert ask(quiet, b"ERRS\r") != healthy


def test_refusing_answers_every_command_with_the_error_text(quiet, ask):
    quiet.refuse(1)
    assert ask(quiet, b"SEND\r") == UNKNOWN.encode() + b"\r\n"
    quiet.refuse(None)
    assert ask(quiet, b"SEND\r") == b"1013.25 hPa\r\n"


def test_an_overlong_line_is_dropped(quiet, ask):
    assert ask(quiet, b"A" * 300) == b""
    assert ask(quiet, b"A\r") == b""
    assert ask(quiet, b"VERS\r") == b"PTB330 / 1.01\r\n"


words_heard = st.sampled_from(
    [
        b"SEND",
        b"SEND 1",
        b"OPEN 1",
        b"R",
        b"S",
        b"FORM",
        b"ECHO ON",
        b"SMODE RUN",
        b"SMODE POLL",
        b"INTV 0",
        b"OPEN",
        b"CLOSE",
        b"RESET",
        b"??",
    ]
)
heard = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.text(alphabet='FORMPUTCSXEADINVL #\\"0123456789./?\r', max_size=60).map(str.encode),
        words_heard.map(lambda word: word + b"\r"),
        st.binary(max_size=40).map(lambda rest: b"FORM " + rest + b"\r"),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(unit=st.integers(0, 1), heard=heard)
def test_whatever_it_hears_its_output_is_bounded(make, unit, heard):
    twin = make(VaisalaPtb330, "vaisala-ptb330", unit=unit)
    for at, data in enumerate(heard):
        replies = twin.hear(at * SECOND, data)
        commands = len(re.findall(rb"\r", data)) + 1
        assert sum(len(reply.data) for reply in replies) <= 2 * len(data) + commands * 3000
        replies = twin.wake(at * SECOND)
        assert len(replies) <= 1
