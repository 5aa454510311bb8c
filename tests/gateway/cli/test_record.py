"""`manovac record`, and `--record` of `run` and `read`, as a user meets them."""

import os
import signal
import time
import tty

import pytest

from drivers.trace.records import View, read_trace
from tests.commands import BENCH, call, ended_by, started
from tests.drivers.trace.said import answer, ask


def test_a_rig_is_polled_and_recorded_with_its_header(capsys, tmp_path):
    to = tmp_path / "bench.jsonl"
    code, out, err = call(capsys, "record", BENCH, "--to", to, "--duration", "1500 ms", "--emulated")
    assert (code, out) == (0, ""), err
    trace = read_trace(to)
    assert f"{to}: {trace.count} records" in err
    assert trace.header.view is View.HOST
    assert {name: (bus.baud, bus.format) for name, bus in trace.header.buses.items()} == {"rs485": (9600, "8N1")}
    assert len(trace.header.rig) == 64
    assert {each.talker for each in trace.records} == {"host", "line"}
    assert {each.data[0] for each in trace.records} == {1, 2, 3, 4, 10}


@pytest.mark.parametrize("words", [("run", BENCH, "--once"), ("read", "cabin_p1", BENCH, "-n", 1)])
def test_run_and_read_record_what_they_poll(capsys, tmp_path, words):
    to = tmp_path / "polled.jsonl"
    code, _, err = call(capsys, *words, "--record", to, "--emulated")
    assert code == 0, err
    said = [each.data for each in read_trace(to).records if each.talker == "host"]
    assert b"\1\x30\x34\0" in said
    assert {each[0] for each in said} == ({1} if words[0] == "read" else {1, 2, 3, 4, 10})


def test_a_listener_sends_nothing_and_tells_who_talks(tmp_path):
    terminal, device = os.openpty()
    tty.setraw(device)
    to = tmp_path / "heard.jsonl"
    words = ("record", "--listen", os.ttyname(device), "--baud", 19200, "--to", to)
    with started(tmp_path, *words) as process:
        while to.read_bytes().count(b"\n") < 4 if to.exists() else True:  # a header and three frames
            os.write(terminal, ask(1) + answer(1, 1, 2, 3, 4))
            time.sleep(0.05)
        ended = ended_by(process, signal.SIGINT)
    os.set_blocking(terminal, False)
    with pytest.raises(BlockingIOError):
        os.read(terminal, 1)
    os.close(terminal)
    os.close(device)
    assert ended.code == 0, ended.err
    assert "listening at" in ended.err
    trace = read_trace(to)
    assert (trace.header.view, trace.header.buses["line"].baud) == (View.LISTENER, 19200)
    assert [each.talker for each in trace.records][:2] == ["host", "unit 1"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "write either RIG, to poll its buses, or --listen PORT"),
        ((BENCH, "--listen", "/dev/ttyUSB0"), "write either RIG, to poll its buses, or --listen PORT"),
        (("--listen", "/dev/ttyUSB0", "--bus", "b"), "--bus goes with RIG"),
        (("--listen", "ttyUSB0"), "--listen ttyUSB0: write a serial port, such as /dev/ttyUSB0"),
        (("--listen", "/dev/ttyUSB0", "--format", "9X1"), "--format 9X1: not data bits, parity and stop bits"),
        ((BENCH, "--bus", "rs458"), "has no bus 'rs458', did you mean 'rs485'?"),
        ((BENCH, "--duration", "5"), "--duration 5: needs a unit"),
    ],
)
def test_usage_errors_say_what_to_write(capsys, tmp_path, words, complaint):
    code, out, err = call(capsys, "record", *words, "--to", tmp_path / "t.jsonl")
    assert (code, out) == (2, "")
    assert complaint in err
    assert not (tmp_path / "t.jsonl").exists()


def test_a_file_that_cannot_be_written_and_a_bus_that_never_opens_are_failures(capsys, tmp_path):
    nowhere = tmp_path / "none" / "t.jsonl"
    code, _, err = call(capsys, "record", BENCH, "--to", nowhere, "--duration", "1s")
    assert (code, err) == (1, f"manovac: cannot record to {nowhere}: No such file or directory\n")
    code, _, err = call(capsys, "record", BENCH, "--to", tmp_path / "t.jsonl", "--duration", "300 ms")
    assert code == 1
    assert "bus rs485 was never open: " in err
    code, _, err = call(capsys, "run", BENCH, "--once", "--record", nowhere)
    assert (code, err) == (1, f"manovac: cannot record to {nowhere}: No such file or directory\n")
    code, _, err = call(capsys, "run", BENCH, "--dry-run", "--record", nowhere)
    assert (code, "exclude each other" in err) == (2, True)


def test_a_listener_says_that_its_port_is_not_there(capsys, tmp_path):
    code, _, err = call(
        capsys, "record", "--listen", "/dev/no-such-port", "--to", tmp_path / "t.jsonl", "--duration", "300 ms"
    )
    assert code == 1
    assert err.count("not listening: /dev/no-such-port: no such port") == 1
    assert "(tried again until it is back)" in err


def test_a_rig_file_is_never_overwritten(capsys, tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_bytes(BENCH.read_bytes())
    code, _, err = call(capsys, "record", rig, "--to", rig, "--duration", "1s")
    assert (code, err) == (1, f"manovac: {rig} exists and is no trace: it is not overwritten, choose another name\n")
    assert rig.read_bytes() == BENCH.read_bytes()
