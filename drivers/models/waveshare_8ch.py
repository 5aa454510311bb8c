"""Waveshare Modbus RTU Analog Input 8CH with 4-20 mA transmitters: eight current inputs, faults told by the current.

Sources: Waveshare wiki (registers, types of inputs); NAMUR NE 43 (what a current means). The module has no fault
register and no serial number. Inputs should be of type 2, 0-20 mA: what type 3, 4-20 mA, does below 4 mA is not
documented. That the unit is uA is documented for the sister output module.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import MODBUS_KINDS, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.modbus import READ_HOLDING, READ_INPUT, ModbusRequest, read_registers, registers_of

_INPUTS: Final = 8
_TYPES: Final = 0x1000, 8
_VERSION: Final = 0x8000, 1
_TYPE_NAMES: Final = ("0-5 V", "1-5 V", "0-20 mA", "4-20 mA", "raw code")
_CURRENT_TYPES: Final = (2, 3)
_LIVE_ZERO: Final = (4e-3, 20e-3)  # A

# NE 43, uA: a transmitter stops at 3.8 and 20.5 mA when the pressure goes on; beyond 3.6 and 21 mA it has failed
_SATURATED: Final = (3800, 20500)
_FAILED: Final = (3600, 21000)
_STEP: Final = 10  # two steps of the 12-bit converter: a current at a limit counts as beyond it
_HYSTERESIS: Final = 20  # how far it must come back to count as better


def _beyond(current: NDArray[np.float64], margin: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return beyond how many limits (1 saturated, 2 failed) each current in uA is, low and high; shape (channels,)."""
    low = [current <= limits[0] + margin for limits in (_SATURATED, _FAILED)]
    high = [current >= limits[1] - margin for limits in (_SATURATED, _FAILED)]
    return np.sum(low, axis=0), np.sum(high, axis=0)


class LoopStates:
    """What the loop currents mean by NE 43, each input a small state machine: worse at once, better with hysteresis.

    A state is the number of limits beyond which the current is: -2 failed low (a broken wire too), -1 saturated low,
    0 measuring, 1 saturated high, 2 failed high.
    """

    def __init__(self, low_limits: NDArray[np.bool_], high_limits: NDArray[np.bool_]) -> None:
        """Take which inputs the limits hold for, both of shape (channels,): a 0-20 mA loop has no low ones."""
        self._holds = (low_limits, high_limits)
        self._depths = (np.zeros(low_limits.shape, np.intp), np.zeros(low_limits.shape, np.intp))

    def next(self, current: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the states after these currents in uA, shape (channels,)."""
        worse = _beyond(current, _STEP)
        better = _beyond(current, _STEP + _HYSTERESIS)
        low, high = (
            np.where(holds, np.minimum(strict, np.maximum(before, plain)), 0)
            for holds, before, plain, strict in zip(self._holds, self._depths, worse, better, strict=True)
        )
        self._depths = (low, high)
        return high - low


_REASON_OF_STATE: Final = np.array(
    [Reason.SENSOR_FAILURE, Reason.SATURATED_LOW, Reason.NONE, Reason.SATURATED_HIGH, Reason.SENSOR_FAILURE],
    dtype=np.uint8,
)


class Waveshare8ch:
    """The inputs in use of one module; a `drivers.model.Driver`. Raw values are in Pa: a current alone says nothing."""

    def __init__(self, unit: int, transducers: Mapping[str, Transducer]) -> None:
        inputs = np.array([_input(name, words) for name, words in transducers.items()])
        currents = np.array([words.current or _LIVE_ZERO for words in transducers.values()])
        ranges = np.array([_range(name, words) for name, words in transducers.items()])
        first = int(inputs.min())
        self._inputs = inputs
        self._places = inputs - first
        self._slope = (ranges[:, 1] - ranges[:, 0]) / (currents[:, 1] - currents[:, 0])
        self._start = ranges[:, 0] - self._slope * currents[:, 0]
        microamps = currents * 1e6
        self._states = LoopStates(microamps[:, 0] > _SATURATED[0], microamps[:, 1] < _SATURATED[1])
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
        states = self._states.next(microamps)
        values = self._start + self._slope * (microamps * 1e-6)
        values[(np.abs(states) > 1) | self._misset] = np.nan
        return RawPoll(
            channels=self.channels,
            values=values,
            reasons=np.where(self._misset, np.uint8(Reason.CONFIG), _REASON_OF_STATE[states + 2]),
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )


def _type_name(code: int) -> str:
    return _TYPE_NAMES[code] if code < len(_TYPE_NAMES) else f"{code}, unknown"


def _input(name: str, words: Transducer) -> int:
    if words.channel is None or not 1 <= words.channel <= _INPUTS:
        raise ValueError(f"transducer {name}: channel must be 1 to {_INPUTS}, the number of the input")
    return words.channel - 1


def _range(name: str, words: Transducer) -> tuple[float, float]:
    if words.range is None:
        raise ValueError(f"transducer {name}: needs its range, the pressures at both ends of its current")
    return words.range


def _hail(unit: int) -> ModbusRequest:
    return read_registers(unit, READ_HOLDING, *_TYPES)


def _recognise(frame: bytes) -> str | None:
    """Eight registers with types of inputs are rarely found in another device."""
    types = registers_of(frame)
    if len(types) != _INPUTS or (types >= len(_TYPE_NAMES)).any():
        return None
    return f"Waveshare Analog Input 8CH, inputs {', '.join(_type_name(int(each)) for each in types)}"


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
    driver=_driver,
    takes=frozenset({"channel", "current", "range"}),
    needs=frozenset({"channel", "range"}),
    shares_unit=True,
    hail=_hail,
    recognise=_recognise,
)
