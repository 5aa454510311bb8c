"""From a rig file to a `Rig`: reads the TOML, checks all of it, and reports every mistake at once with its place.

What each key may be stands in drivers.rig; how keys must fit each other in drivers.rig_checks and, where the transducer
models have a say, in drivers.rig_model_checks.
"""

import datetime as dt
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
from drivers.rig_fields import check_fields
from drivers.rig_limits import LARGEST_FILE, LimitError, parsed
from drivers.rig_line_checks import check_lines
from drivers.rig_model_checks import check_models
from drivers.rig_mqtt_checks import check_mqtt
from drivers.rig_problems import Findings, Problem, RigError, Severity
from drivers.toml_places import Span, places

_PLACE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)
_SECRETS: Final = (
    re.compile(
        r"""(\b(?:pas\w*|token)["']?[ \t]*=[ \t]*)"""
        r"""("{3}[\s\S]*?(?:"{3,5}|\Z)|'{3}[\s\S]*?(?:'{3,5}|\Z)|"[^"\n]*"?|'[^'\n]*'?|[^\s{"'][^\s,]*)"""
    ),
    re.compile(r"""(://)([^\s"'/]{0,200}:[^\s"']{0,200})(?=@)"""),
)
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
    lines = without_secrets(text).split("\n")
    try:
        raw = parsed(text)
    except LimitError as error:
        return _unusable(name, f"cannot be a rig file: {error}", "start from a rig that ships with Manovac")
    except tomllib.TOMLDecodeError as error:
        return Checked(rig=None, problems=(_syntax_error(lines, name, str(error)),))
    findings = Findings(name, lines, places(text))
    fields = check_fields(raw, findings)
    sketch = draft(raw, fields)
    check_words(sketch, findings, today or dt.datetime.now(tz=dt.UTC).date())
    check_mqtt(sketch, findings, private=private, file=name, exists=exists)
    uses = check_lines(sketch, findings, check_models(sketch, findings, models))
    failed = any(problem.severity is Severity.ERROR for problem in findings.problems)
    return Checked(rig=None if failed else fields.rig, problems=findings.problems, lines=uses)


def without_secrets(text: str, *, star: str = "*") -> str:
    """Return a rig file's text with a star for each character of a password or token in it: reports end up in logs."""
    for secret in _SECRETS:
        text = secret.sub(lambda match: match[1] + re.sub(r"[^\n]", star, match[2]), text)
    return text


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
        source=lines[span.line - 1],
    )


def _syntax_span(lines: list[str], line: int, column: int) -> Span:
    """Return what to underline: tomllib may name the end of a line or of the text, where nothing is to be seen."""
    while line > 1 and not column and not lines[line - 1].strip():
        line -= 1
    source = lines[line - 1]
    if not 0 < column <= len(source.rstrip()):
        column = len(source) - len(source.lstrip()) + 1
        return Span(line=line, column=column, width=max(1, len(source.strip())))
    return Span(line=line, column=column, width=1)
