"""Writes `gateway/mqtt/schemas/command-*.json` from the classes of `gateway.mqtt.commands`.

`python -m tests.gateway.mqtt.command_schemas` writes them anew; a test compares them.
"""

import inspect
from pathlib import Path
from typing import Any

import orjson

from gateway.mqtt import schemas
from gateway.mqtt.commands import KINDS, Command

FOLDER = Path(schemas.__file__).parent


def schema_of(kind: type[Command]) -> dict[str, Any]:
    """Return the JSON Schema of one command: flat, as consumers in any language read it."""
    found = kind.model_json_schema()
    definitions = found.pop("$defs", {})
    summary = inspect.cleandoc(kind.__doc__ or "").partition("\n")[0].rstrip(".")
    properties = {key: _plain(words, definitions) for key, words in found["properties"].items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:manovac:v1:command-{kind.topic}",
        "title": f"Command: {summary[:1].lower()}{summary[1:]}",
        "type": "object",
        "properties": properties,
        "required": found["required"],
        **{key: found[key] for key in ("oneOf",) if key in found},
        "additionalProperties": False,
    }


def _plain(words: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in words:
        return {"enum": definitions[words["$ref"].rpartition("/")[2]]["enum"]}
    if "const" in words:
        return {"const": words["const"]}
    plain = {key: value for key, value in words.items() if key not in ("title", "default")}
    if "anyOf" not in plain:
        return plain
    (value,) = [each for each in plain.pop("anyOf") if each != {"type": "null"}]  # null stands for a key left out
    return _plain(value, definitions) | plain


def main() -> None:
    for name, kind in KINDS.items():
        text = orjson.dumps(schema_of(kind), option=orjson.OPT_INDENT_2) + b"\n"
        (FOLDER / f"command-{name}.json").write_bytes(text)


if __name__ == "__main__":
    main()
