import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.firmware.paroscientific import BOOT_NS, Paroscientific

MS = 1_000_000


@pytest.fixture
def twin(make):
    return make(Paroscientific, "paroscientific-6000", unit=1, serial_number=98765)


def test_a_measurement_comes_after_its_integration_time_without_its_name(twin):
    (reply,) = twin.hear(0, b"*0100P3\r\n")
    assert reply.data == b"*00011013.2500\r\n"
    assert reply.delay_ns == 100 * MS
    (reply,) = twin.hear(0, b"*0100Q3\r\n")
    assert reply.data == b"*000122.500\r\n"


def test_a_bare_cr_ends_a_command_too_and_characters_may_come_one_by_one(twin, ask):
    assert b"".join(ask(twin, bytes((byte,))) for byte in b"*0100P3\r") == b"*00011013.2500\r\n"


@pytest.mark.parametrize(("name", "value"), [("SN", "98765"), ("UN", "2"), ("PI", "100"), ("TH", "0")])
def test_settings_and_constants_read_back_with_their_name(twin, ask, name, value):
    assert ask(twin, f"*0100{name}\r\n".encode()) == f"*0001{name}={value}\r\n".encode()


@pytest.mark.parametrize("name", ["MN", "VR", "PR"])
def test_other_questions_are_answered_with_some_value(twin, ask, name):
    assert ask(twin, f"*0100{name}\r\n".encode()).startswith(f"*0001{name}=".encode())


def test_a_write_needs_the_enable_prefix_for_the_same_unit(twin, ask):
    assert ask(twin, b"*0100UN=1\r\n") == b""
    assert ask(twin, b"*0200EW*0100UN=1\r\n") == b""
    assert ask(twin, b"*0100UN\r\n") == b"*0001UN=2\r\n"
    assert ask(twin, b"*0100EW*0100UN=1\r\n") == b"*0001UN=1\r\n"
    assert ask(twin, b"*0100P3\r\n") == b"*000114.6959\r\n"


@pytest.mark.parametrize("setting", ["UN=3", "UN=x", "PI=0", "PI=1.5", "PI=0100", "SN=5", "PI=100001", "TH=\xb2"])
def test_values_that_do_not_fit_are_ignored(twin, ask, setting):
    name = setting[:2]
    before = ask(twin, f"*0100{name}\r\n".encode())
    assert ask(twin, f"*0100EW*0100{setting}\r\n".encode("latin-1")) == b""
    assert ask(twin, f"*0100{name}\r\n".encode()) == before


def test_settings_outlive_a_power_loss_and_booting_is_silent(twin, ask):
    ask(twin, b"*0100EW*0100PI=666\r\n")
    twin.reboot(0)
    assert ask(twin, b"*0100P3\r\n", BOOT_NS - 1) == b""
    (reply,) = twin.hear(BOOT_NS, b"*0100P3\r\n")
    assert reply.delay_ns == 666 * MS


def test_continuous_output_runs_until_any_command(twin, ask):
    assert ask(twin, b"*0100P4\r\n") == b""
    assert twin.wakes_at_ns == 100 * MS
    assert [reply.data for reply in twin.wake(100 * MS)] == [b"*00011013.2500\r\n"]
    assert twin.wakes_at_ns == 200 * MS
    assert ask(twin, b"*0200P3\r\n", 150 * MS) == b""
    assert twin.wakes_at_ns is None
    assert list(twin.wake(200 * MS)) == []


def test_power_loss_ends_a_continuous_output(twin):
    twin.hear(0, b"*0100P4\r\n")
    twin.reboot(50 * MS)
    assert list(twin.wake(50 * MS + BOOT_NS)) == []
    assert twin.wakes_at_ns is None


@pytest.mark.parametrize(
    "line", [b"*0200P3", b"*9900P3", b"0100P3", b"*0100XX", b"*0100p3", b"*0100P3x", b"*0100", b""]
)
def test_other_addresses_and_garbage_are_silent(twin, ask, line):
    assert ask(twin, line + b"\r\n") == b""


def test_the_answer_goes_to_whoever_asked(twin, ask):
    assert ask(twin, b"*0107P3\r\n") == b"*07011013.2500\r\n"


def test_refusing_is_silence(twin, ask):
    twin.refuse(1)
    assert ask(twin, b"*0100P3\r\n") == b""
    twin.refuse(None)
    assert ask(twin, b"*0100P3\r\n") != b""


heard = st.lists(
    st.one_of(
        st.binary(max_size=60),
        st.builds(lambda rest: b"*0100" + rest + b"\r\n", st.binary(max_size=12)),
        st.builds(
            lambda name, value: f"*0100EW*0100{name}={value}\r".encode(),
            st.sampled_from(["UN", "PI", "PR", "TH"]),
            st.one_of(st.integers(), st.text(max_size=5)),
        ),
        st.sampled_from([b"*0100P4\r", b"*0100P3\r", b"*0100Q3\r"]),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(heard=heard)
def test_whatever_it_hears_its_output_is_bounded_lines(make, heard):
    twin = make(Paroscientific, "paroscientific-6000")
    for at, data in enumerate(heard):
        replies = [*twin.hear(at * 1000 * MS, data), *twin.wake(at * 1000 * MS)]
        assert len(replies) <= data.count(b"\r") + 1
        for reply in replies:
            assert reply.data.startswith(b"*")
            assert reply.data.endswith(b"\r\n")
            assert len(reply.data) <= 60
