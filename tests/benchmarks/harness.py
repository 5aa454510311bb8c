"""What all benchmarks share: interleaved repetitions, median and spread, tables, and the document that keeps them."""

import os
import platform
import re
import statistics
import timeit
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_BUSY: Final = 0.5  # load for each core
_REFERENCE: Final = "sum(each * each for each in range(100_000))"
_K = TypeVar("_K")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A requirement and whether it was met; `found` is what was measured, `aim` what would be better still."""

    text: str
    met: bool
    found: str = ""
    aim: str = ""

    def __str__(self) -> str:
        more = [f"measured {self.found}" if self.found else "", f"aim {self.aim}" if self.aim else ""]
        return f"{'met' if self.met else 'MISSED'}: {self.text}" + (
            f" ({'; '.join(filter(None, more))})" if any(more) else ""
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What one benchmark found.

    Attributes:
        conditions: under which the numbers hold, one sentence or several.
        rows: as many cells each as `columns`.
        checks: the requirements that the numbers decide.
        plot: the same as SVG, kept beside the document; empty for most.
    """

    conditions: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    checks: tuple[Check, ...] = ()
    plot: str = ""

    def markdown(self) -> str:
        """Return it for docs/performance.md and for the terminal."""
        widths = [max(map(len, cells)) for cells in zip(self.columns, *self.rows, strict=True)]
        ruler = tuple("-" * width for width in widths)
        lines = [_row(cells, widths) for cells in (self.columns, ruler, *self.rows)]
        checks = [f"- {check}" for check in self.checks]
        return "\n".join([self.conditions, "", *lines, *([""] if checks else []), *checks])


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"| {' | '.join(padded)} |"


def interleaved(contenders: Mapping[_K, Callable[[], _T]], *, repetitions: int) -> dict[_K, list[_T]]:
    """Run each contender in turn, and all of it again: what disturbs the machine for a while disturbs all of them."""
    results: dict[_K, list[_T]] = {name: [] for name in contenders}
    for _ in range(repetitions):
        for name, run in contenders.items():
            results[name].append(run())
    return results


def spread(values: Sequence[float], form: str = ".1f") -> str:
    """Return the median and, where they differ, the lowest and highest value: `66.1 (65.9..66.3)`."""
    low, middle, high = (format(value, form) for value in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}..{high})"


def process_cpu_s(pid: int) -> float:
    """Return the CPU seconds, of user and system, that a process has taken so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICKS_A_SECOND


def machine(load: float) -> str:
    """Return where the numbers come from; `load` is the machine's before the benchmark began.

    With it the least time of a piece of Python: the same release can be half as fast again, by how it was built.
    """
    cores = os.cpu_count() or 1
    reference_ms = 1e3 * min(timeit.repeat(_REFERENCE, number=1, repeat=50))
    busy = f"; that is busy, measure again below {_BUSY * cores:g}" if load > _BUSY * cores else ""
    return (
        f"Machine: {cores} cores ({platform.machine()}), Linux, Python {platform.python_version()} (`{_REFERENCE}`"
        f" in {reference_ms:.1f} ms), load before the run {load:.1f}{busy}."
    )


def write(document: Path, name: str, text: str) -> None:
    """Put a benchmark's text between its markers in the document.

    Raises:
        ValueError: the document has no such markers.
    """
    begin, end = f"<!-- {name}: measured -->\n", f"<!-- {name}: end -->"
    before, found, rest = document.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"{document} has no lines '{begin.strip()}' and '{end}'")
    document.write_text(f"{before}{begin}{text}\n{end}{after}", encoding="utf-8")


def requirements(text: str) -> str:
    """Return a table of all checks that a document's tables carry, with the benchmark that makes each again."""
    rows = [
        (name, *check.split(": ", 1))
        for name, table in re.findall(r"<!-- ([\w-]+): measured -->\n(.*?)<!-- \1: end -->", text, re.DOTALL)
        for check in re.findall(r"^- ((?:met|MISSED): .*)$", table, re.MULTILINE)
    ]
    return Table(conditions="", columns=("benchmark", "", "requirement"), rows=tuple(rows)).markdown().strip()
