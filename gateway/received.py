"""What a consumer has received of gateways' records: readings in a file, and which numbers are missing.

A reference for consumers in any language: numbers of record (`batch`, `late`, `event`) have no gap on a gateway, so
whoever has them all has everything; what is missing can be asked for again by the command `replay`.
"""

import csv
import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import orjson

from gateway.mqtt.journal import Spans

_COLUMNS: Final = ("gateway", "n", "channel", "t", "value", "quality", "reason")
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS message (gateway TEXT NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (gateway, n)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reading (gateway TEXT NOT NULL, n INTEGER NOT NULL, channel TEXT NOT NULL,
    t INTEGER NOT NULL, value REAL, quality TEXT NOT NULL, reason TEXT);
CREATE TABLE IF NOT EXISTS event (gateway TEXT NOT NULL, n INTEGER NOT NULL, t INTEGER NOT NULL,
    payload TEXT NOT NULL);
"""

Row = tuple[str, int, str, int, float | None, str, str | None]
"""Gateway, number, channel, ms UTC, Pa or K, quality, reason."""


class ReceiveError(ValueError):
    """A file that cannot take readings; the message says why and what would do."""


def rows(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the readings of a batch payload.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    gateway, n, t0 = document["gw"], document["n"], document["t0"]
    for channel, column in document["channels"].items():
        count = len(column["dt"])
        quality, reason = (
            each if isinstance(each, list) else [each] * count for each in (column["quality"], column["reason"])
        )
        for dt, value, word, why in zip(column["dt"], column["value"], quality, reason, strict=True):
            yield gateway, n, channel, t0 + dt, value, word, why


class Store(Protocol):
    """Where readings go."""

    def known(self) -> Iterator[tuple[str, int]]:
        """Yield (gateway, number) of what it holds from before."""
        ...

    def add(self, document: Mapping[str, Any], readings: list[Row]) -> None:
        """Take one message of record: a batch with its readings, or an event with none."""
        ...

    def save(self) -> None:
        """Have all of it on disk."""
        ...

    def close(self) -> None:
        """Save and close."""
        ...


class SqliteStore:
    """A SQLite file; an old one is continued."""

    def __init__(self, path: Path) -> None:
        try:
            self._database = sqlite3.connect(path)
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise ReceiveError(f"{path}: {error}; name another file") from None

    def known(self) -> Iterator[tuple[str, int]]:
        """Yield what an earlier run has stored."""
        yield from self._database.execute("SELECT gateway, n FROM message")

    def add(self, document: Mapping[str, Any], readings: list[Row]) -> None:
        """Take one message; it is committed with the next `save`."""
        self._database.execute("INSERT INTO message VALUES (?, ?)", (document["gw"], document["n"]))
        self._database.executemany("INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?, ?)", readings)
        if "kind" in document:
            event = (document["gw"], document["n"], document["t"], orjson.dumps(document).decode())
            self._database.execute("INSERT INTO event VALUES (?, ?, ?, ?)", event)

    def save(self) -> None:
        """Commit."""
        self._database.commit()

    def close(self) -> None:
        """Commit and close."""
        self._database.commit()
        self._database.close()


class NoStore:
    """Counts only."""

    def known(self) -> Iterator[tuple[str, int]]:
        """Yield nothing."""
        yield from ()

    def add(self, document: Mapping[str, Any], readings: list[Row]) -> None:
        """Store nothing."""

    def save(self) -> None:
        """Save nothing."""

    def close(self) -> None:
        """Close nothing."""


class CsvStore:
    """A new CSV file of readings; events only count."""

    def __init__(self, path: Path) -> None:
        try:
            self._file: TextIO = path.open("x", newline="", encoding="utf-8")
        except FileExistsError:
            raise ReceiveError(f"{path} is there already: name a new file, or one that ends with .sqlite") from None
        except OSError as error:
            raise ReceiveError(f"{path}: {error.strerror}") from None
        self._writer = csv.writer(self._file)
        self._writer.writerow(_COLUMNS)

    def known(self) -> Iterator[tuple[str, int]]:
        """Yield nothing: it begins anew."""
        yield from ()

    def add(self, document: Mapping[str, Any], readings: list[Row]) -> None:  # noqa: ARG002 - the seam's
        """Write the readings."""
        self._writer.writerows(readings)

    def save(self) -> None:
        """Hand everything to the system."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def store(path: Path) -> Store:
    """Return the store for a file name.

    Raises:
        ReceiveError: no such kind of file, or it cannot be written.
    """
    kinds: dict[str, Callable[[Path], Store]] = {".sqlite": SqliteStore, ".csv": CsvStore}
    if path.suffix not in kinds:
        raise ReceiveError(f"{path}: must end with {' or '.join(kinds)}")
    return kinds[path.suffix](path)


@dataclass(slots=True)
class Received:
    """What has come, and what has not.

    Attributes:
        messages: that came, of any topic.
        readings: stored, each once.
        repeated: messages that came again.
        strange: messages that are none of ours.
    """

    store: Store
    messages: int = 0
    readings: int = 0
    repeated: int = 0
    strange: int = 0
    _got: dict[str, Spans] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for gateway, n in self.store.known():
            self._got.setdefault(gateway, Spans()).add(n, n)

    def take(self, topic: str, payload: bytes) -> None:
        """Take a message; those of other topics than of record are passed over."""
        self.messages += 1
        last = topic.rpartition("/")[2]
        if last not in {"batch", "late"} and "/event/" not in topic:
            return
        try:
            document = orjson.loads(payload)
            found = [] if "kind" in document else list(rows(document))
            gateway, n = str(document["gw"]), int(document["n"])
        except (KeyError, TypeError, ValueError):
            self.strange += 1
            return
        got = self._got.setdefault(gateway, Spans())
        if n in got:
            self.repeated += 1
            return
        got.add(n, n)
        self.store.add(document, found)
        self.readings += len(found)

    def complete_upto(self) -> dict[str, int]:
        """Return for each gateway the highest number up to which nothing is missing since the first that came."""
        return {gateway: next(iter(got))[1] for gateway, got in self._got.items()}

    def gaps(self) -> dict[str, list[tuple[int, int]]]:
        """Return for each gateway the spans of numbers that are missing between the first and the last that came."""
        found = {}
        for gateway, got in self._got.items():
            spans = list(got)
            missing = [(last + 1, first - 1) for (_, last), (first, _) in itertools.pairwise(spans)]
            if missing:
                found[gateway] = missing
        return found

    def verdict(self) -> str:
        """Say how complete it is, in one line."""
        missing = [
            f"{gateway}: {first}" + (f" to {last}" if last > first else "")
            for gateway, spans in self.gaps().items()
            for first, last in spans
        ]
        again = f", {self.repeated} messages came again" if self.repeated else ""
        gaps = "1 gap" if len(missing) == 1 else f"{len(missing)} gaps"
        names = f": {'; '.join(missing)}" if missing else ""
        return f"{self.readings} readings, {gaps}{names}{again}"
