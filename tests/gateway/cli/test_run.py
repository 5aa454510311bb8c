"""`manovac run` as a user meets it."""

import asyncio
import json
import re
import signal
import sqlite3
from contextlib import closing

import pytest

from gateway import cli
from tests.commands import BENCH, call, ended_by, of_folder, started

EMPTY = '[station]\nid = "a"\ngateway = "b"\n'


def read_until(stream, text):
    """Return the first line with that text; the test's own timeout is the limit."""
    for line in stream:
        if text in line:
            return line
    raise AssertionError(f"the command ended without saying {text!r}")


def test_once_shows_each_channel_in_the_units_of_its_segment(capsys):
    code, out, err = call(capsys, "run", BENCH, "--once", "--emulated")
    assert code == 0, err
    rows = [line.split() for line in out.splitlines()]
    assert [row[1] for row in rows][:3] == ["cabin_p1.pressure", "cabin_p1.temperature", "cabin_p2.pressure"]
    assert len(rows) == 10
    assert {row[3] for row in rows} == {"kPa", "C"}
    assert {row[4] for row in rows} == {"good"}
    assert err.split() == ["segment", "channel", "value", "quality", "reason"]


def test_once_for_machines_has_si_units_and_nothing_else_on_stdout(capsys):
    code, out, err = call(capsys, "run", BENCH, "--once", "--emulated", "--json")
    assert (code, err) == (0, "")
    first, second, *_ = [json.loads(line) for line in out.splitlines()]
    assert set(first) == {"t", "segment", "channel", "value", "unit", "quality", "reason", "raw"}
    assert (first["channel"], first["unit"], first["quality"], first["reason"]) == (
        "cabin_p1.pressure",
        "Pa",
        "good",
        None,
    )
    assert first["value"] == pytest.approx(101_300, abs=200)
    assert (second["unit"], second["value"]) == ("K", pytest.approx(294.15, abs=1))


def test_once_on_ports_that_do_not_exist_is_bad_and_says_why(capsys):
    code, out, err = call(capsys, "run", BENCH, "--once")
    assert code == 1
    assert [line.split()[-2:] for line in out.splitlines()] == [["bad", "bus_down"]] * 10
    assert "bus rs485 is down: /dev/serial/by-id/usb-FTDI" in err
    assert "no such port; `manovac ports` lists those that exist" in err
    assert "10 readings, 10 bad" in err


def test_once_with_one_silent_transducer_is_a_failure_that_harms_no_other(capsys, tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text() + 'faults = ["silence:cabin_p1"]\n')
    code, out, err = call(capsys, "run", rig, "--once", "--emulated")
    assert code == 1
    told = {line.split()[1]: line.split()[-1] for line in out.splitlines()}
    assert {name for name, last in told.items() if last == "timeout"} == {"cabin_p1.pressure", "cabin_p1.temperature"}
    assert list(told.values()).count("good") == 8
    assert "10 readings, 2 bad" in err


def test_dry_run_touches_nothing_and_shows_plan_and_load(capsys):
    code, out, err = call(capsys, "run", BENCH, "--dry-run")
    assert (code, err) == (0, "")
    assert "rs485: serial /dev/serial/by-id/" in out
    assert "% of the line used" in out
    assert out.count("unit ") == 5
    code, out, _ = call(capsys, "run", BENCH, "--dry-run", "--json")
    assert code == 0
    assert 0 < json.loads(out)["buses"]["rs485"]["fraction"] < 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["run", BENCH, "--once", "--dry-run"], "--once and --dry-run exclude each other"),
        (["run", BENCH, "--json"], "--json goes with --once or --dry-run"),
        (["run", "nope.toml"], "nope.toml: error: no such file"),
        (["run"], "Missing argument 'RIG'"),
        (["run", BENCH, "--twice"], "No such option: --twice"),
    ],
)
def test_usage_errors(capsys, words, complaint):
    code, out, err = call(capsys, *words)
    assert (code, out) == (2, "")
    assert complaint in err


def test_a_bug_that_ends_the_gateway_ends_the_process_with_a_code_that_systemd_starts_again(capsys, monkeypatch):
    async def run(self):
        async with asyncio.TaskGroup():
            raise ArithmeticError("a bug in the link")

    monkeypatch.setattr("gateway.app.Gateway.run", run)
    with pytest.raises(SystemExit) as ended:
        cli.main(["run", str(BENCH)])
    assert ended.value.code == 1
    assert "manovac: cannot go on; the lines above say why" in capsys.readouterr().err


