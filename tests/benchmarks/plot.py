"""A small plot as SVG: cost against size, both on logarithmic axes."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

_WIDTH: Final = 640
_HEIGHT: Final = 320
_LEFT: Final = 70
_RIGHT: Final = 20
_TOP: Final = 30
_BOTTOM: Final = 50


def log_log(points: Mapping[float, Sequence[float]], *, x: str, y: str) -> str:
    """Return a plot of medians with the range of their runs.

    Args:
        points: size -> the runs' costs, all greater than zero.
        x, y: what the axes are.
    """
    sizes, costs = sorted(points), [cost for each in points.values() for cost in each]
    right, top = (range(math.floor(math.log10(min(of))), math.ceil(math.log10(max(of))) + 1) for of in (sizes, costs))

    def across(size: float) -> float:
        return _along(math.log10(size), right, _LEFT, _WIDTH - _RIGHT)

    def up(cost: float) -> float:
        return _along(math.log10(cost), top, _HEIGHT - _BOTTOM, _TOP)

    middles = [(across(size), up(sorted(points[size])[len(points[size]) // 2])) for size in sizes]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        *(_rule(across(10**power), _TOP, across(10**power), _HEIGHT - _BOTTOM, "#ddd") for power in right),
        *(_rule(_LEFT, up(10**power), _WIDTH - _RIGHT, up(10**power), "#ddd") for power in top),
        *(_text(across(10**power), _HEIGHT - _BOTTOM + 18, f"{10**power:,g}", "middle") for power in right),
        *(_text(_LEFT - 8, up(10**power) + 4, f"{10**power:,g}", "end") for power in top),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, x, "middle"),
        _text(_LEFT, _TOP - 8, y, "start"),
        *(_rule(across(size), up(min(points[size])), across(size), up(max(points[size])), "#1a5fb4") for size in sizes),
        f'<polyline fill="none" stroke="#1a5fb4" stroke-width="2" points="{_path(middles)}"/>',
        *(f'<circle cx="{at:.1f}" cy="{level:.1f}" r="4" fill="#1a5fb4"/>' for at, level in middles),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _along(power: float, powers: range, first: float, last: float) -> float:
    return first + (last - first) * (power - powers[0]) / max(powers[-1] - powers[0], 1)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{at:.1f},{level:.1f}" for at, level in points)


def _rule(from_x: float, from_y: float, to_x: float, to_y: float, colour: str) -> str:
    return f'<line x1="{from_x:.1f}" y1="{from_y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}"/>'


def _text(at: float, level: float, words: str, anchor: str) -> str:
    return f'<text x="{at:.1f}" y="{level:.1f}" font-size="12" text-anchor="{anchor}">{words}</text>'
