"""The tables of docs/commands.md, made from the code: `python -m tests.docs.command_table` writes them anew."""

import inspect
import re
from pathlib import Path
from typing import Any, Final

from gateway.desk import ANYBODY
from gateway.mqtt.commands import KINDS, Code, Command
from tests.gateway.mqtt.command_schemas import schema_of

PAGE: Final = Path(__file__).parents[2] / "docs" / "commands.md"
_ENVELOPE: Final = frozenset(Command.model_fields)


def commands() -> str:
    """Return a row for each command: its keys, and who may give it where the rig file does not say."""
    rows = ["| command | does | keys | without an entry |", "| --- | --- | --- | --- |"]
    for name, kind in KINDS.items():
        summary = inspect.cleandoc(kind.__doc__ or "").partition("\n")[0].rstrip(".")
        described = schema_of(kind)
        keys = [
            f"`{key}` {_range(words)}"
            + ("" if key in described["required"] or "oneOf" in described else ", may be left out")
            for key, words in described["properties"].items()
            if key not in _ENVELOPE
        ]
        either = " (one of the two)" if "oneOf" in described else ""
        who = "anybody" if name in ANYBODY else "nobody"
        rows.append(f"| `{name}` | {summary[:1].lower()}{summary[1:]} | {'; '.join(keys) or 'none'}{either} | {who} |")
    return "\n".join(rows)


def _range(words: dict[str, Any]) -> str:
    if "enum" in words:
        return ", ".join(words["enum"])
    if words["type"] == "string":
        return "its id"
    low = words.get("minimum", words.get("exclusiveMinimum"))
    above = "above " if "exclusiveMinimum" in words else ""
    high = f" to {words['maximum']:g}" if "maximum" in words else " or more"
    about = f" ({words['description']})" if "description" in words else ""
    return f"{above}{low:g}{high}{about}"


def codes() -> str:
    """Return a row for each code that an answer can have."""
    rows = ["| status | code | means |", "| --- | --- | --- |"]
    rows += [f"| {code.status} | `{code.value}` | {_meaning(code)} |" for code in Code]
    return "\n".join(rows)


def _meaning(code: Code) -> str:
    """Return what stands below a code in its source, as a docstring of it."""
    source = inspect.getsource(Code)
    match = re.search(rf'^    {code.name} = [^\n]*\n    """(.*?)"""', source, re.MULTILINE | re.DOTALL)
    assert match, code
    return " ".join(match[1].split()).rstrip(".")


def page() -> str:
    """Return the page with its tables as the code has them."""
    text = PAGE.read_text(encoding="utf-8")
    for name, table in (("commands", commands()), ("codes", codes())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        text = re.sub(rf"(?<={begin}).*?(?={end})", lambda _, table=table: table + "\n", text, flags=re.DOTALL)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
