"""Lines of characters: cutting what comes over the wire into commands, and the Digiquartz grammar `*dddss...`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_PIECES: Final = re.compile(rb"[^\r]*\r|[^\r]+")


class Lines:
    """Collects characters into lines that end with CR; LF is skipped, a line longer than `limit` is dropped whole."""

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._open = b""
        self._overlong = False

    def feed(self, data: bytes) -> Iterator[tuple[bytes, str | None]]:
        """Yield what was heard piece by piece, each with the line that it completed, if any."""
        for piece in _PIECES.findall(data.replace(b"\n", b"")):
            self._open += piece.removesuffix(b"\r")
            self._overlong |= len(self._open) > self._limit
            if self._overlong:
                self._open = b""
            line = None
            if piece.endswith(b"\r"):
                line = None if self._overlong else self._open.decode("ascii", "replace")
                self.clear()
            yield piece, line

    def clear(self) -> None:
        """Forget a line that has begun."""
        self._open = b""
        self._overlong = False


_DIGIQUARTZ: Final = re.compile(
    r"(?:\*(?P<enabled>\d{4})EW)?\*(?P<to>\d\d)(?P<sender>\d\d)(?P<name>[A-Z][A-Z0-9])(?:=(?P<value>[ -~]{1,20}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigiquartzCommand:
    """One command of the Digiquartz protocol.

    Attributes:
        to, sender: two-digit addresses; a host is 00.
        name: two characters.
        value: what to set, None for a question.
        enabled: an EW for the same unit stood before it.
    """

    to: int
    sender: int
    name: str
    value: str | None
    enabled: bool

    def answer(self, text: str) -> bytes:
        """Return the line that brings this command's answer; it does not name what was asked for a measurement."""
        return f"*{self.sender:02}{self.to:02}{text}\r\n".encode("ascii")


def digiquartz(line: str) -> DigiquartzCommand | None:
    """Parse a command line, None when it is none."""
    match = _DIGIQUARTZ.fullmatch(line)
    if match is None:
        return None
    addresses = match["to"] + match["sender"]
    return DigiquartzCommand(
        to=int(match["to"]),
        sender=int(match["sender"]),
        name=match["name"],
        value=match["value"],
        enabled=match["enabled"] == addresses,
    )
