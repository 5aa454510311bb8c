import json
import os
import signal
import struct
import subprocess
import sys
import time

import pytest
import serial

from firmware_sim.faults import KINDS
from firmware_sim.trace import read_trace
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
    assert (out, len(answer)) == ("", 9)
    assert "2 transducers of iss are emulated" in talk
    trace = read_trace(record)
    assert [each.talker for each in trace.records][:2] == ["host", "unit 1"]
    assert trace.hash() in talk
    assert not os.path.lexists(ports["b"])


def test_it_ends_with_its_input(rig_file):
    with start(rig_file, "--until-input-ends", stdin=subprocess.PIPE) as process:
        ports = [process.stdout.readline().split() for _ in range(2)]
        out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")
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
        (["--leak", "s@1,20Pa/s"], 'leak "s@1,20Pa/s": needs a unit'),
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


def test_a_leak_shows_in_the_answers(rig_file):
    with start(rig_file, "--json", "--leak", "s@0s,10kPa/s", "--until-input-ends", stdin=subprocess.PIPE) as process:
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
