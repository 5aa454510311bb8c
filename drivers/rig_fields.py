"""Checks a rig file key by key against drivers.rig, and says in plain words what does not fit.

pydantic finds the mistakes; here its findings become messages: one for each mistake, at the key or value that is wrong.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from drivers.rig import Rig
from drivers.rig_problems import Findings, did_you_mean, nearest, suggestion
from drivers.toml_places import Path

_NAMED: Final = ("segment", "coolant", "bus", "transducer")
SECRETS: Final[tuple[Path, ...]] = (("mqtt", "password"), ("http", "token"))
UNSHOWN: Final[tuple[Path, ...]] = (("mqtt",), ("http",))
"""Tables of which no value is shown: a secret may stand anywhere in them, under any word."""
_NOT_A_TABLE: Final = frozenset({"model_type", "model_attributes_type", "dict_type", "mapping_type"})
_MISSING_ADVICE: Final = {
    ("station",): 'begin the file with [station], id = "..." and gateway = "..."',
    ("station", "id"): 'write id = "iss": the station\'s level in every topic',
    ("station", "gateway"): 'write gateway = "pi1": the name of the gateway that runs this rig',
    ("hatch", "between"): 'write between = ["zvezda", "prk"]: the two segments that it joins',
    ("bus", "kind"): 'write kind = "serial" (or "rtu-over-tcp", "modbus-tcp", "line-over-tcp")',
    ("bus", "port"): 'write port = "/dev/serial/by-id/..." (`manovac ports` lists them) or port = "192.0.2.7:502"',
    ("transducer", "model"): 'write model = "keller-33x": the family it belongs to',
    ("transducer", "bus"): 'write bus = "...": the line it is wired to',
    ("transducer", "segment"): 'write segment = "...": the volume whose pressure it measures, or coolant = "..."',
    ("coolant", "volume"): 'write volume = "44 L": the liquid in it',
    ("coolant", "gas_volume"): 'write gas_volume = "6 L": the gas that presses it, when the loop is whole',
    ("coolant", "pressure"): 'write pressure = "304 kPa": of the loop when it is whole',
    ("map", "address"): "write address = 0: the register as the protocol counts, from 0",
    ("settings", "address"): "write address = 12: the register as the protocol counts, from 0",
    ("settings", "range"): "write range = [0, 100]: lowest and highest number that may be written",
    ("map", "unit"): 'write unit = "kPa": the unit of register * scale + offset',
}
_ID: Final = r"^[a-z0-9_-]+$"
_PATTERNS: Final = {
    _ID: "ids have only small letters, digits, '-' and '_' (they become topic levels)",
    r"^[78][NEO][12]$": 'must be data bits, parity (N, E or O) and stop bits, such as "8N1"',
    r"^mqtts?://": "must begin with mqtt:// or mqtts://",
    r"^(\*|[A-Za-z0-9._@-]{1,64})$": "is the name of a user: letters, digits, '.', '_', '@' and '-', or \"*\"",
    r"^[A-Za-z0-9.-]+$": "are names of this machine: letters, digits, '.' and '-'",
    r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$": "is the name of a credential, not a path: letters, digits, '.', '_' and '-'",
}
_PLAIN: Final = {
    "string_type": "must be a text in quotes",
    "string_too_short": "must not be empty",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number, not infinite",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le}",
    "tuple_type": "must be an array: [ ... ]",
    "date_type": "must be a date, such as 2026-05-01",
    "date_parsing": "must be a date, such as 2026-05-01",
    "date_from_datetime_parsing": "must be a date, such as 2026-05-01",
    "date_from_datetime_inexact": "must be a date without a time, such as 2026-05-01",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """What became of a file's keys.

    Attributes:
        rig: the rig, None when a key is wrong.
        bad: paths of keys whose value is unusable; also keys that are missing or probably meant by a misspelt one.
    """

    rig: Rig | None
    bad: frozenset[Path]


def check_fields(raw: Mapping[str, Any], findings: Findings) -> Fields:
    """Check every key of a parsed rig file, except what needs another key, and report all mistakes."""
    # pydantic would take the models' own names too ("segments"); the file has only one word for each thing.
    words = {field.alias or name for name, field in Rig.model_fields.items()}
    strays = [key for key in raw if key not in words]
    errors: list[ErrorDetails] = []
    rig = None
    try:
        rig = validated({key: value for key, value in raw.items() if key not in strays})
    except ValidationError as error:
        errors = error.errors(include_url=False)
    if not strays and not errors:
        return Fields(rig=rig, bad=frozenset())
    return Fields(rig=None, bad=_reported(raw, strays, errors, findings))


def _reported(
    raw: Mapping[str, Any], strays: Iterable[str], errors: Iterable[ErrorDetails], findings: Findings
) -> frozenset[Path]:
    """Report tables that no rig file has, and what pydantic found in the others; return `Fields.bad`."""
    schema = Rig.model_json_schema()
    wrong: dict[Path, list[ErrorDetails]] = {}
    missing: list[Path] = []
    unknown: list[Path] = [(key,) for key in strays]
    for each in errors:
        path = _existing(each["loc"], raw)
        if each["type"] == "missing" and path[:1] == ("transducer",) and path == each["loc"]:
            missing.append((*path, "segment"))  # a transducer has it or `coolant`, which only the whole of it can tell
        elif each["type"] == "missing" and isinstance(each["loc"][-1], str):
            missing.append((*path, each["loc"][-1]))
        elif each["type"] == "extra_forbidden":
            unknown.append(path)
        else:
            wrong.setdefault(path, []).append(each)
    # Of the branches of "either or", the one that understood more of the value speaks.
    above = {path[:depth] for path in [*wrong, *unknown] for depth in range(len(path))}
    wrong = {path: details for path, details in wrong.items() if path not in above}
    # Nobody knows what an unknown key holds, a table where there should be none, or what stands in place of one.
    strange = (
        path for path, (first, *_) in wrong.items() if first["type"] in _NOT_A_TABLE or _has_table(first["input"])
    )
    findings.hide([*unknown, *strange])
    meant = {target for path in unknown if (target := _unknown_key(path, raw, schema, findings))}
    for path in missing:
        if path not in meant:
            what = f"key '{path[-1]}'" if len(path) > 1 else f"table [{path[-1]}]"
            findings.error(path, f"missing {what}", _missing_advice(path), at="key")
    for path, details in wrong.items():
        _wrong_value(path, details, _described(schema, path), findings)
    return frozenset({*wrong, *missing, *unknown, *meant})


def _has_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(map(_has_table, value)))


def validated(raw: Mapping[str, Any]) -> Rig:
    """Return the rig of a parsed file; strict, so that no value is bent to fit.

    Raises:
        ValidationError: pydantic's findings.
    """
    # In JSON mode strictness still lets an array be a tuple and a text be a word of an enum, which is what TOML has.
    return Rig.model_validate_json(json.dumps(raw, default=str), strict=True)


def _existing(loc: tuple[int | str, ...], raw: Any) -> Path:
    """Return what of pydantic's location stands in the file: the names of union branches and missing keys do not."""
    path: Path = ()
    here = raw
    for part in loc:
        if part in here if isinstance(here, dict) else isinstance(here, list) and part in range(len(here)):
            here = here[part]
            path += (part,)
    return path


