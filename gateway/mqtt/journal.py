"""What the gateway has said, on disk: one row a message, until it is too old or there are too many.

SQLite in WAL mode with synchronous=FULL: what `write` has returned from survives a power cut, if the disk keeps what it
says it has. Blocking; `gateway.mqtt.keeper` calls it from a thread of its own, others may read from theirs.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from drivers.rig import Rig
from gateway.mqtt.claim import Claim, ClaimedError, Reserved, identity
from gateway.mqtt.row import Row, Trimmed
from gateway.mqtt.spans import Spans

_SCHEMA: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS row (
    n INTEGER PRIMARY KEY, t INTEGER NOT NULL, record INTEGER NOT NULL, topic INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS record ON row (n) WHERE record = 1;
CREATE TABLE IF NOT EXISTS topic (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS state (id INTEGER PRIMARY KEY CHECK (id = 1), words BLOB NOT NULL);
"""
_EVENTS: Final = 10_000  # records that are looked at
_TRIM_ROWS: Final = 500
_OLDEST: Final = "SELECT n, t, length(payload) FROM row WHERE record = 0 AND n >= ? ORDER BY n LIMIT ?"
_TRIM_TO: Final = 0.95  # of the size cap: not again at the next commit
_TOPICS: Final = 4096  # whose numbers are kept in memory
_ROWS: Final = (
    "SELECT row.n, row.t, topic.name, row.payload, row.record FROM row JOIN topic ON topic.id = row.topic WHERE "
)
_DAMAGED: Final = ("malformed", "not a database", "encrypted", "Could not decode")
_FILES: Final = ("", "-wal", "-shm")


class JournalError(OSError):
    """The journal cannot be written or read now: disk full, read-only, gone. The message says which file and why."""


class JournalDamagedError(JournalError):
    """The file is no journal, or its content is damaged."""


class JournalBusyError(JournalError):
    """Another gateway has the file."""


