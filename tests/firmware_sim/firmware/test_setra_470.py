import re

import pytest
from hypothesis import HealthCheck, given, settings

from firmware_sim.firmware.setra_470 import BOOT_NS, DELAY_NS, SYMBOLS, Setra470
from tests.firmware_sim.firmware.text_twins import heard, said


@pytest.fixture
def twin(make):
    return make(Setra470, "setra-470")


def test_p_brings_sign_six_digits_unit_and_stability(twin, sensor):
    sensor.pressure_pa = 101_325.0
    (reply,) = twin.hear(0, b"P")
    assert (reply.data, reply.delay_ns) == (b" +14.6959  PSI    A OK\r\n", DELAY_NS)


def test_letters_have_no_end_and_everything_else_is_ignored(twin, ask):
    assert ask(twin, b" \r\np xyP\r\nP") == b" +14.6959  PSI    A OK\r\n" * 2


def test_u_goes_round_the_units(twin, ask, sensor):
    sensor.pressure_pa = 100_000.0
    units = [ask(twin, b"PU").split()[1].decode() for _ in range(len(SYMBOLS) + 1)]
    assert units == [*SYMBOLS, SYMBOLS[0]]
    assert ask(twin, b"-U-UP").split() == [b"+100.000", b"kPa", b"A", b"OK"]


def test_tare_and_sea_level_are_marked_and_gone_without_power(twin, ask):
    assert ask(twin, b"ZBP") == b" +0.00000  PSI    T OK SEA LEVEL\r\n"
    assert ask(twin, b"-ZBP") == b" +14.6959  PSI    A OK\r\n"
    ask(twin, b"ZB")
    twin.reboot(0)
    assert ask(twin, b"P", BOOT_NS - 1) == b""
    assert ask(twin, b"P", BOOT_NS) == b" +14.6959  PSI    A OK\r\n"


@pytest.mark.parametrize(
    ("pressure_pa", "answer"),
    [(144_790.0, b"HI ALARM\r\n"), (144_789.0, b" +20.9999  PSI    A OK\r\n"), (-6_895.0, b"LO ALARM\r\n")],
)
def test_beyond_five_percent_of_its_range_there_is_an_alarm(twin, ask, sensor, pressure_pa, answer):
    sensor.pressure_pa = pressure_pa
    assert ask(twin, b"P") == answer


def test_refusing_is_unable(twin, ask):
    twin.refuse(1)
    assert ask(twin, b"P") == b"UNABLE\r\n"
    twin.refuse(None)
    assert ask(twin, b"P") != b"UNABLE\r\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=heard(b"P", b"U", b"BZ", b"-Z"))
def test_whatever_it_hears_it_says_lines_of_its_own(make, pieces):
    for data in said(make(Setra470, "setra-470"), pieces):
        assert re.fullmatch(rb" [-+][\d.]{7}[ -~]{8} [AT] OK(?: SEA LEVEL)?\r\n", data)
