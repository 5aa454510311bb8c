"""The rig file's words as frozen models: what is wired where, in SI units.

One TOML file serves gateway, emulator and bench. `drivers.rig_source` turns the file's text into a `Rig` and says what
is wrong with it, where; nothing here reads files or knows of transducer models.
"""

import datetime as dt
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from drivers.rig_gateway import Http, Issuers, Journal, Leak, Mqtt, Permission
from drivers.rig_words import (
    CurrentRange,
    Density,
    Duration,
    Expansion,
    Fraction,
    Id,
    MassRate,
    Period,
    PositivePressure,
    Pressure,
    PressureRange,
    PressureRate,
    Temperature,
    Volume,
    Words,
)
from drivers.units import unit


def _pressure_unit(symbol: str) -> str:
    return unit(symbol, "pressure").symbol


class Station(Words):
    """The station and the gateway that watches it (or a part of it)."""

    id: Id
    gateway: Id
    title: str = ""


class Segment(Words):
    """A pressurised volume that can be closed off.

    Attributes:
        volume: m3, None when unknown.
        volume_uncertainty: fraction of the volume (95 %).
        leak_prior: relative weight of a leak here before anything was measured.
        known_leak: kg/s of air that it is known to lose; only more than that is announced.
    """

    title: str = ""
    volume: Volume | None = None
    volume_uncertainty: Fraction = 0.05
    display_unit: Annotated[str, AfterValidator(_pressure_unit)] = "kPa"
    leak_prior: Annotated[float, Field(ge=0)] = 1.0
    known_leak: MassRate = 0.0


class Coolant(Words):
    """A loop of liquid coolant that a gas spring keeps under pressure.

    Attributes:
        volume: m3 of liquid.
        gas_volume: m3 of the spring, when the loop has `pressure` and `temperature`.
        pressure: Pa, filled and whole.
        temperature: K, of that state.
        stroke: m3 of liquid that the spring can press out before it is at its stop; all of `gas_volume` when not given.
        expansion: of the liquid, 1/K.
        density: of the liquid, kg/m3.
        vapour_pressure: of the liquid, Pa: what remains when the spring is at its stop.
    """

    title: str = ""
    volume: Volume
    gas_volume: Volume
    pressure: PositivePressure
    temperature: Temperature = 295.15
    stroke: Volume | None = None
    expansion: Expansion = 0.0012
    density: Density = 690.0
    vapour_pressure: PositivePressure = 3000.0
    display_unit: Annotated[str, AfterValidator(_pressure_unit)] = "kPa"


class HatchState(StrEnum):
    """Whether air can pass."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class Hatch(Words):
    """A passage between two segments; its id is `<a>--<b>` in the order of `between`.

    Attributes:
        state: at the start.
        contact: the transducer whose `contact` says whether it is open; while it does, its word stands.
    """

    between: tuple[Id, Id]
    state: HatchState = HatchState.UNKNOWN
    contact: Id | None = None

    @property
    def id(self) -> str:
        """The hatch's topic level."""
        return "--".join(self.between)


class BusKind(StrEnum):
    """What carries the bytes, and how they are framed."""

    SERIAL = "serial"
    RTU_OVER_TCP = "rtu-over-tcp"
    MODBUS_TCP = "modbus-tcp"
    LINE_OVER_TCP = "line-over-tcp"
    LINE_OVER_UDP = "line-over-udp"

    @property
    def has_line(self) -> bool:
        """Whether characters run over a line, here or behind a converter: only there baud and format mean something."""
        return self not in (BusKind.MODBUS_TCP, BusKind.LINE_OVER_UDP)


