"""`manovac read` as a user meets it."""

import json
import signal

import pytest

from tests.commands import BENCH, call, ended_by, of_folder, started

MAP_8E1 = """
[station]
id = "a"
gateway = "b"
[segment.s]
[bus.b]
kind = "serial"
port = "/dev/none"
baud = 19200
format = "8E1"
[transducer.p1]
model = "modbus-map"
bus = "b"
segment = "s"
map = { pressure = { address = 0, unit = "Pa" } }
"""


def test_a_value_that_stands_still_is_no_fault_of_the_line_and_read_says_so(capsys):
    err = call(capsys, "read", "airlock_p2", BENCH, "-n", 3, "--interval", "50 ms", "--emulated").err
    assert " late" in err
    assert "repeat (a repeat is equal to the answer before it and so proves nothing" in err
    assert "no fault of the line" in err


def test_it_shows_values_frames_identity_and_statistics(capsys):
    code, out, err = call(capsys, "read", "cabin_p1", BENCH, "-n", 2, "--interval", "50 ms", "--emulated")
    assert code == 0, err
    lines = out.splitlines()
    assert len(lines) == 2
    assert all(" kPa good (raw " in line and "; temperature 2" in line and " C good (raw " in line for line in lines)
    assert "  -> 01 30 34 00" in err
    assert "  <- 01 30 05 14" in err
    assert err.count("cabin_p1 is KELLER 5.20, firmware 12.28, serial number ") == 1
    assert "replies" in err.splitlines()[-1]
    assert "round trip mean" in err.splitlines()[-1]


def test_for_machines(capsys):
    code, out, err = call(capsys, "read", "airlock_p2", BENCH, "-n", 1, "--emulated", "--json")
    assert (code, err) == (0, "")
    poll = json.loads(out)
    assert set(poll) == {"t", "identity", "serial_number", "readings", "frames"}
    assert list(poll["readings"]) == ["pressure"]
    assert poll["readings"]["pressure"]["unit"] == "Pa"
    assert {direction for direction, _ in poll["frames"]} == {"->", "<-"}


def test_a_bad_reading_is_a_failure_with_advice(capsys, tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text() + 'faults = ["silence:cabin_p1"]\n')
    code, out, err = call(capsys, "read", "cabin_p1", rig, "-n", 1, "--emulated")
    assert code == 1
    assert "pressure ---- bad, timeout; temperature ---- bad, timeout" in out
    assert "0 replies" in err
    assert "no byte came: check wiring (A/B swapped?), power, unit number 1" in err


def test_a_line_with_parity_can_be_emulated(capsys, tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text(MAP_8E1)
    code, out, err = call(capsys, "read", "p1", rig, "-n", 1, "--emulated")
    assert code == 0, err
    assert "kPa good" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["cabn_p1", BENCH], "has no transducer 'cabn_p1', did you mean 'cabin_p1'?"),
        (["zzz", BENCH], "has no transducer 'zzz'; it has cabin_p1, cabin_p2"),
        (["cabin_p1", BENCH, "--interval", "3"], '--interval 3: needs a unit: write "3 s" or "3 ms"'),
        (["cabin_p1", BENCH, "--interval", "0 s"], "--interval 0 s: must be greater than zero"),
        (["cabin_p1", BENCH, "--interval", "3 Pa"], "--interval 3 Pa: 'Pa' is a unit of pressure, not of time"),
        (["cabin_p1", BENCH, "-n", "0"], "Invalid value for '-n'"),
        (["cabin_p1", "nope.toml"], "nope.toml: error: no such file"),
        (["cabin_p1"], "which rig file? write `manovac read cabin_p1 RIG`"),
        ([], "Missing argument 'TRANSDUCER'"),
    ],
)
def test_usage_errors(capsys, tmp_path, monkeypatch, words, complaint):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, "read", *words)
    assert (code, out) == (2, "")
    assert complaint in err


def test_the_rig_file_of_this_folder_is_the_usual_one(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rig.toml").write_text(BENCH.read_text())
    code, _, err = call(capsys, "read", "zzz")
    assert code == 2
    assert "rig.toml has no transducer 'zzz'" in err


def test_a_port_that_does_not_exist(capsys):
    code, out, err = call(capsys, "read", "cabin_p1", BENCH)
    assert (code, out) == (1, "")
    assert err.startswith("manovac: bus rs485: /dev/serial/by-id/usb-FTDI")
    assert "no such port; `manovac ports` lists those that exist" in err


def test_ctrl_c_still_shows_the_statistics_and_leaves_nothing(tmp_path):
    with started(tmp_path, "read", "cabin_p1", BENCH, "-n", 1000, "--emulated") as process:
        assert "good" in process.stdout.readline()
        code, _, err = ended_by(process, signal.SIGINT)
    assert code == 130
    assert "attempts, " in err
    assert list(tmp_path.iterdir()) == []
    assert of_folder(tmp_path) == []