class Journal:
    """One journal file. Construction touches nothing.

    Args:
        path: the file; its folder is made.
        max_bytes: telemetry is dropped, oldest first, before the file grows beyond.
        max_age_ms: telemetry older than that is dropped.

    Attributes:
        last_n: the highest number that may have been given out; where nobody can know, the time of day, ms UTC.
        refusal: why it could not be opened at the start; empty once it is open.
        undelivered: numbers of rows that the broker has not taken, as of the last `write` before it was opened.
        rows: how many there are.
        set_aside: where a damaged file was moved to, None when there was none.
        skipped: numbers that may have been given out before it was opened though nothing of them is here, first to
            last; None when there are none. See `gateway.mqtt.claim`.
        ended_ms: until when a gateway has written it before `open`, ms UTC, None when nobody can know.
    """

    def __init__(self, path: Path, *, max_bytes: int, max_age_ms: int) -> None:
        self.path = path
        self.last_n = 0
        self.refusal = ""
        self.undelivered: list[list[int]] = []
        self.rows = 0
        self.set_aside: Path | None = None
        self.skipped: tuple[int, int] | None = None
        self.ended_ms: int | None = None
        self._claim = Claim(path.with_name(f"{path.name}.lock"))
        self._identity = (0, 0)
        self._max_bytes = max_bytes
        self._max_age_ms = max_age_ms
        self._topics: dict[str, int] = {}
        self._telemetry_from = 0  # there is no telemetry below
        self._lock = threading.RLock()
        self._database: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open or make the file. A damaged one is set aside under another name, never deleted.

        Raises:
            JournalBusyError: another gateway uses it.
            JournalError: it can be neither opened nor made; `reopen` may do so later.
        """
        try:
            with self._spoken():
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if not self._claim.taken:
                    self._claim.take()
            self._open_sound()
        except JournalBusyError:
            raise
        except JournalError as error:
            self._close()
            self.refusal = str(error)
            self.last_n = self.reserved.upto or round(time.time() * 1000)
            self.ended_ms = self.reserved.closed_ms
            raise
        self._find_numbers()

    def reopen(self, *, damaged: bool = False) -> None:
        """Open the file again, as after a disk that was gone; where it is gone too, a new one is made.

        Args:
            damaged: it is; set it aside.

        Raises:
            JournalError: it can be neither opened nor made.
        """
        with self._lock:
            last_n = self.last_n
            with self._spoken():
                if self.refusal:  # later, a folder that is gone is that of a disk that is gone
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                self._claim.renew()
            if damaged:
                self._set_aside()
            if self.refusal:
                self._open_late(last_n)
            else:
                self._open_sound(thorough=damaged)
            self.last_n = max(self.last_n, last_n)

    def _open_late(self, last_n: int) -> None:
        """Open what could not be opened at the start; since then numbers were given out from last_n on."""
        self._open_sound()
        if self.last_n > last_n:
            self._close()
            raise JournalError(f"{self.path}: has numbers beyond {last_n}, where this gateway began: move it away")
        self.skipped = (self.last_n + 1, last_n) if self.last_n < last_n else None
        self.refusal = ""

    def _open_sound(self, *, thorough: bool = True) -> None:
        self._close()
        try:
            self._open(thorough=thorough)
        except JournalDamagedError:
            self._set_aside()
            self._open(thorough=thorough)

    def _open(self, *, thorough: bool) -> None:
        with self._spoken():
            log = self.path.with_name(f"{self.path.name}-wal")
            unclean = log.exists() and log.stat().st_size > 0  # a clean close leaves none
            database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=2.0)
            self._database = database
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            database.execute("PRAGMA wal_autocheckpoint = 1000")
            database.execute("PRAGMA cache_size = -256")  # KiB of SQLite's 2000: it is written and seldom read
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version not in (0, _SCHEMA):
                raise JournalError(
                    f"{self.path}: written by another version of Manovac (schema {version}): move it away"
                )
            database.executescript(_TABLES)
            if version != _SCHEMA:
                database.execute(f"PRAGMA user_version = {_SCHEMA}")
            if thorough:
                self._check(database, unclean=unclean)
            self._identity = identity(self.path.stat())
            self._topics = {name: number for number, name in database.execute("SELECT id, name FROM topic")}
            state = database.execute("SELECT words FROM state").fetchone()
            words = self._json(state[0]) if state else {}
            (highest, self.rows) = database.execute("SELECT coalesce(max(n), 0), count(*) FROM row").fetchone()
            self.last_n = max(highest, words.get("last_n", 0))
            self.undelivered = words.get("undelivered", [])
            self._telemetry_from = 0

    def _find_numbers(self) -> None:
        """Go on above every number that may have been seen, and learn how the gateway before us ended."""
        reserved = self._claim.reserved
        if reserved.upto > self.last_n:
            gone = self.last_n == 0 and (reserved.closed_ms is None or self.set_aside is not None)
            if reserved.unsure or gone:
                self.skipped = (self.last_n + 1, reserved.upto)
            if self.skipped is not None or reserved.closed_ms is not None:
                self.last_n = reserved.upto
        self.ended_ms = reserved.closed_ms
        if self.ended_ms is None and not reserved.loose and self.rows:
            with self._spoken():
                (self.ended_ms,) = self._opened().execute("SELECT t FROM row ORDER BY n DESC LIMIT 1").fetchone()

    @property
    def reserved(self) -> Reserved:
        """How far numbers may be given out."""
        return self._claim.reserved

    def reserve(self, reserved: Reserved) -> None:
        """Note on disk how far numbers may be given out.

        Raises:
            JournalError: that cannot be written.
        """
        with self._spoken():
            self._claim.write(reserved)

    def _check(self, database: sqlite3.Connection, *, unclean: bool) -> None:
        """Look for damage where there may be some.

        What a file has lost at its end SQLite reads as zeros, which its own check passes over inside a value.
        """
        cut = self._is_cut(database)
        if unclean or cut:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise JournalDamagedError(f"{self.path}: damaged: {verdict}")
        if cut:
            for (payload,) in database.execute("SELECT payload FROM row"):
                self._json(payload)

    def _json(self, text: bytes) -> Any:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise JournalDamagedError(f"{self.path}: damaged: {error}") from None

    def _is_cut(self, database: sqlite3.Connection) -> bool:
        """Say whether the file is shorter than it says it is."""
        pages, size = (database.execute(f"PRAGMA {word}").fetchone()[0] for word in ("page_count", "page_size"))
        return bool(self.path.stat().st_size < pages * size)

    def _set_aside(self) -> None:
        """Give the files another name, so that a new journal can be made."""
        self._close()
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        with self._spoken():
            for end in _FILES:
                with suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + end).rename(aside.with_name(aside.name + end))
        self.set_aside = aside

    def close(self) -> None:
        """Close the file; another gateway may have it then."""
        with self._lock:
            self._close()
            self._claim.release()

    def _close(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = None

    def write(
        self, rows: Sequence[Row], undelivered: Sequence[Sequence[int]], *, now_ms: int, last_n: int = 0
    ) -> Trimmed:
        """Write rows and what is undelivered in one transaction, and drop what the caps do not allow.

        Args:
            rows: with rising numbers; those that are there already stay as they are.
            last_n: the highest number given out, if these rows do not have it: all others are with the broker.
            undelivered: spans [first, last] of numbers that the broker has not taken; these rows included.
            now_ms: UTC, for the age of rows.

        Raises:
            JournalError: nothing was written.
        """
        last_n = max(rows[-1].n if rows else 0, self.last_n, last_n)
        words = orjson.dumps({"last_n": last_n, "undelivered": undelivered})
        with self._transaction() as database:
            if identity(self.path.stat()) != self._identity:
                raise JournalError(f"{self.path}: another file has taken its place")
            # a commit that failed may have reached the disk all the same, so the same rows may come again
            added = database.executemany(
                "INSERT OR IGNORE INTO row VALUES (?, ?, ?, ?, ?)",
                [(row.n, row.t_ms, row.record, self._topic(database, row.topic), row.payload) for row in rows],
            ).rowcount
            database.execute("INSERT OR REPLACE INTO state VALUES (1, ?)", (words,))
            self._telemetry_from = min(self._telemetry_from, rows[0].n if rows else self._telemetry_from)
            trimmed = self._trim(database, now_ms)
        self.last_n = last_n
        self.rows += max(added, 0) - sum(len(numbers) for numbers in trimmed.values())
        spans = ((cause, Spans((n, n) for n in numbers)) for cause, numbers in trimmed.items())
        return Trimmed(spans=tuple((first, last, cause) for cause, dropped in spans for first, last in dropped))

    def restamp(self, first: int, last: int, add_ms: int) -> None:
        """Change when rows were put, in a journal whose clock was wrong then.

        Raises:
            JournalError: nothing was changed.
        """
        with self._transaction() as database:
            database.execute("UPDATE row SET t = t + ? WHERE n BETWEEN ? AND ?", (add_ms, first, last))

    def _topic(self, database: sqlite3.Connection, name: str) -> int:
        number = self._topics.get(name)
        if number is None:
            database.execute("INSERT OR IGNORE INTO topic (name) VALUES (?)", (name,))
            (number,) = database.execute("SELECT id FROM topic WHERE name = ?", (name,)).fetchone()
            if len(self._topics) < _TOPICS:
                self._topics[name] = number
        return number

    def _trim(self, database: sqlite3.Connection, now_ms: int) -> dict[str, list[int]]:
        """Drop the oldest telemetry while it is too old, then while there is too much; return its numbers by cause."""
        old_ms = now_ms - self._max_age_ms
        dropped = {"journal_age": self._drop_oldest(database, lambda t_ms, _: t_ms < old_ms), "journal_size": []}
        if self._bytes(database) > self._max_bytes:
            while numbers := self._drop_oldest(database, partial(self._is_over, self._bytes(database))):
                dropped["journal_size"] += numbers
        return dropped

    def _is_over(self, size: int, _t_ms: int, freed: int) -> bool:
        return size - freed > _TRIM_TO * self._max_bytes

    def _drop_oldest(self, database: sqlite3.Connection, drops: Callable[[int, int], bool]) -> list[int]:
        """Drop telemetry from the oldest on while `drops` (its ms UTC, bytes of those before it) says so."""
        numbers, freed = [], 0
        found = database.execute(_OLDEST, (self._telemetry_from, _TRIM_ROWS))
        first = None
        for n, t_ms, size in found:
            first = n if first is None else first
            if not drops(t_ms, freed):
                break
            numbers.append(n)
            freed += size
        found.close()
        # rows that come back when this is rolled back are not below
        self._telemetry_from = self.last_n + 1 if first is None else first
        if numbers:
            words = (numbers[0], numbers[-1])
            database.execute("DELETE FROM row WHERE record = 0 AND n BETWEEN ? AND ?", words)
        return numbers

    def _bytes(self, database: sqlite3.Connection) -> int:
        pages, free, size = (
            database.execute(f"PRAGMA {word}").fetchone()[0] for word in ("page_count", "freelist_count", "page_size")
        )
        return int((pages - free) * size)

    def bytes(self) -> int:
        """Return how many bytes its rows take.

        Raises:
            JournalError: it cannot be read.
        """
        with self._spoken():
            return self._bytes(self._opened())

    def read(self, first: int, last: int, *, limit: int, records: bool = False) -> list[Row]:
        """Return the rows, or only the records, from number first to number last, in order, at most `limit` of them.

        Raises:
            JournalError: it cannot be read.
        """
        return self._rows("row.n BETWEEN ? AND ? ORDER BY row.n LIMIT ?", (first, last, limit), records=records)

    def count(self, first: int, last: int) -> int:
        """Return how many rows there are from number first to number last.

        Raises:
            JournalError: it cannot be read.
        """
        with self._spoken():
            (rows,) = (
                self._opened().execute("SELECT count(*) FROM row WHERE n BETWEEN ? AND ?", (first, last)).fetchone()
            )
            return int(rows)

    def newest(self, topic: str, *, limit: int, records: bool = False) -> list[Row]:
        """Return the newest rows, or only the records, of topics that begin so, in order, at most `limit` of them.

        Raises:
            JournalError: it cannot be read.
        """
        which = "topic.name >= ? AND topic.name < ? ORDER BY row.n DESC LIMIT ?"
        return self._rows(which, (topic, topic + "\x7f", limit), records=records)[::-1]

    def events(self, topic: str, *, limit: int = _EVENTS) -> Iterator[Any]:
        """Yield what the newest records of a topic say, in order; what is no JSON is passed over.

        Raises:
            JournalError: it cannot be read.
        """
        for row in self.newest(topic, limit=limit, records=True):
            with suppress(orjson.JSONDecodeError):
                yield orjson.loads(row.payload)

    def _rows(self, which: str, words: tuple[str | int, ...], *, records: bool) -> list[Row]:
        only = "row.record = 1 AND " if records else ""  # there is an index of these: few among much telemetry
        with self._spoken():
            found = self._opened().execute(f"{_ROWS}{only}{which}", words).fetchall()
        return [
            Row(n=n, t_ms=t_ms, topic=topic, payload=payload, record=bool(record))
            for n, t_ms, topic, payload, record in found
        ]

    def _opened(self) -> sqlite3.Connection:
        if self._database is None:
            raise JournalError(f"{self.path}: not open")
        return self._database

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._spoken():
            database = self._opened()
            topics = dict(self._topics)
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                self._topics = topics
                with suppress(sqlite3.Error):
                    database.execute("ROLLBACK")
                raise

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """Have the file to oneself, and turn SQLite's and the system's errors into ours."""
        try:
            with self._lock:
                yield
        except sqlite3.Error as error:
            text = str(error)
            kind = JournalDamagedError if any(word in text for word in _DAMAGED) else JournalError
            raise kind(f"{self.path}: {text}") from error
        except JournalError:
            raise
        except ClaimedError:
            raise JournalBusyError(f"{self.path}: another gateway uses it; give each its own [journal] path") from None
        except OSError as error:
            raise JournalError(f"{self.path}: {error.strerror or error}") from error


def journal_path(rig: Rig) -> Path:
    """Return where the journal of a rig stands.

    Without a path in the rig file that is the state folder of the service (systemd's STATE_DIRECTORY), else of the user
    (XDG_STATE_HOME, usually ~/.local/state).
    """
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    folder = os.environ.get("STATE_DIRECTORY") or f"{state}/manovac"
    return Path(rig.journal.path or f"{folder}/{rig.station.id}-{rig.station.gateway}.sqlite").expanduser()


def journal_of(rig: Rig) -> Journal | None:
    """Return the journal that a rig file asks for, not opened; None for one in memory."""
    words = rig.journal
    if words.keep == "memory":
        return None
    return Journal(journal_path(rig), max_bytes=round(words.size), max_age_ms=round(words.age * 1000))
