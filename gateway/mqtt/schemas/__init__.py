"""The JSON Schemas (draft 2020-12) of all payloads; the `.json` files here serve consumers in any language.

They are strict: no other property than the named ones. What they cannot say: the arrays of one channel of a batch are
equally long.
"""

from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal, get_args

import orjson

Kind = Literal[
    "reading",
    "batch",
    "status",
    "meta",
    "health",
    "state",
    "hatch",
    "leak",
    "alarm",
    "event",
    "command-hatch",
    "command-event",
    "command-acknowledge",
    "command-shelve",
    "command-replay",
    "command-rate",
    "command-pause",
    "command-resume",
    "command-rescan",
    "command-zero",
    "command-calibrate",
    "command-write",
    "command-reload",
    "ack",
    "response",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@cache
def schema(kind: Kind) -> dict[str, Any]:
    """Return the schema of one kind of payload."""
    parsed: dict[str, Any] = orjson.loads(files(__name__).joinpath(f"{kind}.json").read_bytes())
    return parsed
