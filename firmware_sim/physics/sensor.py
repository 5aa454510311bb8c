"""A sensing element: the truth of a segment with the noise, drift, steps and temperature error of its grade."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

_REFERENCE_K: Final = 295.15
_DRAWS: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Grade:
    """How good a sensing element is (absolute pressure, about 0-160 kPa).

    Attributes:
        noise_pa: white noise of a reading at 1 Hz, one standard deviation.
        drift_pa: random walk, Pa per square root of a second.
        step_pa: resolution.
        temperature_pa: error per K away from 295.15 K.
    """

    noise_pa: float
    drift_pa: float
    step_pa: float
    temperature_pa: float


GRADES: Final = {
    "A": Grade(noise_pa=0.2, drift_pa=1e-3, step_pa=0.01, temperature_pa=0.5),  # quartz, 0.01 %
    "B": Grade(noise_pa=1.0, drift_pa=5e-3, step_pa=0.1, temperature_pa=1.6),  # digital, 0.05 %
    "C": Grade(noise_pa=5.0, drift_pa=2e-2, step_pa=160e3 / 65536, temperature_pa=5.0),  # industrial, 0.1 %
    "toy": Grade(noise_pa=4.5, drift_pa=0.0, step_pa=1.0, temperature_pa=0.0),  # a MEMS barometer for hobbyists
}
"""Grades of the rig file's `[emulator]` table."""


class SensingElement:
    """The element of one transducer.

    Its history depends only on seed, name and the sequence of read times, so another transducer changes nothing here.
    It has no limits: saturation is the firmware's.

    Args:
        truth: at_ns -> (pressure in Pa, temperature in K).
    """

    __slots__ = ("_draws", "_generator", "_grade", "_last_ns", "_truth", "_walk_pa")

    def __init__(self, *, grade: Grade, seed: int, name: str, truth: Callable[[int], tuple[float, float]]) -> None:
        self._grade = grade
        self._truth = truth
        self._generator = np.random.default_rng([seed, *name.encode()])
        self._draws: list[float] = []
        self._walk_pa = 0.0
        self._last_ns: int | None = None

    def read(self, at_ns: int) -> tuple[float, float]:
        """Return (pressure in Pa, temperature in K); the temperature is the true one."""
        pressure_pa, temperature_k = self._truth(at_ns)
        grade = self._grade
        draws = self._draws
        if len(draws) < 2:
            draws = self._draws = self._generator.standard_normal(_DRAWS).tolist()
        noise, step = draws.pop(), draws.pop()
        if self._last_ns is None:
            self._last_ns = at_ns
        elif at_ns > self._last_ns:
            self._walk_pa += grade.drift_pa * math.sqrt((at_ns - self._last_ns) * 1e-9) * step
            self._last_ns = at_ns
        pressure_pa += self._walk_pa + grade.noise_pa * noise + grade.temperature_pa * (temperature_k - _REFERENCE_K)
        return round(pressure_pa / grade.step_pa) * grade.step_pa, temperature_k
