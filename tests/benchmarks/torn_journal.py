"""A thousand journals whose files were cut at a random byte."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

from tests.benchmarks.harness import Check, Table
from tests.gateway.mqtt.torn import torn_journals

_CUTS: Final = 1000
_SEED: Final = 7


def measure() -> Table:
    """Cut them and judge what is left."""
    with tempfile.TemporaryDirectory() as folder:
        ends = torn_journals(Path(folder), cuts=_CUTS, seed=_SEED)
    cuts = Counter(end.cut for end in ends)
    rows = []
    for cut in sorted(cuts):
        mine = [end for end in ends if end.cut == cut]
        aside, wrong = sum(end.set_aside for end in mine), sum(bool(end.wrong) for end in mine)
        kept = [end.rows for end in mine if not end.set_aside]
        span = f"{min(kept)} to {max(kept)}" if kept else "none"
        rows.append((cut, str(len(mine)), str(len(kept)), str(aside), span, str(wrong)))
    return Table(
        conditions=(
            "A journal of 600 rows in 30 commits, half of them checkpointed, its WAL, its database or both cut at a"
            " random byte. Right is: it opens or is set aside, integrity_check passes, its rows are a beginning of"
            " those that were committed, whole commits only, and new numbers begin above all that were given out."
        ),
        columns=("cut", "journals", "opened", "set aside", "rows in those that opened", "wrong"),
        rows=tuple(rows),
        checks=(Check(text="none of a thousand is wrong", met=not any(end.wrong for end in ends)),),
    )
