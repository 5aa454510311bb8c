"""`manovac models`."""

import json

import pytest

from drivers import registry
from tests.commands import call


def test_every_model_has_its_line(capsys):
    code, out, err = call(capsys, "models")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == registry.names()
    assert "pressure, temperature  KELLER Series 30" in out


def test_one_model_tells_what_a_rig_file_needs(capsys):
    code, out, _ = call(capsys, "models", "adam-4117")
    assert code == 0
    assert "  words       channel (needed), current, range (needed)" in out
    assert "  a fault     the loop current (NAMUR NE 43)" in out
    _, out, _ = call(capsys, "models", "adam-6017")
    assert "baud" not in out
    _, out, _ = call(capsys, "models", "setra-470")
    assert "alone on its line" in out


def test_for_machines(capsys):
    _, out, _ = call(capsys, "models", "mensor-cpt", "--json")
    (row,) = json.loads(out)
    assert (row["name"], row["units"], list(row["options"])) == ("mensor-cpt", [0, 35], ["unit"])
    _, out, _ = call(capsys, "models", "--json")
    assert [row["name"] for row in json.loads(out)] == registry.names()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["keler-33x"], "unknown model 'keler-33x', did you mean 'keller-33x'?"),
        (["alicat", "setra-470"], "unexpected extra argument"),
        (["--jason"], "No such option"),
    ],
)
def test_usage_errors(capsys, words, complaint):
    code, out, err = call(capsys, "models", *words)
    assert (code, out) == (2, "")
    assert complaint in err


def test_what_the_options_of_a_model_are_is_told(capsys):
    out = call(capsys, "models", "alicat").out
    assert "columns: what stands in a frame, for a device that cannot say so itself" in out
    assert (
        "asked; unit: the unit of pressure; only with `columns`, as a device that says what it sends must send psia\n"
        in out
    )
