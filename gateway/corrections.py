"""What to add to the stamps of a gateway that began with a wrong clock: from its events `clock`; for consumers, pure.

Each event covers the numbers from `since` to before its own, of one start of the gateway: its own, or one before it
that ended before the time came. Later ones may cover them
again: what they say adds up, in whatever order it comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What one event says.

    Attributes:
        gateway, boot: whose stamps.
        since: the first number that it covers.
        before: the number after the last one: the event's own.
        add_ms: what to add to them, ms; 0 when they are right as far as anybody knows.
    """

    gateway: str
    boot: str
    since: int
    before: int
    add_ms: int


def correction_of(document: Mapping[str, Any]) -> Correction | None:
    """Return what an event says of stamps, None when it is of another kind.

    Raises:
        KeyError, TypeError: it is no event of ours.
    """
    if document["kind"] != "clock":
        return None
    words = document["clock"]
    return Correction(
        gateway=document["gw"],
        boot=words.get("boot", document["boot"]),
        since=words["since"],
        before=document["n"],
        add_ms=words["correction_ms"],
    )


@dataclass(slots=True)
class Corrections:
    """All that is known."""

    _known: set[Correction] = field(default_factory=set)

    def add(self, correction: Correction) -> None:
        """Learn of one; to hear it again changes nothing."""
        if correction.add_ms:
            self._known.add(correction)

    def add_ms(self, document: Mapping[str, Any]) -> int:
        """Return what to add to the stamps of a message of record, ms.

        Raises:
            KeyError, TypeError: it is none.
        """
        gateway, n, boot = document["gw"], document["n"], document.get("boot")
        return sum(
            each.add_ms
            for each in self._known
            if each.gateway == gateway and each.since <= n < each.before and boot == each.boot
        )
