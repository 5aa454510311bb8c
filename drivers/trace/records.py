"""The file of a recorded line: a header, then every run of bytes; docs/traces.md describes each field.

Emulator and gateway write the same format, so that what they recorded can be compared.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson
from pydantic import TypeAdapter

from drivers.rig import Bus, BusKind
from drivers.rig_words import Id

VERSION: Final = 1
_ID: Final[TypeAdapter[str]] = TypeAdapter(Id)
HOST: Final = "host"
"""The talker that asks: the gateway, or whoever owns the line."""
LINE: Final = "line"
"""The talker of bytes that came in, where the recorder cannot know who sent them."""


class TraceError(ValueError):
    """A trace file that cannot be used; the message names file and line."""


class View(StrEnum):
    """Where the recorder sat, which says what its times mean."""

    LINE = "line"  # the emulator's own line: exact, each talker known
    HOST = "host"  # in the gateway: what it sent, and what the adapter handed to it
    LISTENER = "listener"  # beside the line: all that was heard; talkers as the frames tell them


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What stands in the first line of a trace.

    Attributes:
        by: the program that wrote it.
        buses: bus -> its kind, baud and format; the port is not recorded.
        start: UTC of t_ns = 0 (ISO 8601), empty when that means nothing.
        rig: SHA-256 of the rig file, empty without one.
        seed: the emulator's, None for a real line.
    """

    view: View
    by: str
    buses: Mapping[str, Bus]
    start: str = ""
    rig: str = ""
    seed: int | None = None

    def line(self) -> bytes:
        """Return the header as one JSON line."""
        words = {
            "trace": VERSION,
            "view": self.view,
            "by": self.by,
            "start": self.start,
            "rig": self.rig,
            "seed": self.seed,
            "buses": {
                name: {"kind": bus.kind, "baud": bus.baud, "format": bus.format} for name, bus in self.buses.items()
            },
        }
        return orjson.dumps(words, option=orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run of bytes on one bus.

    Attributes:
        t_ns: when its first character began, since the start of the recording.
        bus: the rig file's name of the bus.
        talker: "host", "unit 7", or "line".
        data: the bytes as sent; empty for a record that is only a note.
        note: what was unusual ("garbled", an injected fault, a lost port), else empty.
    """

    t_ns: int
    bus: str
    talker: str
    data: bytes
    note: str = ""

    def line(self) -> bytes:
        """Return the record as one JSON line."""
        words = {"t_ns": self.t_ns, "bus": self.bus, "talker": self.talker, "hex": self.data.hex(), "note": self.note}
        return orjson.dumps(words, option=orjson.OPT_APPEND_NEWLINE)


class Trace:
    """Collects records in memory, or writes them to `sink` as they come.

    A fleet without a trace records nothing and pays nothing for it.

    Attributes:
        records: those kept in memory, in the order in which they ended; none with a sink.
        count: all that were added.
    """

    def __init__(self, sink: BinaryIO | None = None, *, header: Header | None = None) -> None:
        self.records: list[Record] = []
        self.header = header
        self.count = 0
        self._sink = sink
        self._hash = hashlib.sha256()
        if sink is not None and header is not None:
            sink.write(header.line())

    def add(self, record: Record) -> None:
        """Take one record; with a sink it is written, not kept."""
        line = record.line()
        self._hash.update(line)
        self.count += 1
        if self._sink is None:
            self.records.append(record)
        else:
            self._sink.write(line)

    def hash(self) -> str:
        """Return the sha256 of all records so far, in hex, equal when two histories are; the header does not count."""
        return self._hash.hexdigest()


def create_trace(path: Path) -> BinaryIO:
    """Open a new trace file, in place of an older trace but of nothing else; each record is written at once.

    Raises:
        TraceError: there is a file that is no trace, such as the rig file.
        OSError: it cannot be written.
    """
    if path.is_file():
        with path.open("rb") as former:
            begin = former.read(8)
        if begin and not begin.startswith((b'{"trace"', b'{"t_ns":')):
            raise TraceError(f"{path} exists and is no trace: it is not overwritten, choose another name")
    return path.open("wb", buffering=0)


def write_trace(path: Path, trace: Trace) -> None:
    """Write a trace that is in memory."""
    with create_trace(path) as file:
        copy = Trace(file, header=trace.header)
        for record in trace.records:
            copy.add(record)


def read_trace(path: Path) -> Trace:
    """Read a trace back; hash() is again that of the run which wrote it.

    A file without a header is read too: its buses' speed is then unknown.

    Raises:
        TraceError: a line is not what it should be, or the file is of a later version.
        OSError: the file cannot be read.
    """
    lines = path.read_bytes().splitlines(keepends=True)
    header = _header(lines[0], path) if lines else None
    trace = Trace(header=header)
    for number, line in enumerate(lines[header is not None :], start=1 + (header is not None)):
        try:
            trace.add(_record(orjson.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            if line.startswith(b"{") and not line.endswith(b"\n"):
                raise TraceError(
                    f"{path}:{number}: cut off in the middle, as when the recorder was killed; delete this line to use"
                    " the rest"
                ) from error
            why = f"no {error}" if isinstance(error, KeyError) else getattr(error, "msg", error)
            raise TraceError(f"{path}:{number}: not a trace record, which is one JSON object a line: {why}") from error
    return trace


def with_header(trace: Trace, path: Path) -> Header:
    """Return the header of a trace from that file.

    Raises:
        TraceError: it has none, or a record is of a bus that the header does not name.
    """
    if trace.header is None:
        raise TraceError(
            f"{path}:1: no header, so kind, baud and format of its buses are unknown; record it again, or put a header"
            " line before it (docs/traces.md)"
        )
    for number, record in enumerate(trace.records, start=2):
        if record.bus not in trace.header.buses:
            raise TraceError(f"{path}:{number}: the header names no bus '{record.bus}'")
    return trace.header


def _header(line: bytes, path: Path) -> Header | None:
    """Return the header, None when the line is none."""
    try:
        words = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None  # reported as what it should have been at least: a record
    if not isinstance(words, dict) or "trace" not in words:
        return None
    if words["trace"] != VERSION:
        raise TraceError(f"{path}:1: a trace of version {words['trace']}; this Manovac reads version {VERSION}")
    try:
        return Header(
            view=View(words["view"]),
            by=str(words["by"]),
            buses={_ID.validate_python(name): _bus(bus) for name, bus in words["buses"].items()},
            start=str(words.get("start", "")),
            rig=str(words.get("rig", "")),
            seed=words.get("seed"),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TraceError(f"{path}:1: not a trace header ({error!r})") from error


def _bus(words: Mapping[str, Any]) -> Bus:
    return Bus(kind=BusKind(words["kind"]), port="-", baud=words["baud"], format=words["format"])


def _record(words: Mapping[str, Any]) -> Record:
    t_ns = words["t_ns"]
    if not isinstance(t_ns, int):
        raise TypeError("t_ns is not a whole number")
    return Record(
        t_ns=t_ns,
        bus=str(words["bus"]),
        talker=str(words["talker"]),
        data=bytes.fromhex(words["hex"]),
        note=str(words["note"]),
    )
