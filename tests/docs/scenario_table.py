"""Writes docs/scenarios.md from the scenarios that ship: `python -m tests.docs.scenario_table`."""

import tomllib
from pathlib import Path
from typing import Any

from firmware_sim import scenario

PAGE = Path(__file__).parents[2] / "docs" / "scenarios.md"
FOLDER = Path(scenario.__file__).parent / "scenarios"
HEAD = """# The scenarios that ship

`manovac emulate hil/rigs/iss.toml --scenario NAME` plays one. Each is a file (`firmware_sim/scenarios/NAME.toml`) whose
first lines say what was published and what is assumed; a file of your own can be played as well. What is emulated, and
how: [physics.md](physics.md). This page is written from the files: `python -m tests.docs.scenario_table`.
"""
_SHOWN = ("at", "do")


def text() -> str:
    """Return the page."""
    names = scenario.shipped()
    scenarios = {name: tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")) for name in names}
    table = ["| name | title | source |", "| --- | --- | --- |"]
    table += [f"| [`{name}`](#{name}) | {words['title']} | {words['source']} |" for name, words in scenarios.items()]
    return "\n".join([HEAD, *table, "", *(line for name in names for line in _section(name, scenarios[name]))])


def _section(name: str, words: dict[str, Any]) -> list[str]:
    lines = [f"## {name}", ""]
    lines += [f"- at the start: {segment}, {_said(start)}" for segment, start in words.get("start", {}).items()]
    events = sorted(words["event"], key=lambda event: scenario.DEEDS[event["do"]].model_validate(event).at)
    return [*lines, *(f"- {event['at']}: {event['do']}, {_said(event)}" for event in events), ""]


def _said(event: dict[str, Any]) -> str:
    shown = {key: value for key, value in event.items() if key not in _SHOWN}
    return (
        ", ".join(f"{key} {' and '.join(value) if isinstance(value, list) else value}" for key, value in shown.items())
        or "all is well again"
    )


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
