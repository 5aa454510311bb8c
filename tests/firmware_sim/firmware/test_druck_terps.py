import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.firmware.druck_terps import BOOT_NS, QUIET_NS, DruckTerps

SECOND = 1_000_000_000


@pytest.fixture
def direct(make):
    return make(DruckTerps, "druck-terps", unit=0, range="0..200 kPa")


@pytest.fixture
def addressed(make):
    return make(DruckTerps, "druck-terps", unit=7)


def test_it_streams_on_its_own_until_a_character_stops_it(direct):
    assert direct.wakes_at_ns == SECOND
    assert [reply.data for reply in direct.wake(SECOND)] == [b"1013.2500\r"]
    assert direct.wakes_at_ns == 2 * SECOND
    assert list(direct.hear(SECOND, b" ")) == []
    assert list(direct.wake(2 * SECOND)) == []


def test_the_stop_character_is_lost_and_a_space_before_a_command_is_enough(direct, ask):
    assert ask(direct, b" R\r") == b"1013.2500\r"
    assert ask(direct, b" *R\r") == b"1013.2500 mbar\r"
    other = direct
    other.reboot(0)
    other.wake(BOOT_NS)
    assert ask(other, b"*R\r", BOOT_NS) == b"1013.2500\r"  # the star stopped it


def test_the_stream_comes_back_20_s_after_the_last_command(direct, ask):
    ask(direct, b" R\r", SECOND // 2)
    assert direct.wakes_at_ns == SECOND // 2 + QUIET_NS
    assert list(direct.wake(SECOND // 2 + QUIET_NS)) == []
    assert [reply.data for reply in direct.wake(3 * SECOND // 2 + QUIET_NS)] == [b"1013.2500\r"]


def test_addressed_it_is_silent_until_asked_by_its_address(addressed, ask):
    assert addressed.wakes_at_ns is None
    assert ask(addressed, b" 7:R\r") == b"7:1013.2500\r"
    assert ask(addressed, b" 8:R\r") == ask(addressed, b" R\r") == ask(addressed, b"garbage\r") == b""


def test_another_unit_changes_the_reading(addressed, ask):
    assert ask(addressed, b" 7:U,1\r") == b""
    assert ask(addressed, b" 7:*R\r") == b"7:101325.0000 Pa\r"
    assert ask(addressed, b" 7:U,?\r") == b"7:1\r"


def test_a_new_address_holds_after_the_command_and_without_power(addressed, ask):
    assert ask(addressed, b" 7:N,9\r") == b""
    assert ask(addressed, b" 7:R\r") == b""
    addressed.reboot(0)
    assert ask(addressed, b" 9:*N,?\r", BOOT_NS - 1) == b""
    assert ask(addressed, b" 9:*N,?\r", BOOT_NS) == b"9:Device Address = 9\r"


def test_settings_are_told_plain_and_verbose(addressed, ask):
    assert ask(addressed, b" 7:A,?\r") == b"7:1,N\r"
    assert ask(addressed, b" 7:*A,?\r") == b"7:Interval = 1\r7:Units = No\r"


@pytest.mark.parametrize(
    ("pressure_pa", "text"),
    [(210_001, b"*Over Pressure*\r"), (-10_001, b"*Under Pressure*\r"), (209_999, b"2099.9900\r")],
)
def test_words_stand_in_place_of_a_pressure_5_percent_outside(direct, ask, sensor, pressure_pa, text):
    sensor.pressure_pa = pressure_pa
    assert ask(direct, b" R\r") == text


def test_a_broken_element_and_bad_commands_are_told_in_words(direct, ask):
    direct.fail()
    assert ask(direct, b" R\r") == b"**** NO RPT ****\r"
    direct.fail(failed=False)
    assert ask(direct, b" X\r") == b"ERROR 22\r"
    assert ask(direct, b" U,99\r") == b"ERROR 22\r"
    ask(direct, b" *N,0\r")
    assert ask(direct, b" X\r") == b"!022 Bad Message\r"


def test_a_new_reading_takes_as_long_as_the_speed_says_and_a_higher_speed_takes_2_s_to_settle(direct, ask):
    (reply,) = direct.hear(0, b" G\r")
    assert (reply.data, reply.delay_ns) == (b"1013.2500\r", 400_000_000)
    assert [each.delay_ns for each in direct.hear(0, b" R\r")] == [0]
    ask(direct, b" Q,4\r", 0)
    assert ask(direct, b" R\r", 2 * SECOND - 1) == b"ERROR 20\r"
    ask(direct, b" *N,0\r", SECOND)
    assert ask(direct, b" G\r", 2 * SECOND - 1) == b"!020 No Frequency\r"
    assert [(each.data, each.delay_ns) for each in direct.hear(2 * SECOND, b" G\r")] == [(b"1013.2500\r", 100_000_000)]
    ask(direct, b" Q,1\r", 3 * SECOND)
    assert ask(direct, b" R\r", 3 * SECOND) == b"1013.2500\r"


def test_refusing_is_an_error_with_that_number(direct, ask):
    direct.refuse(4)
    assert ask(direct, b" R\r") == b"ERROR 04\r"
    direct.refuse(None)
    assert ask(direct, b" R\r") == b"1013.2500\r"


heard = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.builds(lambda text: f" {text}\r".encode(), st.text(alphabet="0127:*AINQRU,?. ", max_size=10)),
    ),
    max_size=10,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(unit=st.sampled_from([0, 7]), heard=heard)
def test_whatever_it_hears_its_output_is_bounded_lines(make, unit, heard):
    twin = make(DruckTerps, "druck-terps", unit=unit)
    for at, data in enumerate(heard):
        for reply in [*twin.wake(at * SECOND), *twin.hear(at * SECOND, data)]:
            assert reply.data.endswith(b"\r")
            assert len(reply.data) <= 80
