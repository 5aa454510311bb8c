import re

import pytest
from hypothesis import HealthCheck, given, settings

from firmware_sim.firmware.mks_900 import BOOT_NS, DELAY_NS, Mks900, Status
from tests.firmware_sim.firmware.text_twins import heard, said


@pytest.fixture
def twin(make):
    return make(Mks900, "mks-900", unit=253, serial_number="0812345678")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PR1", "7.60E+2"),
        ("PR4", "7.600E+2"),
        ("TEM", "2.25E+1"),
        ("T", "O"),
        ("U", "TORR"),
        ("SN", "0812345678"),
        ("MD", "910"),
        ("TIM", "0"),
        ("AD", "253"),
        ("BR", "9600"),
        ("RSD", "ON"),
    ],
)
def test_questions(twin, name, value):
    (reply,) = twin.hear(0, f"@253{name}?;FF".encode())
    assert reply.data == f"@253ACK{value};FF".encode()
    assert reply.delay_ns == DELAY_NS


@pytest.mark.parametrize(
    ("command", "nak"),
    [
        ("XY?", 160),
        ("XY!1", 160),
        ("U!PSI", 169),
        ("AD!x", 169),
        ("AD!254", 172),
        ("AD!0", 172),
        ("SN!1", 180),
        ("PR4!1", 180),
    ],
)
def test_refusals(twin, ask, command, nak):
    assert ask(twin, f"@253{command};FF".encode()) == f"@253NAK{nak};FF".encode()


def test_a_unit_of_pressure_is_kept_without_power_and_booting_is_silent(twin, ask):
    assert ask(twin, b"@253U!PASCAL;FF") == b"@253ACKPASCAL;FF"
    twin.reboot(0)
    assert ask(twin, b"@253PR4?;FF", BOOT_NS - 1) == b""
    assert ask(twin, b"@253PR4?;FF", BOOT_NS) == b"@253ACK1.013E+5;FF"


def test_a_new_address_counts_after_the_answer(twin, ask):
    assert ask(twin, b"@253AD!007;FF") == b"@253ACK007;FF"
    assert ask(twin, b"@253PR1?;FF") == b""
    assert ask(twin, b"@007PR1?;FF") == b"@007ACK7.60E+2;FF"


def test_all_obey_254_and_255_and_nobody_answers_the_latter(twin, ask):
    assert ask(twin, b"@254PR1?;FF") == b"@253ACK7.60E+2;FF"
    assert ask(twin, b"@255U!MBAR;FF") == b""
    assert ask(twin, b"@253U?;FF") == b"@253ACKMBAR;FF"


def test_without_rsd_an_answer_comes_at_once_and_loses_its_head(twin):
    twin.hear(0, b"@253RSD!OFF;FF")
    (reply,) = twin.hear(0, b"@253TEM?;FF")
    assert (reply.data, reply.delay_ns) == (b".25E+1;FF", 0)
    twin.hear(0, b"@253RSD!ON;FF")
    (reply,) = twin.hear(0, b"@253TEM?;FF")
    assert reply.data == b"@253ACK2.25E+1;FF"


def test_a_broken_sensor_shows_in_its_state_only(twin, ask):
    twin.fail(Status.PIRANI)
    assert ask(twin, b"@253T?;FF") == b"@253ACKM;FF"
    assert ask(twin, b"@253PR4?;FF") == b"@253ACK7.600E+2;FF"
    twin.fail(Status.OK)
    assert ask(twin, b"@253T?;FF") == b"@253ACKO;FF"


def test_characters_may_come_one_by_one_and_behind_noise(twin, ask):
    pieces = [bytes((byte,)) for byte in b"x@253P@253PR1?;FF"]
    assert b"".join(ask(twin, piece) for piece in pieces) == b"@253ACK7.60E+2;FF"


@pytest.mark.parametrize(
    "line", [b"@252PR1?;FF", b"@25PR1?;FF", b"253PR1?;FF", b"@253pr1?;FF", b"@253PR1?\r", b";FF", b"@;FF"]
)
def test_other_addresses_and_garbage_are_silent(twin, ask, line):
    assert ask(twin, line) == b""


def test_refusing_is_a_nak(twin, ask):
    twin.refuse(180)
    assert ask(twin, b"@253PR1?;FF") == b"@253NAK180;FF"
    twin.refuse(None)
    assert ask(twin, b"@253PR1?;FF") == b"@253ACK7.60E+2;FF"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=heard(b"@253PR4?;FF", b"@254U!PASCAL;FF", b"@253AD!12;FF", b"@253XX?;FF", b"@255TEM?;FF"))
def test_whatever_it_hears_it_says_acks_and_naks(make, pieces):
    for data in said(make(Mks900, "mks-900", unit=253), pieces):
        assert re.fullmatch(rb"@\d{3}(ACK[ -~]+|NAK\d{3});FF", data)
