"""A sensing element: the truth of a segment with the noise, drift, steps, lag and temperature error of its grade."""

import math
from bisect import insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

import numpy as np

_REFERENCE_K: Final = 295.15
_DRAWS_A_READ: Final = 3
_DRAWS: Final = _DRAWS_A_READ * 1365


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How good a sensing element is (absolute pressure, about 0-160 kPa).

    Attributes:
        noise_pa: white noise of a reading at 1 Hz, one standard deviation.
        drift_pa: random walk, Pa per square root of a second.
        step_pa: resolution.
        temperature_pa: error per K away from 295.15 K.
        noise_k: white noise of its temperature, one standard deviation.
        lag_s: in this time it follows a change; 0 at once.
        creep: share of a change of pressure that it shows too much at first, as its diaphragm has yet to settle.
        creep_s: in this time it settles.
    """

    noise_pa: float
    drift_pa: float
    step_pa: float
    temperature_pa: float
    noise_k: float
    lag_s: float = 0.0
    creep: float = 0.0
    creep_s: float = 144_000.0


GRADES: Final = {
    "A": Grade(noise_pa=0.2, drift_pa=1e-3, step_pa=0.01, temperature_pa=0.5, noise_k=2e-4),  # quartz, 0.01 %
    "B": Grade(noise_pa=1.0, drift_pa=5e-3, step_pa=0.1, temperature_pa=1.6, noise_k=1e-3),  # digital, 0.05 %
    "C": Grade(
        noise_pa=5.0, drift_pa=2e-2, step_pa=160e3 / 65536, temperature_pa=5.0, noise_k=2e-3
    ),  # industrial, 0.1 %
    "toy": Grade(
        noise_pa=4.5, drift_pa=0.0, step_pa=1.0, temperature_pa=0.0, noise_k=5e-3
    ),  # a MEMS barometer for hobbyists
}
"""Grades of the rig file's `[emulator]` table."""


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Upset:
    """What goes wrong with a sensing element from a moment on, until the next upset; an empty one heals it.

    Attributes:
        at_ns: from when.
        offset_pa: added to what it feels.
        drift_pa_per_s: added to that, growing.
        stuck: it keeps the pressure that it felt at that moment.
    """

    at_ns: int
    offset_pa: float = field(default=0.0, compare=False)
    drift_pa_per_s: float = field(default=0.0, compare=False)
    stuck: bool = field(default=False, compare=False)


class SensingElement:
    """The element of one transducer.

    Its history depends only on seed, name and the sequence of read times, so another transducer changes nothing here.
    It has no limits: saturation is the firmware's.

    Args:
        truth: at_ns -> (pressure in Pa, temperature in K).
        others: quantity -> what it feels of that, by at_ns.
    """

    __slots__ = (
        "_creeping_pa",
        "_draws",
        "_felt_pa",
        "_generator",
        "_grade",
        "_last_ns",
        "_others",
        "_truth",
        "_upsets",
        "_walk_pa",
    )

    def __init__(
        self,
        *,
        grade: Grade,
        seed: int,
        name: str,
        truth: Callable[[int], tuple[float, float]],
        others: Mapping[str, Callable[[int], float]] = MappingProxyType({}),
    ) -> None:
        self._grade = grade
        self._truth = truth
        self._others = others
        self._generator = np.random.default_rng([seed, *name.encode()])
        self._draws: list[float] = []
        self._walk_pa = 0.0
        self._felt_pa = 0.0
        self._creeping_pa = 0.0
        self._last_ns: int | None = None
        self._upsets: list[Upset] = []

    def upset(self, upset: Upset) -> None:
        """Let something go wrong, now, later or in the past."""
        insort(self._upsets, upset)

    def upset_at(self, at_ns: int) -> Upset | None:
        """Return what is wrong with it at a moment, None when nothing ever was."""
        latest = None
        for upset in self._upsets:
            if upset.at_ns <= at_ns:
                latest = upset
        return latest

    def read(self, at_ns: int) -> tuple[float, float]:
        """Return (pressure in Pa, temperature in K)."""
        true_pa, temperature_k = self._truth(at_ns)
        grade = self._grade
        draws = self._draws
        if len(draws) < _DRAWS_A_READ:
            draws = self._draws = self._generator.standard_normal(_DRAWS).tolist()
        noise, step, noise_of_temperature = draws.pop(), draws.pop(), draws.pop()
        pressure_pa = self._followed(at_ns, true_pa, step)
        pressure_pa += self._walk_pa + grade.noise_pa * noise + grade.temperature_pa * (temperature_k - _REFERENCE_K)
        if self._upsets:
            pressure_pa = self._upset(at_ns, pressure_pa)
        return round(pressure_pa / grade.step_pa) * grade.step_pa, temperature_k + grade.noise_k * noise_of_temperature

    def feel(self, quantity: str, at_ns: int) -> float:
        """Return another quantity: a partial pressure in Pa, or 1 while a contact's hatch is open, else 0.

        Raises:
            KeyError: it feels no such quantity.
        """
        return self._others[quantity](at_ns)

    def _followed(self, at_ns: int, true_pa: float, step: float) -> float:
        """Let time pass for whatever is slow in it; return what it feels before noise and drift."""
        grade = self._grade
        if self._last_ns is None:
            self._last_ns, self._felt_pa = at_ns, true_pa
        elif at_ns > self._last_ns:
            span_s = (at_ns - self._last_ns) * 1e-9
            self._last_ns = at_ns
            self._walk_pa += grade.drift_pa * math.sqrt(span_s) * step
            before_pa = self._felt_pa
            self._felt_pa += (true_pa - before_pa) * (1.0 if not grade.lag_s else -math.expm1(-span_s / grade.lag_s))
            if grade.creep:
                self._creeping_pa += grade.creep * (self._felt_pa - before_pa)
                self._creeping_pa *= math.exp(-span_s / grade.creep_s)
        return (self._felt_pa if grade.lag_s else true_pa) + self._creeping_pa

    def _upset(self, at_ns: int, pressure_pa: float) -> float:
        latest = self.upset_at(at_ns)
        if latest is None:
            return pressure_pa
        if latest.stuck:
            pressure_pa = self._truth(latest.at_ns)[0]
        return pressure_pa + latest.offset_pa + latest.drift_pa_per_s * (at_ns - latest.at_ns) * 1e-9
