"""Recorded readings: CSV, Parquet, batches from `mosquitto_sub`, a gateway's journal, what `manovac sub` has kept.

CSV and Parquet have a column `time` (s, or ISO 8601) and one for each channel, `<transducer>.pressure` in Pa and
`<transducer>.temperature` in K, or another quantity of `drivers.units.SI_UNITS`; an empty cell is a reading that is
missing. They come in order of time, as `Readings`.
"""

import csv
import datetime as dt
import logging
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson

from drivers.reading import Channel, Quality, Readings, Reason
from drivers.units import SI_UNITS, UNITS
from gateway.corrections import Corrections, correction_of
from gateway.received import readings_of

_LOG: Final = logging.getLogger(__name__)
_SQLITE: Final = b"SQLite format 3\0"
_AS_KEPT: Final = {"channel", "t", "value", "quality", "reason"}  # by `manovac sub`
_QUALITIES: Final = {quality.word: quality for quality in Quality}
_REASONS: Final = {reason.word: reason for reason in Reason}


class RecordError(ValueError):
    """A file that cannot be used; the message says where and why."""


Row = tuple[float, dict[str, tuple[float, Quality, Reason]]]
"""A moment (s) and what each channel said then."""

_Found = dict[float, dict[str, tuple[float, Quality, Reason]]]
_OF_RECORD: Final = (
    "SELECT payload FROM row JOIN topic ON topic.id = row.topic"
    " WHERE topic.name LIKE '%/batch' OR topic.name LIKE '%/event/clock'"
)


def rows(path: Path) -> list[Row]:
    """Read a file of recorded readings, in order of time; a warning counts rows of a database that are none of ours.

    Args:
        path: its content says what it is, its name only of Parquet.

    Raises:
        RecordError: it cannot be read, or is not what it should be.
    """
    try:
        if path.suffix in (".parquet", ".pq"):
            found = _parquet(path)
        elif path.suffix == ".sqlite" or _head(path) == _SQLITE:
            found = _sqlite(path)
        else:
            text = path.read_text(encoding="utf-8-sig")
            if not text.strip():
                raise RecordError(f"{path}: there is no reading in it")
            first = text.lstrip()[:1]
            found = _batches(text, path) if first == "{" or text.startswith("manovac/") else _csv(text, path)
    except UnicodeDecodeError:
        raise RecordError(f"{path}: is no text, so neither CSV nor batches; nor is it SQLite or Parquet") from None
    except OSError as error:
        raise RecordError(f"{path}: cannot be read: {error.strerror or error}") from None
    if not found:
        raise RecordError(f"{path}: there is no reading in it")
    found.sort(key=lambda row: row[0])
    return found


def _head(path: Path) -> bytes:
    if not path.is_file():  # a pipe, which can be read only once
        return b""
    with path.open("rb") as file:
        return file.read(len(_SQLITE))


def between(found: Sequence[Row], path: Path, from_s: float, to_s: float) -> list[Row]:
    """Return the rows of a file that are neither older nor newer, s UTC.

    Raises:
        RecordError: there is none.
    """
    there = [row for row in found if from_s <= row[0] <= to_s]
    if not there:
        begin, end = (dt.datetime.fromtimestamp(found[place][0], dt.UTC) for place in (0, -1))
        raise RecordError(f"{path}: no reading in that time; its own go from {begin:%FT%T} to {end:%FT%T} UTC")
    return there


def moment_s(text: str) -> float:
    """Return a moment that a person wrote, s UTC: s, or a date and time, UTC if it does not say another zone.

    Raises:
        RecordError: it is neither.
    """
    return _time_s(text, "a moment")


