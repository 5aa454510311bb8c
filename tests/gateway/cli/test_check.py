"""`manovac check` and `manovac schema` as a user meets them."""

import json
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from gateway import cli

RIGS = Path(__file__).parents[3] / "hil" / "rigs"
GOOD = (RIGS / "bench.toml").read_text()
BAUD_LINE = GOOD.partition("baud = 9600")[0].count("\n") + 1


def run(capsys, *args: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(arg) for arg in args])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_good_file_says_so_with_counts_and_the_use_of_each_line(capsys, tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(GOOD)
    code, out, err = run(capsys, "check", path)
    assert (code, err) == (0, "")
    told, line = out.splitlines()
    assert told == f"{path}: ok: 3 segments, 2 hatches, 1 bus, 6 transducers"
    assert re.fullmatch(r"  rs485: \d+% used, room for \d+ more at 1 Hz( or \d+ at 10 Hz)?", line)


def test_errors_are_data_and_end_with_2(capsys, tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(GOOD.replace("baud = 9600", 'baud = "fast"'))
    code, out, err = run(capsys, "check", path)
    assert (code, err) == (2, "")
    assert f"{path}:{BAUD_LINE}:8: error: baud: must be a whole number" in out
    assert "ok:" not in out


def test_a_warning_does_not_fail(capsys, tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(GOOD + '[segment.spare]\ntitle = "Spare"\n')
    code, out, _ = run(capsys, "check", path)
    assert code == 0
    assert "warning: segment 'spare' has no transducer" in out
    assert f"{path}: ok: 4 segments" in out


def test_json_has_the_same_for_machines(capsys, tmp_path):
    path = tmp_path / "rig.toml"
    path.write_text(GOOD)
    code, out, _ = run(capsys, "check", "--json", path)
    answer = json.loads(out)
    assert code == 0
    assert answer["ok"] is True
    assert answer["counts"] == {"segments": 3, "hatches": 2, "coolant_loops": 0, "buses": 1, "transducers": 6}
    assert 0 < answer["lines"]["rs485"]["fraction"] < 0.5
    path.write_text(GOOD.replace("baud = 9600", "bawd = 9600"))
    code, out, _ = run(capsys, "check", path, "--json")
    answer = json.loads(out)
    assert (code, answer["ok"], answer["counts"]) == (2, False, None)
    (problem,) = answer["problems"]
    assert (problem["line"], problem["column"], problem["width"]) == (BAUD_LINE, 1, 4)
    assert problem["message"] == "unknown key 'bawd', did you mean 'baud'?"


@pytest.mark.parametrize("name", ["nothing.toml", "."])
def test_a_file_that_is_none_ends_with_2(capsys, tmp_path, name):
    code, out, err = run(capsys, "check", tmp_path / name)
    assert (code, err) == (2, "")
    assert "error: " in out


def schema(capsys) -> dict:
    return json.loads(run(capsys, "schema")[1])


def as_editors_see_it(text: str) -> dict:
    return json.loads(json.dumps(tomllib.loads(text), default=str))


@pytest.mark.parametrize("name", ["bench.toml", "iss.toml"])
def test_the_schema_accepts_the_rigs_that_ship(capsys, name):
    described = schema(capsys)
    jsonschema.Draft202012Validator.check_schema(described)
    assert described["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert {"station", "segment", "hatch", "bus", "transducer"} <= described["properties"].keys()
    jsonschema.validate(as_editors_see_it((RIGS / name).read_text()), described)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("baud = 9600", "bawd = 9600"),
        ('"120 L"', "120"),
        ('kind = "serial"', 'kind = "serie"'),
        ("[segment.", "[sement."),
    ],
)
def test_the_schema_refuses_what_check_refuses(capsys, old, new):
    spoilt = as_editors_see_it(GOOD.replace(old, new))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoilt, schema(capsys))


def test_defaults_in_the_schema_are_written_as_in_the_file(capsys):
    definitions = schema(capsys)["$defs"]
    assert definitions["Segment"]["properties"]["volume_uncertainty"]["default"] == "5 %"
    assert definitions["Transducer"]["properties"]["poll"]["default"] == "1 s"
    assert definitions["Emulator"]["properties"]["pressure"]["default"] == "101325 Pa"
    assert "null" not in json.dumps(definitions)