class Bus(Words):
    """One line or network endpoint.

    Attributes:
        port: device path (best by id) or "host:port".
        baud, format: of the line, also of the line behind a TCP converter; they set silences and deadlines.
            Without a meaning for modbus-tcp and line-over-udp.
        timeout: s, the longest wait for the first character of an answer; deadlines learned per unit are shorter.
        guard: s, extra silence before each request, beyond the 3.5 characters of Modbus.
        window: requests in flight at once, for modbus-tcp only.
    """

    kind: BusKind
    port: Annotated[str, Field(min_length=1)]
    baud: Annotated[int, Field(ge=300, le=4_000_000)] = 9600
    format: Annotated[str, Field(pattern=r"^[78][NEO][12]$")] = "8N1"
    timeout: Period = 0.2
    guard: Duration = 0.0
    window: Annotated[int, Field(ge=1, le=64)] = 4

    @property
    def character_bits(self) -> int:
        """Bits of one character on the line: start, data, parity, stop."""
        data, parity, stop = tuple(self.format)
        return 1 + int(data) + (parity != "N") + int(stop)

    @property
    def character_s(self) -> float:
        """Time of one character on the line, s; none for a datagram, which comes as a whole."""
        return 0.0 if self.kind is BusKind.LINE_OVER_UDP else self.character_bits / self.baud

    @property
    def silence_s(self) -> float:
        """Modbus' T3.5, s: 3.5 characters, or 1.75 ms above 19200 baud (Modbus over serial line V1.02, 2.5.1.1)."""
        if self.kind is BusKind.LINE_OVER_UDP:
            return 0.0
        return 3.5 * self.character_s if self.baud <= 19200 else 0.00175


class Calibration(Words):
    """From the value a transducer gives to the true one, as a certificate states it.

    true = gain * value + offset, or the polynomial c0 + c1 x + c2 x^2 ... (Pa), or straight lines between the points of
    `table` ([value, true] in Pa). `uncertainty` is the expanded one (k = 2), Pa.
    """

    date: dt.date | None = None
    due: dt.date | None = None
    offset: Pressure = 0.0
    gain: float = 1.0
    polynomial: tuple[float, ...] | None = None
    table: tuple[tuple[Pressure, Pressure], ...] | None = None
    uncertainty: Pressure | None = None
    certificate: str = ""


class Register(Words):
    """Where a Modbus device keeps one quantity, and how.

    Attributes:
        function: 3 (holding) or 4 (input registers); for a contact also 1 (coils) or 2 (discrete inputs).
        bit: of the register, 0 the lowest: for a contact.
        order: order of the bytes of a 32- or 64-bit value; ABCD is high word first, high byte first.
        scale, offset: value = register * scale + offset, in `unit`; scale -1 and offset 1 turn a contact round.
        unit: of the value; a contact has none: it is 1 while its hatch is open, else 0.
        valid: lowest and highest value that counts as a measurement, in `unit`.
        invalid: register values that the device uses for "no value".
    """

    function: Literal[1, 2, 3, 4] = 3
    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    type: Literal["int16", "uint16", "int32", "uint32", "float32", "float64"] = "float32"
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    scale: float = 1.0
    offset: float = 0.0
    unit: str = "1"
    bit: Annotated[int, Field(ge=0, le=15)] | None = None
    valid: tuple[float, float] | None = None
    invalid: tuple[int, ...] = ()

    @property
    def of_bits(self) -> bool:
        """Whether its function reads single bits."""
        return self.function in (1, 2)

    @property
    def count(self) -> int:
        """Registers that the value takes; bits for functions 1 and 2."""
        if self.of_bits or self.bit is not None:
            return 1
        return {"16": 1, "32": 2, "64": 4}[self.type[-2:]]


class Setting(Words):
    """A holding register of a Modbus device that the command `write` may change; everything else is refused.

    Attributes:
        address, type, order: as in `map`.
        range: lowest and highest number that may be written, as the register holds it.
        function: 6 (one register) or 16; without it, 6 where one register holds the number.
    """

    address: Annotated[int, Field(ge=0, le=0xFFFF)]
    type: Literal["int16", "uint16", "int32", "uint32", "float32"] = "uint16"
    order: Literal["ABCD", "CDAB", "BADC", "DCBA"] = "ABCD"
    range: tuple[float, float]
    function: Literal[6, 16] | None = None

    @property
    def count(self) -> int:
        """Registers that the number takes."""
        return {"16": 1, "32": 2}[self.type[-2:]]


