"""What can happen in a scenario: each class is one word that `do` can have, its fields the keys beside it."""

# ruff: noqa: D102 - what `happen` and its parts do stands where they are first defined

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from drivers.rig_words import not_negative, positive
from drivers.units import parse_quantity
from firmware_sim.physics import coolant
from firmware_sim.physics.coolant import Breach, Filling
from firmware_sim.physics.gas import GASES, REFERENCE_PA, crack_kg_per_s
from firmware_sim.physics.sensor import Upset
from firmware_sim.physics.setting import Machine, Opening, Passage, crew, gas_flow, hole, leak, repress
from firmware_sim.physics.world import World

SECOND_NS: Final = 1_000_000_000

_AIRLOCK_VALVE_M: Final = 0.04
_EQUALISING_NS: Final = 1800 * SECOND_NS


def _quantity(dimension: str) -> Any:
    return BeforeValidator(lambda text: parse_quantity(text, dimension))


def _small(value: float) -> float:
    if not 0 <= value <= 20:
        raise ValueError("is a difference of temperatures: write it in K or mK, at most 20 K")
    return value


Time = Annotated[float, _quantity("time"), AfterValidator(not_negative), Field(le=1e9)]
Period = Annotated[float, _quantity("time"), AfterValidator(positive), Field(le=1e9)]
Pressure = Annotated[float, _quantity("pressure"), AfterValidator(positive)]
PressureChange = Annotated[float, _quantity("pressure"), Field(ge=-1e7, le=1e7)]
PressureRate = Annotated[float, _quantity("pressure rate")]
PartialPressure = Annotated[float, _quantity("pressure"), AfterValidator(not_negative), Field(le=1e7)]
Temperature = Annotated[float, _quantity("temperature"), AfterValidator(positive)]
SmallTemperature = Annotated[float, _quantity("temperature"), AfterValidator(_small)]
Volume = Annotated[float, _quantity("volume"), AfterValidator(positive)]
Length = Annotated[float, _quantity("length"), AfterValidator(positive)]
Area = Annotated[float, _quantity("area"), AfterValidator(not_negative)]
MassRate = Annotated[float, _quantity("mass rate"), AfterValidator(positive)]
VolumeRate = Annotated[float, _quantity("volume rate"), AfterValidator(not_negative)]


