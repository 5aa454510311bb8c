"""Waveshare Modbus RTU Analog Input 8CH with 4-20 mA transmitters: eight current inputs, faults told by the current.

Sources: Waveshare wiki (registers, types of inputs); NAMUR NE 43 (what a current means). The module has no fault
register and no serial number. Inputs should be of type 2, 0-20 mA: what type 3, 4-20 mA, does below 4 mA is not
documented. That the unit is uA is documented for the sister output module.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import MODBUS_KINDS, unanswered
from drivers.models.current_loop import CurrentLoops, input_number
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.modbus import READ_HOLDING, READ_INPUT, ModbusRequest, read_registers, registers_of

_INPUTS: Final = 8
_TYPES: Final = 0x1000, 8
_VERSION: Final = 0x8000, 1
_TYPE_NAMES: Final = ("0-5 V", "1-5 V", "0-20 mA", "4-20 mA", "raw code")
_CURRENT_TYPES: Final = (2, 3)


class Waveshare8ch:
    """The inputs in use of one module; a `drivers.model.Driver`."""

    def __init__(self, unit: int, transducers: Mapping[str, Transducer]) -> None:
        inputs = np.array([input_number(name, words, _INPUTS) for name, words in transducers.items()])
        first = int(inputs.min())
        self._inputs = inputs
        self._places = inputs - first
        self._loops = CurrentLoops(transducers)
        self._misset = np.zeros(len(inputs), dtype=np.bool_)
        self._values = read_registers(unit, READ_INPUT, first, int(inputs.max()) - first + 1)
        self._types = _hail(unit)
        self._version = read_registers(unit, READ_HOLDING, *_VERSION)
        self.channels = tuple(Channel(transducer=name, quantity="pressure", unit=UNITS["Pa"]) for name in transducers)
        self.requests: tuple[Request, ...] = (self._values,)
        self.fences: tuple[Request, ...] = (self._version, self._types)

    async def identify(self, ask: Ask) -> Identity:
        """Check that the inputs in use measure current; one that does not is bad (CONFIG) until it is set right."""
        version = await ask(self._version)
        types = await ask(self._types)
        for answer in (version, types):
            if answer.outcome is not Outcome.REPLY:
                return Identity(reason=answer.outcome.reason)
        found = registers_of(types.frame)
        self._misset = ~np.isin(found[self._inputs], _CURRENT_TYPES)
        text = f"Waveshare Analog Input 8CH, software version {registers_of(version.frame)[0]}"
        for number in self._inputs:
            if found[number] != _CURRENT_TYPES[0]:
                text += f"; input {number + 1} is of type {_type_name(int(found[number]))}, set it to 0-20 mA"
        return Identity(text=text)

    async def poll(self, ask: Ask) -> RawPoll:
        """Read the inputs from the first to the last in use."""
        attempt = await ask(self._values)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        microamps = registers_of(attempt.frame)[self._places].astype(np.float64)
        values, reasons = self._loops.graded(microamps)
        values[self._misset] = np.nan
        return RawPoll(
            channels=self.channels,
            values=values,
            reasons=np.where(self._misset, np.uint8(Reason.CONFIG), reasons),
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )


def _type_name(code: int) -> str:
    return _TYPE_NAMES[code] if code < len(_TYPE_NAMES) else f"{code}, unknown"


def _hail(unit: int) -> ModbusRequest:
    return read_registers(unit, READ_HOLDING, *_TYPES)


def _recognise(frame: bytes) -> str | None:
    """Eight registers with types of inputs are rarely found in another device."""
    types = registers_of(frame)
    if len(types) != _INPUTS or (types >= len(_TYPE_NAMES)).any():
        return None
    names = [_type_name(int(each)) for each in types]
    inputs = f"all inputs {names[0]}" if len(set(names)) == 1 else f"inputs {', '.join(names)}"
    return f"Waveshare Analog Input 8CH, {inputs}"


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> Waveshare8ch:
    return Waveshare8ch(unit, transducers)


MODEL: Final = Model(
    name="waveshare-8ch",
    title="Waveshare Modbus RTU Analog Input 8CH with 4-20 mA transmitters",
    kinds=MODBUS_KINDS,
    bauds=frozenset({4800, 9600, 19200, 38400, 57600, 115200, 128000, 256000}),
    formats=frozenset({"8N1"}),
    units=range(1, 256),
    quantities=("pressure",),
    span=None,
    protocol="Modbus RTU and TCP",
    faults="the loop current (NAMUR NE 43)",
    identity="software version only",
    unconfirmed="unit uA (documented for the sister module); what type 3 does below 4 mA; behaviour above 20.4 mA",
    driver=_driver,
    takes=frozenset({"channel", "current", "range"}),
    needs=frozenset({"channel", "range"}),
    shares_unit=True,
    hail=_hail,
    recognise=_recognise,
)
