"""A gateway under load that is killed (-9) at random moments: what its journal and a consumer then have.

Each kill is judged on a copy of the journal's files, so that the next start finds them as the kill left them.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson

from gateway.mqtt.journal import Journal
from gateway.received import Received
from gateway.store import NoStore
from tests.benchmarks.broker import Broker
from tests.benchmarks.harness import Check, Table
from tests.benchmarks.line import Emulator
from tests.benchmarks.tcp_load import SERVER, load_text

_KILLS: Final = {"disk": 200, "card": 300}
_ALIVE_S: Final = (0.0, 1.6)  # from the first commit, or for one in five from the start of the process
_START_S: Final = 60.0
_BATCH_S: Final = 0.1
_COMMIT_S: Final = 1.0
_UNITS: Final = 8
_VALUES: Final = 8  # of each
_AWAY: Final = 0.25  # of the lives without a broker
_GAP: Final = 3  # periods without a reading: a gateway was killed
_LAST_S: Final = 8.0
_SEED: Final = 5

# `manovac run` that notes before each write what it is about to commit, and after it what is committed; and that it
# reserves numbers, because the first gateway that spares a card may have nothing else to write.
_RUN: Final = """
import os, sys
from gateway.mqtt.journal import Journal
notes = os.open(sys.argv.pop(1), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
write, reserve = Journal.write, Journal.reserve
def reserved(self, numbers):
    reserve(self, numbers)
    os.write(notes, b"#\\n")
def noted(self, rows, *args, **words):
    os.write(notes, b"".join(b"+%d\\n" % row.n for row in rows))
    trimmed = write(self, rows, *args, **words)
    os.write(notes, b"".join(b"=%d\\n" % row.n for row in rows))
    return trimmed
Journal.write, Journal.reserve = noted, reserved
from gateway.cli import main
main()
"""


@dataclass(slots=True, kw_only=True)
class _Witness:
    """What was ever seen of a journal.

    Attributes:
        seen: number -> content.
        wrong: promises that were broken.
        lost_s: for each kill, from the newest row to the kill.
    """

    keeps: str
    seen: dict[int, bytes] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lost_s: list[float] = field(default_factory=list)

    def judge(self, folder: Path, notes: Path, killed_ms: float) -> None:
        """Compare what the journal has now with what was committed, and with what it had before."""
        begun, promised = (
            {int(line[1:]) for line in notes.read_text().split() if line.startswith(sign)} for sign in "+="
        )
        with tempfile.TemporaryDirectory() as copies:
            copy = Path(shutil.copytree(folder, Path(copies) / "journal"))
            journal = Journal(copy / "journal.sqlite", max_bytes=2**30, max_age_ms=10**12)
            journal.open()
            rows = journal.read(1, 2**62, limit=10**7)
            whole = journal._opened().execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            journal.close()
        numbers = [row.n for row in rows]
        self._expect(whole and journal.set_aside is None, "the file is damaged")
        self._expect(promised <= set(numbers) <= begun, "rows that were committed are not those that are there")
        if self.keeps == "disk":
            self._expect(numbers == list(range(1, len(numbers) + 1)), "a gap in n")
        self._expect(all(self.seen.get(row.n, row.payload) == row.payload for row in rows), "another content")
        starts: dict[tuple[str, str], int] = {}
        for row in rows:
            document = orjson.loads(row.payload)
            if "t0" in document:
                key = (row.topic, document["boot"])
                self._expect(starts.get(key, 0) <= document["t0"], "rows in another order")
                starts[key] = document["t0"]
        if rows and rows[-1].n not in self.seen:
            self.lost_s.append(killed_ms / 1000 - rows[-1].t_ms / 1000)
        self.seen |= {row.n: row.payload for row in rows}

    def _expect(self, truth: bool, otherwise: str) -> None:
        if not truth:
            self.wrong.append(otherwise)


def measure() -> Table:
    """Kill gateways that keep their journal on disk."""
    return _measured("disk")


def card() -> Table:
    """Kill gateways that spare a card."""
    return _measured("card")


def _measured(keeps: str) -> Table:
    kills = _KILLS[keeps]
    witness, consumer, lines = _killed(keeps, kills)
    starts = {event["boot"]: event["start"] for event in _events(lines, b"/event/start")}
    silent = len({batch["boot"] for batch in _batches(lines)} - set(starts))
    lost = sum(last - first + 1 for spans in consumer.gaps().values() for first, last in spans)
    named = sum(last - first + 1 for spans in consumer.lost_at_a_kill().values() for first, last in spans)
    cells: dict[str, int | str] = {
        "keep": keeps,
        "kills": kills,
        "rows recovered": len(witness.seen),
        "promises broken": len(witness.wrong),
        "starts that named it": len(starts),
        "readings at the consumer": consumer.readings,
        "numbers missing": lost,
        "numbers named as lost or never used": named,
    }
    checks = [
        Check(text="the rows that are there are those that were committed, in order, whole", met=not witness.wrong),
        Check(text="each number means one message, none is missing unnamed", met=not lost + len(consumer.anew)),
        Check(text="each gateway but the first says how the one before it ended", met=silent <= 1),
    ]
    if keeps == "disk":
        most_s, worst_s = _COMMIT_S + _BATCH_S, max(witness.lost_s)
        lacking, counted = _polls_lacking(lines), sum(start["polls"] or 0 for start in starts.values())
        cells["newest readings lost, at most, s"] = f"{worst_s:.2f}"
        cells["polls lacking at the consumer"] = lacking
        cells["counted by starts"] = counted
        checks += [
            Check(text="polls that are lacking are those that were counted, within 5 %", met=_alike(lacking, counted)),
            Check(text="no number is missing at all", met=not named),
            Check(
                text=f"at most {most_s:g} s of the newest readings are lost, commit and batch", met=worst_s <= most_s
            ),
        ]
    return Table(
        conditions=(
            f"`manovac run` with {_UNITS} units on Modbus TCP, {_UNITS / _BATCH_S:.0f} messages of record a second,"
            f" `commit` {_COMMIT_S:g} s, killed (-9) at random, up to {_ALIVE_S[1]:g} s after its first commit, or for"
            " one in five after its start; mosquitto, which answers nobody during one life in four, and a consumer that"
            " is always there. The newest readings are those after the newest row."
        ),
        columns=tuple(cells),
        rows=(tuple(f"{cell:,}" if isinstance(cell, int) else cell for cell in cells.values()),),
        checks=tuple(checks),
    )


def _wait_for_growth(notes: Path) -> None:
    size, end_s = notes.stat().st_size, time.monotonic() + _START_S
    while notes.stat().st_size == size:
        if time.monotonic() > end_s:
            raise RuntimeError(f"the gateway committed nothing within {_START_S:g} s")
        time.sleep(0.01)


def _alike(lacking: int, counted: int) -> bool:
    return abs(lacking - counted) <= 0.05 * lacking


def _events(lines: bytes, ending: bytes) -> Iterator[dict[str, Any]]:
    for line in lines.splitlines():
        topic, _, payload = line.partition(b" ")
        if topic.endswith(ending):
            yield orjson.loads(payload)


def _batches(lines: bytes) -> Iterator[dict[str, Any]]:
    yield from _events(lines, b"/batch")
    yield from _events(lines, b"/late")


def _polls_lacking(lines: bytes) -> int:
    """Return how many polls there are not between the readings of one gateway and those of the next."""
    times_ms: dict[str, set[int]] = {}
    for batch in _batches(lines):
        for channel, column in batch["channels"].items():
            times_ms.setdefault(channel, set()).update(batch["t0"] + dt for dt in column["dt"])
    gaps = (b - a for times in times_ms.values() for a, b in pairwise(sorted(times)) if b - a > _GAP * _BATCH_S * 1000)
    return round(sum(round(gap / 1000 / _BATCH_S) - 1 for gap in gaps) / _VALUES)


def _killed(keeps: str, kills: int) -> tuple[_Witness, Received, bytes]:
    """Kill so often; return the witness, the consumer, and the lines of what it got."""
    draw = random.Random(_SEED)
    witness = _Witness(keeps=keeps)
    core = min(os.sched_getaffinity(0))
    text = load_text(units=_UNITS, values=_VALUES, batch=f"{_BATCH_S} s", poll=f"{_BATCH_S} s")
    emulator = Emulator(text, program=SERVER)
    with (
        tempfile.TemporaryDirectory() as name,
        Broker(Path(name), form="%t %p").running("manovac/#", core) as broker,
        emulator.running(),
    ):
        folder = Path(name) / "journal"
        folder.mkdir()
        notes, rig = Path(name) / "notes", Path(name) / "rig.toml"
        port = emulator.rig.buses["b1"].port
        text = text.replace('"127.0.0.1:1"', f'"{port}"').replace("[mqtt]\n", f'[mqtt]\nurl = "{broker.url}"\n')
        rig.write_text(
            f'{text}[journal]\nkeep = "{keeps}"\npath = "{folder}/journal.sqlite"\ncommit = "{_COMMIT_S} s"\n'
        )
        command = [sys.executable, "-c", _RUN, str(notes), "run", str(rig)]
        notes.touch()
        for _ in range(kills):
            away = broker.away() if draw.random() < _AWAY else nullcontext()
            with away, subprocess.Popen(command, stderr=subprocess.DEVNULL) as gateway:
                if draw.random() < 0.8:
                    _wait_for_growth(notes)
                time.sleep(draw.uniform(*_ALIVE_S))
                killed_ms = time.time() * 1000
                gateway.send_signal(signal.SIGKILL)
            if (folder / "journal.sqlite").exists():
                witness.judge(folder, notes, killed_ms)
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as gateway:
            time.sleep(_LAST_S)
            gateway.terminate()
        time.sleep(0.5)
        consumer, lines = Received(NoStore()), broker.lines.read_bytes()
        for line in lines.splitlines():
            topic, _, payload = line.partition(b" ")
            consumer.take(topic.decode(), payload)
        return witness, consumer, lines
