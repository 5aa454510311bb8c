"""`manovac replay` as a user meets it."""

import json
import signal
import time

import pytest
import serial

from drivers.trace.records import read_trace, write_trace
from tests.commands import call, ended_by, started
from tests.drivers.trace.said import answer, ask, trace

REPLY = answer(1, 1, 2, 3, 4)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "line.jsonl"
    write_trace(path, trace((0, "host", ask(1)), (20, "unit 1", REPLY)))
    return path


def test_it_serves_the_record_on_a_pty_and_tells_what_was_asked(file, tmp_path):
    again = tmp_path / "again.jsonl"
    with started(tmp_path, "replay", file, "--record", again) as process:
        bus, port = process.stdout.readline().split()
        with serial.Serial(port, 9600, timeout=2) as client:
            client.write(ask(1))
            assert client.read(len(REPLY)) == REPLY
            time.sleep(0.01)  # more than T3.5
            client.timeout = 0.1
            client.write(ask(5))
            assert client.read(1) == b""
        code, out, err = ended_by(process, signal.SIGINT)
    assert (bus, code, out) == ("b", 0, "")
    assert f"{file} is replayed; Ctrl-C ends it" in err
    assert "b: 1 answered, 0 asked more often than recorded, 0 silent as in the record, 1 not in the record" in err
    assert f"  not in the record: {ask(5).hex(' ')}  1 x" in err
    assert [each.data for each in read_trace(again).records] == [ask(1), REPLY, ask(5)]
    assert read_trace(again).header.view == "line"


def test_for_machines(file, capsys):
    code, out, _ = call(capsys, "replay", file, "--json", "--duration", "50 ms")
    ports, lines, told = map(json.loads, out.splitlines())
    assert code == 0
    assert set(ports["ports"]) == set(lines["lines"]) == {"b"}
    counts = dict.fromkeys(("answered", "repeated", "silent", "unasked", "unknown_others"), 0)
    assert told == {"bus": "b", **counts, "unknown": {}}


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("{none}",), 1, "cannot replay {none}: No such file or directory: {none}"),
        (("{file}", "--duration", "5"), 2, "--duration 5: needs a unit"),
        (("{file}", "--fault", "late:b_9"), 2, "no transducer or bus 'b_9'"),
        (("{file}", "--speed", "0"), 2, "Invalid value for '--speed'"),
        (("{bad}",), 2, "bad.jsonl:1: not a trace record"),
        (("{file}", "--record", "{bad}"), 2, "{bad} exists and is no trace: it is not overwritten"),
        (("{file}", "--record", "{file}"), 2, "--record {file}: that is the file to read"),
    ],
)
def test_errors_say_what_and_where(file, tmp_path, capsys, words, code, complaint):
    bad = tmp_path / "bad.jsonl"
    bad.write_text("[]\n")
    names = {"file": file, "none": tmp_path / "none.jsonl", "bad": bad}
    before = file.read_bytes()
    called = call(capsys, "replay", *(word.format(**names) for word in words))
    assert (called.code, called.out) == (code, "")
    assert complaint.format(**names) in called.err
    assert file.read_bytes() == before
