"""`manovac trace show` and `manovac trace diff` as a user meets them."""

import json

import pytest

from drivers.trace.records import write_trace
from tests.commands import call
from tests.drivers.trace.said import answer, ask, trace

SAID = (
    (0, "host", ask(1)),
    (20, "unit 1", answer(1, 7, 0, 1, 1)),
    (100, "host", ask(1)),
    (120, "unit 1", answer(1, 7, 0, 2, 2), "crc"),
)
OTHER = (
    (0, "host", ask(1)),
    (30, "unit 1", answer(1, 9, 0, 1, 1)),
    (100, "host", ask(1)),
    (130, "unit 1", answer(1, 9, 0, 2, 2)),
    (200, "host", ask(3)),
    (900, "host", ask(1)),
    (930, "unit 1", answer(1, 9, 0, 2, 2)),
)


@pytest.fixture
def file(tmp_path):
    def write(name, *said, **words):
        path = tmp_path / f"{name}.jsonl"
        write_trace(path, trace(*said, **words))
        return path

    return write


def test_show_says_when_who_and_what(capsys, file):
    path = file("a", *SAID)
    code, out, err = call(capsys, "trace", "show", path)
    assert code == 0
    assert err == f"{path}: 4 records by test, view: line; b serial 9600 8N1\n"
    first, second, *_, last = out.splitlines()
    assert first.split()[:3] == ["0.000000", "b", "host"]
    assert "unit 1 read 2 holding registers at 0" in first
    assert "+11.67 ms" in second
    assert last.endswith("unit 1 holding registers: 0700 0202  (crc)")


def test_show_for_machines_and_of_one_bus(capsys, file):
    path = file("a", (5, "host", b"\0\1\0\0\0\6\7\3\0\0\0\2"), kind="modbus-tcp")
    code, out, err = call(capsys, "trace", "show", path, "--json", "--bus", "b")
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "t_s": 0.005,
        "silence_s": None,
        "bus": "b",
        "talker": "host",
        "hex": "00 01 00 00 00 06 07 03 00 00 00 02",
        "means": "unit 7 read 2 holding registers at 0",
        "note": "",
    }
    code, _, err = call(capsys, "trace", "show", path, "--bus", "c")
    assert (code, err) == (2, f"manovac: {path} has no bus 'c'; it has b\n")


def test_show_reads_a_file_without_header_and_diff_refuses_it(capsys, tmp_path):
    path = tmp_path / "old.jsonl"
    path.write_bytes(trace(*SAID).records[0].line())
    code, out, err = call(capsys, "trace", "show", path)
    assert (code, len(out.splitlines())) == (0, 1)
    assert "no header: kind, baud and format of its buses are unknown" in err
    code, _, err = call(capsys, "trace", "diff", path, path)
    assert code == 2
    assert f"{path}:1: no header" in err


def test_an_empty_file_is_no_trace(capsys, tmp_path):
    (tmp_path / "empty.jsonl").touch()
    code, out, err = call(capsys, "trace", "show", tmp_path / "empty.jsonl")
    assert (code, out) == (2, "")
    assert "is no trace: there is nothing in it" in err


def test_diff_of_equal_lines_is_zero(capsys, file):
    a = file("a", *SAID)
    code, out, err = call(capsys, "trace", "diff", a, a)
    assert (code, err) == (0, "equal within the limits\n")
    rows = {line[:24].strip(): line[24:].split() for line in out.splitlines() if line.startswith("  ")}
    assert rows["questions asked"] == ["2", "2", "+0"]
    assert rows["latency median, ms"] == ["11.667", "11.667", "+0.000"]
    assert "noted in A: crc 1 x" in out


def test_diff_marks_bytes_and_names_what_is_beyond_the_limits(capsys, file):
    code, out, err = call(capsys, "trace", "diff", file("a", *SAID), file("b", *OTHER))
    assert (code, err) == (3, "they differ\n")
    assert "b: DIFFERS" in out
    assert "! 0 questions only in A, 1 only in B" in out
    assert "A  01 03 04 [07] 00 02 02" in out
    assert "B  01 03 04 [09] 00 02 02" in out
    assert "! bytes differ at 3" in out
    assert "! median latency: 11.67 ms in A, 21.67 ms in B" in out
    assert "unit 3 read 2 holding registers at 0\n    A  never asked\n    B  no answer   1 x, 1 unanswered" in out


def test_diff_within_wider_limits_is_equal_and_has_json(capsys, file):
    limits = ("--bytes", 3, "--latency", "11 ms", "--tail", "11 ms", "--questions", 1, "--unanswered", 0)
    code, out, err = call(capsys, "trace", "diff", file("a", *SAID), file("b", *OTHER), *limits, "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert told["equal"] is True
    assert told["limits"]["latency_s"] == pytest.approx(0.011)
    (bus,) = told["buses"]
    assert (bus["bus"], bus["equal"], bus["findings"]) == ("b", True, [])
    assert bus["questions"][0]["places"] == [3]
    assert bus["questions"][0]["b"]["asked"] == 3
    assert bus["questions"][1]["a"] is None


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("diff", "{a}", "{a}", "--latency", "5"), 2, "--latency 5: needs a unit"),
        (("diff", "{a}", "/none.jsonl"), 1, "cannot read /none.jsonl: No such file or directory"),
        (("diff", "{a}", "{silent}"), 2, "silent.jsonl: nothing was said, so there is nothing to compare"),
        (("show", "{bad}"), 2, "bad.jsonl:1: not a trace record"),
    ],
)
def test_errors_say_what_and_where(capsys, file, tmp_path, words, code, complaint):
    bad = tmp_path / "bad.jsonl"
    bad.write_text("what?\n")
    names = {"a": file("a", *SAID), "silent": file("silent"), "bad": bad}
    called = call(capsys, "trace", *(word.format(**names) for word in words))
    assert (called.code, called.out) == (code, "")
    assert complaint in called.err
