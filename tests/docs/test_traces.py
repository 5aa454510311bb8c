"""docs/traces.md describes the file as it is, and the commands with options that exist."""

import json
import re
from pathlib import Path

import typer.testing

from drivers.trace.records import View
from gateway.cli.trace import app
from tests.drivers.trace.said import ask, trace

TEXT = (Path(__file__).parents[2] / "docs" / "traces.md").read_text(encoding="utf-8")
HEAD, RUN = re.findall(r"^\| field \| content \|\n\| --- \| --- \|\n((?:\|.*\n)+)", TEXT, flags=re.MULTILINE)


def fields(table: str) -> list[str]:
    return re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE)


def test_every_field_is_described_and_no_other_is() -> None:
    written = trace((0, "host", ask(1)))
    assert written.header is not None
    assert fields(HEAD) == list(json.loads(written.header.line()))
    assert fields(RUN) == list(json.loads(written.records[0].line()))


def test_every_view_is_described() -> None:
    table = TEXT[TEXT.index("| `view` |") : TEXT.index("## The file")]
    assert set(fields(table)) - {"view"} == set(View)


def test_every_limit_of_diff_is_described() -> None:
    said = typer.testing.CliRunner().invoke(app, ["diff", "--help"]).output
    options = set(re.findall(r"--[a-z]+", said)) - {"--help"}
    assert options <= set(re.findall(r"--[a-z]+", TEXT[TEXT.index("## Diff") :]))
