"""The JSON Schema of the rig file, for editors that complete and check TOML (Taplo, Even Better TOML)."""

import inspect
import re
from typing import Any, Final

from pydantic import BaseModel

from drivers import rig, rig_gateway

_SI: Final = {
    "pressure": "Pa",
    "temperature": "K",
    "time": "s",
    "volume": "m3",
    "current": "A",
    "pressure rate": "Pa/s",
    "size": "bytes",
    "density": "kg/m3",
    "expansion": "1/K",
    "mass rate": "kg/s",
}
_ATTRIBUTE: Final = re.compile(r"^    (\w+(?:, \w+)*): (.*(?:\n     +.*)*)", re.MULTILINE)


def rig_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a rig file, as an editor sees it after it has read the TOML."""
    schema = rig.Rig.model_json_schema()
    for name, definition in schema["$defs"].items():
        _describe(definition, getattr(rig, name, None) or getattr(rig_gateway, name))
    _describe(schema, rig.Rig)
    transducer = schema["$defs"]["Transducer"]
    transducer["oneOf"] = [{"required": ["segment"]}, {"required": ["coolant"]}]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Manovac rig file",
        "description": "What is wired where: one TOML file for the gateway, the emulator and the bench.",
    }


def _describe(definition: dict[str, Any], of: type) -> None:
    """Make one definition read well in an editor: a text for each key, defaults as the file has them, no null."""
    text = inspect.cleandoc(of.__doc__ or "")
    summary, _, attributes = text.partition("\n\nAttributes:\n")
    definition["description"] = summary
    about = {
        name: " ".join(words.split()) for names, words in _ATTRIBUTE.findall(attributes) for name in names.split(", ")
    }
    fields = of.model_fields if issubclass(of, BaseModel) else {}
    for key, words in definition.get("properties", {}).items():
        described = _without_null(words)
        described.pop("title", None)
        _say_default(described)
        name = next((name for name, field in fields.items() if field.alias == key), key)
        if name in about:
            described["description"] = (
                f"{about[name]} ({described['description']})" if "examples" in described else about[name]
            )
        definition["properties"][key] = described


def _without_null(words: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null: a key that may be null is a key that may be absent."""
    branches = [branch for branch in words.get("anyOf", []) if branch != {"type": "null"}]
    kept = {key: value for key, value in words.items() if key != "anyOf" and not (key == "default" and value is None)}
    return kept | (branches[0] if len(branches) == 1 else {"anyOf": branches} if branches else {})


def _say_default(words: dict[str, Any]) -> None:
    """Write the default of a quantity as the file would: it is an SI number here, a text with a unit there."""
    if words.get("type") != "string" or not isinstance(words.get("default"), int | float):
        return
    dimension = re.sub(r"^an? | with its unit$| range", "", words["description"])
    if dimension == "fraction":
        words["default"] = f"{words['default'] * 100:g} %"
    else:
        words["default"] = f"{words['default']:g} {_SI[dimension]}"
