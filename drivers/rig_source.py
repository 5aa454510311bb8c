"""From a rig file to a `Rig`: reads the TOML, checks all of it, and reports every mistake at once with its place.

What each key may be stands in drivers.rig; how keys must fit each other in drivers.rig_checks and, where the transducer
models have a say, in drivers.rig_model_checks.
"""

import datetime as dt
import hashlib
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from drivers import registry
from drivers.line_use import LineUse
from drivers.model import Model
from drivers.rig import Rig
from drivers.rig_checks import check_words
from drivers.rig_draft import draft
from drivers.rig_fields import SECRETS, UNSHOWN, check_fields
from drivers.rig_limits import LARGEST_FILE, LimitError, parsed
from drivers.rig_line_checks import check_lines
from drivers.rig_model_checks import check_models
from drivers.rig_mqtt_checks import check_mqtt
from drivers.rig_problems import Findings, Problem, RigError, Severity, replaced
from drivers.toml_places import Span, places

_PLACE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_HEADER: Final = re.compile(r"[ \t]*\[{1,2}[ \t]*([\w-]+)[^=#]*")
_PAIR: Final = re.compile(
    r"""[ \t]*([\w-]+)[ \t]*=[ \t]*"""
    r"""(?:"[^"]*"?|'[^']*'?|\[[^]={}#]*\]?|[^\s"'#={}[\]:]+)(?:[ \t]+[^\s"'#={}[\]:]+)?[ \t]*"""
)
"""A key with one value, which may lack its quotes or their end."""
_LONG: Final = ('"""', "'''")
_SECRETIVE: Final = ("Mqtt", "Http", "Secret")
_SYNTAX_ADVICE: Final = {
    "Expected newline or end of document": 'texts and numbers with a unit stand in quotes: poll = "1 s"',
    "Invalid value": 'texts and numbers with a unit stand in quotes: poll = "1 s"',
    "Expected '=' after a key": "a line is a table, [segment.prk], or a key with its value, id = ...",
    "Invalid statement": "a line is a table, [segment.prk], or a key with its value, id = ...",
    "Illegal character '\\n'": "a text ends on its own line: close its quotes",
    "Cannot declare": "this table stands above already: put the keys of both into one",
    "Cannot overwrite a value": "this key stands in its table already: take one of the two out",
    "Invalid initial character for a key part": "keys have letters, digits, '-' and '_'",
    "Unescaped '\\' in a string": "in double quotes a backslash begins an escape: write two, or use single quotes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The result of a check.

    Attributes:
        rig: None when there is an error.
        problems: errors and warnings in the order of the file.
        lines: how much of each bus the polls need; only of buses without an error.
    """

    rig: Rig | None
    problems: tuple[Problem, ...]
    lines: Mapping[str, LineUse] = field(default_factory=dict)


def load_rig(path: Path) -> Rig:
    """Read a rig file. Warnings are not reported; `check_file` has them.

    Raises:
        RigError: the file cannot be read or has errors; `str()` is the finished report.
    """
    checked = check_file(path)
    if checked.rig is None:
        raise RigError(checked.problems)
    return checked.rig


def check_file(path: Path, *, models: Callable[[str], Model] = registry.model, today: dt.date | None = None) -> Checked:
    """Check a rig file; one that cannot be read is a problem like any other."""
    name = str(path)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
        private = not path.stat().st_mode & 0o077
    except OSError as error:
        return _unusable(name, *_unreadable(path, error))
    if len(data) > LARGEST_FILE:
        return _unusable(name, f"larger than {LARGEST_FILE} bytes", "is it a rig file? they are text of some kilobytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        return _unusable(name, f"not UTF-8: byte 0x{data[error.start]:02x} in line {line}", "save it as UTF-8")
    return check_rig(text, name, models=models, today=today, private=private, exists=os.path.exists)


def check_rig(
    text: str,
    name: str,
    *,
    models: Callable[[str], Model] = registry.model,
    today: dt.date | None = None,
    private: bool = False,
    exists: Callable[[str], bool] = lambda _: True,
) -> Checked:
    """Check a rig file's text.

    Args:
        text: TOML.
        name: what messages call the file.
        models: finds a transducer model by name; raises LookupError with a message for people.
        today: for calibrations that are due; the day in UTC when not given.
        private: only its owner can read the file, so that it may hold a password.
        exists: whether another file is there.
    """
    text = text.replace("\r\n", "\n")
    if not text.strip():
        return _unusable(
            name, "the file is empty", "start from the bench that ships with Manovac: `manovac init` prints it"
        )
    lines = text.split("\n")
    try:
        raw = parsed(text)
    except LimitError as error:
        return _unusable(name, f"cannot be a rig file: {error}", "start from a rig that ships with Manovac")
    except tomllib.TOMLDecodeError as error:
        return Checked(rig=None, problems=(_syntax_error(lines, name, str(error)),))
    findings = Findings(name, lines, places(text))
    findings.hide(UNSHOWN)
    fields = check_fields(raw, findings)
    sketch = draft(raw, fields)
    check_words(sketch, findings, today or dt.datetime.now(tz=dt.UTC).date())
    check_mqtt(sketch, findings, private=private, file=name, exists=exists)
    uses = check_lines(sketch, findings, check_models(sketch, findings, models))
    failed = any(problem.severity is Severity.ERROR for problem in findings.problems)
    return Checked(rig=None if failed else fields.rig, problems=findings.problems, lines=uses)


def without_secrets(text: str) -> str:
    """Return a rig file's text without literal secrets and without comments, in which an old one may stand.

    Raises:
        ValueError: it is not TOML.
    """
    text = text.replace("\r\n", "\n")
    found = places(text)
    literal = [found.extents[path] for path in SECRETS if path in found.extents]
    literal = [(start, end) for start, end in literal if text[start] != "{"]
    return replaced(text, [*literal, *found.comments], lambda _: "")


def _unusable(name: str, message: str, advice: str) -> Checked:
    problem = Problem(
        severity=Severity.ERROR, file=name, line=0, column=0, width=0, message=message, advice=advice, source=""
    )
    return Checked(rig=None, problems=(problem,))


def _unreadable(path: Path, error: OSError) -> tuple[str, str]:
    if isinstance(error, FileNotFoundError):
        near = sorted(path.parent.glob("*.toml")) if path.parent.is_dir() else []
        seen = f"here are: {', '.join(str(each) for each in near[:5])}" if near else "check the path"
        return "no such file", seen
    if isinstance(error, IsADirectoryError):
        inside = sorted(path.glob("*.toml"))
        return (
            "is a directory",
            f"give the rig file itself, such as {inside[0]}" if inside else "give the rig file itself",
        )
    if isinstance(error, PermissionError):
        return "no permission to read it", f"chmod u+r {path}, or run as the user who owns it"
    return f"cannot be read: {error.strerror or error}", "check the path"


def _syntax_error(lines: list[str], name: str, message: str) -> Problem:
    match = _PLACE.fullmatch(message)
    what, line, column = match.groups() if match else (message, None, None)
    twice = what.startswith(("Cannot declare", "Cannot overwrite"))  # tomllib names the end of it
    span = _syntax_span(lines, int(line) if line else len(lines), int(column) if column and not twice else 0)
    advice = next((advice for start, advice in _SYNTAX_ADVICE.items() if what.startswith(start)), "")
    return Problem(
        severity=Severity.ERROR,
        file=name,
        line=span.line,
        column=span.column,
        width=span.width,
        message=f"not TOML: {what[:1].lower()}{what[1:]}",
        advice=advice if line else "the text ends inside something: look for a quote or bracket that is not closed",
        source=lines[span.line - 1] if _shows_no_secret(lines[: span.line]) else "",
    )


def _shows_no_secret(lines: list[str]) -> bool:
    """Say whether the last of these lines can be shown although nobody knows where tables and values end.

    It is the header of a table, or a known key with its value in such a table, and there is no secret in any of them.
    """
    pair = _PAIR.fullmatch(lines[-1])
    header = next((match for line in reversed(lines) if (match := _HEADER.match(line))), None)
    if header is None or header[1] not in _tables() or any(quotes in line for line in lines for quotes in _LONG):
        return False
    return pair[1] in _keys() if pair else _HEADER.fullmatch(lines[-1]) is not None


def _tables() -> set[str]:
    unshown = {path[0] for path in UNSHOWN}
    return {field.alias or name for name, field in Rig.model_fields.items()} - unshown


def _keys() -> set[str]:
    """Return the keys that tables with no secrets in them can have."""
    schemas = Rig.model_json_schema()["$defs"].items()
    return {key for name, schema in schemas if name not in _SECRETIVE for key in schema.get("properties", ())}


def _syntax_span(lines: list[str], line: int, column: int) -> Span:
    """Return what to underline: tomllib may name the end of a line or of the text, where nothing is to be seen."""
    while line > 1 and not column and not lines[line - 1].strip():
        line -= 1
    source = lines[line - 1]
    if not 0 < column <= len(source.rstrip()):
        column = len(source) - len(source.lstrip()) + 1
        return Span(line=line, column=column, width=max(1, len(source.strip())))
    return Span(line=line, column=column, width=1)


def rig_hash(path: Path) -> str:
    """Return the SHA-256 of a rig file, which `gw/<gateway>/meta` names.

    A password in it does not count, nor do comments: whoever knows the rest could try out passwords by the hash.
    """
    return hashlib.sha256(without_secrets(path.read_text(encoding="utf-8-sig")).encode()).hexdigest()
