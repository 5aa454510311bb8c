"""The rig file's words as frozen models: what is wired where, in SI units.

One TOML file serves gateway, emulator and bench. `drivers.rig_source` turns the file's text into a `Rig` and says what
is wrong with it, where; nothing here reads files or knows of transducer models.
"""

import datetime as dt
import ipaddress
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from drivers.units import parse_quantity, parse_range, unit

_ID_PATTERN = r"^[a-z0-9_-]+$"
ISSUER_PATTERN = r"^[A-Za-z0-9._@-]{1,64}$"
"""Who gives commands: the name of a user at the broker."""
_ISSUERS_PATTERN = r"^(\*|[A-Za-z0-9._@-]{1,64})$"


def _quantity(dimension: str, example: str) -> Any:
    schema = {"type": "string", "description": f"a {dimension} with its unit", "examples": [example]}
    return (BeforeValidator(lambda text: parse_quantity(text, dimension)), WithJsonSchema(schema))


def _range(dimension: str, example: str) -> Any:
    schema = {"type": "string", "description": f"a {dimension} range with its unit", "examples": [example]}
    return (BeforeValidator(lambda text: parse_range(text, dimension)), WithJsonSchema(schema))


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be greater than zero")
    return value


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("must not be negative")
    return value


def _temperature_error(value: float) -> float:
    if not 0 < value <= 20:
        raise ValueError("is a difference of temperatures: write it in K or mK, at most 20 K")
    return value


def _ip_address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError("must be an IP address, such as 127.0.0.1, or 0.0.0.0 for all of this machine's") from None


def _pressure_unit(symbol: str) -> str:
    return unit(symbol, "pressure").symbol


Id = Annotated[str, Field(pattern=_ID_PATTERN)]
Issuers = Annotated[str, Field(pattern=_ISSUERS_PATTERN)]
Pressure = Annotated[float, *_quantity("pressure", "12 Pa")]
PressureRange = Annotated[tuple[float, float], *_range("pressure", "0..160 kPa")]
PressureRate = Annotated[float, *_quantity("pressure rate", "1 kPa/s"), AfterValidator(_positive)]
Temperature = Annotated[float, *_quantity("temperature", "21 C")]
CurrentRange = Annotated[tuple[float, float], *_range("current", "4..20 mA")]
Period = Annotated[float, *_quantity("time", "1 s"), AfterValidator(_positive)]
Duration = Annotated[float, *_quantity("time", "300 ms"), AfterValidator(_not_negative)]
Volume = Annotated[float, *_quantity("volume", "89 m3"), AfterValidator(_positive)]
Size = Annotated[float, *_quantity("size", "256 MB"), AfterValidator(_positive)]
MassRate = Annotated[float, *_quantity("mass rate", "0.27 kg/day"), AfterValidator(_not_negative)]
PositivePressure = Annotated[float, *_quantity("pressure", "66.7 kPa"), AfterValidator(_positive)]
PressureError = Annotated[float, *_quantity("pressure", "8 Pa"), AfterValidator(_not_negative)]
TemperatureError = Annotated[float, *_quantity("temperature", "10 mK"), AfterValidator(_temperature_error)]
Density = Annotated[float, *_quantity("density", "690 kg/m3"), AfterValidator(_positive)]
Expansion = Annotated[float, *_quantity("expansion", "0.12 %/K"), AfterValidator(_not_negative)]
Fraction = Annotated[float, *_quantity("fraction", "5 %"), AfterValidator(_not_negative)]


class _Words(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, str_strip_whitespace=True, allow_inf_nan=False
    )


class Station(_Words):
    """The station and the gateway that watches it (or a part of it)."""

    id: Id
    gateway: Id
    title: str = ""


class Segment(_Words):
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


class Coolant(_Words):
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


class Hatch(_Words):
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


class Bus(_Words):
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


class Calibration(_Words):
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


class Register(_Words):
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


class Setting(_Words):
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


class Transducer(_Words):
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


class Secret(_Words):
    """A password that stands elsewhere, in one of three places.

    Attributes:
        env: environment variable.
        file: that only its owner can read.
        credential: name of a systemd credential (`LoadCredential=`, `LoadCredentialEncrypted=`) of the service.
    """

    env: Annotated[str, Field(min_length=1)] | None = None
    file: Annotated[str, Field(min_length=1)] | None = None
    credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")] | None = None


