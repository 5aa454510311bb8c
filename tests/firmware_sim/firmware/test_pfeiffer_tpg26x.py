import re

import pytest
from hypothesis import HealthCheck, given, settings

from firmware_sim.firmware.pfeiffer_tpg26x import ACK, BOOT_NS, NAK, PfeifferTpg26x, Status
from tests.firmware_sim.firmware.text_twins import MS, heard, said

ENQ = b"\x05"


@pytest.fixture
def twin(make):
    return make(PfeifferTpg26x, "pfeiffer-tpg26x", range="1..150000 Pa")


@pytest.mark.parametrize(
    ("mnemonic", "data"),
    [
        (b"PRX", b"0,+1.0132E+03,5,+2.0000E-02\r\n"),
        (b"PR1", b"0,+1.0132E+03\r\n"),
        (b"PR2", b"5,+2.0000E-02\r\n"),
        (b"UNI", b"0\r\n"),
        (b"BAU", b"0\r\n"),
        (b"SEN", b"0,0\r\n"),
        (b"ERR", b"0000\r\n"),
        (b"PNR", b"302-510-A\r\n"),
        (b"TID", b"TPR,noSEn\r\n"),
    ],
)
def test_data_come_after_enq_only_and_again(twin, ask, mnemonic, data):
    assert ask(twin, mnemonic + b"\r\n") == ACK
    assert ask(twin, ENQ) == data
    assert ask(twin, ENQ) == data


def test_a_mnemonic_and_enq_in_one_piece(twin):
    assert [reply.data for reply in twin.hear(0, b"PR1\r" + ENQ)] == [ACK, b"0,+1.0132E+03\r\n"]


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (b"XYZ", b"0001"),
        (b"PR1,1", b"0010"),
        (b"UNI,3", b"0010"),
        (b"pr1", b"0001"),
        (b"PRX1", b"0001"),
        (b"?", b"0001"),
    ],
)
def test_a_mistake_is_refused_and_enq_tells_once_which_one_it_was(twin, ask, line, word):
    assert ask(twin, line + b"\r\n") == NAK
    assert ask(twin, ENQ) == word + b"\r\n"
    assert ask(twin, ENQ) == b"0000\r\n"
    ask(twin, line + b"\r\n")
    assert ask(twin, b"PR1\r\n" + ENQ) == ACK + b"0,+1.0132E+03\r\n"
    assert ask(twin, b"ERR\r\n" + ENQ) == ACK + word + b"\r\n"


def test_a_unit_of_pressure_is_kept_without_power_and_booting_is_silent(twin, ask):
    assert ask(twin, b"UNI,2\r\n") == ACK
    assert ask(twin, ENQ) == b"2\r\n"
    twin.reboot(0)
    assert ask(twin, b"PR1\r\n" + ENQ, BOOT_NS - 1) == b""
    assert ask(twin, ENQ, BOOT_NS) == b""
    assert ask(twin, b"PR1\r\n" + ENQ, BOOT_NS) == ACK + b"0,+1.0132E+05\r\n"


@pytest.mark.parametrize(
    ("pressure_pa", "data"), [(0.5, b"1,+1.0000E-02\r\n"), (2e5, b"2,+1.5000E+03\r\n"), (1.0, b"0,+1.0000E-02\r\n")]
)
def test_beyond_its_range_a_gauge_says_so_and_stays(twin, ask, sensor, pressure_pa, data):
    sensor.pressure_pa = pressure_pa
    assert ask(twin, b"PR1\r\n" + ENQ) == ACK + data


@pytest.mark.parametrize("status", [Status.ERROR, Status.OFF, Status.UNKNOWN_SENSOR])
def test_a_broken_gauge_shows_a_plausible_number(twin, ask, status):
    twin.fail(1, status)
    assert ask(twin, b"PR1\r\n" + ENQ) == ACK + b"%d,+2.0000E-02\r\n" % status
    twin.fail(1, Status.OK)
    assert ask(twin, ENQ) == b"0,+1.0132E+03\r\n"


@pytest.mark.parametrize(("command", "period_ms"), [(b"COM\r", 1000), (b"COM,0\r", 100), (b"COM,2\r", 60_000)])
def test_continuous_output_runs_until_any_character(twin, ask, command, period_ms):
    assert ask(twin, command) == ACK
    assert twin.wakes_at_ns == period_ms * MS
    assert [reply.data for reply in twin.wake(period_ms * MS)] == [b"0,+1.0132E+03,5,+2.0000E-02\r\n"]
    assert ask(twin, b"P", period_ms * MS + 1) == b""
    assert twin.wakes_at_ns is None
    assert ask(twin, b"R1\r", period_ms * MS + 2) == ACK


def test_etx_forgets_what_has_begun(twin, ask):
    assert ask(twin, b"XX\x03PR1\r") == ACK


def test_refusing_is_a_nak(twin, ask):
    twin.refuse(1)
    assert ask(twin, b"PR1\r") == NAK
    twin.refuse(None)
    assert ask(twin, b"PR1\r") == ACK


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=heard(b"PRX\r\n", b"PR2\r", ENQ, b"COM,0\r", b"UNI,1\r", b"\x03"))
def test_whatever_it_hears_it_says_lines_of_its_own(make, pieces):
    for data in said(make(PfeifferTpg26x, "pfeiffer-tpg26x"), pieces):
        assert re.fullmatch(rb"[\x06\x15]\r\n|\d\r\n|00[01]{2}\r\n|\d,[-+.\dE]+(,\d,[-+.\dE]+)?\r\n", data)
