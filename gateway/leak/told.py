"""What was found, in words: for the terminal, reports and pages."""

import math
from collections.abc import Sequence

from gateway.leak.finding import BodyFinding, Kind, StationFinding

_DAY_S = 86_400.0
_HOUR_S = 3_600.0
_SHORT_S = 100.0
_MMHG_PA = 133.322
_NAMED = 0.99
_FEW = 4
_KINDS = {
    Kind.NONE: "nothing that could be told apart from noise",
    Kind.COLLECTING: "collecting data since the start, the last hatch change or an event",
    Kind.NO_DATA: "no data",
    Kind.LEAK: "loses air",
    Kind.PUNCTURE: "loses air fast",
    Kind.RATE_CHANGE: "loses air, and at another rate than before",
    Kind.GAIN: "gains air",
    Kind.HIDDEN_PATH: "loses air by a hidden path: the suspect holds, yet the station still loses",
}


def loss_in_words(finding: StationFinding) -> str:
    """Return what is lost, where, and what to do next, in one sentence or two."""
    losing = [each for each in finding.bodies if each.loses]
    parts = [f"{names(each.body.segments)} {_does(each)}{rate_in_words(each)}" for each in losing]
    text = "; ".join(parts) or "a leak that was found before the last hatch change"
    if len(finding.where) > 1:
        likeliest = max(finding.where, key=lambda name: finding.where[name])
        share = finding.where[likeliest]
        text += f". It is in {likeliest}" if share >= _NAMED else f". Likeliest in {likeliest} ({share:.0%})"
    return text + (f"; close {finding.next_hatch} to know more" if finding.next_hatch else "")


def body_in_words(found: BodyFinding) -> str:
    """Return one body's line."""
    return f"{names(found.body.segments)}: {_does(found)}{rate_in_words(found)}"


def names(segments: Sequence[str]) -> str:
    """Return the segments of a body: all of them, or the first few and how many more."""
    first, last = (
        (segments[:-1], segments[-1]) if len(segments) <= _FEW else (segments[:3], f"{len(segments) - 3} more")
    )
    return f"{', '.join(first)} and {last}" if first else last


def _does(found: BodyFinding) -> str:
    text = _KINDS[found.kind]
    return text if len(found.body.segments) == 1 else text.replace("loses", "lose", 1)


def rate_in_words(found: BodyFinding) -> str:
    """Return rate, interval and reserve as ", 2.7 kg/day (95 %: 2.3 to 3.1)", nothing while they are not known."""
    slope = found.slope_pa_per_s
    if slope is None:
        return ""
    rate, interval = found.rate_kg_per_s, found.rate_ci95_kg_per_s
    if rate is None or interval is None:
        text = f", {abs(slope) * _HOUR_S / _MMHG_PA:.3g} mmHg/h (a volume is missing for kg/day)"
    else:
        low, high = sorted(abs(end) * _DAY_S for end in interval)
        text = f", {abs(rate) * _DAY_S:.3g} kg/day (95 %: {low:.3g} to {high:.3g})"
        if interval[0] < 0 < interval[1]:
            text = f", rate not told apart from zero yet ({rate * _DAY_S:.2g} kg/day)"
    reserve = found.reserve
    if reserve is not None and math.isfinite(reserve.fast_s):
        text += f", {duration(reserve.fast_s)} or more to {reserve.to_pa / 1000:.4g} kPa"
    return text


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < _SHORT_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / _HOUR_S:.0f} h" if seconds < 3 * _DAY_S else f"{seconds / _DAY_S:.0f} d"
