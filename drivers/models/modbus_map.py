"""Any Modbus device, described by the register map in the rig file: quantity -> where it is and what it means.

The cheap RS-485 transmitters are read this way: makers change addresses and unit codes between revisions, so nothing is
guessed from the device (`generic-int` and `generic-float` are the maps of two revisions of one product).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.exchange import Ask, Request
from drivers.model import Identity, Model
from drivers.models.answers import MODBUS_KINDS, USUAL_BAUDS, strike_non_finite
from drivers.models.register_reads import RegisterReads
from drivers.reading import ALL_GOOD, Channel, RawPoll, Reason
from drivers.rig import Bus, Register, Transducer
from drivers.units import SI_UNITS, unit_for

_FINITE: Final = (-np.finfo(np.float64).max, np.finfo(np.float64).max)


class ModbusMap:
    """All mapped registers of one unit; a `drivers.model.Driver`. What it refuses is bad, everything else good."""

    def __init__(self, unit: int, transducers: Mapping[str, Transducer], bus: Bus) -> None:
        mapped = [
            (Channel(transducer=name, quantity=quantity, unit=unit_for(register.unit, quantity)), register)
            for name, words in transducers.items()
            for quantity, register in (words.map or {}).items()
        ]
        if not mapped:
            raise ValueError(f"transducer {', '.join(transducers)}: needs a map with at least one quantity")
        registers = tuple(register for _, register in mapped)
        self._reads = RegisterReads(unit, registers, bus)
        self._scaling = _Scaling(registers)
        self.channels = tuple(channel for channel, _ in mapped)
        self.fences = self._reads.fences

    @property
    def requests(self) -> tuple[Request, ...]:
        """The questions of the next poll; fewer or more when holes are learned."""
        return self._reads.requests

    async def identify(self, ask: Ask) -> Identity:  # noqa: ARG002 - a map knows no register that says who answers
        """Forget what was refused: the device may be another one now. Nothing is asked."""
        self._reads.forget()
        return Identity(text="Modbus device, by register map")

    async def poll(self, ask: Ask) -> RawPoll:
        """Read all blocks; each channel's reason is that of its own block."""
        read = await self._reads.read(ask)
        values, reasons = self._scaling.grade(read.numbers)
        if read.failures is not None:
            reasons = np.where(read.failures != Reason.NONE, read.failures, reasons)
        return RawPoll(
            channels=self.channels,
            values=values,
            reasons=reasons,
            time_s=read.time_s,
            uncertainty_s=read.uncertainty_s,
        )


class _Scaling:
    """From register values to values in the channels' units, with the map's rules of validity; all channels at once."""

    def __init__(self, registers: tuple[Register, ...]) -> None:
        self._scale = np.array([register.scale for register in registers])
        self._offset = np.array([register.offset for register in registers])
        self._scales = any(register.scale != 1.0 or register.offset != 0.0 for register in registers)
        self._limits = any(register.valid for register in registers)
        limits = [register.valid or _FINITE for register in registers]
        self._low, self._high = np.clip(np.array(limits, dtype=np.float64), *_FINITE).T
        codes = [
            (place, _as_read(code, register)) for place, register in enumerate(registers) for code in register.invalid
        ]
        bits = [(place, 2.0**each.bit) for place, each in enumerate(registers) if each.bit is not None]
        self._bits_at = np.array([place for place, _ in bits], dtype=np.intp)
        self._bits = np.array([weight for _, weight in bits])
        self._coded = np.array([place for place, _ in codes], dtype=np.intp)
        self._codes = np.array([code for _, code in codes], dtype=np.float64)

    def grade(self, numbers: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return values (NaN where there is none) and reasons of register values, all of shape (channels,)."""
        if self._bits.size:
            numbers[self._bits_at] = numbers[self._bits_at] // self._bits % 2
        values = self._scaled(numbers) if self._scales else numbers
        valid = (values >= self._low) & (values <= self._high) if self._limits else np.isfinite(values)
        if self._codes.size:
            valid[self._coded[numbers[self._coded] == self._codes]] = False
        if np.count_nonzero(valid) == len(valid):  # all() takes five times as long on a few values
            return values, ALL_GOOD[: len(values)]
        return self._struck(numbers, values)

    def _scaled(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        with np.errstate(over="ignore", invalid="ignore"):
            values: NDArray[np.float64] = numbers * self._scale + self._offset
        return values

    def _struck(
        self, numbers: NDArray[np.float64], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Strike what is no value, and say why."""
        reasons = strike_non_finite(values)
        reasons[(values < self._low) | (values > self._high)] = Reason.OUT_OF_RANGE
        reasons[self._coded[numbers[self._coded] == self._codes]] = Reason.SENSOR_FAILURE
        values[reasons != Reason.NONE] = np.nan
        return values, reasons


def _as_read(code: int, register: Register) -> float:
    """Return an `invalid` code as the register's type gives it: 0x8000 and -32768 are one in an int16."""
    if register.type.startswith("float"):
        return float(code)
    bits = 16 * register.count
    code &= (1 << bits) - 1
    return float(code - (1 << bits) if register.type.startswith("int") and code >> (bits - 1) else code)


MODEL: Final = Model(
    name="modbus-map",
    title="any Modbus device, by the register map in the rig file",
    kinds=MODBUS_KINDS,
    bauds=USUAL_BAUDS,
    formats=frozenset({"8N1", "8E1", "8O1", "8N2"}),
    units=range(1, 256),
    quantities=tuple(SI_UNITS),
    span=None,
    protocol="Modbus RTU and TCP",
    faults="NaN and infinities; numbers outside `valid` or in `invalid` of the rig file",
    identity="none",
    driver=ModbusMap,
    takes=frozenset({"map", "settings"}),
    needs=frozenset({"map"}),
    shares_unit=True,
)
