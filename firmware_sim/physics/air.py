"""The station's air, first version: pressure and temperature of each segment that drift slowly, and leaks as ramps.

Everything is closed in time: any moment can be asked, in any order, and the same seed gives the same answer.
"""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from drivers.rig import HatchState, Rig

_ORBIT_NS: Final = 92 * 60 * 1_000_000_000
_DAY_NS: Final = 24 * 3600 * 1_000_000_000
_PRESSURE_AMPLITUDES_PA: Final = (3.0, 8.0)  # orbit, day
_TEMPERATURE_AMPLITUDES_K: Final = (0.1, 0.3)
_UNKNOWN_VOLUME_M3: Final = 10.0


class _Drift:
    """An orbital and a daily harmonic with seeded phases; zero at time 0."""

    __slots__ = ("_day", "_day_phase", "_orbit", "_orbit_phase", "_zero")

    def __init__(self, amplitudes: tuple[float, float], seed: int, name: str) -> None:
        self._orbit, self._day = amplitudes
        phases = np.random.default_rng([seed, *name.encode()]).uniform(0, math.tau, 2)
        self._orbit_phase, self._day_phase = phases.tolist()
        self._zero = 0.0
        self._zero = self.at(0)

    def at(self, at_ns: int) -> float:
        """Return the drift since time 0."""
        return (
            self._orbit * math.sin(math.tau / _ORBIT_NS * at_ns + self._orbit_phase)
            + self._day * math.sin(math.tau / _DAY_NS * at_ns + self._day_phase)
            - self._zero
        )


@dataclass(slots=True, kw_only=True)
class _Body:
    """Segments joined by open hatches: one pressure.

    Attributes:
        volume_m3: of all its segments.
        drift: of its pressure, Pa.
        ramps: (since ns, Pa/ns that the pressure falls faster from then on).
    """

    volume_m3: float
    drift: _Drift
    ramps: list[tuple[int, float]] = field(default_factory=list)


class Air:
    """Pressure and temperature of all segments of a rig; hatches stay as the rig file has them (unknown is closed)."""

    def __init__(self, rig: Rig) -> None:
        self._pressure_pa = rig.emulator.pressure
        self._temperature_k = rig.emulator.temperature
        self._volumes = {name: segment.volume or _UNKNOWN_VOLUME_M3 for name, segment in rig.segments.items()}
        self._rates = dict.fromkeys(rig.segments, 0.0)
        seed = rig.emulator.seed
        self._temperatures = {
            name: _Drift(_TEMPERATURE_AMPLITUDES_K, seed, f"{name}.temperature") for name in rig.segments
        }
        self._bodies: dict[str, _Body] = {}
        for names in _joined(rig):
            body = _Body(
                volume_m3=sum(self._volumes[name] for name in names),
                drift=_Drift(_PRESSURE_AMPLITUDES_PA, seed, f"{names[0]}.pressure"),
            )
            self._bodies |= dict.fromkeys(names, body)

    def pressure_pa(self, segment: str, at_ns: int) -> float:
        """Return the pressure, Pa; never below 0."""
        body = self._bodies[segment]
        pressure = self._pressure_pa + body.drift.at(at_ns)
        for since_ns, rate in body.ramps:
            if at_ns > since_ns:
                pressure -= rate * (at_ns - since_ns)
        return max(pressure, 0.0)

    def temperature_k(self, segment: str, at_ns: int) -> float:
        """Return the temperature, K."""
        return self._temperature_k + self._temperatures[segment].at(at_ns)

    def leak(self, segment: str, rate_pa_per_s: float, at_ns: int) -> None:
        """Let a segment lose air from `at_ns` on at a new rate; see `World.leak`."""
        body = self._bodies[segment]
        change = rate_pa_per_s - self._rates[segment]
        self._rates[segment] = rate_pa_per_s
        body.ramps.append((at_ns, change * 1e-9 * self._volumes[segment] / body.volume_m3))


def _joined(rig: Rig) -> list[tuple[str, ...]]:
    """Return the segments grouped by open hatches, in the rig file's order."""
    groups: dict[str, tuple[str, ...]] = {name: (name,) for name in rig.segments}
    for hatch in rig.hatches:
        a, b = (groups[name] for name in hatch.between)
        if hatch.state is HatchState.OPEN and a is not b:
            joined = tuple(name for name in rig.segments if name in a or name in b)
            groups |= dict.fromkeys(joined, joined)
    return list(dict.fromkeys(groups.values()))
