"""One row of the leak benchmark's table."""

import math
from typing import Any, Final

ERROR: Final = 0.01
"""Share of wrong answers that is allowed."""


def row(
    name: str, metric: str, limit: float, measured: float, *, passed: bool | None, note: str = ""
) -> dict[str, Any]:
    """Return what was measured beside its limit; `passed` None asks nothing of it."""
    ratio = measured / limit if limit else math.nan
    return {
        "name": name,
        "metric": metric,
        "limit": limit,
        "measured": measured,
        "ratio": ratio,
        "passed": passed,
        "note": note,
    }


def most_wrong(number: int) -> int:
    """Return how many wrong answers of an error of `ERROR` are seen in 95 of 100 benchmarks at most."""
    term = total = (1 - ERROR) ** number
    wrong = 0
    while total < 0.95:
        wrong += 1
        term *= (number - wrong + 1) / wrong * ERROR / (1 - ERROR)
        total += term
    return wrong
