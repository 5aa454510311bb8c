"""Where a consumer keeps what it has received: a SQLite, Parquet or CSV file, or nowhere."""

import csv
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

import orjson

from gateway.corrections import Correction

_COLUMNS: Final = ("gateway", "n", "channel", "t", "value", "quality", "reason")
_BLOCK: Final = 100_000  # readings in one row group
_EVENT: Final = ("gateway", "n", "t", "payload")
_OURS: Final = {"message": ("gateway", "n", "mark"), "reading": _COLUMNS, "event": _EVENT}
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS message (gateway TEXT NOT NULL, n INTEGER NOT NULL, mark TEXT NOT NULL,
    PRIMARY KEY (gateway, n, mark));
CREATE TABLE IF NOT EXISTS reading (gateway TEXT NOT NULL, n INTEGER NOT NULL, channel TEXT NOT NULL,
    t INTEGER NOT NULL, value REAL, quality TEXT NOT NULL, reason TEXT);
CREATE TABLE IF NOT EXISTS event (gateway TEXT NOT NULL, n INTEGER NOT NULL, t INTEGER NOT NULL,
    payload TEXT NOT NULL);
"""

Row = tuple[str, int, str, int, float | None, str, str | None]
"""Gateway, number, channel, ms UTC, Pa or K, quality, reason."""


class ReceiveError(ValueError):
    """A file that cannot take readings; the message says why and what would do."""


def mark(document: Mapping[str, Any]) -> str:
    """Return what tells a message from another one of its number: the start of its gateway.

    A gateway without a journal begins its numbers anew at each start. Events of older gateways do not name it: there
    it is their time.
    """
    return str(document["boot"] if "boot" in document else document["t"])


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into ours."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise ReceiveError(f"{path}: {getattr(error, 'strerror', None) or error}") from None


class Store(Protocol):
    """Where readings go. All but those that only yield raise `ReceiveError` when they cannot."""

    def known(self) -> Iterator[tuple[str, int, str]]:
        """Yield (gateway, number, mark) of what it holds from before, as it came."""
        ...

    def events(self) -> Iterator[bytes]:
        """Yield the events that it holds from before."""
        ...

    def add(self, document: Mapping[str, Any], readings: list[Row], *, add_ms: int) -> None:
        """Take one message of record: a batch with its readings, or an event, `add_ms` to its time."""
        ...

    def restamp(self, correction: Correction) -> bool:
        """Correct the stamps of what it holds; return False when it cannot."""
        ...

    def save(self) -> None:
        """Have all of it on disk."""
        ...

    def close(self) -> None:
        """Save and close."""
        ...


class SqliteStore:
    """A SQLite file; an old one is continued. Others may read it meanwhile, for as long as they like (WAL)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with _told(path):
            self._database = sqlite3.connect(path)
            self._claim = os.open(path, os.O_RDONLY)
        try:
            with _told(path):
                self._open()
        except ReceiveError:
            self._let_go()
            raise

    def _open(self) -> None:
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ReceiveError(f"{self._path}: another `manovac sub` writes it: name another file") from None
        there = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND substr(name, 1, 7) != 'sqlite_'"
        for (name,) in self._database.execute(there).fetchall():
            columns = self._database.execute("SELECT name FROM pragma_table_info(?)", (name,))
            if tuple(column for (column,) in columns) != _OURS.get(name):
                raise ReceiveError(f"{self._path} holds something else, such as a gateway's journal: name another file")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_TABLES)

    def known(self) -> Iterator[tuple[str, int, str]]:
        """Yield what an earlier run has stored."""
        question = "SELECT gateway, n, mark FROM message"
        with _told(self._path):
            try:
                came = self._database.execute(f"{question} ORDER BY rowid")
            except sqlite3.OperationalError:  # older files do not know the order
                came = self._database.execute(question)
            yield from came

    def events(self) -> Iterator[bytes]:
        """Yield the events that an earlier run has stored."""
        with _told(self._path):
            for (payload,) in self._database.execute("SELECT CAST(payload AS BLOB) FROM event"):
                yield payload

    def add(self, document: Mapping[str, Any], readings: list[Row], *, add_ms: int = 0) -> None:
        """Take one message; it is committed with the next `save`."""
        gateway, n = document["gw"], document["n"]
        with self._whole():
            self._database.execute("INSERT INTO message VALUES (?, ?, ?)", (gateway, n, mark(document)))
            self._database.executemany("INSERT INTO reading VALUES (?, ?, ?, ?, ?, ?, ?)", readings)
            if "kind" in document:
                event = (gateway, n, document["t"] + add_ms, orjson.dumps(document).decode())
                self._database.execute("INSERT INTO event VALUES (?, ?, ?, ?)", event)

    def restamp(self, correction: Correction) -> bool:
        """Correct what that start of the gateway has said, unless its numbers were given out by others too."""
        words = (correction.gateway, correction.since, correction.before, correction.boot, correction.add_ms)
        with self._whole():
            for table in ("reading", "event"):
                self._database.execute(
                    f"UPDATE {table} SET t = t + ?5 WHERE gateway = ?1 AND n IN (SELECT n FROM message"  # noqa: S608
                    " WHERE gateway = ?1 AND n >= ?2 AND n < ?3 GROUP BY n HAVING count(*) = 1 AND min(mark) = ?4)",
                    words,
                )
        return True

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Take nothing of what was not saved yet when something fails: the end commits no half of it."""
        with _told(self._path):
            try:
                yield
            except sqlite3.Error:
                self._database.rollback()
                raise

    def save(self) -> None:
        """Commit."""
        with _told(self._path):
            self._database.commit()

    def close(self) -> None:
        """Commit and close: then it is one file again, unless somebody reads it just now."""
        with _told(self._path):
            try:
                self._database.commit()
                with suppress(sqlite3.Error):
                    self._database.execute("PRAGMA busy_timeout = 0")
                    self._database.execute("PRAGMA journal_mode = DELETE")
            finally:
                self._let_go()

    def _let_go(self) -> None:
        self._database.close()
        os.close(self._claim)  # not sooner: it would take SQLite's own locks along


class ParquetStore(SqliteStore):
    """A Parquet file, written at the end in the order of time from a SQLite file beside it, which is the record.

    A crash leaves the record, and the next run continues it: no reading that was acknowledged depends on the end.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow.parquet as pq  # noqa: F401, PLC0415 - optional, and not found out only at the end
        except ImportError:
            raise ReceiveError(
                f"{path}: Parquet needs pyarrow: pip install 'manovac[parquet]', or name a file that ends with .sqlite"
            ) from None
        record = path.with_name(f"{path.name}.sqlite")
        if path.is_dir():
            raise ReceiveError(f"{path} is a folder: name a file")
        self._parquet = path
        self._check_ours(there=record.exists())
        super().__init__(record)
        try:
            self._check_ours(there=self._holds_something)
        except ReceiveError:
            self._let_go()
            raise

    def _check_ours(self, *, there: bool) -> None:
        """Refuse to replace a Parquet file that was not written from the record."""
        if self._parquet.exists() and not there:
            raise ReceiveError(f"{self._parquet} is there already, and not from a record beside it: name a new file")

    @property
    def _holds_something(self) -> bool:
        with _told(self._path):
            return self._database.execute("SELECT 1 FROM message LIMIT 1").fetchone() is not None

    def close(self) -> None:
        """Write the Parquet file in place of an older one, if there is anything to write, and close."""
        try:
            self.save()
            if self._holds_something:
                self._write_out()
        finally:
            super().close()

    def _write_out(self) -> None:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415

        text, number = pa.string(), pa.int64()
        kinds = (text, number, text, pa.timestamp("ms", tz="UTC"), pa.float64(), text, text)
        schema = pa.schema(list(zip(_COLUMNS, kinds, strict=True)))
        growing = self._parquet.with_name(f"{self._parquet.name}.part")
        with _told(self._parquet), pq.ParquetWriter(growing, schema) as writer:
            rows = self._database.execute(f"SELECT {', '.join(_COLUMNS)} FROM reading ORDER BY t, channel")  # noqa: S608
            while block := rows.fetchmany(_BLOCK):
                columns = [pa.array(values, kind) for values, kind in zip(zip(*block, strict=True), kinds, strict=True)]
                writer.write_table(pa.table(columns, schema=schema))
        with _told(self._parquet):
            growing.replace(self._parquet)


