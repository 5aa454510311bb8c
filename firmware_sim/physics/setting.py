"""How the station is set at one moment: hatches, openings to vacuum, and whatever makes or takes gas."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Self, TypeVar

from firmware_sim.physics.gas import (
    DAY_S,
    DRY_AIR_KG,
    GAS_CONSTANT,
    GASES,
    MOLAR_KG,
    REFERENCE_PA,
    hole_kg_per_s,
)

VENTILATION_M3_S: Final = 0.066  # 140 cubic feet a minute through a duct in each open hatch
VALVE_M2: Final = 0.61 * math.pi * 0.0125**2  # an equalisation valve of 25 mm

_SECOND_NS: Final = 1_000_000_000
_T = TypeVar("_T")


class Passage(StrEnum):
    """What a hatch lets through; `valve` is shut with its equalisation valve open."""

    OPEN = "open"
    CLOSED = "closed"
    VALVE = "valve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """A way out of a segment into vacuum.

    Attributes:
        segment: which.
        kg_per_s: what it loses from air at 101325 Pa and 295.15 K; less than 0 lets air in.
        power: its flow goes with pressure to this power: 1 an orifice, 2 a crack, between them something of both;
            0 a steady flow whatever the pressure, which neither warms nor cools.
    """

    segment: str
    kg_per_s: float
    power: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Whatever makes or takes gas, crew included.

    Attributes:
        segment: where.
        mol_per_s: steady flow of each of `GASES` into the segment; less than 0 takes.
        scrub_m3_s: air that is freed of each of `GASES` in a second.
        fills: its gas comes out of a pressurised bottle and is compressed as it fills the segment, which warms it.
        period_s: it goes on and off with this period; 0 when it is always on.
        duty: share of the period that it is on, from its start.
        since_ns: its start.
    """

    segment: str
    mol_per_s: tuple[float, ...] = (0.0,) * len(GASES)
    scrub_m3_s: tuple[float, ...] = (0.0,) * len(GASES)
    fills: bool = False
    period_s: float = 0.0
    duty: float = 0.5
    since_ns: int = 0

    def on(self, at_ns: int) -> bool:
        """Say whether it runs."""
        if not self.period_s:
            return True
        period_ns = round(self.period_s * _SECOND_NS)
        return (at_ns - self.since_ns) % period_ns < round(period_ns * self.duty)

    def next_switch_ns(self, at_ns: int) -> int | None:
        """Return when it goes on or off next, None when never."""
        if not self.period_s:
            return None
        period_ns = round(self.period_s * _SECOND_NS)
        into_ns = (at_ns - self.since_ns) % period_ns
        on_ns = round(period_ns * self.duty)
        return at_ns - into_ns + (on_ns if into_ns < on_ns else period_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The station between two events.

    Attributes:
        passages: hatch -> what it lets through; a hatch that is missing is closed.
        seals_m2: hatch -> effective area of the leak past its seal while it is shut.
        ventilation_m3_s: hatch -> air exchanged through it while it is open, where it is not the usual.
        openings, machines: by name.
    """

    passages: Mapping[str, Passage] = field(default_factory=dict)
    seals_m2: Mapping[str, float] = field(default_factory=dict)
    ventilation_m3_s: Mapping[str, float] = field(default_factory=dict)
    openings: Mapping[str, Opening] = field(default_factory=dict)
    machines: Mapping[str, Machine] = field(default_factory=dict)

    def area_m2(self, hatch: str) -> float:
        """Return the effective area past a hatch while it is shut: its seal's leak, and its valve if that is open."""
        return self.seals_m2.get(hatch, 0.0) + (VALVE_M2 if self.passages.get(hatch) is Passage.VALVE else 0.0)

    def with_passage(self, hatch: str, passage: Passage) -> Self:
        """Return the same with a hatch moved."""
        return replace(self, passages={**self.passages, hatch: passage})

    def with_seal(self, hatch: str, area_m2: float) -> Self:
        """Return the same with a leak past the seal of a hatch while it is shut."""
        return replace(self, seals_m2={**self.seals_m2, hatch: area_m2})

    def with_ventilation(self, hatch: str, flow_m3_s: float) -> Self:
        """Return the same with another exchange of air through a hatch while it is open."""
        return replace(self, ventilation_m3_s={**self.ventilation_m3_s, hatch: flow_m3_s})

    def with_opening(self, name: str, opening: Opening | None) -> Self:
        """Return the same with an opening made, changed or, by None, shut."""
        return replace(self, openings=_put(self.openings, name, opening))

    def with_machine(self, name: str, machine: Machine | None) -> Self:
        """Return the same with a machine switched on, changed or, by None, switched off."""
        return replace(self, machines=_put(self.machines, name, machine))


def _put(things: Mapping[str, _T], name: str, thing: _T | None) -> dict[str, _T]:
    others = {known: each for known, each in things.items() if known != name}
    return others if thing is None else {**others, name: thing}


def hole(segment: str, diameter_m: float, coefficient: float = 0.61) -> Opening:
    """Return a round hole."""
    return Opening(segment=segment, kg_per_s=hole_kg_per_s(diameter_m, coefficient))


def leak(segment: str, kg_per_s: float, *, power: float = 1.0, at_pa: float = REFERENCE_PA) -> Opening:
    """Return an opening that loses so much at that pressure."""
    return Opening(segment=segment, kg_per_s=kg_per_s * (REFERENCE_PA / at_pa) ** power, power=power)


def crew(segment: str, count: float) -> Machine:
    """Return people: 0.84 kg of oxygen in, 1.00 kg of carbon dioxide and 2.28 kg of water out, each a day (RP-1324)."""
    return Machine(segment=segment, mol_per_s=gas_flow(O2=-0.84 * count, CO2=1.0 * count, H2O=2.28 * count))


def repress(segment: str, gas: str, kg_per_s: float) -> Machine:
    """Return a bottle that is open: nitrogen, oxygen, or "air" (21 % of its moles oxygen)."""
    if gas != "air":
        return Machine(segment=segment, mol_per_s=gas_flow(**{gas: kg_per_s * DAY_S}), fills=True)
    moles = kg_per_s / DRY_AIR_KG
    return Machine(segment=segment, mol_per_s=(0.79 * moles, 0.21 * moles, 0.0, 0.0), fills=True)


def gas_flow(**kg_per_day: float) -> tuple[float, ...]:
    """Return flows in mol/s of `GASES` from flows in kg a day."""
    return tuple(
        kg_per_day.get(gas, 0.0) / DAY_S / molar_kg for gas, molar_kg in zip(GASES, MOLAR_KG.tolist(), strict=True)
    )


def steady_loss(segment: str, pascals_per_s: float, volume_m3: float, temperature_k: float) -> Opening:
    """Return a steady loss by which the pressure of a volume alone falls so fast at that temperature."""
    mol_per_s = pascals_per_s * volume_m3 / (GAS_CONSTANT * temperature_k)
    return Opening(segment=segment, kg_per_s=mol_per_s * DRY_AIR_KG, power=0.0)