BrokerUrl = Annotated[str, Field(pattern=r"^mqtts?://")]


class Mqtt(_Words):
    """Where readings go, and as whom.

    Attributes:
        url: mqtts:// for TLS, which always verifies the broker: no word turns that off.
        more_urls: where the same broker is too, when it is a cluster: tried in turn, each under its own name.
        password: where it stands; itself only in a file that nobody else can read.
        batch: s; 0 publishes each poll at once.
        ca_file: PEM of the authorities that may vouch for the broker; those of the system when not given.
        client_cert, client_key: PEM, by which the broker knows this gateway.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    url: BrokerUrl = "mqtt://127.0.0.1:1883"
    more_urls: Annotated[tuple[BrokerUrl, ...], Field(max_length=31)] = ()
    username: str | None = None
    password: Secret | SecretStr | None = None
    batch: Duration = 1.0
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses of the broker, the first one first."""
        return (self.url, *self.more_urls)


class Journal(_Words):
    """Where the gateway keeps what it has said, until the broker has it and for as long as there is room.

    Attributes:
        keep: "disk" survives a power cut; "card" spares an SD card: only events, and what the broker has not taken for
            5 s, are written; "memory" loses with the process what the broker has not taken.
        path: the file; None is `<station>-<gateway>.sqlite` in the service's or the user's state folder.
        size, age: bytes and s beyond which the oldest telemetry is dropped; events never are.
        commit: s; telemetry is written at most that often, which spares an SD card.
    """

    keep: Literal["disk", "card", "memory"] = "disk"
    path: str | None = None
    size: Size = 256e6
    age: Period = 30 * 86_400.0
    commit: Duration = 1.0


def _one_place(secret: Secret) -> Secret:
    if [secret.env, secret.file, secret.credential].count(None) != 2:
        raise ValueError("give either env, file or credential")
    return secret


class Http(_Words):
    """Where the gateway answers by HTTP: metrics and whether it is well.

    Attributes:
        port: None answers nowhere; 0 takes any that is free.
        listen: the IP address of this machine to listen at.
        names: by which it may be asked, besides IP addresses and localhost.
        token: what a request that changes something must bear.
    """

    port: Annotated[int, Field(ge=0, le=65535)] | None = None
    listen: Annotated[str, AfterValidator(_ip_address)] = "127.0.0.1"
    names: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9.-]+$")], ...] = ()
    token: Annotated[Secret, AfterValidator(_one_place)] | None = None


CommandName = Literal[
    "hatch",
    "event",
    "acknowledge",
    "shelve",
    "replay",
    "rate",
    "pause",
    "resume",
    "rescan",
    "zero",
    "calibrate",
    "write",
    "reload",
    "*",
]


class Permission(_Words):
    """What somebody may command; "*" is everything."""

    allow: tuple[CommandName, ...]


class Leak(_Words):
    """How the gateway watches for leaks; the defaults do for a first look.

    Attributes:
        false_alarm_every: s, the mean time between false alarms of the whole station; all thresholds follow from it.
        reserve_pressure: Pa, to which reserve times count.
        temperature_error: K, standard deviation between a segment's mean temperature and the measured one, each segment
            for itself; it sets what can be seen at all. Where no temperature is measured, it is at least 0.3 K.
        gas_error: Pa, standard deviation of what crew and machines do without any leak to gases that are not measured.
        depress_rate: Pa/s; a segment whose pressure falls that fast trips an alarm of its own, whatever the statistics
            say. (1 mmHg/min: ours, no published figure was found.)
        low_pressure: Pa, below which a segment trips one, too; None turns that off.
    """

    false_alarm_every: Period = 30 * 86_400.0
    reserve_pressure: PositivePressure = 66_700.0
    temperature_error: TemperatureError = 0.01
    gas_error: PressureError = 0.0
    depress_rate: PressureRate = 133.322387415 / 60.0
    low_pressure: PositivePressure | None = None


class Emulator(_Words):
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


class Rig(_Words):
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
