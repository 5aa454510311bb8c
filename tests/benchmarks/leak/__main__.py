"""Runs the leak benchmark, prints its tables and, with --write, keeps them in docs/leak-performance.md.

Each module of this package that has `rows(seeds, first)` takes part: so many seeds, from `first` on. A row is a mapping
with name, metric, limit, measured, ratio, passed (None: nothing is asked of it) and note.

What was chosen by trying (shares of the channels, the surplus of their thresholds) was tried on seeds from 0 on; the
tables are of others.
"""

import argparse
import importlib
import os
import pkgutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.benchmarks import leak
from tests.benchmarks.harness import Check, Table, machine, write

DOCUMENT: Final = Path(__file__).parents[3] / "docs" / "leak-performance.md"
SEEDS: Final = 200
FIRST: Final = 1000
SHORT_SEEDS: Final = 48
_COLUMNS: Final = ("scenario", "what", "limit", "measured", "ratio", "passed", "note")


def parts() -> dict[str, Callable[[int, int], list[dict[str, Any]]]]:
    """Return the modules that take part, by name."""
    found = {}
    for module in pkgutil.iter_modules(leak.__path__):
        if module.name.startswith(("_", "test_")):
            continue
        rows = getattr(importlib.import_module(f"{leak.__name__}.{module.name}"), "rows", None)
        if rows is not None:
            found[module.name] = rows
    return found


def table(rows: list[dict[str, Any]], seeds: int, first: int) -> Table:
    """Return the rows, and a check for each that asks for something."""
    return Table(
        conditions=(
            f"{seeds} seeds a scenario from {first} on, one configuration: one false alarm of an air body in 30 days."
            " Rows without a verdict are for comparison."
        ),
        columns=_COLUMNS,
        rows=tuple(
            (
                row["name"],
                row["metric"],
                _number(row["limit"]),
                _number(row["measured"]),
                "" if row["ratio"] is None else f"{row['ratio']:.2f}",
                {True: "yes", False: "NO", None: ""}[row["passed"]],
                row["note"],
            )
            for row in rows
        ),
        checks=tuple(
            Check(text=f"{row['name']}: {row['metric']}", met=row["passed"])
            for row in rows
            if row["passed"] is not None
        ),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def main() -> int:
    """Return 0 when every requirement was met, else 3."""
    known = parts()
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.leak", description=__doc__)
    parser.add_argument("parts", metavar="PART", nargs="*", choices=[[], *known], help=", ".join(known))
    parser.add_argument("--seeds", type=int, metavar="N", help=f"paths of each scenario, default {SEEDS}")
    parser.add_argument("--first-seed", type=int, default=FIRST, metavar="N", help=f"their first, default {FIRST}")
    parser.add_argument("--short", action="store_true", help=f"{SHORT_SEEDS} seeds, bars two standard errors wider")
    parser.add_argument("--write", action="store_true", help=f"keep the table in docs/{DOCUMENT.name}")
    words = parser.parse_args()
    seeds = words.seeds or (SHORT_SEEDS if words.short else SEEDS)
    if seeds < 2:
        parser.error(f"--seeds {words.seeds}: give at least 2")
    all_met = True
    for name in words.parts or known:
        load, begin_s = os.getloadavg()[0], time.monotonic()
        result = table(known[name](seeds, words.first_seed), seeds, words.first_seed)
        text = f"{result.markdown()}\n\n{machine(load)}"
        print(f"\n{name}\n\n{text}", flush=True)
        print(f"{name}: {time.monotonic() - begin_s:.0f} s", file=sys.stderr, flush=True)
        if words.write:
            write(DOCUMENT, name, text)
        all_met &= all(check.met for check in result.checks)
    return 0 if all_met else 3


if __name__ == "__main__":
    sys.exit(main())