def _unknown_key(path: Path, raw: Any, schema: dict[str, Any], findings: Findings) -> Path | None:
    """Report an unknown key; return the path of the one that was probably meant."""
    *table, key = path
    for part in table:
        raw = raw[part]
    allowed = [each for each in _described(schema, tuple(table)).get("properties", {}) if each not in raw]
    meant = None if findings.many else nearest(str(key), allowed)
    advice = "" if meant or not allowed else f"keys that can stand here: {', '.join(allowed)}"
    findings.error(path, f"unknown key '{key}'{suggestion(meant)}", advice, at="key")
    return (*table, meant) if meant else None


def _described(schema: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return what the JSON Schema says of a path; of an alternative, the branch with keys, else the first."""
    here = schema
    for part in (*path, None):
        branches = here.get("anyOf", [here])
        here = next((branch for branch in branches if "properties" in branch or "$ref" in branch), branches[0])
        if "$ref" in here:
            here = schema["$defs"][here["$ref"].rsplit("/", 1)[-1]]
        if part is None:
            return here
        here = _inner(here, part)
    return here


def _inner(here: dict[str, Any], part: str | int) -> dict[str, Any]:
    if isinstance(part, int):
        prefix = here.get("prefixItems", [])
        inner = prefix[part] if part < len(prefix) else here.get("items", {})
    else:
        patterns = here.get("patternProperties", {})
        others = next(iter(patterns.values()), here.get("additionalProperties", {}))
        inner = here.get("properties", {}).get(part, others)
    return inner if isinstance(inner, dict) else {}


def _missing_advice(path: Path) -> str:
    # ("transducer", "a", "map", "pressure", "unit") -> ("map", "unit"); ("hatch", 0, "between") -> ("hatch", "between")
    key = path[-1]
    for table in reversed(path[:-1]):
        if (table, key) in _MISSING_ADVICE:
            return _MISSING_ADVICE[str(table), str(key)]
    return _MISSING_ADVICE.get((str(key),), "")


def _wrong_value(path: Path, details: list[ErrorDetails], schema: dict[str, Any], findings: Findings) -> None:
    first = details[0]
    key = next((part for part in reversed(path) if isinstance(part, str)), "")
    if first["loc"][-1] == "[key]" and path[0] == "commands":
        findings.error(path, f"'{key}' {_PATTERNS[first['ctx']['pattern']]}", at="key")
    elif first["loc"][-1] == "[key]":
        advice = f"write '{_id(key)}'; the name for people goes into title" if _id(key) else ""
        findings.error(path, f"'{key}': {_PATTERNS[_ID]}", advice, at="key")
    elif path in SECRETS:
        findings.error(path, f'{key}: write {{ env = "..." }}, {{ file = "..." }} or {{ credential = "..." }}')
    elif first["type"] in _NOT_A_TABLE or path == ("hatch",):
        findings.error(path, f"'{key}' must be a table", _table_advice(path), at="key")
    else:
        shown = path[:1] not in UNSHOWN
        first_words, *others = dict.fromkeys(_in_words(each, schema, shown=shown) for each in details)
        message = " or ".join([first_words, *(words.removeprefix("must be ") for words in others)])
        findings.error(path, f"{key}: {message}")


def _table_advice(path: Path) -> str:
    if path[0] == "hatch":
        return "give each hatch a table of its own: [[hatch]], with two brackets"
    if path[0] in _NAMED and len(path) <= 2:
        return f"give each {path[0]} a table of its own: [{path[0]}.ID]"
    return ""


def _in_words(error: ErrorDetails, schema: dict[str, Any], *, shown: bool) -> str:
    """Return what is wrong with a value, without its key; where it is not `shown`, without a word of it."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"] if shown else None
    words = _PLAIN[kind].format_map(context) if kind in _PLAIN else error["msg"]
    if kind == "value_error" and not shown and "examples" in schema:
        words = f'must be {schema["description"]}, such as "{schema["examples"][0]}"'
    elif kind == "value_error":
        words = str(context["error"])
    elif kind in ("enum", "literal_error"):
        words = _choice(str(context["expected"]), value)
    elif kind == "string_pattern_mismatch":
        hint = f'; write "{_id(value)}"' if context["pattern"] == _ID and value and _id(value) else ""
        words = _PATTERNS[context["pattern"]] + hint
    elif kind == "string_type" and isinstance(value, int | float):
        words = f'must be a text: write "{value}"'
    elif kind.startswith("int_") and isinstance(value, str) and value.strip().isdecimal():
        words = f"must be a number without quotes: write {value.strip()}"
    elif kind in ("missing", "too_long", "too_short"):
        words = f"must have {schema.get('minItems', 2)} elements"
    return words


def _id(text: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "_", text.lower()).strip("_")


def _choice(expected: str, value: object) -> str:
    words: Iterable[str] = re.findall(r"'([^']*)'", expected)
    hint = did_you_mean(value, words) if isinstance(value, str) else ""
    return f"must be {expected}{hint}"
