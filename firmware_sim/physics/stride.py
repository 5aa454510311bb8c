"""How far the next step goes: while its error is small, and not beyond where a passage joins or parts its bodies."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim.physics.gas import GAS_CONSTANT, GASES, REFERENCE_K, Array
from firmware_sim.physics.network import Arrangement, Rates
from firmware_sim.physics.steps import next_span_s, step

SECOND_NS: Final = 1_000_000_000
LANDED: Final = 1e-3
"""How near to its turning point a passage turns; see `Arrangement.slack`."""

_TOLERATED: Final = 1e-9  # error of a step: this share of what a segment holds
_MIXTURE: Final = 0.01  # in what its gases are it may be so much less exact: that moves neither pressure nor warmth
_NOTHING_PA: Final = 1.0  # of so little pressure the error need not be smaller than of this one
_SHORTEST_NS: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a step begins with.

    Attributes:
        state: see `Arrangement`.
        lost: since the start of everything, mol [gases].
        arrangement, rates: of that moment.
        course: of the surroundings: s -> (K, K/s).
    """

    at_ns: int
    state: Array
    lost: Array
    arrangement: Arrangement
    rates: Rates
    course: Callable[[float], tuple[Array, Array]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stride:
    """A step.

    Attributes:
        span_ns: how long it is.
        state, rates, lost: at its end.
        error: in tolerated ones.
        pace_s: how long the next one may be.
    """

    span_ns: int
    state: Array
    rates: Rates
    lost: Array
    error: float
    pace_s: float


def stride(start: Start, *, pace_s: float, longest_ns: int) -> Stride:
    """Do the next step.

    Args:
        start: what it begins with.
        pace_s: how long it may be for its error, as far as the last one tells.
        longest_ns: how long it may be anyway.
    """
    span_ns = min(longest_ns, max(round(pace_s * SECOND_NS), _SHORTEST_NS))
    done = _tried(start, span_ns)
    next_s = done.pace_s
    if done.error <= 1 and span_ns == longest_ns:
        next_s = max(next_s, pace_s)  # it was no error that made this one short
    while done.error > 1 and span_ns > _SHORTEST_NS:
        span_ns = max(min(round(done.pace_s * SECOND_NS), span_ns - 1), _SHORTEST_NS)
        done = _tried(start, span_ns)
        next_s = min(done.pace_s, span_ns / SECOND_NS)
    if start.arrangement.passages:
        done = _landing(start, done)
    return Stride(
        span_ns=done.span_ns, state=done.state, rates=done.rates, lost=done.lost, error=done.error, pace_s=next_s
    )


def _landing(start: Start, done: Stride) -> Stride:
    """Return the step, or the part of it that ends where the first passage turns."""
    low_ns, slack = 0, start.arrangement.slack(start.state, start.rates)
    then = start.arrangement.slack(done.state, done.rates)
    halve = False
    while (then < -LANDED).any() and done.span_ns - low_ns > _SHORTEST_NS:
        over = then < -LANDED
        share = 0.5 if halve else float((slack[over] / (slack[over] - then[over])).min())
        halve = not halve
        width_ns = done.span_ns - low_ns
        tried = _tried(start, low_ns + min(max(round(share * width_ns), 1), width_ns - 1))
        found = start.arrangement.slack(tried.state, tried.rates)
        if (found > LANDED).all():
            low_ns, slack = tried.span_ns, found
        else:
            done, then = tried, found
    return done


def _tried(start: Start, span_ns: int) -> Stride:
    shape, count = start.state.shape, start.state.size
    begin_s, span_s = start.at_ns / SECOND_NS, span_ns / SECOND_NS
    rates = start.rates

    def derivative(after_s: float, state: Array) -> Array:
        nonlocal rates
        rates = start.arrangement.rates(state[:count].reshape(shape), *start.course(begin_s + after_s))
        return np.concatenate((rates.change.ravel(), rates.lost))

    everything = np.concatenate((start.state.ravel(), start.lost))
    done = step(derivative, everything, np.concatenate((rates.change.ravel(), rates.lost)), span_s)
    error = _tolerated_errors(start, done.error[:count].reshape(shape))
    return Stride(
        span_ns=span_ns,
        state=done.last[:count].reshape(shape),
        rates=rates,
        lost=done.last[count:],
        error=error,
        pace_s=next_span_s(span_s, error),
    )


def _tolerated_errors(start: Start, error: Array) -> float:
    """Return how much an error of the state is, in tolerated ones; infinite when the step led nowhere."""
    content = (np.maximum(start.rates.pressure_pa, 0.0) + _NOTHING_PA) * start.arrangement.volume_m3 / GAS_CONSTANT
    gas, energy = error[:, : len(GASES)], error[:, len(GASES)]
    parts = (
        np.abs(energy) / content,
        np.abs(gas.sum(1)) * REFERENCE_K / content,
        np.abs(gas).max(1) * (REFERENCE_K * _MIXTURE) / content,
    )
    worst = float(np.max(parts)) / _TOLERATED
    return worst if math.isfinite(worst) else math.inf
