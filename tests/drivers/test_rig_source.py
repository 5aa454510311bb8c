"""A rig file with mistakes gets one clear message for each, where it is; a right one becomes a Rig."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rig import BusKind, HatchState
from drivers.rig_problems import RigError, Severity
from drivers.rig_source import check_file, check_rig, load_rig

GOOD = """\
[station]
id = "iss"
gateway = "pi1"

[segment.zvezda]
title = "Zvezda"
volume = "89 m3"
volume_uncertainty = "5 %"

[segment.prk]
volume = "6 m3"
[[hatch]]
between = ["zvezda", "prk"]
state = "open"

[bus.aft]
kind = "serial"
port = "/dev/serial/by-id/usb-1"
baud = 19200
timeout = "300 ms"

[transducer.p1]
model = "keller-33x"
bus = "aft"
unit = 1
segment = "zvezda"
poll = "1 s"
range = "0..160 kPa"
serial_number = 123456
calibration = { date = 2026-05-01, offset = "12 Pa", table = [["0 Pa", "1 Pa"], ["2 kPa", "2 kPa"]] }

[transducer.p2]
model = "keller-33x"
bus = "aft"
unit = 2
segment = "prk"
"""


def told(text: str) -> list[str]:
    return [f"{problem.line}:{problem.column} {problem.message}" for problem in check_rig(text, "rig.toml").problems]


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


def underlined(text: str) -> list[str]:
    lines = text.split("\n")
    return [
        lines[problem.line - 1][problem.column - 1 :][: problem.width]
        for problem in check_rig(text, "rig.toml").problems
    ]


def test_a_right_file_is_a_rig_in_si_units():
    checked = check_rig(GOOD, "rig.toml")
    assert checked.problems == ()
    rig = checked.rig
    assert rig.segments["zvezda"].volume == 89.0
    assert rig.segments["zvezda"].volume_uncertainty == pytest.approx(0.05)
    assert rig.hatches[0].state is HatchState.OPEN
    assert rig.buses["aft"].kind is BusKind.SERIAL
    assert rig.buses["aft"].timeout == pytest.approx(0.3)
    assert rig.transducers["p1"].range == (0.0, 160_000.0)
    assert rig.transducers["p1"].calibration.date.isoformat() == "2026-05-01"
    assert rig.transducers["p1"].calibration.table == ((0.0, 1.0), (2000.0, 2000.0))
    assert 0 < checked.lines["aft"].fraction < 0.1


@pytest.mark.parametrize(
    ("old", "new", "message", "at"),
    [
        ('"89 m3"', "89", '7:10 volume: needs a unit: write "89 m3"', "89"),
        ('"300 ms"', "300", '20:11 timeout: needs a unit: write "300 s" or "300 ms"', "300"),
        ('"5 %"', '"5 percent"', "8:22 volume_uncertainty: unknown unit 'percent' (known: %, ppm)", '"5 percent"'),
        ("19200", '"19200"', "19:8 baud: must be a number without quotes: write 19200", '"19200"'),
        ("19200", "1", "19:8 baud: must be at least 300", "1"),
        ("unit = 1", "unit = 1.0", "25:8 unit: must be a whole number", "1.0"),
        ("unit = 1", "unit = true", "25:8 unit: must be a whole number", "true"),
        ('"Zvezda"', "7", '6:9 title: must be a text: write "7"', "7"),
        ("123456", "1.5", '29:17 serial_number: must be a whole number or a text: write "1.5"', "1.5"),
        ('"iss"', '"ISS"', "2:6 id: ids have only small letters, digits, '-' and '_'", '"ISS"'),
        ('"open"', '"opened"', "14:9 state: must be 'open', 'closed' or 'unknown', did you mean 'open'?", '"opened"'),
        ('["zvezda", "prk"]', '["zvezda"]', "13:11 between: must have 2 elements", '["zvezda"]'),
        ('"0 Pa", "1 Pa"', '"0 Pa", 1', '30:72 table: needs a unit: write "1 Pa"', "1"),
        ("2026-05-01", '"May"', "30:24 date: must be a date, such as 2026-05-01", '"May"'),
        ("poll =", "pol =", "27:1 unknown key 'pol', did you mean 'poll'?", "pol"),
        ("offset =", "ofset =", "30:36 unknown key 'ofset', did you mean 'offset'?", "ofset"),
        ("[segment.prk]", "[segment.PrK]", "10:1 'PrK': ids have only small letters", "[segment.PrK]"),
        ("[[hatch]]", "[hatch]", "12:1 'hatch' must be a table", "[hatch]"),
        ("[station]", "[sation]", "1:1 unknown key 'sation', did you mean 'station'?", "[sation]"),
    ],
)
def test_a_wrong_key_or_value_gets_one_message_where_it_is(old, new, message, at):
    text = changed(old, new)
    first = next(index for index, each in enumerate(told(text)) if each.startswith(message))
    assert underlined(text)[first] == at
    # References to what is unusable may follow, but nothing else is said of the same line.
    line = message.split(":")[0]
    assert sum(each.startswith(f"{line}:") for each in told(text)) == 1


def test_a_misspelt_key_is_not_also_missing():
    assert told(changed('bus = "aft"', 'buss = "aft"')) == ["24:1 unknown key 'buss', did you mean 'bus'?"]
    assert told(changed("gateway", "gatway")) == ["3:1 unknown key 'gatway', did you mean 'gateway'?"]


def test_a_missing_key_points_at_the_header_of_its_table():
    text = changed('port = "/dev/serial/by-id/usb-1"\n', "")
    (problem,) = check_rig(text, "rig.toml").problems
    assert (problem.line, problem.message, problem.source) == (16, "missing key 'port'", "[bus.aft]")
    assert "manovac ports" in problem.advice


def test_a_missing_table_shows_no_line_of_another():
    text = changed('[station]\nid = "iss"\ngateway = "pi1"\n', "")
    (problem,) = check_rig(text, "rig.toml").problems
    assert (problem.message, problem.source) == ("missing table [station]", "")


def test_the_models_own_names_are_not_words_of_the_file():
    assert told(GOOD.replace("[segment.", "[segments.")) == [
        "5:1 unknown key 'segments', did you mean 'segment'?",
    ]


def test_a_misspelt_word_of_a_secret_is_the_only_mistake():
    text = GOOD + '[mqtt]\npassword = { evn = "A" }\n'
    assert [each.split(" ", 1)[1] for each in told(text)] == ["unknown key 'evn', did you mean 'env'?"]


def test_all_mistakes_come_at_once_in_the_order_of_the_file():
    text = GOOD.replace('"89 m3"', "89").replace("19200", '"fast"').replace('segment = "prk"', 'segment = "pkr"')
    assert [each.split(" ", 1)[0] for each in told(text)] == ["7:10", "19:8", "36:11"]


def test_the_report_underlines_what_is_wrong():
    text = GOOD.replace('bus = "aft"', '\tbus = "atf"', 1)
    problem = check_rig(text, "rig.toml").problems[0]
    assert str(problem) == (
        "rig.toml:24:8: error: no bus named 'atf', did you mean 'aft'?\n  24 | \tbus = \"atf\"\n     | \t      ^^^^^"
    )


@pytest.mark.parametrize(
    ("text", "line", "column", "advice"),
    [
        ("[station]\npoll = 1 s\n", 2, 10, "in quotes"),
        ('[station]\nid = "iss\n', 2, 1, "close its quotes"),
        ('[station]\nid = "a"\nid = "b"\n', 3, 1, "take one of the two out"),
        ("[segment.a]\n[segment.a]\n", 2, 1, "both into one"),
        ("[station]\nid = [1,\n\n", 2, 1, "not closed"),
        ("[station\n", 1, 1, ""),
    ],
)
def test_a_toml_mistake_comes_alone_and_in_the_same_form(text, line, column, advice):
    (problem,) = check_rig(text, "rig.toml").problems
    assert problem.message.startswith("not TOML: ")
    assert (problem.line, problem.column) == (line, column)
    assert advice in problem.advice
    assert problem.source == text.split("\n")[line - 1]


def test_a_line_of_which_nothing_is_known_is_not_shown():
    (problem,) = check_rig("just words\n", "rig.toml").problems
    assert (problem.line, problem.column, problem.source) == (1, 6, "")
    assert "a line is a table" in problem.advice


@given(st.data())
def test_no_spoilt_file_gets_past_without_a_message_or_ends_in_a_traceback(data):
    start = data.draw(st.integers(0, len(GOOD) - 1))
    end = start + data.draw(st.integers(0, 12))
    text = GOOD[:start] + data.draw(st.text(max_size=6)) + GOOD[end:]
    checked = check_rig(text, "rig.toml")
    errors = [problem for problem in checked.problems if problem.severity is Severity.ERROR]
    assert (checked.rig is None) == bool(errors)
    for problem in checked.problems:
        assert str(problem).startswith("rig.toml")
        assert problem.message


@given(
    st.sampled_from(re.findall(r"= (.+)", GOOD)), st.sampled_from(["1", "true", "[]", "{}", '""', "1979-05-27", "nan"])
)
def test_a_value_of_any_other_type_is_refused_or_taken_but_never_a_traceback(old, new):
    checked = check_rig(changed(old, new), "rig.toml")
    assert checked.rig is not None or checked.problems


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").replace("19200", "1").encode())
    (problem,) = check_file(path).problems
    assert (problem.line, problem.column, problem.source) == (19, 8, "baud = 1")


def test_load_rig_raises_the_finished_report(tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(GOOD)
    assert load_rig(path).station.id == "iss"
    path.write_text(GOOD.replace("19200", "1"))
    with pytest.raises(RigError) as raised:
        load_rig(path)
    assert str(raised.value) == (
        f"{path}:19:8: error: baud: must be at least 300\n  19 | baud = 1\n     |        ^\n\n1 error"
    )
    assert len(raised.value.problems) == 1


def test_a_file_that_cannot_be_read_is_a_problem_with_advice(tmp_path):
    (tmp_path / "bench.toml").write_text(GOOD)
    (tmp_path / "latin.toml").write_bytes(b'[station]\nid = "\xff"\n')
    (tmp_path / "empty.toml").write_text("\n")
    said = {
        name: str(check_file(tmp_path / name).problems[0]) for name in ("bensh.toml", ".", "latin.toml", "empty.toml")
    }
    assert "no such file" in said["bensh.toml"]
    assert "bench.toml" in said["bensh.toml"]
    assert "is a directory" in said["."]
    assert "not UTF-8: byte 0xff in line 2" in said["latin.toml"]
    assert "the file is empty" in said["empty.toml"]


def test_a_file_without_permission_says_so(tmp_path, monkeypatch):
    def refused(path, mode):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refused)  # root, who runs some CI, may read everything
    (problem,) = check_file(tmp_path / "rig.toml").problems
    assert problem.message == "no permission to read it"
    assert "chmod" in problem.advice
