"""The temperature that each segment's air settles to: orbit, day, and slow wandering, each closed in time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from firmware_sim.physics.gas import DAY_S, Array

ORBIT_S: Final = 92 * 60.0
KNOT_S: Final = 60.0
"""What wanders turns at whole multiples of it, and goes straight between them."""
_BLOCK: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Climate:
    """How much temperatures move.

    Attributes:
        orbit_k: amplitude of the swing in 92 minutes; each segment has 50-100 % of it, and a phase of its own.
        day_k: amplitude of the daily swing of crew and lights, in the same way.
        wander_k: standard deviation of what is left, correlated over `wander_s`.
        wander_s: correlation time of that.
        error_k: standard deviation between a segment's mean temperature and the one at its transducers; all of them
            share it.
        error_s: correlation time of that.
        loop_k: amplitude of the swing of each coolant loop in 92 minutes, with a phase of its own.
        settle_s: in this time air at 101325 Pa that was compressed or expanded takes on its surroundings' temperature
            again, thinner air sooner; 0 for isothermal air.
    """

    orbit_k: float = 0.1
    day_k: float = 0.3
    wander_k: float = 0.03
    wander_s: float = 2700.0
    error_k: float = 0.0
    error_s: float = 2700.0
    loop_k: float = 3.0
    settle_s: float = 900.0


STILL: Final = Climate(orbit_k=0.0, day_k=0.0, wander_k=0.0, loop_k=0.0, settle_s=0.0)
"""One constant temperature everywhere, whatever happens."""


class Temperatures:
    """The course of all segments' temperatures; any moment can be asked, in any order.

    Attributes:
        turning: whether it turns at knots.

    Args:
        names: of the segments; the course of one depends on seed and name alone.
        start_k: all of them at time 0.
    """

    def __init__(self, names: Sequence[str], climate: Climate, *, seed: int, start_k: float) -> None:
        generators = [np.random.default_rng([seed, *f"{name}.temperature".encode()]) for name in names]
        draws = np.array([generator.uniform(0, 1, 4) for generator in generators]).reshape(-1, 4)
        self._swings = tuple(
            (math.tau / period_s, amplitude_k * (0.5 + share / 2), math.tau * phase)
            for period_s, amplitude_k, share, phase in (
                (ORBIT_S, climate.orbit_k, draws[:, 0], draws[:, 1]),
                (DAY_S, climate.day_k, draws[:, 2], draws[:, 3]),
            )
            if amplitude_k
        )
        self._wander = _Wander(names, "wander", climate.wander_k, climate.wander_s, seed)
        self._error = _Wander(names, "error", climate.error_k, climate.error_s, seed)
        self.turning = bool(climate.wander_k or climate.error_k)
        self._base: Array = np.zeros(len(names))
        self._base = start_k - self.at(0.0)

    def at(self, t_s: float) -> Array:
        """Return what each segment's air settles to, K [segments]."""
        return self.course(t_s)(t_s)[0]

    def course(self, from_s: float) -> Callable[[float], tuple[Array, Array]]:
        """Return the course from a moment to the next knot: t_s -> (K, K/s), both [segments]."""
        start, slope = self._base + self._wander.at(from_s), self._wander.slope(from_s)

        def at(t_s: float) -> tuple[Array, Array]:
            total, per_s = start + (t_s - from_s) * slope, slope.copy()
            for rate, amplitudes, phases in self._swings:
                angles = rate * t_s + phases
                total += amplitudes * np.sin(angles)
                per_s += (rate * amplitudes) * np.cos(angles)
            return total, per_s

        return at

    def error_at(self, t_s: float) -> Array:
        """Return by how much it is warmer at the transducers than in the segment's mean, K [segments]."""
        return self._error.at(t_s)


def loop_temperature(name: str, climate: Climate, *, seed: int, start_k: float) -> Callable[[int], float]:
    """Return the course of a coolant loop's temperature: at_ns -> K, `start_k` at time 0."""
    phase = math.tau * float(np.random.default_rng([seed, *f"{name}.loop".encode()]).uniform())
    per_ns = math.tau / ORBIT_S * 1e-9
    return lambda at_ns: start_k + climate.loop_k * (math.sin(per_ns * at_ns + phase) - math.sin(phase))


class _Wander:
    """An Ornstein-Uhlenbeck process for each segment: exact at knots a minute apart, straight between them."""

    def __init__(self, names: Sequence[str], kind: str, deviation: float, time_s: float, seed: int) -> None:
        self._generators = [np.random.default_rng([seed, *f"{name}.{kind}".encode()]) for name in names]
        self._deviation = deviation
        self._keep = math.exp(-KNOT_S / time_s)
        self._blocks: list[Array] = []
        self._still: Array = np.zeros(len(names))

    def at(self, t_s: float) -> Array:
        """Return the values, [segments]; before time 0 those of time 0."""
        if not self._deviation:
            return self._still.copy()
        place = max(t_s, 0.0) / KNOT_S
        knot = int(place)
        low, high = self._knot(knot), self._knot(knot + 1)
        return low + (place - knot) * (high - low)

    def slope(self, t_s: float) -> Array:
        """Return how fast the values change from a moment to the next knot, per s [segments]."""
        if not self._deviation or t_s < 0:
            return self._still.copy()
        knot = int(t_s / KNOT_S)
        return (self._knot(knot + 1) - self._knot(knot)) / KNOT_S

    def _knot(self, knot: int) -> Array:
        block, row = divmod(knot, _BLOCK)
        while len(self._blocks) <= block:
            self._blocks.append(self._next_block())
        values: Array = self._blocks[block][row]
        return values

    def _next_block(self) -> Array:
        draws = np.array([generator.standard_normal(_BLOCK) for generator in self._generators]).reshape(-1, _BLOCK).T
        draws *= self._deviation
        fresh = math.sqrt(1 - self._keep**2)
        first = 0
        if self._blocks:
            value = self._blocks[-1][-1]
        else:
            value, first = draws[0], 1
        for row in range(first, _BLOCK):
            value = draws[row] = self._keep * value + fresh * draws[row]
        return draws
