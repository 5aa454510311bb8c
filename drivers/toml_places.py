"""Where each key and value of a TOML text stands: key path -> line and column, for messages with a caret.

`tomllib` reads values but forgets their places. This pass goes over a text that tomllib has already accepted, so it
checks nothing and only has to find where things begin and end (TOML v1.0.0). Pure.
"""

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

Path = tuple[str | int, ...]
"""Keys and array indices from the top, as in `("hatch", 0, "between")`."""

Extent = tuple[int, int]

_STRING: Final = (
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'  # up to two quotes may stand before the closing three
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\])*"'
    r"|'[^']*'"
)
_BLANK: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_COMMENT: Final = re.compile(r"#[^\n]*")
_SPACE: Final = re.compile(r"[ \t]*")
_KEY: Final = re.compile(r""""(?:\\.|[^"\\])*"|'[^']*'|[A-Za-z0-9_-]+""")
_VALUE: Final = re.compile(rf"{_STRING}|\d{{4}}-\d\d-\d\d \d\d:[^\s,#\]}}]+|[^\s,#\]}}]+", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of one line: line and column from 1, width in characters (what goes on in the next line is left out)."""

    line: int
    column: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The places of all keys and values of a text.

    A table's key is its header; an element of an array has no key of its own, its value stands in.

    Attributes:
        extents: where each value begins and ends, in characters of the text.
        comments: the same of each comment, in order.
    """

    keys: Mapping[Path, Span]
    values: Mapping[Path, Span]
    extents: Mapping[Path, Extent]
    comments: Sequence[Extent]

    def key(self, path: Path) -> Span:
        """Return where the key of that path stands, or that of the nearest enclosing table; width 0 when none does."""
        while path:
            for spans in (self.keys, self.values):
                if path in spans:
                    return spans[path]
            path = path[:-1]
        return Span(line=1, column=1, width=0)

    def value(self, path: Path) -> Span:
        """Return where the value of that path stands, or else its key."""
        return self.values.get(path) or self.key(path)


def places(text: str) -> Places:
    """Find every key and value of a TOML text that tomllib accepts; lines end in LF alone."""
    walk = _Walk(text)
    walk.document()
    return Places(keys=walk.keys, values=walk.values, extents=walk.extents, comments=walk.comments)


class _Walk:
    """One pass over a text; `at` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.keys: dict[Path, Span] = {}
        self.values: dict[Path, Span] = {}
        self.extents: dict[Path, Extent] = {}
        self.comments: list[Extent] = []
        self._lengths: dict[Path, int] = {}  # of the arrays of tables so far
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def document(self) -> None:
        table: Path = ()
        self._blank()
        while self.at < len(self.text):
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._blank()

    def _header(self) -> Path:
        start = self.at
        many = self.text.startswith("[[", start)
        self.at += 2 if many else 1
        parts = [part for part, _, _ in self._key_parts()]
        self.at += 2 if many else 1
        span = self._span(start, self.at)
        path: Path = ()
        for depth, part in enumerate(parts, start=1):
            path += (part,)
            self.keys.setdefault(path, span)
            if many and depth == len(parts):
                self._lengths[path] = self._lengths.get(path, 0) + 1
            if path in self._lengths:
                path += (self._lengths[path] - 1,)
        self.keys[path] = span
        return path

    def _pair(self, table: Path) -> None:
        path = table
        for part, start, end in self._key_parts():
            path += (part,)
            self.keys.setdefault(path, self._span(start, end))
        self.at += 1  # the "="
        self._skip(_SPACE)
        self._value(path)

    def _key_parts(self) -> list[tuple[str, int, int]]:
        """Read `a."b".c`: each part with its start and end; stops at what follows the key."""
        parts = []
        while True:
            self._skip(_SPACE)
            start, end = self._skip(_KEY)
            raw = self.text[start:end]
            parts.append((_unquoted(raw), start, end))
            self._skip(_SPACE)
            if self.text[self.at] != ".":
                return parts
            self.at += 1

    def _value(self, path: Path) -> None:
        start = self.at
        opening = self.text[start]
        if opening == "[":
            self._array(path)
        elif opening == "{":
            self._inline_table(path)
        else:
            self._skip(_VALUE)
        self.values[path] = self._span(start, self.at)
        self.extents[path] = (start, self.at)

    def _array(self, path: Path) -> None:
        index = 0
        self._next()
        while self.text[self.at] != "]":
            self._value((*path, index))
            index += 1
            self._blank()
            if self.text[self.at] == ",":
                self._next()
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self._next()
        while self.text[self.at] != "}":
            self._pair(path)
            self._blank()  # TOML 1.1 allows lines and a last comma in here
            if self.text[self.at] == ",":
                self._next()
        self.at += 1

    def _next(self) -> None:
        self.at += 1
        self._blank()

    def _blank(self) -> None:
        start, end = self._skip(_BLANK)
        self.comments += (match.span() for match in _COMMENT.finditer(self.text, start, end))

    def _skip(self, pattern: re.Pattern[str]) -> tuple[int, int]:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise ValueError(f"not TOML at character {self.at}: tomllib should have refused it")
        self.at = match.end()
        return match.span()

    def _span(self, start: int, end: int) -> Span:
        line = bisect_right(self._line_starts, start)
        line_end = self.text.find("\n", start, end)
        return Span(
            line=line,
            column=start - self._line_starts[line - 1] + 1,
            width=(end if line_end < 0 else line_end) - start,
        )


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    text = tomllib.loads(f"key = {key}")["key"]
    return str(text)
