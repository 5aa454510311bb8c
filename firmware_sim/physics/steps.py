"""One step of an ordinary differential equation, and how far off it may be: Dormand and Prince's pair of order 5(4).

J. R. Dormand and P. J. Prince, "A family of embedded Runge-Kutta formulae", J. Comp. Appl. Math. 6 (1980) 19-26.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim.physics.gas import Array

_AT: Final = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0)
_STAGES: Final = tuple(
    np.array(row)
    for row in (
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    )
)
_RESULT: Final = np.array((35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84))
_ERROR: Final = np.array((71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40))
_CAREFUL: Final = 0.9
_SLOWEST, _FASTEST = 0.2, 5.0

Derivative = Callable[[float, Array], Array]
"""(s since the step's start, state) -> change per s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What came of a step.

    Attributes:
        last: the state at its end.
        change: per s, there.
        error: estimate of the error of each part of `last`.
    """

    last: Array
    change: Array
    error: Array


def step(derivative: Derivative, state: Array, change: Array, span_s: float) -> Step:
    """Do one step.

    Args:
        derivative: of the state.
        state: at the start.
        change: the derivative there.
        span_s: how long.
    """
    slopes = np.empty((len(_ERROR), len(state)))
    slopes[0] = change
    for place, weights in enumerate(_STAGES, 1):
        slopes[place] = derivative(_AT[place] * span_s, state + span_s * (weights @ slopes[:place]))
    last = state + span_s * (_RESULT @ slopes[:-1])
    slopes[-1] = derivative(span_s, last)
    return Step(last=last, change=slopes[-1], error=span_s * (_ERROR @ slopes))


def next_span_s(span_s: float, error: float) -> float:
    """Return the longest span that a step should have after one whose error was `error` times the tolerated."""
    if error <= 0:
        return span_s * _FASTEST
    return span_s * min(max(_CAREFUL * math.pow(error, -0.2), _SLOWEST), _FASTEST)