def readings(found: Iterable[Row]) -> Iterator[Readings]:
    """Return the rows as the gateway has them: one `Readings` for each transducer and moment."""
    for time_s, values in found:
        by: defaultdict[str, list[str]] = defaultdict(list)
        for channel in values:
            by[channel.rpartition(".")[0]].append(channel)
        for transducer, channels in by.items():
            cells = [values[channel] for channel in channels]
            numbers = np.array([cell[0] for cell in cells])
            yield Readings(
                channels=tuple(_channel(transducer, channel.rpartition(".")[2]) for channel in channels),
                values=numbers,
                quality=np.array([cell[1] for cell in cells], dtype=np.uint8),
                reasons=np.array([cell[2] for cell in cells], dtype=np.uint8),
                raw=numbers,
                time_s=time_s,
                uncertainty_s=0.0,
            )


def _channel(transducer: str, quantity: str) -> Channel:
    return Channel(transducer=transducer, quantity=quantity, unit=UNITS[SI_UNITS[quantity]])


def _csv(text: str, path: Path) -> list[Row]:
    lines = csv.reader(text.splitlines())
    header = [name.strip() for name in next(lines, [])]
    _check_header(header, path)
    found = []
    for number, cells in enumerate(lines, 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            raise RecordError(f"{path}:{number}: {len(cells)} cells, but the first line has {len(header)}")
        found.append(_row(dict(zip(header, cells, strict=True)), f"{path}:{number}"))
    return found


def _check_header(header: Sequence[str], path: Path) -> None:
    if "time" not in header:
        raise RecordError(f"{path}:1: no column 'time'; columns are time and <transducer>.pressure, in s and Pa")
    strange = [name for name in header if name != "time" and not _is_channel(name)]
    if strange:
        raise RecordError(
            f"{path}:1: column '{strange[0]}' is neither time nor <transducer>.pressure nor <transducer>.temperature,"
            f" nor one of {', '.join(name for name in SI_UNITS if name not in ('pressure', 'temperature'))}"
        )
    if not any(name.endswith(".pressure") for name in header):
        raise RecordError(f"{path}:1: no column <transducer>.pressure")


def _is_channel(name: str) -> bool:
    transducer, _, quantity = name.rpartition(".")
    return bool(transducer) and quantity in SI_UNITS


def _row(cells: Mapping[str, Any], where: str) -> Row:
    values = {}
    for name, cell in cells.items():
        if name == "time":
            continue
        value = _number(cell, f"{where}: {name}")
        if math.isnan(value):
            values[name] = (math.nan, Quality.BAD, Reason.TIMEOUT)
        elif name.endswith(".pressure") and value < 0:
            raise RecordError(f"{where}: {name} is {value:g}; pressures are absolute, in Pa")
        else:
            values[name] = (value, Quality.GOOD, Reason.NONE)
    return _time_s(cells["time"], where), values


def _number(cell: Any, where: str) -> float:
    if cell is None or (isinstance(cell, str) and cell.strip().lower() in ("", "nan", "null")):
        return math.nan
    try:
        value = float(cell)
    except (TypeError, ValueError):
        raise RecordError(f"{where}: '{cell}' is not a number") from None
    return value if math.isfinite(value) else math.nan


def _time_s(cell: Any, where: str) -> float:
    if isinstance(cell, dt.datetime):
        return (cell if cell.tzinfo else cell.replace(tzinfo=dt.UTC)).timestamp()
    try:
        seconds = float(cell)
    except (TypeError, ValueError):
        try:
            return _time_s(dt.datetime.fromisoformat(str(cell).strip()), where)
        except ValueError:
            raise RecordError(f"{where}: time '{cell}' is neither s nor a date such as 2026-05-01T12:00:00") from None
    if not math.isfinite(seconds):
        raise RecordError(f"{where}: time is {cell}")
    return seconds


def _parquet(path: Path) -> list[Row]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise RecordError(
            f"{path}: Parquet needs pyarrow: pip install 'manovac[parquet]', or write the file as CSV"
        ) from None
    with path.open("rb") as file:
        try:
            table = pq.read_table(file)
        except Exception as error:  # noqa: BLE001 - pyarrow's errors have no common class
            raise RecordError(f"{path}: not Parquet: {error}") from None
    if set(table.column_names) >= _AS_KEPT:
        found: dict[float, dict[str, tuple[float, Quality, Reason]]] = {}
        for row in table.to_pylist():
            found.setdefault(row["t"].timestamp(), {})[row["channel"]] = _cell(
                row["value"], row["quality"], row["reason"]
            )
        return list(found.items())
    _check_header(table.column_names, path)
    time = table.column("time")
    if pa.types.is_timestamp(time.type):  # Python's dates have no nanoseconds, and refuse those that do
        place, kind = table.column_names.index("time"), pa.timestamp("us", time.type.tz)
        table = table.set_column(place, "time", time.cast(kind, safe=False))
    return [_row(row, f"{path}: row {number}") for number, row in enumerate(table.to_pylist(), 1)]


def _sqlite(path: Path) -> list[Row]:
    """Read a gateway's journal, also while it is being written, or what `manovac sub` kept."""
    if not path.exists():
        raise RecordError(f"{path}: no such file")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.text_factory = bytes  # what is no text at all is passed over, as the rest of its row
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if b"reading" in tables:
                found, bad = _as_kept(database.execute("SELECT channel, t, value, quality, reason FROM reading"))
            elif {b"row", b"topic"} <= tables:
                found, bad = _as_journalled(payload for (payload,) in database.execute(_OF_RECORD))
            else:
                raise RecordError(f"{path}: neither a journal of a gateway nor what manovac sub keeps")
    except sqlite3.Error as error:
        raise RecordError(f"{path}: cannot be read: {error}") from None
    if bad:
        _LOG.warning("%s: %d rows are none of ours and were passed over", path, bad)
    return list(found.items())


def _as_kept(rows: Iterable[Sequence[Any]]) -> tuple[_Found, int]:
    """Return what `manovac sub` has kept, and how many rows are not as it keeps them."""
    found: _Found = {}
    bad = 0
    for channel, t_ms, value, quality, reason in rows:
        try:
            cell = _cell(value, quality.decode(), None if reason is None else reason.decode())
            found.setdefault(t_ms / 1000, {})[channel.decode()] = cell
        except (AttributeError, KeyError, TypeError, ValueError):
            bad += 1
    return found, bad


def _as_journalled(payloads: Iterable[bytes]) -> tuple[_Found, int]:
    """Return what batches say, in time as events of a clock among them correct it, and how many are neither."""
    found: _Found = {}
    batches, corrections, bad = [], Corrections(), 0
    for payload in payloads:
        try:
            document = orjson.loads(payload)
            if "channels" in document:
                batches.append(document)
            elif (correction := correction_of(document)) is not None:
                corrections.add(correction)
        except (KeyError, TypeError, ValueError):
            bad += 1
    for document in batches:
        try:
            _take_batch(document, found, add_ms=corrections.add_ms(document))
        except (KeyError, TypeError, ValueError):
            bad += 1
    return found, bad


def _batches(text: str, path: Path) -> list[Row]:
    """Read `mosquitto_sub -t '.../seg/+/batch'`, with or without -v; messages of other topics are passed over."""
    found: _Found = {}
    for number, line in enumerate(text.splitlines(), 1):
        topic, brace, rest = line.partition("{")
        if not brace or (topic.strip() and not topic.strip().endswith(("/batch", "/late"))):
            continue
        try:
            document = orjson.loads(brace + rest)
            if "channels" in document:
                _take_batch(document, found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RecordError(f"{path}:{number}: not a batch of Manovac: {error!r}") from None
    return list(found.items())


def _take_batch(document: Mapping[str, Any], found: _Found, *, add_ms: int = 0) -> None:
    """Take a batch as a whole, or raise and take nothing of it."""
    cells = [
        ((t_ms + add_ms) / 1000, channel, _cell(value, quality, reason))
        for _, _, channel, t_ms, value, quality, reason in readings_of(document)
    ]
    for time_s, channel, cell in cells:
        found.setdefault(time_s, {})[channel] = cell


def _cell(value: float | None, quality: str, reason: str | None) -> tuple[float, Quality, Reason]:
    return math.nan if value is None else float(value), _QUALITIES[quality], _REASONS[reason]
