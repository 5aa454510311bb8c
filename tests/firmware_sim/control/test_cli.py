"""`manovac sim` and `manovac emulate --control` as their users start them."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import serial

from firmware_sim.control.cli import USAGES
from firmware_sim.control.client import ControlClient
from firmware_sim.control.control import VERBS
from tests.commands import BENCH, call, ended_by, started
from tests.firmware_sim.devices import framed

INITIALISE = framed([1, 48], order="big")  # F48 of the KELLER bus


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A bench that is emulated with control on a unix socket; yields (its address, its ports)."""
    folder = tmp_path_factory.mktemp("bench")
    address = str(folder / "bench.sock")
    with started(folder, "emulate", BENCH, "--json", "--control", address) as process:
        told = json.loads(process.stdout.readline())
        assert told["control"] == address
        yield address, told["ports"]
        ended_by(process, signal.SIGINT)


@pytest.fixture
def sim(bench, capsys):
    """Call `manovac sim` with that address."""
    return lambda *words: call(capsys, "sim", "--control", bench[0], *words)


def test_a_session_over_a_unix_socket_with_the_command_as_a_process(bench):
    address, ports = bench
    surroundings = {**os.environ, "MANOVAC_CONTROL": address}
    assert stat.S_IMODE(Path(address).stat().st_mode) == 0o600

    def run(*words):
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "sim", *words]
        return subprocess.run(command, env=surroundings, capture_output=True, text=True, check=False)

    with serial.Serial(ports["rs485"], 9600, timeout=5) as line:
        line.write(INITIALISE)
        before = line.read(10)
        paused = run("pause")
        line.timeout = 0.2
        line.write(INITIALISE)
        silent = line.read(10)
        stepped = run("step", "1 s", "--json")
        line.timeout = 5
        after = line.read(10)
    resumed = run("resume")
    assert [done.returncode for done in (paused, stepped, resumed)] == [0, 0, 0]
    assert (before[:2], silent, after[:2]) == (b"\x01\x30", b"", b"\x01\x30")
    assert json.loads(stepped.stdout)["span_s"] == 1.0
    assert (paused.stderr, paused.stdout.split()[0]) == ("", "at")


def test_events_over_tcp_with_the_command_as_a_process(tmp_path):
    with started(tmp_path, "emulate", BENCH, "--json", "--control", "127.0.0.1:0") as process:
        address = json.loads(process.stdout.readline())["control"]
        watching = started(tmp_path, "sim", "--control", address, "events", "mark", "--number", 2, "--json")
        with ControlClient(address) as client, watching as watcher:
            while watcher.poll() is None:  # it hears nothing of what was before it subscribed
                client.call("mark", text="look")
                client.call("pause")
                time.sleep(0.02)
            out, err = watcher.communicate()
        ended = ended_by(process, signal.SIGTERM)
    events = [json.loads(line) for line in out.splitlines()]
    assert [(event["event"], event["text"]) for event in events] == [("mark", "look")] * 2
    assert (watcher.returncode, err) == (0, "")
    assert (ended.code, f"controlled by: manovac sim --control {address}" in ended.err) == (0, False)  # said in JSON


def test_status_faults_and_truth_are_tables(sim):
    status = sim("status").out
    assert status.splitlines()[0].startswith("bench at ")
    assert [line.split()[0] for line in status.splitlines()[5:]] == [
        *("transducer", "cabin_p1", "cabin_p2", "airlock_p1", "tank_p1", "airlock_p2", "tank_p2")
    ]
    assert sim("faults").out == "no faults\n"
    number, fault, state, struck = sim("inject", "late:cabin_p1@#3").out.splitlines()[1].split()
    assert (fault, state, struck) == ("late:cabin_p1@#3", "lasts", "0")
    assert sim("faults").out.splitlines()[1].split() == [number, fault, state, struck]
    assert sim("clear", number).out == f"cleared: {number}\n"
    assert sim("clear", "all").out == "cleared: nothing\n"


