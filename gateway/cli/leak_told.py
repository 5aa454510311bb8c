"""How a search for a leak is told: for a tired engineer who reads it aloud, and for machines."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

import orjson

from gateway.leak.plan import Plan, Side, Step
from gateway.leak.search import Search

_NAMED: Final = 4  # a body of more segments is called by its number of segments
_MARGIN: Final = " " * 9


def told(search: Search, *, closed: Sequence[str], unknown: Sequence[str], depth: int) -> str:
    """Return what to do, what then, and what other ways would cost."""
    known = [hatch for hatch in closed if hatch not in unknown]
    lines = [f"Closed already: {', '.join(known)}."] if known else []
    if unknown:
        lines.append(f"Taken as closed, since nobody knows: {', '.join(unknown)}. Look, and say --open or --closed.")
    many = len(search.plans) > 1
    if many:
        lines += ["", *_watching(search)]
    best = search.plans[search.likeliest]
    tree = search.bodies.trees[search.likeliest]
    body = _called(tree.segments)
    if best.step is None:
        return "\n".join([*lines, "", f"{'Likeliest' if many else 'The leak is in'} {body}: nothing to close there."])
    lines += [
        "",
        f"If it falls in {body}:" if many else "One hatch at a time:",
        *_rings(best),
        *_steps(best.step, depth, 1),
    ]
    quickest = search.ways[0]
    if len(quickest.first) > len(best.rings):
        number = len(quickest.first)
        which = (
            f"all {number} hatches" if number == len(tree.passages) else f"these {number}: {', '.join(quickest.first)}"
        )
        lines += ["", f"Quicker: close {which}; then wait until one falls."]
    lines += ["", f"Expected until a segment is named, from {'there' if many else 'now'}:"]
    width = max(len(way.name) for way in search.ways)
    for way in search.ways:
        tail = "" if way.p95_s is None else f"   (95 of 100: {duration(way.p95_s)})"
        lines.append(f"  {way.name:<{width}}  {duration(way.expected_s)}{tail}")
    if not best.exact:
        lines += ["", f"Too many ways to try them all: the best one at a time takes {duration(best.bound_s)} at least."]
    if math.isinf(best.expected_s):
        lines += [
            "",
            "So small a leak cannot be placed like this: know the air temperature better, or close more hatches.",
        ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Return a time as it is said: "4 min", "1 h 19 min", "2 d 3 h"; it is rounded."""
    if math.isinf(seconds):
        return "over 30 d"
    minutes = max(round(seconds / 60), 1) if seconds > 0 else 0
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def _watching(search: Search) -> Iterator[str]:
    number = len(search.plans)
    yield f"{number} air bodies are apart. Close nothing yet: it takes about {duration(search.watch_s)} until one is"
    yield "known to fall (then say which by --in SEGMENT)."
    for tree, plan, probability in zip(search.bodies.trees, search.plans, search.bodies.probability, strict=True):
        then = f"{duration(plan.expected_s)} more" if plan.step else "the leak is there"
        yield f"  {probability:4.0%}  it falls in {_called(tree.segments)}: {then}"


def _called(segments: Sequence[str]) -> str:
    return ", ".join(segments) if len(segments) <= _NAMED else f"the {len(segments)} segments around {segments[0]}"


def _rings(plan: Plan) -> Iterator[str]:
    for passage in plan.rings:
        yield f"0. Close {passage.hatch} ({duration(passage.close_s)}): it closes a ring, air would pass round by it."


def _steps(step: Step, depth: int, number: int) -> Iterator[str]:
    margin = _MARGIN * (number - 1)
    yield f"{margin}{number}. Close {step.hatch} ({duration(step.close_s)}), wait about {duration(step.wait_s)}."
    small, large = sorted(step.sides, key=lambda side: side.volume_m3)  # look at the smaller: it would fall faster
    if len(large.segments) <= _NAMED:
        rest = f"it falls in {', '.join(large.segments)}"
    else:
        rest = f"it holds there and falls in the other {len(large.segments)} segments"
    for side, answer in ((small, f"it falls in {_called(small.segments)}"), (large, rest)):
        yield f"{margin}   {side.probability:4.0%}  {answer}: {_then(side, further=number < depth)}"
        if side.step and number < depth:
            yield from _steps(side.step, depth, number + 1)


def _then(side: Side, *, further: bool) -> str:
    if side.step is None:
        return "the leak is there"
    return f"{duration(side.expected_s)} more" if further else f"{duration(side.expected_s)} and more hatches"


def as_json(
    search: Search, *, station: str, closed: Sequence[str], unknown: Sequence[str], rate_kg_s: float, teams: int
) -> str:
    """Return the whole search; times in s, null where over 30 days; what is unknown is taken as closed."""
    bodies = [
        {
            "segments": tree.segments,
            "probability": probability,
            "expected_s": plan.expected_s,
            "bound_s": plan.bound_s,
            "hatches": plan.hatches,
            "first": [passage.hatch for passage in plan.rings],
            "step": plan.step and _step_data(plan.step),
        }
        for tree, probability, plan in zip(search.bodies.trees, search.bodies.probability, search.plans, strict=True)
    ]
    answer = {
        "station": station,
        "closed": closed,
        "unknown": unknown,
        "rate_kg_s": rate_kg_s,
        "teams": teams,
        "next_hatch": search.next_hatch,
        "watch_s": search.watch_s,
        "expected_s": search.expected_s,
        "bodies": bodies,
        "likeliest": search.likeliest,
        "ways": search.ways,
    }
    return orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode()


def _step_data(step: Step) -> dict[str, Any]:
    return {
        "hatch": step.hatch,
        "close_s": step.close_s,
        "wait_s": step.wait_s,
        "sides": [
            {
                "segments": side.segments,
                "probability": side.probability,
                "expected_s": side.expected_s,
                "step": side.step and _step_data(side.step),
            }
            for side in step.sides
        ],
    }
