"""What the journal holds, and what it has dropped."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One message.

    Attributes:
        n: the gateway's running number.
        t_ms: when it was put, ms UTC.
        record: it is never dropped to make room (an event).
    """

    n: int
    t_ms: int
    topic: str
    payload: bytes
    record: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Trimmed:
    """What was dropped to keep the caps: numbers, first to last, with the cause ("journal_size", "journal_age")."""

    spans: tuple[tuple[int, int, str], ...]
