"""A loop of liquid coolant that a gas spring keeps under pressure: warmth, holes, seeps, and boiling at the end.

While the spring moves, its gas follows Boyle's law, and its room is what liquid left and what warmth did not fill. At
its stop it presses no more: the liquid then boils at its vapour pressure and leaves slowly, until none is left.
"""

import math
from bisect import bisect_right, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

_SECOND_NS: Final = 1_000_000_000
_STEP_NS: Final = 10 * _SECOND_NS
_SHORTEST_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What a loop is filled with.

    Attributes:
        volume_m3: of liquid.
        gas_m3: of the spring, at `pressure_pa` and `temperature_k`.
        stroke_m3: of liquid that the spring can press out.
        pressure_pa, temperature_k: of the whole loop.
        expansion_per_k, density_kg_m3, vapour_pa: of the liquid.
    """

    volume_m3: float
    gas_m3: float
    stroke_m3: float
    pressure_pa: float
    temperature_k: float = 295.15
    expansion_per_k: float = 1.2e-3
    density_kg_m3: float = 690.0
    vapour_pa: float = 3000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    """A way out into vacuum.

    Attributes:
        area_m2: effective area of a hole: its flow goes with the root of the pressure.
        seep_m3_s_pa: conductance of a seep: its flow goes with the pressure.
    """

    area_m2: float = 0.0
    seep_m3_s_pa: float = 0.0

    def flow_m3_s(self, pressure_pa: float, density_kg_m3: float) -> float:
        """Return what passes of a liquid at that pressure."""
        return self.area_m2 * math.sqrt(2 * pressure_pa / density_kg_m3) + self.seep_m3_s_pa * pressure_pa


def hole(diameter_m: float, coefficient: float = 0.62) -> Breach:
    """Return a round hole; a sharp edge has a coefficient of 0.62 in liquid."""
    return Breach(area_m2=coefficient * math.pi * diameter_m**2 / 4)


def seep(kg_per_s: float, filling: Filling) -> Breach:
    """Return a seep that loses so much while the loop is whole."""
    return Breach(seep_m3_s_pa=kg_per_s / filling.density_kg_m3 / filling.pressure_pa)


@dataclass(frozen=True, slots=True, order=True)
class _Event:
    at_ns: int
    number: int
    name: str = field(compare=False)
    breach: Breach | None = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Knot:
    """Liquid lost up to a moment, and how fast from there on."""

    at_ns: int
    lost_m3: float
    flow_m3_s: float


class Loop:
    """One loop in time. Any moment can be asked, in any order; events may be told late.

    Args:
        filling: what it is filled with.
        temperature: at_ns -> temperature of the liquid, K.
    """

    def __init__(self, filling: Filling, temperature: Callable[[int], float]) -> None:
        self._filling = filling
        self._temperature = temperature
        self._events: list[_Event] = []
        self._knots: list[_Knot] = []

    def breach(self, name: str, breach: Breach | None, at_ns: int) -> None:
        """Let a breach of that name come, change, or (None) end."""
        insort(self._events, _Event(at_ns, len(self._events), name, breach))
        del self._knots[bisect_right(self._knots, at_ns - 1, key=lambda knot: knot.at_ns) :]

    def feel(self, at_ns: int) -> tuple[float, float]:
        """Return (pressure in Pa, temperature in K)."""
        return self._pressure_pa(self.lost_m3(at_ns), at_ns), self._temperature(at_ns)

    def lost_m3(self, at_ns: int) -> float:
        """Return the liquid lost up to a moment."""
        if not self._events or at_ns <= self._events[0].at_ns:
            return 0.0
        self._seek(at_ns)
        place = bisect_right(self._knots, at_ns, key=lambda knot: knot.at_ns)
        one = self._knots[place - 1]
        if place == len(self._knots):
            return one.lost_m3  # nothing flows, and nothing will happen any more
        other = self._knots[place]
        span_s = (other.at_ns - one.at_ns) / _SECOND_NS
        u = (at_ns - one.at_ns) / (other.at_ns - one.at_ns)
        rise = other.lost_m3 - one.lost_m3
        bend = one.flow_m3_s * span_s - rise
        return one.lost_m3 + u * rise + u * (1 - u) * bend

    def _seek(self, at_ns: int) -> None:
        if not self._knots:
            self._knots.append(self._knot(self._events[0].at_ns, 0.0))
        while self._knots[-1].at_ns <= at_ns:
            last = self._knots[-1]
            place = bisect_right(self._events, last.at_ns, key=lambda event: event.at_ns)
            next_ns = self._events[place].at_ns if place < len(self._events) else None
            if not last.flow_m3_s:
                if next_ns is None:
                    return
                self._knots.append(self._knot(next_ns, last.lost_m3))
                continue
            end_ns = min(last.at_ns + _STEP_NS, next_ns or last.at_ns + _STEP_NS)
            self._knots.append(self._stepped(last, end_ns))

    def _stepped(self, last: _Knot, end_ns: int) -> _Knot:
        """Step to a moment, or to just where the spring meets its stop; there the flow jumps."""
        moving = self._moves(last.lost_m3, last.at_ns)
        lost_m3 = self._after(last, end_ns)
        low_ns = last.at_ns
        while moving != self._moves(lost_m3, end_ns) and end_ns - low_ns > _SHORTEST_NS:
            middle_ns = (low_ns + end_ns) // 2
            tried_m3 = self._after(last, middle_ns)
            if self._moves(tried_m3, middle_ns) == moving:
                low_ns = middle_ns
            else:
                end_ns, lost_m3 = middle_ns, tried_m3
        return self._knot(end_ns, min(lost_m3, self._filling.volume_m3))

    def _after(self, last: _Knot, end_ns: int) -> float:
        """Return the liquid lost after a step (Runge and Kutta's of order 4)."""
        span_s, middle_ns = (end_ns - last.at_ns) / _SECOND_NS, (last.at_ns + end_ns) // 2
        breaches = self._open(last.at_ns)
        second = self._flow_m3_s(last.lost_m3 + span_s / 2 * last.flow_m3_s, middle_ns, breaches)
        third = self._flow_m3_s(last.lost_m3 + span_s / 2 * second, middle_ns, breaches)
        fourth = self._flow_m3_s(last.lost_m3 + span_s * third, end_ns, breaches)
        return last.lost_m3 + span_s / 6 * (last.flow_m3_s + 2 * (second + third) + fourth)

    def _knot(self, at_ns: int, lost_m3: float) -> _Knot:
        return _Knot(at_ns=at_ns, lost_m3=lost_m3, flow_m3_s=self._flow_m3_s(lost_m3, at_ns, self._open(at_ns)))

    def _open(self, at_ns: int) -> list[Breach]:
        breaches: dict[str, Breach | None] = {}
        for event in self._events:
            if event.at_ns <= at_ns:
                breaches[event.name] = event.breach
        return [breach for breach in breaches.values() if breach is not None]

    def _flow_m3_s(self, lost_m3: float, at_ns: int, breaches: list[Breach]) -> float:
        if lost_m3 >= self._filling.volume_m3 or not breaches:
            return 0.0
        pressure_pa = self._pressure_pa(lost_m3, at_ns)
        return sum(breach.flow_m3_s(pressure_pa, self._filling.density_kg_m3) for breach in breaches)

    def _moved_m3(self, lost_m3: float, at_ns: int) -> float:
        """Return how far the spring has moved out."""
        filling = self._filling
        left_m3 = filling.volume_m3 - lost_m3
        warmer_k = self._temperature(at_ns) - filling.temperature_k
        return lost_m3 - left_m3 * filling.expansion_per_k * warmer_k

    def _moves(self, lost_m3: float, at_ns: int) -> bool:
        return self._moved_m3(lost_m3, at_ns) < self._filling.stroke_m3

    def _pressure_pa(self, lost_m3: float, at_ns: int) -> float:
        filling = self._filling
        if lost_m3 >= filling.volume_m3:
            return 0.0
        moved_m3 = self._moved_m3(lost_m3, at_ns)
        if moved_m3 >= filling.stroke_m3:
            return filling.vapour_pa
        # The gas is pressed together by no more than its room allows, however warm the liquid gets.
        return filling.pressure_pa * filling.gas_m3 / max(filling.gas_m3 + moved_m3, 0.01 * filling.gas_m3)