class Deed(BaseModel):
    """One event: `at` (since the start of the emulation) and `do`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    at: Time
    do: str

    def happen(self, world: World, at_ns: int) -> None:
        """Let it happen.

        Raises:
            LookupError: the rig lacks a segment, hatch or transducer.
        """
        raise NotImplementedError


class _AtHatch(Deed):
    """Something about a hatch, named by the two segments that it joins."""

    between: tuple[str, str]


class _Opens(Deed):
    """An opening into vacuum; a later one of the same name replaces it, and `shut` ends it."""

    segment: str
    name: str = ""

    def happen(self, world: World, at_ns: int) -> None:
        world.open(self.name or self.segment, self.opening(), at_ns)

    def opening(self) -> Opening:
        """Return the way out."""
        raise NotImplementedError


class Hole(_Opens):
    """A round hole; `coefficient` is 0.61 for a sharp edge, 0.85 in a thick wall."""

    do: Literal["hole"]
    diameter: Length
    coefficient: Annotated[float, Field(gt=0, le=1)] = 0.61

    def opening(self) -> Opening:
        return hole(self.segment, self.diameter, self.coefficient)


class Crack(_Opens):
    """A slit of that width, gap and depth with viscous flow: it loses with the square of the pressure."""

    do: Literal["crack"]
    width: Length
    gap: Length
    depth: Length

    def opening(self) -> Opening:
        return Opening(segment=self.segment, kg_per_s=crack_kg_per_s(self.width, self.gap, self.depth), power=2.0)


class Leak(_Opens):
    """A leak of that rate at `at_pressure`; `power` is 1 as of an orifice, 2 as of a crack."""

    do: Literal["leak"]
    rate: MassRate
    at_pressure: Pressure = REFERENCE_PA
    power: Annotated[float, Field(ge=1, le=2)] = 1.0

    def opening(self) -> Opening:
        return leak(self.segment, self.rate, power=self.power, at_pa=self.at_pressure)


class _Breaches(Deed):
    """A breach of a coolant loop; a later one of the same name replaces it, and `shut` ends it."""

    coolant: str
    name: str = ""

    def happen(self, world: World, at_ns: int) -> None:
        world.breach(self.name or self.coolant, self.coolant, self.breach, at_ns)

    def breach(self, filling: Filling) -> Breach:
        """Return what it is in a loop of that filling."""
        raise NotImplementedError


class CoolantHole(_Breaches):
    """A round hole in a loop, from which liquid sprays into space."""

    do: Literal["coolant-hole"]
    diameter: Length
    coefficient: Annotated[float, Field(gt=0, le=1)] = 0.62

    def breach(self, filling: Filling) -> Breach:  # noqa: ARG002 - a hole is the same in every loop
        return coolant.hole(self.diameter, self.coefficient)


class CoolantSeep(_Breaches):
    """A loop that sweats: it loses that much while it has its full pressure, less as that falls."""

    do: Literal["coolant-seep"]
    rate: MassRate

    def breach(self, filling: Filling) -> Breach:
        return coolant.seep(self.rate, filling)


class Shut(Deed):
    """The end of the opening of that name (that of its segment or loop when it got none)."""

    do: Literal["shut"]
    name: str

    def happen(self, world: World, at_ns: int) -> None:
        world.shut(self.name, at_ns)


class Hatch(_AtHatch):
    """A hatch moves; `valve` is shut with its equalisation valve open."""

    do: Literal["hatch"]
    state: Literal["open", "closed", "valve"]

    def happen(self, world: World, at_ns: int) -> None:
        world.move_hatch(world.hatch_between(*self.between), Passage(self.state), at_ns)


class Seal(_AtHatch):
    """Air passes a shut hatch through that effective area."""

    do: Literal["seal"]
    area: Area

    def happen(self, world: World, at_ns: int) -> None:
        world.seal(world.hatch_between(*self.between), self.area, at_ns)


class Ventilation(_AtHatch):
    """The exchange of air through a hatch while it is open."""

    do: Literal["ventilation"]
    flow: VolumeRate

    def happen(self, world: World, at_ns: int) -> None:
        world.ventilate(world.hatch_between(*self.between), self.flow, at_ns)


class Crew(Deed):
    """So many people are in a segment from then on."""

    do: Literal["crew"]
    segment: str
    count: Annotated[float, Field(ge=0)]

    def happen(self, world: World, at_ns: int) -> None:
        world.run(f"crew {self.segment}", crew(self.segment, self.count) if self.count else None, at_ns)


class _Runs(Deed):
    """A machine, always on or with a period; a later one of the same name replaces it, and `stop` ends it."""

    segment: str
    name: str
    period: Period | None = None
    duty: Annotated[float, Field(gt=0, le=1)] = 0.5

    def happen(self, world: World, at_ns: int) -> None:
        cycle = {} if self.period is None else {"period_s": self.period, "duty": self.duty}
        world.run(self.name, self.machine(since_ns=at_ns, **cycle), at_ns)

    def machine(self, **cycle: Any) -> Machine:
        """Return what runs."""
        raise NotImplementedError


class Generator(_Runs):
    """A source of oxygen."""

    do: Literal["oxygen"]
    name: str = "oxygen"
    rate: MassRate

    def machine(self, **cycle: Any) -> Machine:
        return Machine(segment=self.segment, mol_per_s=gas_flow(O2=self.rate * 86_400), **cycle)


class Scrubber(_Runs):
    """A bed or condenser that frees so much air of CO2 or H2O."""

    do: Literal["scrubber"]
    name: str = "scrubber"
    gas: Literal["CO2", "H2O"]
    flow: VolumeRate

    def machine(self, **cycle: Any) -> Machine:
        flows = (0.0, 0.0, self.flow, 0.0) if self.gas == "CO2" else (0.0, 0.0, 0.0, self.flow)
        return Machine(segment=self.segment, scrub_m3_s=flows, **cycle)


class Stop(Deed):
    """The end of the machine of that name."""

    do: Literal["stop"]
    name: str

    def happen(self, world: World, at_ns: int) -> None:
        world.run(self.name, None, at_ns)


class Repress(Deed):
    """Gas from a bottle for some time, at a steady rate."""

    do: Literal["repress"]
    segment: str
    gas: Literal["N2", "O2", "air"]
    rate: MassRate
    lasts: Period

    def happen(self, world: World, at_ns: int) -> None:
        name = f"repress {self.segment} {at_ns}"
        world.run(name, repress(self.segment, self.gas, self.rate), at_ns)
        world.run(name, None, at_ns + round(self.lasts * SECOND_NS))


class Docking(_AtHatch):
    """A ship comes with air of its own; after `checks` its valve is opened, and half an hour later its hatch."""

    do: Literal["docking"]
    segment: str
    pressure: Pressure
    checks: Period

    def happen(self, world: World, at_ns: int) -> None:
        hatch = world.hatch_between(*self.between)
        checked_ns = at_ns + round(self.checks * SECOND_NS)
        world.move_hatch(hatch, Passage.CLOSED, at_ns)
        world.refill(self.segment, self.pressure, at_ns)
        world.move_hatch(hatch, Passage.VALVE, checked_ns)
        world.move_hatch(hatch, Passage.OPEN, checked_ns + _EQUALISING_NS)


class SpaceWalk(_AtHatch):
    """An airlock is emptied into space, stays so, and is filled from the station half an hour before it is opened."""

    do: Literal["eva"]
    segment: str
    lasts: Period

    def happen(self, world: World, at_ns: int) -> None:
        hatch = world.hatch_between(*self.between)
        over_ns = at_ns + round(self.lasts * SECOND_NS)
        world.move_hatch(hatch, Passage.CLOSED, at_ns)
        world.open(f"airlock {self.segment}", hole(self.segment, _AIRLOCK_VALVE_M), at_ns)
        world.open(f"airlock {self.segment}", None, over_ns)
        world.move_hatch(hatch, Passage.VALVE, over_ns)
        world.move_hatch(hatch, Passage.OPEN, over_ns + _EQUALISING_NS)


class Decree(Deed):
    """The air of a segment is as told, wherever it came from: warmer, more or less of it, or of another mixture."""

    do: Literal["air"]
    segment: str
    temperature: Annotated[Temperature, Field(le=1000)] | None = None
    pressure: Annotated[Pressure, Field(le=1e7)] | None = None
    N2: PartialPressure | None = None
    O2: PartialPressure | None = None
    CO2: PartialPressure | None = None
    H2O: PartialPressure | None = None

    @model_validator(mode="after")
    def _says_something_once(self) -> Self:
        partial_pa = self._partial_pa()
        if self.pressure is not None and partial_pa:
            raise ValueError("the pressure is the sum of the gases': tell the one or the others")
        if self.temperature is None and self.pressure is None and not partial_pa:
            raise ValueError(f"tell temperature, pressure, or one of {', '.join(GASES)}")
        return self

    def _partial_pa(self) -> dict[str, float]:
        return {gas: value for gas in GASES if (value := getattr(self, gas)) is not None}

    def happen(self, world: World, at_ns: int) -> None:
        world.alter(
            self.segment,
            at_ns,
            temperature_k=self.temperature,
            pressure_pa=self.pressure,
            partial_pa=self._partial_pa(),
        )


class Sensor(Deed):
    """A transducer's sensing element goes wrong; without `offset`, `drift` and `stuck` it is well again."""

    do: Literal["sensor"]
    transducer: str
    offset: PressureChange = 0.0
    drift: PressureRate = 0.0
    stuck: bool = False

    def happen(self, world: World, at_ns: int) -> None:
        world.upset(
            self.transducer,
            Upset(at_ns=at_ns, offset_pa=self.offset, drift_pa_per_s=self.drift, stuck=self.stuck),
        )


DEEDS: Final[dict[str, type[Deed]]] = {
    "hole": Hole,
    "crack": Crack,
    "leak": Leak,
    "coolant-hole": CoolantHole,
    "coolant-seep": CoolantSeep,
    "shut": Shut,
    "hatch": Hatch,
    "seal": Seal,
    "ventilation": Ventilation,
    "crew": Crew,
    "oxygen": Generator,
    "scrubber": Scrubber,
    "stop": Stop,
    "repress": Repress,
    "docking": Docking,
    "eva": SpaceWalk,
    "air": Decree,
    "sensor": Sensor,
}
