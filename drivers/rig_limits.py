"""How large, deep and long a rig file may be: beyond that parsers take minutes or fail in ways of their own."""

import re
import tomllib
from typing import Any, Final

LARGEST_FILE: Final = 4 * 2**20
"""Bytes; 20,000 transducers fit."""
DEEPEST: Final = 16
"""Tables and arrays within each other; the deepest that a rig file needs is half of it."""

_INTEGER_MOST: Final = 2**63
_DOTTED: Final = re.compile(
    rf"""(?:^[ \t]*+\[{{0,2}}|[{{,])(?:[ \t]*+(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.){{{DEEPEST}}}""", re.MULTILINE
)
_TOO_DEEP: Final = f"nested more than {DEEPEST} deep"


class LimitError(ValueError):
    """A rig file is beyond what is read; the message says what of it."""


def parsed(text: str) -> dict[str, Any]:
    """Parse a rig file's text.

    Raises:
        TOMLDecodeError: it is not TOML.
        LimitError: it is beyond the limits.
    """
    if match := _DOTTED.search(text):
        raise LimitError(f"line {text.count(chr(10), 0, match.end()) + 1}: {_TOO_DEEP}")
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise LimitError(_TOO_DEEP) from None
    except ValueError:  # Python's own limit of digits
        raise LimitError("a number in it has thousands of digits") from None
    _check_values(raw)
    return raw


def _check_values(raw: dict[str, Any]) -> None:
    waiting: list[tuple[tuple[str, ...], Any]] = [((), raw)]
    while waiting:
        path, value = waiting.pop()
        if len(path) > DEEPEST:
            raise LimitError(f"{_TOO_DEEP}: {'.'.join(path[:3])}...")
        if isinstance(value, dict):
            waiting += [((*path, key), each) for key, each in value.items()]
        elif isinstance(value, list):
            waiting += [((*path, str(index)), each) for index, each in enumerate(value)]
        elif isinstance(value, int) and not -_INTEGER_MOST <= value < _INTEGER_MOST:
            raise LimitError(f"{'.'.join(path)}: a whole number of more than 64 bits, which TOML does not have")