@pytest.mark.parametrize("mode", [["--once"], ["--dry-run"], ["--emulated"], []])
def test_a_rig_without_transducers_is_refused(capsys, tmp_path, mode):
    rig = tmp_path / "rig.toml"
    rig.write_text(EMPTY)
    code, out, err = call(capsys, "run", rig, *mode)
    assert (code, out) == (2, "")
    assert "has no transducer" in err


def test_what_the_emulator_does_not_take_is_a_mistake_of_the_rig_file(capsys, tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text() + 'faults = ["lat:cabin_p1"]\n')
    code, out, err = call(capsys, "run", rig, "--once", "--emulated")
    assert (code, out) == (2, "")
    assert "unknown kind 'lat', did you mean 'late'?" in err


def test_a_password_that_is_not_there_is_a_mistake_of_usage(capsys, tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_PASSWORD", raising=False)
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text().replace("[mqtt]\n", '[mqtt]\npassword = { env = "NO_SUCH_PASSWORD" }\n'))
    code, _, err = call(capsys, "run", rig)
    assert code == 2
    assert "NO_SUCH_PASSWORD" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_without_a_broker_it_says_so_goes_on_and_ends_with_nothing_left(tmp_path, number):
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text().replace(":1883", ":1"))
    with started(tmp_path, "run", rig, "--emulated") as process:
        assert "6 transducers on 1 bus -> mqtt://127.0.0.1:1 manovac/v1/bench/#" in process.stderr.readline()
        line = process.stderr.readline()
        assert "WARNING MQTT: 127.0.0.1:1: cannot be reached: Connection refused (readings wait; next try in" in line
        assert process.poll() is None
        code, out, _ = ended_by(process, number, times=2)
    assert (code, out) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["rig.toml"]
    assert of_folder(tmp_path) == []


def test_what_is_emulated_has_a_journal_of_its_own_and_says_so(tmp_path):
    rig = tmp_path / "rig.toml"
    text = BENCH.read_text().replace(":1883", ":1")
    rig.write_text(f'{text}\n[journal]\npath = "{tmp_path}/bench.sqlite"\n')
    with started(tmp_path, "run", rig, "--emulated") as process:
        line = process.stderr.readline()
        assert line.startswith("bench, emulated: 6 transducers on 1 bus -> mqtt://127.0.0.1:1 ")
        assert f", journal {tmp_path}/bench-emulated.sqlite; Ctrl-C ends it" in line
        read_until(process.stderr, "6 of 6 transducers answer")
        assert ended_by(process, signal.SIGINT).code == 0
    assert not list(tmp_path.glob("bench.*")), "the journal of what is measured"
    with closing(sqlite3.connect(tmp_path / "bench-emulated.sqlite")) as journal:
        (batches,) = journal.execute("SELECT COUNT(*) FROM row").fetchone()
    assert batches > 0


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ("disk", r"INFO +MQTT: \d+ messages wait in {}/j-emulated.sqlite for the next start"),
        ("memory", r"WARNING MQTT: \d+ messages are lost, since no broker has taken them"),
    ],
)
def test_at_its_end_it_says_what_becomes_of_messages_that_no_broker_has_taken(tmp_path, keep, said):
    rig = tmp_path / "rig.toml"
    text = BENCH.read_text().replace(":1883", ":1")
    rig.write_text(f'{text}\n[journal]\nkeep = "{keep}"\npath = "{tmp_path}/j.sqlite"\n')
    with started(tmp_path, "run", rig, "--emulated") as process:
        read_until(process.stderr, "6 of 6 transducers answer")
        err = ended_by(process, signal.SIGINT).err
    assert re.search(said.format(tmp_path), err)
    assert "undelivered" not in err


def test_a_port_that_is_not_there_is_said_and_waited_for(tmp_path):
    with started(tmp_path, "run", BENCH) as process:
        line = read_until(process.stderr, "bus rs485 is down")
        assert "no such port" in line
        assert "tried again until it is back" in line
        assert process.poll() is None
        assert ended_by(process, signal.SIGINT).code == 0


def test_it_says_that_the_broker_is_reached_and_then_nothing(tmp_path, mosquitto):
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text().replace("mqtt://127.0.0.1:1883", mosquitto.url))
    with started(tmp_path, "run", rig, "--emulated") as process:
        process.stderr.readline()
        assert f"INFO    MQTT: connected to 127.0.0.1:{mosquitto.port}, MQTT 5" in process.stderr.readline()
        code, out, err = ended_by(process, signal.SIGINT)
    assert (code, out) == (0, "")
    assert "6 of 6 transducers answer" in err or err == ""
    assert err.count("\n") <= 1