class _Fresh:
    """Begins anew each time."""

    def known(self) -> Iterator[tuple[str, int, str]]:
        """Yield nothing."""
        yield from ()

    def events(self) -> Iterator[bytes]:
        """Yield nothing."""
        yield from ()


class NoStore(_Fresh):
    """Counts only."""

    def add(self, document: Mapping[str, Any], readings: list[Row], *, add_ms: int) -> None:
        """Store nothing."""

    def restamp(self, correction: Correction) -> bool:  # noqa: ARG002 - the seam's
        """Correct nothing: there is nothing."""
        return True

    def save(self) -> None:
        """Save nothing."""

    def close(self) -> None:
        """Close nothing."""


class CsvStore(_Fresh):
    """A new CSV file of readings; events only count."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file: TextIO = path.open("x", newline="", encoding="utf-8")
        except FileExistsError:
            raise ReceiveError(f"{path} is there already: name a new file, or one that ends with .sqlite") from None
        except OSError as error:
            raise ReceiveError(f"{path}: {error.strerror}") from None
        self._writer = csv.writer(self._file)
        self._writer.writerow(_COLUMNS)

    def add(self, document: Mapping[str, Any], readings: list[Row], *, add_ms: int) -> None:  # noqa: ARG002 - the seam's
        """Write the readings."""
        with _told(self._path):
            self._writer.writerows(readings)

    def restamp(self, correction: Correction) -> bool:  # noqa: ARG002 - the seam's
        """Leave what is written as it is."""
        return False

    def save(self) -> None:
        """Have everything on disk."""
        with _told(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        with _told(self._path):
            self._file.close()


def store(path: Path) -> Store:
    """Return the store for a file name.

    Raises:
        ReceiveError: no such kind of file, or it cannot be written.
    """
    kinds: dict[str, Callable[[Path], Store]] = {".sqlite": SqliteStore, ".csv": CsvStore, ".parquet": ParquetStore}
    if path.suffix not in kinds:
        raise ReceiveError(f"{path}: must end with {', '.join(kinds)}")
    return kinds[path.suffix](path)