def test_setting_and_getting(sim):
    assert sim("set", "segment.tank.pressure=90 kPa").out == "90000 Pa\n"
    assert sim("get", "segment.tank.pressure").out.endswith(" Pa\n")
    assert sim("set", "transducer.tank_p1.offset=-12 Pa").out == "-12 Pa\n"
    rows = [line.split() for line in sim("get", "transducer").out.splitlines()]
    assert rows[0] == ["transducer", "segment", "offset", "Pa", "drift", "Pa/s", "stuck"]
    assert ["tank_p1", "tank", "-12", "0", "no"] in rows
    assert sim("get", "opening").out == "no opening\n"
    assert sim("do", "leak", "segment=tank", "rate=1 g/h").code == 0
    assert sim("do", "hatch", "between=airlock--tank", "state=open").code == 0
    assert sim("get", "hatch.airlock--tank.state").out == "open\n"
    assert sim("get", "segment.tank").out.splitlines()[3].split() == ["volume", "0.08", "m3"]
    everything = sim("get").out
    assert all(f"\n\n{kind}" in f"\n\n{everything}" for kind in ("segment", "hatch", "opening", "no machine"))
    machines = json.loads(sim("get", "--json").out)
    assert list(machines["opening"]) == ["tank"]


def test_time_and_snapshots(sim):
    assert sim("snapshot", "a").out.startswith("name a  at ")
    assert sim("speed", "10").out.startswith("speed 10  at ")
    assert sim("speed", "1").code == 0
    assert sim("restore", "a").code == 0
    assert "snapshot a of " in sim("status").out
    assert sim("reboot", "cabin_p2").out.startswith("bus rs485  unit 2  at ")
    assert sim("mark", "pump on").code == 0


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["stats"], 2, "no verb 'stats', did you mean 'status'? (known: status, get"),
        (["reboot", "cabin_p9"], 2, "no transducer 'cabin_p9', did you mean 'cabin_p2'?"),
        (["set", "segment.tank.presure=90 kPa"], 2, "no quantity of segment tank 'presure', did you mean 'pressure'?"),
        (["set", "segment.tank.pressure"], 2, "'segment.tank.pressure' is not NAME=VALUE"),
        (["set", "segment.tank.pressure=21 C"], 2, "'C' is a unit of temperature, not of pressure"),
        (["set"], 2, "write: manovac sim set PATH=VALUE"),
        (["pause", "now"], 2, "write: manovac sim pause\n"),
        (["do", "hole", "segment=tank", "diameter"], 2, "'diameter' is not NAME=VALUE"),
        (["do", "hole", "segment=tnk", "diameter=1 mm"], 2, "no segment 'tnk' in the rig, did you mean 'tank'?"),
        (["clear", "one"], 2, "'one' is not a fault's number, or all"),
        (["speed", "fast"], 2, "'fast' is not a number, such as 10 or 0.5"),
        (["step", "1"], 2, 'needs a unit: write "1 s"'),
        (["events", "marks"], 2, "no kind of event 'marks', did you mean 'mark'?"),
        (["--control", "10.0.0.1:5000", "status"], 2, "this machine only"),
        (["--control", "/nowhere/x", "status"], 1, "nobody listens at /nowhere/x (No such file or directory)"),
        (["--control", "", "status"], 2, "which emulator? start one with `manovac emulate RIG --control ADDRESS`"),
    ],
)
def test_mistakes_say_what_is_wrong_and_what_to_do(sim, words, code, complaint):
    called = sim(*words)
    assert (called.code, called.out) == (code, "")
    assert complaint in called.err


def test_every_verb_can_be_called_and_help_names_it(capsys):
    assert set(USAGES) == {*VERBS, "events"}
    helped = call(capsys, "sim", "--help").out
    assert all(verb in helped for verb in USAGES)


@pytest.mark.parametrize(
    ("address", "code", "complaint"),
    [
        ("0.0.0.0:5000", 2, "this machine only"),
        (str(BENCH), 2, "exists and is no socket"),
        ("/nowhere/x.sock", 1, "No such file or directory: /nowhere/x.sock"),
    ],
)
def test_the_emulator_says_where_it_cannot_be_controlled(capsys, address, code, complaint):
    called = call(capsys, "emulate", BENCH, "--control", address)
    assert called.code == code
    assert complaint in called.err


def test_people_are_told_how_to_control_it(capsys, tmp_path):
    called = call(capsys, "emulate", BENCH, "--control", tmp_path / "b", "--duration", "1 ms")
    assert called.code == 0
    assert f"controlled by: manovac sim --control {tmp_path / 'b'} status" in called.err
