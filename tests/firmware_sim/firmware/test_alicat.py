import re

import pytest
from hypothesis import HealthCheck, given, settings

from firmware_sim.firmware.alicat import BOOT_NS, REJECTED, Alicat
from tests.firmware_sim.firmware.text_twins import MS, heard, said

FRAME = b"A +014.696 +022.50 +000.00 +000.00     Air\r"


@pytest.fixture
def twin(make):
    return make(Alicat, "alicat", serial_number=225873)


def test_a_frame(twin, ask):
    assert ask(twin, b"A\r") == FRAME


def test_the_description_names_each_column_of_a_frame(twin, ask):
    rows = ask(twin, b"A??D*\r").split(b"\r")[:-1]
    assert [row.split()[1] for row in rows] == [b"D%02d" % place for place in range(len(rows))]
    names = [row[9:36].strip() for row in rows]
    assert names[1:7] == [b"Unit ID", b"Abs Press", b"Flow Temp", b"Volu Flow", b"Mass Flow", b"Gas"]
    widths = [int(row.split(b"/")[0][-1:]) for row in rows[2:6]]
    assert [len(word) for word in FRAME.split()[1:5]] == widths


def test_maker_and_version(twin, ask):
    assert b"\rA M05 Serial Number 225873\r" in ask(twin, b"A??M*\r")
    assert re.fullmatch(rb"A   10v20[^\r]*\r", ask(twin, b"AVE\r"))


def test_an_older_device_sends_the_given_columns_and_describes_nothing(make, ask):
    twin = make(Alicat, "alicat", options={"columns": ["pressure"], "unit": "kPa"})
    assert ask(twin, b"A\r") == b"A +101.325\r"
    assert ask(twin, b"A??D*\r") == REJECTED


@pytest.mark.parametrize(
    ("pressure_pa", "temperature_k", "frame"),
    [
        (2e6, 295.65, b"A +160.000 +022.50 +000.00 +000.00     Air POV\r"),
        (101_325.0, 373.15, b"A +014.696 +060.00 +000.00 +000.00     Air TOV\r"),
    ],
)
def test_flags_beyond_the_range(twin, ask, sensor, pressure_pa, temperature_k, frame):
    sensor.pressure_pa, sensor.temperature_k = pressure_pa, temperature_k
    assert ask(twin, b"A\r") == frame


def test_a_failed_converter_has_no_values_and_other_flags_stand_behind(twin, ask):
    twin.fail("LCK", "HLD")
    assert ask(twin, b"A\r") == FRAME[:-1] + b" HLD LCK\r"
    twin.fail("ADC")
    assert ask(twin, b"A\r") == b"A ------- ------- +000.00 +000.00     Air ADC\r"
    twin.fail()
    assert ask(twin, b"A\r") == FRAME


@pytest.mark.parametrize("command", [b"A@=C\r", b"A@ C\r"])
def test_a_new_letter_counts_after_the_answer_and_stays_without_power(twin, ask, command):
    assert ask(twin, command) == FRAME
    assert ask(twin, b"A\r") == b""
    twin.reboot(0)
    assert ask(twin, b"C\r", BOOT_NS - 1) == b""
    assert ask(twin, b"C\r", BOOT_NS) == b"C" + FRAME[1:]


def test_it_streams_until_it_gets_a_letter(twin, ask):
    assert ask(twin, b"A@=@\r") == b""
    assert twin.wakes_at_ns == 50 * MS
    assert [reply.data for reply in twin.wake(50 * MS)] == [b"@" + FRAME[1:]]
    assert ask(twin, b"A\r", 60 * MS) == b""
    assert ask(twin, b"@@=B\r", 70 * MS) == b""
    assert twin.wakes_at_ns is None
    assert ask(twin, b"B\r", 80 * MS) == b"B" + FRAME[1:]


def test_power_loss_ends_a_stream(twin):
    twin.hear(0, b"A@=@\r")
    twin.reboot(10 * MS)
    assert list(twin.wake(10 * MS + BOOT_NS)) == []
    assert twin.wakes_at_ns is None


@pytest.mark.parametrize("command", [b"AXX\r", b"A@=1\r", b"A@\r", b"A??Z*\r"])
def test_what_it_does_not_know_is_rejected(twin, ask, command):
    assert ask(twin, command) == REJECTED


@pytest.mark.parametrize("line", [b"B\r", b"\r", b"1\r", b"@@=1\r", b"\xffA\r", b"A\n"])
def test_other_letters_and_garbage_are_silent(twin, ask, line):
    assert ask(twin, line) == b""


def test_refusing_is_rejecting(twin, ask):
    twin.refuse(1)
    assert ask(twin, b"A\r") == REJECTED
    twin.refuse(None)
    assert ask(twin, b"A\r") == FRAME


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=heard(b"A\r", b"A??D*\r", b"A@=@\r", b"@@=A\r", b"A@ B\r", b"AVE\r"))
def test_whatever_it_hears_it_says_lines_of_its_own(make, pieces):
    for data in said(make(Alicat, "alicat"), pieces):
        assert re.fullmatch(rb"(\?\r|([A-Z@] [ -~]+\r)+)", data)
