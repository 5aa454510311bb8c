"""The report of an analysis: one HTML file with everything in it, the verdict in words first, then the plots."""

import datetime as dt
import html
import math
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.alarms import AlarmState
from gateway.analysis import Analysis, Curve
from gateway.leak.finding import LOSSES, Kind
from gateway.leak.told import body_in_words, duration, loss_in_words

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 860, 220, 90, 24
_POINTS: Final = 800
_STROKES: Final = ("#1f4e79", "#a8322a", "#6b5b95", "#3f7d58", "#9a6b1f", "#444444", "#0f8b8d", "#b0477b")
_DASHES: Final = ("none", "7 3", "2 2", "9 2 2 2")
_UTC_FROM_S: Final = 1e9  # smaller times are not counted from 1970
_FEW: Final = 8
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; background: #f4f5f6; max-width: 60rem; margin: 2rem auto; }
.verdict { font-size: 1.25rem; border-left: 6px solid #888; background: #fff; padding: .8rem 1rem; }
.verdict.leak { border-color: #a8322a; }
svg { background: #fff; width: 100%; height: auto; } svg.key { background: none; width: 28px; height: 8px; }
span { white-space: nowrap; margin-right: .8rem; } svg text { font: 11px system-ui, sans-serif; fill: #333; }
td, th { text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top; }
"""


def judged(analysis: Analysis) -> bool:
    """Return whether anything can be said of any air body at the end."""
    last = analysis.findings[-1] if analysis.findings else None
    return last is not None and any(each.kind not in (Kind.COLLECTING, Kind.NO_DATA) for each in last.bodies)


def verdict(analysis: Analysis) -> str:
    """Return what is to be said first."""
    last = analysis.findings[-1] if analysis.findings else None
    span = duration(analysis.end_s - analysis.begin_s)
    if last is None or not judged(analysis):
        return f"Nothing can be said: {span} of readings are too few."
    if any(each.loses for each in last.bodies):
        return f"Air is being lost: {loss_in_words(last)}."
    leaks = [alarm for alarm in analysis.announced if alarm.condition.cause in LOSSES]
    if leaks:
        return f"Air was lost from {_when(leaks[0].on_s)} on, but not any more at the end of these {span}."
    return f"No leak is seen in these {span}."


def report(analysis: Analysis, title: str) -> str:
    """Return the report.

    Args:
        analysis: what was found.
        title: heading, such as the file's name.
    """
    last = analysis.findings[-1] if analysis.findings else None
    losing = last is not None and any(each.loses for each in last.bodies)
    bodies = "".join(
        f"<li>{html.escape(body_in_words(each))}{''.join(f'<br>{html.escape(note)}' for note in each.notes)}</li>"
        for each in (last.bodies if last else ())
    )
    plots = (
        ("Pressure of each segment, Pa", analysis.pressure_pa, None),
        ("Air in each body: pressure referred to 295.15 K, Pa", analysis.level_pa, None),
        ("Evidence: logarithm of the statistic above its threshold; something is announced at 0", analysis.margin, 0.0),
        ("Where it is: probability of each segment, given that one leaks", _likely(analysis.where), None),
    )
    figures = "".join(
        f"<h2>{html.escape(heading)}</h2>{_plot(curves, analysis, line)}" for heading, curves, line in plots if curves
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f'<p class="verdict{" leak" if losing else ""}">{html.escape(verdict(analysis))}</p>'
        f"<p>{_when(analysis.begin_s)} to {_when(analysis.end_s)}.</p><ul>{bodies}</ul>"
        f"{_alarms(analysis)}{figures}</html>\n"
    )


def _alarms(analysis: Analysis) -> str:
    rows, before = [], None
    for alarm in analysis.announced:
        here = (alarm.condition.id, alarm.state)
        if here != before and alarm.state is not AlarmState.ACKNOWLEDGED:
            state = "announced" if alarm.state is AlarmState.UNACKNOWLEDGED else "ended"
            rows.append(
                f"<tr><td>{_when(alarm.changed_s)}</td><td>{html.escape(alarm.condition.id)}</td><td>{state}</td>"
                f"<td>began {_when(alarm.on_s)}</td></tr>"
            )
        before = here
    return f"<h2>Announcements</h2><table>{''.join(rows)}</table>" if rows else ""


def _likely(where: Mapping[str, Curve]) -> dict[str, Curve]:
    """Return the segments that matter: the likeliest at the end."""
    order = sorted(where, key=lambda name: -where[name][-1][1])
    return {name: where[name] for name in order[:_FEW]}


def _plot(curves: Mapping[str, Curve], analysis: Analysis, line: float | None) -> str:
    values = [value for curve in curves.values() for _, value in curve]
    low, high = min(values), max(values)
    if line is not None:
        low, high = max(min(low, line), line - 30.0), max(high, line)
    margin = (high - low) * 0.05 or max(abs(high) * 1e-6, 1e-3)
    low, high = low - margin, high + margin
    end_s = max(analysis.end_s, *(curve[-1][0] for curve in curves.values()))  # a step ends after its last reading
    span_s = max(end_s - analysis.begin_s, 1.0)

    def x(time_s: float) -> float:
        return _LEFT + (time_s - analysis.begin_s) / span_s * (_WIDTH - _LEFT - 10)

    def y(value: float) -> float:
        return 10 + (high - min(max(value, low), high)) / (high - low) * (_HEIGHT - _BOTTOM - 10)

    drawn = []
    for number, (name, curve) in enumerate(curves.items()):
        points = " ".join(f"{x(time_s):.1f},{y(value):.1f}" for time_s, value in thinned(curve))
        drawn.append(
            f'<polyline points="{points}" fill="none" {_stroke(number)}><title>{html.escape(name)}</title></polyline>'
        )
    if line is not None:
        drawn.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - 10}" y1="{y(line):.1f}" y2="{y(line):.1f}" stroke="#222"'
            ' stroke-dasharray="5 4"/>'
        )
    ticks = [low + margin, (low + high) / 2, high - margin]
    digits = max(0, min(6, 2 - math.floor(math.log10(high - low))))
    labels = [
        f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.{digits}f}</text>' for tick in ticks
    ]
    times = (analysis.begin_s, (analysis.begin_s + end_s) / 2, end_s)
    labels += [
        f'<text x="{x(each):.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{_when(each)}</text>'
        for each, anchor in zip(times, ("start", "middle", "end"), strict=True)
    ]
    legend = " ".join(
        f'<span><svg class="key" viewBox="0 0 28 8"><path d="M0 4H28" {_stroke(number)}/></svg>'
        f" {html.escape(name)}</span>"
        for number, name in enumerate(curves)
    )
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(drawn)}{"".join(labels)}</svg><p>{legend}</p>'


def _stroke(number: int) -> str:
    """Return how a curve is drawn; where there are more than colours, dashes tell them apart."""
    turn, colour = divmod(number, len(_STROKES))
    return f'stroke="{_STROKES[colour]}" stroke-width="1.4" stroke-dasharray="{_DASHES[turn % len(_DASHES)]}"'


def thinned(curve: Curve, points: int = _POINTS) -> Sequence[tuple[float, float]]:
    """Return about so many points at most: least and greatest value of each stretch, so that no spike is lost."""
    if len(curve) <= points:
        return curve
    size = math.ceil(2 * len(curve) / points)
    kept: list[tuple[float, float]] = []
    for start in range(0, len(curve), size):
        stretch = curve[start : start + size]
        ends = {min(stretch, key=lambda point: point[1]), max(stretch, key=lambda point: point[1])}
        kept += sorted(ends)
    return kept


def _when(time_s: float) -> str:
    if time_s < _UTC_FROM_S:
        return f"{time_s:.0f} s"
    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
