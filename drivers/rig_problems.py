"""What is wrong with a rig file, and how it is said: place, source line, caret, message, what to do."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from drivers.toml_places import Extent, Path, Places, Span

_BRIEF: Final = 20  # errors
_HINTED: Final = 50
_KNOWN_MOST: Final = 200
_LONGEST_WORD: Final = 100
_SHOWN_WIDTH: Final = 160
_HIDDEN: Final = "\0"  # TOML has none
_INSTEAD: Final = "..."


class Severity(StrEnum):
    """Whether the rig can run with it."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a rig file.

    Attributes:
        file: name as the user gave it.
        line, column: from 1, in characters; 0 when the file as a whole is meant.
        width: characters that the caret underlines.
        source: the line of the file, empty when there is none to show.
        advice: what to do about it, empty when the message says it.
    """

    severity: Severity
    file: str
    line: int
    column: int
    width: int
    message: str
    advice: str
    source: str

    def __str__(self) -> str:
        """Compiler style: `file:line:column: severity: message`, then the line with a caret, then the advice."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        rows = [f"{place}: {self.severity}: {self.message}"]
        gutter = " " * len(str(self.line))
        if self.source.strip():
            source = self.source if len(self.source) <= _SHOWN_WIDTH else self.source[: _SHOWN_WIDTH - 3] + "..."
            # Tabs stay tabs, so that the caret stands under its text whatever the terminal makes of them.
            indent = "".join("\t" if char == "\t" else " " for char in source[: self.column - 1])
            carets = "^" * max(1, min(self.width, len(source) - self.column + 1))
            rows += [f"  {self.line} | {source}", f"  {gutter} | {indent}{carets}"]
        if self.advice:
            rows.append(f"  {gutter} = {self.advice}")
        return "\n".join(rows)


class RigError(Exception):
    """A rig file that cannot be used; `str()` is the finished report, with warnings, as a person should see it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(report(self.problems))


class Findings:
    """Collects the problems of one text by key path.

    Args:
        file: name as the user gave it.
        lines: of the file.
        places: where its keys and values stand.
    """

    def __init__(self, file: str, lines: Sequence[str], places: Places) -> None:
        self._file = file
        self._lines = lines
        self._places = places
        self._problems: list[Problem] = []
        self._blamed: set[Path] = set()

    def error(self, path: Path, message: str, advice: str = "", *, at: Literal["key", "value"] = "value") -> None:
        """Add an error at a key, its value (usual), or, when that path does not stand in the file, its table."""
        self._blamed.update(path[:depth] for depth in range(len(path) + 1))
        self._add(Severity.ERROR, path, message, advice, at)

    def warning(self, path: Path, message: str, advice: str = "", *, at: Literal["key", "value"] = "value") -> None:
        """Add a warning in the same way."""
        self._add(Severity.WARNING, path, message, advice, at)

    def hide(self, paths: Iterable[Path]) -> None:
        """From now on show no value at or below these paths, which may hold a secret, and no comment."""
        paths, places = frozenset(paths), self._places
        values = [
            extent
            for path, extent in places.extents.items()
            if not paths.isdisjoint(path[:depth] for depth in range(1, len(path) + 1))
        ]
        text = replaced("\n".join(self._lines), values, lambda value: re.sub(r"[^\n]", _HIDDEN, value))
        self._lines = replaced(text, places.comments, lambda comment: " " * len(comment)).split("\n")

    def blamed(self, path: Path) -> bool:
        """Say whether there is an error at that path or within it."""
        return path in self._blamed

    @property
    def many(self) -> bool:
        """Whether there are so many that what was meant by a misspelt word is not worth the search."""
        return len(self._problems) > _HINTED

    def line_of(self, path: Path) -> int:
        """Return the line of a key, for messages that point at another place."""
        return self._places.key(path).line

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems in the order of the file."""
        return tuple(sorted(self._problems, key=lambda problem: (problem.line, problem.column)))

    def _add(self, severity: Severity, path: Path, message: str, advice: str, at: str) -> None:
        span = self._places.key(path) if at == "key" else self._places.value(path)
        source, width = self._shown(span)
        self._problems.append(
            Problem(
                severity=severity,
                file=self._file,
                line=span.line,
                column=span.column,
                width=width,
                message=message,
                advice=advice,
                source=source,
            )
        )

    def _shown(self, span: Span) -> tuple[str, int]:
        """Return the line up to what is hidden, empty when that comes first, and the width of what is meant."""
        if not span.width:
            return "", 0
        line, hidden, _ = self._lines[span.line - 1].partition(_HIDDEN)
        if span.column > len(line) + 1:
            return "", 0
        if span.column == len(line) + 1:
            return line + _INSTEAD, len(_INSTEAD)
        return (line + _INSTEAD if hidden else line.rstrip()), span.width


def brief(problems: Iterable[Problem]) -> str:
    """Return the errors in one line: where each is, and what."""
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    said = [f"{each.file}:{each.line}: {each.message}" for each in errors[:_BRIEF]]
    return "; ".join([*said, *([f"{len(errors) - _BRIEF} more"] if len(errors) > _BRIEF else [])])


def replaced(text: str, extents: Iterable[Extent], instead: Callable[[str], str]) -> str:
    """Return a text with something instead of what stands there; of extents within others the outer one counts."""
    pieces: list[str] = []
    at = 0
    for start, end in sorted(extents, key=lambda extent: (extent[0], -extent[1])):
        if start >= at:
            pieces += [text[at:start], instead(text[start:end])]
            at = end
    return "".join([*pieces, text[at:]])


def report(problems: Iterable[Problem]) -> str:
    """Return all problems as text, with their number at the end; empty when there are none."""
    problems = tuple(problems)
    if not problems:
        return ""
    errors = sum(problem.severity is Severity.ERROR for problem in problems)
    counts = [counted(errors, "error")] if errors else []
    if errors < len(problems):
        counts.append(counted(len(problems) - errors, "warning"))
    return "\n\n".join([*map(str, problems), ", ".join(counts)])


def counted(number: int, noun: str) -> str:
    """Return "1 bus", "2 buses", "3 errors"."""
    plural = noun + ("es" if noun.endswith(("s", "ch")) else "s")
    return f"{number} {noun if number == 1 else plural}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was most probably meant, None when none is near or the search would take long."""
    folded = {each.lower().replace("-", "_"): each for each in known if len(each) <= _LONGEST_WORD}
    if len(word) > _LONGEST_WORD or len(folded) > _KNOWN_MOST:
        return None
    close = difflib.get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ", did you mean 'x'?" for the known word that was most probably meant, else nothing."""
    return suggestion(nearest(word, known))


def suggestion(meant: str | None) -> str:
    """Return ", did you mean 'x'?", nothing for None."""
    return f", did you mean '{meant}'?" if meant else ""
