import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import serial

from drivers.trace.records import read_trace
from firmware_sim.fault_kinds import KINDS
from tests.firmware_sim.devices import rtu

RIG = """
[station]
id = "iss"
gateway = "pi"
[segment.s]
[bus.b]
kind = "serial"
port = "/dev/none"
baud = 19200
[bus.net]
kind = "modbus-tcp"
port = "10.0.0.1:502"
[transducer.p1]
model = "modbus-map"
bus = "b"
segment = "s"
map = { pressure = { address = 0, unit = "Pa" } }
[transducer.p2]
model = "modbus-map"
bus = "net"
segment = "s"
map = { pressure = { address = 0, unit = "Pa" } }
"""


@pytest.fixture
def rig_file(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(RIG)
    return path


def start(*words, **more):
    return subprocess.Popen(
        [sys.executable, "-c", "from gateway.cli import main; main()", "emulate", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def test_it_prints_ports_serves_them_records_and_ends_on_sigterm(rig_file, tmp_path):
    record = tmp_path / "run.jsonl"
    with start(rig_file, "--json", "--record", record, "--fault", "silence:p1@#2") as process:
        ports = json.loads(process.stdout.readline())["ports"]
        with serial.Serial(ports["b"], 19200, timeout=2) as port:
            port.write(rtu(1))
            answer = port.read(9)
        process.send_signal(signal.SIGTERM)
        out, talk = process.communicate(timeout=10)
    assert process.returncode == 0
    assert set(ports) == {"b", "net"}
    assert ports["net"].startswith("127.0.0.1:")
    assert len(answer) == 9
    line = json.loads(out)["lines"]["b"]
    assert (line["requests"], line["answers"], line["violations"], line["collisions"]) == (1, 1, 0, 0)
    assert line["busy_s"] == pytest.approx(17 * 10 / 19200)
    assert "2 transducers of iss are emulated" in talk
    trace = read_trace(record)
    assert [each.talker for each in trace.records][:2] == ["host", "unit 1"]
    assert trace.hash() in talk
    assert (trace.header.view, trace.header.seed, list(trace.header.buses)) == ("line", 1, ["b", "net"])
    assert trace.header.rig == hashlib.sha256(rig_file.read_bytes()).hexdigest()
    assert not os.path.lexists(ports["b"])


def test_it_ends_with_its_input(rig_file):
    with start(rig_file, "--until-input-ends", stdin=subprocess.PIPE) as process:
        ports = [process.stdout.readline().split() for _ in range(2)]
        out, talk = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")
    assert "b: 0 requests, 0 answers, 0 requests sooner than T3.5" in talk
    assert [bus for bus, _ in ports] == ["b", "net"]
    assert not os.path.lexists(ports[0][1])


def test_it_ends_after_its_duration(rig_file):
    with start(rig_file, "--duration", "50 ms", "--seed", 7) as process:
        _, talk = process.communicate(timeout=10)
    assert process.returncode == 0
    assert "for 0.05 s" in talk


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--fault", "late:p9"], "no transducer or bus 'p9'"),
        (["--fault", "lat:p1"], "did you mean 'late'"),
        (["--duration", "60"], "--duration 60: needs a unit"),
        (["--leak", "t@1s,20Pa/s"], 'leak "t@1s,20Pa/s": no segment'),
        (["--leak", "s@1,20Pa/s"], 'leak "s@1,20Pa/s": needs a unit: write "1 s" or "1 ms"'),
        (["--leak", "s"], 'leak "s": write SEGMENT@TIME,RATE or SEGMENT@TIME,DIAMETER; examples: prk@20s'),
        (["--leak", "s@1s"], 'leak "s@1s": write SEGMENT@TIME,RATE'),
        (["--leak", "s@1s,20Pa"], "'Pa' is a unit of pressure, not of pressure rate"),
        (["--leak", "s@1s,-2Pa/s"], "time, rate and diameter must not be negative"),
        (["--leak", "s@1s,-2mm"], "time, rate and diameter must not be negative"),
        (["--leak", "s@1s,2 kmm"], "unknown unit 'kmm'"),
        (["--leak", "s@-1s,2Pa/s"], "time, rate and diameter must not be negative"),
        (["--scenario", "ms09"], "no scenario 'ms09'"),
        (["--scenario", "ms09-hole-2018"], "event 1, crew: no segment 'zvezda' in the rig (known: s)"),
        (["--duration", "0 s"], "--duration 0 s: must be greater than zero"),
        (["--fault", "late:p1@10"], 'fault "late:p1@10": needs a unit: write "10 s" or "10 ms"'),
    ],
)
def test_usage_errors_exit_with_2_and_say_what(rig_file, words, complaint):
    with start(rig_file, *words) as process:
        out, talk = process.communicate(timeout=10)
    assert (process.returncode, out) == (2, "")
    assert complaint in talk
    assert "Traceback" not in talk


def test_a_bad_rig_file_exits_with_2(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text("[station]\n")
    with start(path) as process:
        _, talk = process.communicate(timeout=10)
    assert process.returncode == 2
    assert "rig.toml:" in talk


_HOLE = 'title = "t"\n[[event]]\nat = "0 s"\ndo = "hole"\nsegment = "s"\ndiameter = "30 cm"\n'


@pytest.mark.parametrize("words", [("--leak", "s@0s,10kPa/s"), ("--leak", "s@0s,300mm"), ("--scenario", "own.toml")])
def test_a_leak_shows_in_the_answers(rig_file, words):
    rig_file.with_name("own.toml").write_text(_HOLE)
    words = [str(rig_file.with_name(word)) if word == "own.toml" else word for word in words]
    with start(rig_file, "--json", *words, "--until-input-ends", stdin=subprocess.PIPE) as process:
        port = json.loads(process.stdout.readline())["ports"]["b"]
        with serial.Serial(port, 19200, timeout=2) as client:
            pressures = []
            for _ in range(2):
                client.write(rtu(1))
                pressures.append(struct.unpack(">f", client.read(9)[3:7])[0])
                time.sleep(0.1)
        process.communicate(timeout=10)
    assert pressures[1] < pressures[0] - 500


def test_help_names_every_kind_of_fault():
    with start("--help") as process:
        out, _ = process.communicate(timeout=10)
    assert all(f"{kind}:" in out for kind in KINDS)


def test_a_record_that_cannot_be_written_is_a_failure(rig_file, tmp_path):
    with start(rig_file, "--record", tmp_path / "none" / "run.jsonl") as process:
        out, talk = process.communicate(timeout=10)
    assert (process.returncode, out) == (1, "")
    assert talk.endswith(f"No such file or directory: {tmp_path / 'none' / 'run.jsonl'}\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_and_a_lost_terminal_leave_nothing_behind(rig_file, number):
    with start(rig_file, "--json") as process:
        port = json.loads(process.stdout.readline())["ports"]["b"]
        process.send_signal(number)
        process.communicate(timeout=10)
    assert process.returncode == 0
    assert not Path(port).parent.exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--serial", "b"), '--serial "b": write BUS=VALUE; example: aft=/dev/serial/by-id/usb-FTDI_...'),
        (("--serial", "b=/a", "--serial", "b=/b"), "bus b is already given as /a"),
    ],
)
def test_a_wrong_option_of_the_line_is_explained(rig_file, words, complaint):
    with start(rig_file, *words) as process:
        _, talk = process.communicate(timeout=20)
    assert process.returncode == 2
    assert complaint in talk


def test_an_adapter_that_is_not_there_ends_it(rig_file, tmp_path):
    with start(rig_file, "--serial", f"b={tmp_path / 'none'}") as process:
        _, talk = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "none: no such port; `manovac ports` lists those that exist" in talk
