"""Cheap RS-485 pressure transmitters (QDW90A class) in two maps that many makers copy, `generic-int`, `generic-float`.

Source: register pages that list the maps and their revisions. The device says in a register what unit its pressure is
in, and revisions disagree on the codes: they are read with each pressure, and one that is not in the map's table is
CONFIG, never guessed (`options.units` adds what your device's paper says). No fault is ever told: a pressure at an end
of the range, where such a device stops, is suspect. Any other map is `modbus-map`; the reads are the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from drivers.exchange import Ask, Request
from drivers.model import Identity, Model
from drivers.models.answers import MODBUS_KINDS, USUAL_BAUDS, strike_non_finite
from drivers.models.register_reads import RegisterReads, Registers
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Register, Transducer
from drivers.units import UNITS, unit

_PASCAL: Final = UNITS["Pa"]
_INT16_ENDS: Final = (-0x8000, 0x7FFF)
_FLOAT_STEP: Final = 2.0**-23


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One map.

    Attributes:
        unit_code: where the unit of the pressure is told.
        units: what its codes mean.
        decimals: where the number of decimals of the pressure is told, None when the pressure is a float.
    """

    unit_code: Register
    units: Mapping[int, str]
    decimals: Register | None
    pressure: Register
    temperature: Register | None


def _word(address: int) -> Register:
    return Register(address=address, type="uint16", unit="")


INTEGERS: Final = Profile(
    unit_code=_word(2),
    units={0: "MPa", 1: "kPa", 2: "Pa", 3: "bar", 4: "mbar", 5: "kgf/cm2", 6: "psi", 7: "mH2O", 8: "mmH2O"},
    decimals=_word(3),
    pressure=Register(address=4, type="int16", unit=""),
    temperature=None,
)
# Pa is 12 in one revision and 13 in another, so both are left out.
FLOATS: Final = Profile(
    unit_code=_word(3),
    units={0: "kPa", 1: "MPa", 8: "psi", 9: "bar", 10: "mbar", 14: "Torr"},
    decimals=None,
    pressure=Register(address=0x16, unit=""),
    temperature=Register(address=0x26, unit="C"),
)
_MOST_DECIMALS: Final = 3


def _pressure_unit(symbol: str) -> str:
    unit(symbol, "pressure")
    return symbol


class Options(BaseModel):
    """What the rig file can say under `options`.

    Attributes:
        units: codes of the unit register beyond the map's own, or other than them: `units = { 12 = "Pa" }`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    units: dict[Annotated[int, Field(ge=0, le=0xFFFF)], Annotated[str, AfterValidator(_pressure_unit)]] = {}


class GenericTransmitter:
    """One transmitter; a `drivers.model.Driver`. Its pressure is in Pa, because its own unit can change."""

    def __init__(self, profile: Profile, unit: int, name: str, words: Transducer, bus: Bus) -> None:
        self._units = {**profile.units, **Options.model_validate(words.options).units}
        self._range = words.range or (-np.inf, np.inf)
        self._integer = profile.decimals is not None
        self._has_temperature = profile.temperature is not None
        optional = (profile.decimals, profile.temperature)
        registers = (profile.unit_code, profile.pressure, *(each for each in optional if each is not None))
        self._reads = RegisterReads(unit, registers, bus)
        self.channels = (
            Channel(transducer=name, quantity="pressure", unit=_PASCAL),
            *([Channel(transducer=name, quantity="temperature", unit=UNITS["C"])] if self._has_temperature else []),
        )
        self.fences = self._reads.fences

    @property
    def requests(self) -> tuple[Request, ...]:
        """The questions of the next poll."""
        return self._reads.requests

    async def identify(self, ask: Ask) -> Identity:
        """Look which unit the pressure is in: that is all that it tells of itself."""
        self._reads.forget()
        read = await self._reads.read(ask)
        if read.failures is not None and read.failures[0] != Reason.NONE:
            return Identity(reason=Reason(read.failures[0]))
        code = int(read.numbers[0])
        text = "pressure transmitter, generic map"
        if code in self._units:
            return Identity(text=f"{text}, {self._units[code]}")
        text += f"; its unit of pressure is code {code}: look it up in its paper and add options.units = {{ {code} = "
        return Identity(text=text + '"..." }', reason=Reason.CONFIG)

    async def poll(self, ask: Ask) -> RawPoll:
        """Read unit, decimals and pressure; a pressure whose unit was not told is no pressure."""
        read = await self._reads.read(ask)
        failures = np.zeros(len(read.numbers), np.uint8) if read.failures is None else read.failures
        pressure, reason = self._pressure(read)
        needed = failures[: 3 if self._integer else 2]
        values, reasons = [pressure], [Reason(needed.max()) or reason]
        if self._has_temperature:
            values.append(read.numbers[-1])
            reasons.append(Reason(failures[-1]))
        graded = np.array(values)
        struck = strike_non_finite(graded)
        codes = np.array(reasons, dtype=np.uint8)
        codes = np.where(codes == Reason.NONE, struck, codes)
        return RawPoll(
            channels=self.channels,
            values=graded,
            reasons=codes,
            time_s=read.time_s,
            uncertainty_s=read.uncertainty_s,
        )

    def _pressure(self, read: Registers) -> tuple[float, Reason]:
        """Return the pressure in Pa and what is suspect about it."""
        code, number = read.numbers[0], read.numbers[1]
        decimals = read.numbers[2] if self._integer else 0.0
        symbol = None if np.isnan(code) else self._units.get(int(code))
        if symbol is None or not decimals <= _MOST_DECIMALS:
            return np.nan, Reason.CONFIG
        scale = unit(symbol, "pressure").scale / 10**decimals
        pressure = number * scale
        low, high = self._range
        margin = scale / 2 if self._integer else _FLOAT_STEP * abs(pressure)
        if np.isfinite(pressure) and (pressure + margin >= high or (self._integer and number == _INT16_ENDS[1])):
            return pressure, Reason.SATURATED_HIGH
        if np.isfinite(pressure) and (pressure - margin <= low or (self._integer and number == _INT16_ENDS[0])):
            return pressure, Reason.SATURATED_LOW
        return pressure, Reason.NONE


def _driver(profile: Profile, unit: int, transducers: Mapping[str, Transducer], bus: Bus) -> GenericTransmitter:
    ((name, words),) = transducers.items()
    return GenericTransmitter(profile, unit, name, words, bus)


def _model(name: str, title: str, profile: Profile, quantities: tuple[str, ...]) -> Model:
    driver: Callable[[int, Mapping[str, Transducer], Bus], GenericTransmitter] = partial(_driver, profile)
    return Model(
        name=name,
        title=title,
        kinds=MODBUS_KINDS,
        bauds=USUAL_BAUDS,
        formats=frozenset({"8N1", "8E1", "8O1", "8N2"}),
        units=range(1, 248),
        quantities=quantities,
        span=None,
        protocol="Modbus RTU and TCP",
        faults="none known; full scale, an end of the number range and an unknown unit code are suspect",
        identity="none",
        unconfirmed="line and address as delivered; that a given label on a given transmitter means this map",
        driver=driver,
        takes=frozenset({"settings"}),
        options=Options,
    )


INTEGER_MODEL: Final = _model(
    "generic-int", "cheap RS-485 pressure transmitter (QDW90A class), integer map", INTEGERS, ("pressure",)
)
FLOAT_MODEL: Final = _model(
    "generic-float",
    "cheap RS-485 pressure transmitter (QDW90A class), float map",
    FLOATS,
    ("pressure", "temperature"),
)