class Transducer(Words):
    """One pressure transducer.

    Attributes:
        unit: its address on the bus.
        segment: whose pressure it measures; the id of its loop when it measures a coolant loop. A level of its topics.
        coolant: the loop that it measures, in place of `segment`; None when it measures a segment.
        channel: which input of a device with several (`waveshare-8ch`).
        current: the loop current at both ends of `range`, A.
        map: quantity -> register (`modbus-map`).
        settings: name -> register that may be written (Modbus models with a map).
        range: Pa, what the transducer measures.
        max_rate: Pa/s beyond which a reading is a spike; None turns the check off.
        frozen_after: s of the very same raw value after which a reading is suspect; None turns the check off.
        options: words of a model from elsewhere, checked by that model.
    """

    model: str
    bus: Id
    unit: Annotated[int, Field(ge=0, le=255)] = 1
    segment: Id = ""
    coolant: Id | None = None
    poll: Period = 1.0
    range: PressureRange | None = None
    serial_number: int | str | None = None
    calibration: Calibration | None = None
    channel: int | None = None
    current: CurrentRange | None = None
    map: dict[str, Register] | None = None
    settings: dict[Id, Setting] | None = None
    max_rate: PressureRate | None = None
    frozen_after: Period | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _placed(self) -> Self:
        if self.coolant is not None and self.segment not in ("", self.coolant):
            raise ValueError("give either segment or coolant: it measures one of the two")
        if self.coolant is not None:
            object.__setattr__(self, "segment", self.coolant)
        elif not self.segment:
            raise PydanticCustomError("missing", "Field required")
        return self

    @property
    def measures_pressure(self) -> bool:
        """Whether it takes part in the vote on its segment's pressure: a gas sensor and a contact do not."""
        return self.map is None or "pressure" in self.map


class Emulator(Words):
    """What the emulated rig is like; a real rig ignores it.

    Attributes:
        seed: one seed, one history.
        grade: sensor grade A (quartz), B (digital), C (industrial) or toy.
        faults: fault specs, as `manovac emulate --fault` takes them.
    """

    seed: Annotated[int, Field(ge=0)] = 1
    pressure: Pressure = 101_325.0
    temperature: Temperature = 295.15
    grade: Literal["A", "B", "C", "toy"] = "C"
    faults: tuple[str, ...] = ()


class Rig(Words):
    """One rig file."""

    station: Station
    segments: Mapping[Id, Segment] = Field(default_factory=dict, alias="segment")
    hatches: tuple[Hatch, ...] = Field(default=(), alias="hatch")
    coolants: Mapping[Id, Coolant] = Field(default_factory=dict, alias="coolant")
    buses: Mapping[Id, Bus] = Field(default_factory=dict, alias="bus")
    transducers: Mapping[Id, Transducer] = Field(default_factory=dict, alias="transducer")
    mqtt: Mqtt = Mqtt()
    journal: Journal = Journal()
    http: Http = Http()
    commands: Mapping[Issuers, Permission] = Field(default_factory=dict)
    leak: Leak = Leak()
    emulator: Emulator = Emulator()

    def model_post_init(self, context: object, /) -> None:  # noqa: ARG002, D102 - pydantic's hook
        for name in ("segments", "coolants", "buses", "transducers", "commands"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def place(self, transducer: str) -> Segment | Coolant:
        """Return what a transducer measures."""
        words = self.transducers[transducer]
        return self.segments[words.segment] if words.coolant is None else self.coolants[words.coolant]

    def units(self, bus: str) -> dict[int, dict[str, Transducer]]:
        """Return the transducers of one bus by unit: unit -> id -> transducer, in the file's order."""
        units: dict[int, dict[str, Transducer]] = {}
        for name, transducer in self.transducers.items():
            if transducer.bus == bus:
                units.setdefault(transducer.unit, {})[name] = transducer
        return units

    def with_ports(self, ports: Mapping[str, str]) -> Self:
        """Return the same rig with other ports (bus id -> port): all that differs between copper and emulator."""
        buses = {
            name: bus.model_copy(update={"port": ports[name]}) if name in ports else bus
            for name, bus in self.buses.items()
        }
        return self.model_copy(update={"buses": MappingProxyType(buses)})

    def with_transducer(self, name: str, **words: Any) -> Self:
        """Return the same rig with other words of one transducer, already in SI."""
        changed = self.transducers[name].model_copy(update=words)
        return self.model_copy(update={"transducers": MappingProxyType({**self.transducers, name: changed})})

    def with_mqtt(self, mqtt: Mqtt) -> Self:
        """Return the same rig with another broker."""
        return self.model_copy(update={"mqtt": mqtt})
