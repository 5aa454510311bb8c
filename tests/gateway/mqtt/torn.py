"""Journals whose files are cut at a random byte, as a card leaves them that had not written what it said."""

import os
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gateway.mqtt.claim import Reserved
from gateway.mqtt.journal import Journal, JournalError
from gateway.mqtt.row import Row

_FILE: Final = "journal.sqlite"
_COMMITS: Final = 30
_ROWS: Final = 20
_LAST: Final = _COMMITS * _ROWS
_RESERVED: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What became of one cut.

    Attributes:
        cut: "log" (the WAL), "database" or "both".
        set_aside: whether the file was too damaged to be used.
        rows: how many were recovered.
        wrong: which promise was broken, empty when none was.
    """

    cut: str
    set_aside: bool = False
    rows: int = 0
    wrong: str = ""


def torn_journals(folder: Path, *, cuts: int, seed: int) -> list[End]:
    """Write a journal, and cut copies of its files at that many random places."""
    draw = random.Random(seed)
    written = [
        Row(n=n, t_ms=n, topic=f"t/{n % 5}", payload=b'["%b"]' % (b"%d" % n * 60), record=n % 50 == 0)
        for n in range(1, _LAST + 1)
    ]
    store = _journal(folder / "whole")
    store.open()
    store.reserve(Reserved(upto=_RESERVED, machine="another start of this machine"))
    half_checkpointed = folder / "copy"
    for first in range(0, _LAST, _ROWS):
        store.write(written[first : first + _ROWS], [[1, first + _ROWS]], now_ms=0)
        if first == _LAST // 2:
            store._opened().execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(folder / "whole", half_checkpointed)  # not closed
    store.close()
    return [_cut(half_checkpointed, folder / "torn", written, draw) for _ in range(cuts)]


def _journal(folder: Path) -> Journal:
    return Journal(folder / _FILE, max_bytes=2**26, max_age_ms=10**12)


def _cut(whole: Path, torn: Path, written: Sequence[Row], draw: random.Random) -> End:
    shutil.rmtree(torn, ignore_errors=True)
    shutil.copytree(whole, torn)
    end = End(cut=draw.choice(["log", "database", "both"]))
    for name, ending in (("log", "-wal"), ("database", "")):
        if end.cut in {name, "both"}:
            path = torn / f"{_FILE}{ending}"
            os.truncate(path, draw.randrange(path.stat().st_size))
    found = _journal(torn)
    try:
        found.open()
        return _judged(found, replace(end, set_aside=found.set_aside is not None), written)
    except JournalError as error:
        return replace(end, wrong=f"not opened: {error}")
    finally:
        found.close()


def _judged(found: Journal, end: End, written: Sequence[Row]) -> End:
    recovered = found.read(1, 10**9, limit=10**6)
    end = replace(end, rows=len(recovered))
    if found._opened().execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
        return replace(end, wrong="integrity_check")
    if recovered != written[: len(recovered)]:
        return replace(end, wrong="not a beginning of what was written")
    if len(recovered) % _ROWS:
        return replace(end, wrong="a part of a commit")
    if found.last_n != _RESERVED or found.skipped != (len(recovered) + 1, _RESERVED):
        return replace(end, wrong=f"numbers go on at {found.last_n}, skipped {found.skipped}")
    new = Row(n=found.last_n + 1, t_ms=0, topic="t", payload=b"[]")
    found.write([new], [[new.n, new.n]], now_ms=0)
    if found.read(1, 10**9, limit=10**6) != [*recovered, new]:
        return replace(end, wrong="what was written afterwards is not there")
    return end
