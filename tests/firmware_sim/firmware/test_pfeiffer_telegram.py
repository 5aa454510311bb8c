import pytest
from hypothesis import HealthCheck, given, settings

from firmware_sim.firmware.pfeiffer_telegram import BOOT_NS, Fault, PfeifferTelegram
from firmware_sim.wire import pfeiffer
from tests.firmware_sim.firmware.text_twins import heard, said


def question(unit, parameter, data="=?", action="00"):
    text = f"{unit:03}{action}{parameter:03}{len(data):02}{data}"
    return f"{text}{sum(text.encode()) % 256:03}\r".encode()


@pytest.fixture
def twin(make):
    return make(PfeifferTelegram, "pfeiffer-telegram", unit=1)


def test_a_pressure_is_four_digits_and_an_exponent(twin, ask, sensor):
    assert ask(twin, b"0010074002=?106\r") == pfeiffer.join(1, 740, "101323")
    sensor.pressure_pa = 100.0
    assert ask(twin, b"0010074002=?106\r") == b"0011074006100020022\r"


@pytest.mark.parametrize(
    ("pressure_pa", "text"), [(0.0, "100016"), (1.0, "100018"), (119_960.0, "120023"), (1e9, "120023")]
)
def test_a_pressure_stays_within_the_range(twin, ask, sensor, pressure_pa, text):
    sensor.pressure_pa = pressure_pa
    assert ask(twin, question(1, 740)) == pfeiffer.join(1, 740, text)


def test_a_fault_is_told_by_303_only(twin, ask):
    healthy = ask(twin, question(1, 740))
    assert ask(twin, question(1, 303)) == pfeiffer.join(1, 303, "000000")
    twin.fail(Fault.TRANSMITTER)
    assert ask(twin, question(1, 303)) == pfeiffer.join(1, 303, "Err001")
    assert ask(twin, question(1, 740)) == healthy
    twin.fail(Fault.NONE)
    assert ask(twin, question(1, 303)) == pfeiffer.join(1, 303, "000000")


@pytest.mark.parametrize(
    ("telegram", "data"),
    [
        (question(1, 349), "    A3"),
        (question(1, 312), "010400"),
        (question(1, 999), "NO_DEF"),
        (question(1, 740, "??"), "_LOGIC"),
        (question(1, 740, "100023", "10"), "_LOGIC"),
        (question(1, 349, "    A1", "10"), "_LOGIC"),
        (question(1, 999, "1", "10"), "NO_DEF"),
        (question(1, 741, "009", "10"), "_RANGE"),
        (question(1, 742, "999999", "10"), "_RANGE"),
        (question(1, 742, "10", "10"), "_RANGE"),
    ],
)
def test_parameters_and_refusals(twin, ask, telegram, data):
    assert ask(twin, telegram) == pfeiffer.join(1, int(telegram[5:8]), data)


def test_settings_outlive_a_power_loss_and_booting_is_silent(twin, ask):
    assert ask(twin, question(1, 742, "000080", "10")) == pfeiffer.join(1, 742, "000080")
    twin.reboot(0)
    assert ask(twin, question(1, 742), BOOT_NS - 1) == b""
    assert ask(twin, question(1, 742), BOOT_NS) == pfeiffer.join(1, 742, "000080")


@pytest.mark.parametrize(
    "line",
    [question(2, 740), b"0010074002=?107\r", b"0010074003=?107\r", b"001007402=?106\r", b"\r", b"0010074002=?106\n"],
)
def test_other_addresses_and_garbage_are_silent(twin, ask, line):
    assert ask(twin, line) == b""


@pytest.mark.parametrize(("code", "data"), [(0, "NO_DEF"), (1, "_RANGE"), (2, "_LOGIC"), (7, "_RANGE")])
def test_refusing_uses_one_of_three_words(twin, ask, code, data):
    twin.refuse(code)
    assert ask(twin, question(1, 740)) == pfeiffer.join(1, 740, data)
    twin.refuse(None)
    assert ask(twin, question(1, 740)) == pfeiffer.join(1, 740, "101323")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=heard(question(1, 740), question(1, 742, "000080", "10"), question(1, 741, "001", "10")))
def test_whatever_it_hears_it_says_nothing_but_telegrams(make, pieces):
    for data in said(make(PfeifferTelegram, "pfeiffer-telegram"), pieces):
        assert data == pfeiffer.join(1, int(data[5:8]), data[10:-4].decode())
