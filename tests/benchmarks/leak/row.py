"""One row of the leak benchmark's table."""

import math
from typing import Any


def row(name: str, metric: str, limit: float, measured: float, *, passed: bool, note: str = "") -> dict[str, Any]:
    """Return what was measured beside its limit."""
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
