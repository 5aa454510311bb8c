"""`manovac scan` as a user meets it, on ptys and TCP ports of this machine."""

import json
import re

import pytest

from drivers.rig_source import load_rig
from firmware_sim.testing import emulator
from tests.commands import BENCH, call

__all__ = ["emulator"]

ISS = BENCH.with_name("iss.toml")


def test_a_serial_port_with_two_families(capsys, emulator):
    port = emulator(load_rig(BENCH)).ports["rs485"]
    code, out, err = call(capsys, "scan", port, "--units", "1,2,10-11", "--baud", "9600")
    assert code == 0
    rows = [line.split()[:5] for line in out.splitlines()]
    assert rows == [
        ["9600", "8N1", "unit", "1", "keller-33x"],
        ["9600", "8N1", "unit", "2", "keller-33x"],
        ["9600", "8N1", "unit", "10", "waveshare-8ch"],
    ]
    assert f"{port}: asking 4 units at 9600 baud, 8N1; takes up to " in err
    assert "9600 8N1  3 found, " in err


def test_the_wrong_baud_is_silence_with_advice(capsys, emulator):
    port = emulator(load_rig(BENCH)).ports["rs485"]
    code, out, err = call(capsys, "scan", port, "--units", "1", "--baud", "19200")
    assert (code, out) == (1, "")
    assert "nobody found" in err
    assert "wiring (A/B swapped?), power, unit, or another baud and format" in err


def test_garbage_is_shown(capsys, emulator):
    port = emulator(load_rig(BENCH), faults=["noise:*,before=9", "crc:*"]).ports["rs485"]
    code, _, err = call(capsys, "scan", port, "--units", "1", "--baud", "9600")
    assert code == 1
    assert re.search(r"times bytes came in which no checksum is right: ([0-9a-f]{2} )+", err)
    assert "look at baud, parity, noise, two units at one address" in err


def test_who_answers_for_others_is_named(capsys, emulator):
    port = emulator(load_rig(BENCH), faults=["foreign:cabin_p1,unit=77"]).ports["rs485"]
    code, _, err = call(capsys, "scan", port, "--units", "1", "--baud", "9600")
    assert code == 1
    assert "answers came from unit 77, not from whom was asked: another program on this line?" in err


def test_tcp_ports_of_three_kinds_for_machines(capsys, emulator):
    ports = emulator(load_rig(ISS)).ports
    code, out, err = call(capsys, "scan", ports["node1"], "--units", "19,20,21", "--json")
    assert (code, err) == (0, "")
    (row,) = [json.loads(line) for line in out.splitlines()]
    assert (row["unit"], row["model"], row["baud"]) == (20, "waveshare-8ch", None)
    code, out, _ = call(
        capsys, "scan", ports["fgb"], "--kind", "rtu-over-tcp", "--baud", "19200", "--units", "7-8", "--json"
    )
    assert [(json.loads(line)["unit"], json.loads(line)["model"]) for line in out.splitlines()] == [(7, "keller-33x")]
    code, out, err = call(capsys, "scan", ports["reference"], "--kind", "line-over-tcp", "--units", "0-1")
    assert "unit   0  vaisala-ptb330" in out
    assert re.search(r"times text came that answers none: '.*Unknown command", err), "text is shown as text"
    code, out, _ = call(capsys, "scan", ports["quartz"], "--kind", "line-over-tcp", "--baud", "19200", "--units", "1-3")
    assert [line.split()[4] for line in out.splitlines()] == ["paroscientific-6000"] * 2


def test_a_bus_of_the_rig_file_is_asked_with_its_own_setting(capsys, emulator, tmp_path):
    port = emulator(load_rig(BENCH)).ports["rs485"]
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text().replace("/dev/serial/by-id/usb-FTDI_FT232R_USB_UART_A50285BI-if00-port0", port))
    code, out, err = call(capsys, "scan", "rs485", rig, "--units", "4")
    assert code == 0
    assert out.startswith("9600 8N1  unit   4  keller-33x")
    assert "asking 1 unit at 9600 baud, 8N1" in err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["rs485"], "'rs485' is no port: write /dev/..., HOST:PORT, or a bus and the rig file"),
        (["rs48", BENCH], "has no bus 'rs48', did you mean 'rs485'?"),
        (["zzz", BENCH], "has no bus 'zzz'; it has rs485"),
        (["rs485", "nope.toml"], "nope.toml: error: no such file"),
        (["rs485", BENCH, "--kind", "modbus-tcp"], "--kind goes with HOST:PORT"),
        (["/dev/x", "--kind", "modbus-tcp"], "--kind goes with HOST:PORT"),
        (
            ["host:1", "--kind", "foo"],
            "--kind foo: must be one of modbus-tcp, rtu-over-tcp, line-over-tcp, line-over-udp",
        ),
        (["host:1", "--baud", "9600"], "--baud and --format mean nothing on modbus-tcp"),
        (["host:1", "--kind", "line-over-udp", "--format", "7E1"], "mean nothing on line-over-udp"),
        (["host:99999"], "'host:99999': write HOST:PORT with a port between 1 and 65535"),
        (["host:x"], "'host:x': write HOST:PORT"),
        (["/dev/x", "--baud", "9600,abc"], "--baud 9600,abc: 'abc' is neither a speed such as 9600 nor a span"),
        (["/dev/x", "--units", "x"], "--units x: 'x' is neither a number nor a span such as 1-32"),
        (["/dev/x", "--units", "5-1"], "--units 5-1: must rise and lie between 0 and 255"),
        (["/dev/x", "--units", "1-300"], "--units 1-300: must rise and lie between 0 and 255"),
        (["/dev/x", "--units", ""], "neither a number nor a span"),
        (["/dev/x", "--baud", "9600,,1"], "--baud 9600,,1: '' is neither"),
        (["/dev/x", "--baud", "1"], "must rise and lie between 300 and 4000000"),
        (["/dev/x", "--format", "8N1,9X9"], "'9X9' is not data bits, parity and stop bits, such as 8N1"),
        (["/dev/x", "--timeout", "3"], '--timeout 3: needs a unit: write "3 s" or "3 ms"'),
        (["/dev/x", "--timeout", "0 ms"], "--timeout 0 ms: must be greater than zero"),
        ([], "Missing argument 'BUS'"),
    ],
)
def test_usage_errors(capsys, words, complaint):
    code, out, err = call(capsys, "scan", *words)
    assert (code, out) == (2, "")
    assert complaint in err


@pytest.mark.parametrize(
    ("port", "complaint"),
    [
        ("/dev/no-such-port", "manovac: /dev/no-such-port: no such port; `manovac ports` lists those that exist"),
        ("127.0.0.1:1", "manovac: 127.0.0.1:1: connection refused"),
        ("a..b:1", "manovac: a..b:1 is no address"),
    ],
)
def test_a_port_that_cannot_be_opened(capsys, port, complaint):
    code, out, err = call(capsys, "scan", port)
    assert (code, out) == (1, "")
    assert complaint in err
