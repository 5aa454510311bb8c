import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.firmware.mensor_cpt import BOOT_NS, MensorCpt

SECOND = 1_000_000_000


@pytest.fixture
def twin(make):
    return make(MensorCpt, "mensor-cpt", serial_number=410123, options={"unit": "psi"})


def test_a_pressure_has_the_address_and_nothing_else(twin, ask):
    assert ask(twin, b"#1?\r") == b"1 14.6959\r\n"
    assert ask(twin, b"#*?\r\n") == b"1 14.6959\r\n"


def test_identity_range_and_filter_are_named(twin, ask):
    assert ask(twin, b"#1ID?\r") == b"1 ID MENSOR, CPT6010, 410123, V1.20\r\n"
    assert ask(twin, b"#1R-?\r") == b"1 R- 0.0000\r\n"
    assert ask(twin, b"#1R+?\r") == b"1 R+ 30.0000\r\n"
    assert ask(twin, b"#1fl?\r") == b"1 FL 80\r\n"


def test_the_pressure_stays_at_the_end_of_the_range(twin, ask, sensor):
    sensor.pressure_pa = 1e6
    assert ask(twin, b"#1?\r") == b"1 30.0000\r\n"


@pytest.mark.parametrize("line", [b"#2?\r", b"1?\r", b"#1X?\r", b"#1FL 100\r", b"#1A AA\r", b"#1A -\r", b"\r"])
def test_other_addresses_and_garbage_are_silent(twin, ask, line):
    assert ask(twin, line) == b""


def test_a_new_address_holds_after_the_answer_and_is_lost_unless_saved(twin, ask):
    assert ask(twin, b"#1A Z\r") == b"R"
    assert ask(twin, b"#1?\r") == b""
    assert ask(twin, b"#Z?\r") == b"Z 14.6959\r\n"
    twin.reboot(0)
    assert ask(twin, b"#1?\r", BOOT_NS - 1) == b""
    assert ask(twin, b"#1?\r", BOOT_NS) == b"1 14.6959\r\n"


def test_what_was_saved_outlives_a_power_loss(twin, ask):
    assert ask(twin, b"#1FL 50\r#1SAVE\r#1FL 10\r") == b"RRR"
    twin.reboot(0)
    assert ask(twin, b"#1FL?\r", BOOT_NS) == b"1 FL 50\r\n"


def test_refusing_is_silence(twin, ask):
    twin.refuse(1)
    assert ask(twin, b"#1?\r") == b""
    twin.refuse(None)
    assert ask(twin, b"#1?\r") != b""


heard = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.builds(lambda text: f"#1{text}\r".encode(), st.text(alphabet="0129AFILRSVE-+? ", max_size=8)),
    ),
    max_size=10,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heard=heard)
def test_whatever_it_hears_its_output_is_bounded_lines(make, heard):
    twin = make(MensorCpt, "mensor-cpt")
    for at, data in enumerate(heard):
        for reply in twin.hear(at * SECOND, data):
            assert reply.data == b"R" or reply.data.endswith(b"\r\n")
            assert len(reply.data) <= 80
