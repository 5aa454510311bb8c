import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.firmware.vaisala_ptb210 import BOOT_NS, VaisalaPtb210

SECOND = 1_000_000_000


@pytest.fixture
def twin(make):
    return make(VaisalaPtb210, "vaisala-ptb210", unit=7, serial_number="N3310370")


def test_a_pressure_comes_without_echo_or_confirmation(twin, ask):
    assert ask(twin, b".P\r") == b"1013.25\r\n"
    assert ask(twin, b"7.P\r\n") == b"1013.25\r\n"
    assert ask(twin, b".AVRG.2\r") == b""


@pytest.mark.parametrize("line", [b"07.P\r", b"8.P\r", b"P\r", b".X\r", b".P.1\r", b".p\r", b"\r", b"7P\r"])
def test_other_ids_and_garbage_are_silent(twin, ask, line):
    assert ask(twin, line) == b""


@pytest.mark.parametrize("pressure_pa", [49_990.0, 110_010.0])
def test_stars_stand_for_a_pressure_outside_the_limits(twin, ask, sensor, pressure_pa):
    sensor.pressure_pa = pressure_pa
    assert ask(twin, b".P\r") == b"****.**\r\n"


def test_a_broken_element_gives_stars_too(twin, ask):
    twin.fail()
    assert ask(twin, b".P\r") == b"****.**\r\n"


def test_the_page_has_eleven_lines_with_serial_number_and_limits(twin, ask):
    lines = ask(twin, b".?\r").split(b"\r\n")
    assert len(lines) == 12
    assert lines[3] == b"SERIAL NUMBER  :N3310370"
    assert lines[8] == b"Pressure Min...Max:   500  1100"


def test_settings_need_a_reset_and_are_kept(twin, ask):
    ask(twin, b".PMIN.1020\r.ID.9\r")
    assert ask(twin, b"7.P\r") == b"1013.25\r\n"
    assert ask(twin, b".RESET\r") == b""
    assert ask(twin, b"9.P\r", BOOT_NS - 1) == b""
    assert ask(twin, b"7.P\r", BOOT_NS) == b""
    assert ask(twin, b"9.P\r", BOOT_NS) == b"****.**\r\n"


@pytest.mark.parametrize("line", [b".PMIN.15001\r", b".PMAX.x\r", b".MPM.5\r", b".ID.\r", b".NONE.1\r"])
def test_values_that_do_not_fit_are_ignored(twin, ask, line):
    before = ask(twin, b".?\r")
    ask(twin, line)
    twin.reboot(0)
    assert ask(twin, b".?\r", BOOT_NS) == before


def test_continuous_output_runs_until_any_line(twin, ask):
    ask(twin, b".BP\r")
    assert twin.wakes_at_ns == SECOND
    assert [reply.data for reply in twin.wake(SECOND)] == [b"1013.25\r\n"]
    assert ask(twin, b"\r", SECOND) == b""
    assert twin.wakes_at_ns is None


def test_refusing_is_silence(twin, ask):
    twin.refuse(1)
    assert ask(twin, b".P\r") == b""
    twin.refuse(None)
    assert ask(twin, b".P\r") != b""


heard = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.builds(
            lambda name, value: f".{name}.{value}\r".encode(),
            st.sampled_from(["PMIN", "PMAX", "MPM", "AVRG", "ID", "BAUD"]),
            st.one_of(st.integers(), st.text(max_size=16)),
        ),
        st.sampled_from([b".P\r", b".BP\r", b".RESET\r", b".?\r", b"\r"]),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heard=heard)
def test_whatever_it_hears_its_output_is_bounded_lines(make, heard):
    twin = make(VaisalaPtb210, "vaisala-ptb210")
    for at, data in enumerate(heard):
        for reply in [*twin.wake(at * SECOND), *twin.hear(at * SECOND, data)]:
            assert reply.data.endswith(b"\r\n")
            assert len(reply.data) <= 400
