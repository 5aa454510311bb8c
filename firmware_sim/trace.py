"""What was said on the emulated lines: every run of bytes, and a hash that is equal when two histories are equal."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from firmware_sim import EmulatorError


class TraceError(EmulatorError, ValueError):
    """A trace file that cannot be read; the message names file and line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One run of bytes on one bus, as its talker sent it.

    Attributes:
        t_ns: when its first character began, on the emulator's clock.
        bus: the rig file's name of the bus.
        talker: "host", or "unit 7".
        data: the bytes; empty for a record that is only a note.
        note: what was unusual ("garbled", an injected fault), else empty.
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
    """

    def __init__(self, sink: BinaryIO | None = None) -> None:
        self.records: list[Record] = []
        self._sink = sink
        self._hash = hashlib.sha256()

    def add(self, record: Record) -> None:
        """Take one record; with a sink it is written, not kept."""
        line = record.line()
        self._hash.update(line)
        if self._sink is None:
            self.records.append(record)
        else:
            self._sink.write(line)

    def hash(self) -> str:
        """Return the sha256 of all records so far, in hex: the same as sha256sum gives for the written file."""
        return self._hash.hexdigest()


def write_trace(path: Path, records: Iterable[Record]) -> None:
    """Write records as JSON lines."""
    with path.open("wb") as file:
        file.writelines(record.line() for record in records)


def read_trace(path: Path) -> Trace:
    """Read JSON lines back; hash() is again that of the run which wrote them.

    Raises:
        TraceError: a line is not a record.
        OSError: the file cannot be read.
    """
    trace = Trace()
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            trace.add(_record(orjson.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            raise TraceError(f"{path}:{number}: not a trace record ({error!r})") from error
    return trace


def _record(words: dict[str, str | int]) -> Record:
    return Record(
        t_ns=int(words["t_ns"]),
        bus=str(words["bus"]),
        talker=str(words["talker"]),
        data=bytes.fromhex(str(words["hex"])),
        note=str(words["note"]),
    )
