"""KELLER Series 30 transmitters by the maker's own bus: F73 brings one channel and says in STAT which ones are valid.

Source: KELLER "Communication protocol Serie 30" (F30, F48, F69, F73, STAT). For a line that speaks nothing else; where
Modbus is possible `keller-33x` needs half the time, because it gets both channels in one answer. An answer names the
function, not the channel: those of P1 and TOB1 are confusable.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Attempt, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import RTU_KINDS, USUAL_BAUDS, identity, strike_non_finite, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.keller_bus import (
    NOT_INITIALISED,
    READ_COEFFICIENT,
    READ_FLOAT,
    READ_SERIAL_NUMBER,
    data_of,
    greet,
    greeting_text,
    keller_request,
)

_P1: Final = b"\x01"
_TOB1: Final = b"\x04"
_MINIMUM_P1: Final = b"\x50"  # coefficients 80 and 81: the range, bar
_MAXIMUM_P1: Final = b"\x51"

# STAT: bits 7 to 0 are /STD (power-up mode), ERR2 (analogue output), TOB2, TOB1, T, P2, P1, CH0; a set bit is a fault
_POWER_UP: Final = 0b1000_0000
_FAULTS_P1: Final = 0b0001_0010  # P1 is compensated by TOB1, so it takes both; with /STD the manual's own mask
_FAULTS_TOB1: Final = 0b0001_0000


class KellerBus:
    """One transmitter; a `drivers.model.Driver`.

    After power-up it refuses everything but F48 with code 32: that is how a break of its supply is noticed and told as
    RESTARTED. F48 is therefore no fence: it would hide the break.
    """

    def __init__(self, unit: int, name: str, words: Transducer) -> None:
        self._expected = words.serial_number
        self._range = (-np.inf, np.inf)  # bar, until F30 has told it
        self._initialise = greet(unit)
        self._pressure = keller_request(unit, READ_FLOAT, _P1)
        self._temperature = keller_request(unit, READ_FLOAT, _TOB1)
        self._serial_number = keller_request(unit, READ_SERIAL_NUMBER)
        self._minimum = keller_request(unit, READ_COEFFICIENT, _MINIMUM_P1)
        self._maximum = keller_request(unit, READ_COEFFICIENT, _MAXIMUM_P1)
        self.channels = (
            Channel(transducer=name, quantity="pressure", unit=UNITS["bar"]),
            Channel(transducer=name, quantity="temperature", unit=UNITS["C"]),
        )
        self.requests: tuple[Request, ...] = (self._pressure, self._temperature)
        self.fences: tuple[Request, ...] = (self._serial_number, self._minimum)

    async def identify(self, ask: Ask) -> Identity:
        """Send F48, then read serial number and range."""
        frames, reason = await told(ask, (self._initialise, self._serial_number, self._minimum, self._maximum))
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        greeting, number, minimum, maximum = frames
        self._range = (_float(minimum), _float(maximum))
        text = f"{greeting_text(greeting)}, {self._range[0]:g}..{self._range[1]:g} bar"
        return identity(text, str(int.from_bytes(data_of(number), "big")), self._expected)

    async def poll(self, ask: Ask) -> RawPoll:
        """Read P1, then TOB1 if P1 came; the poll's time is that of P1."""
        pressure = await ask(self._pressure)
        if pressure.code == NOT_INITIALISED:
            return await self._restarted(ask, pressure)
        if pressure.outcome is not Outcome.REPLY:
            return unanswered(self.channels, pressure)
        temperature = await ask(self._temperature)
        if temperature.code == NOT_INITIALISED:
            return await self._restarted(ask, temperature)
        came = temperature.outcome is Outcome.REPLY
        values = np.array([_float(pressure.frame), _float(temperature.frame) if came else np.nan])
        reasons = strike_non_finite(values)
        reasons[0] = reasons[0] or self._fault(pressure.frame, _FAULTS_P1, values[0])
        reasons[1] = (reasons[1] or _fault(temperature.frame, _FAULTS_TOB1)) if came else temperature.outcome.reason
        values[reasons != Reason.NONE] = np.nan
        return RawPoll(
            channels=self.channels,
            values=values,
            reasons=reasons,
            time_s=pressure.time_s,
            uncertainty_s=pressure.uncertainty_s,
        )

    async def _restarted(self, ask: Ask, attempt: Attempt) -> RawPoll:
        await ask(self._initialise)
        return RawPoll.nothing(self.channels, Reason.RESTARTED, attempt.time_s)

    def _fault(self, frame: bytes, faults: int, bar: float) -> Reason:
        """Say what is wrong with P1: firmware before 5.20-10.40 marks a pressure beyond the range by its bit alone."""
        reason = _fault(frame, faults)
        if reason is Reason.SENSOR_FAILURE and not _status(frame) & _FAULTS_TOB1:
            low, high = self._range
            if bar > high:
                return Reason.SATURATED_HIGH
            if bar < low:
                return Reason.SATURATED_LOW
        return reason


def _fault(frame: bytes, faults: int) -> Reason:
    """Return what STAT says of a channel that these bits concern."""
    status = _status(frame)
    if status & _POWER_UP:
        return Reason.WARMING_UP
    return Reason.SENSOR_FAILURE if status & faults else Reason.NONE


def _status(frame: bytes) -> int:
    return data_of(frame)[4]


def _float(frame: bytes) -> float:
    with np.errstate(invalid="ignore"):  # a signalling NaN is a channel error too
        return float(np.frombuffer(data_of(frame), dtype=">f4", count=1)[0])


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> KellerBus:
    ((name, words),) = transducers.items()
    return KellerBus(unit, name, words)


MODEL: Final = Model(
    name="keller-bus",
    title="KELLER Series 30 pressure transmitter (KELLER bus)",
    kinds=RTU_KINDS,
    bauds=USUAL_BAUDS,
    formats=frozenset({"8N1"}),
    units=range(1, 250),
    quantities=("pressure", "temperature"),
    span=(0.0, 1e8),
    protocol="KELLER bus",
    faults="STAT bits, NaN, +Inf and -Inf; refusal 32 after power-up",
    identity="class, group, firmware (F48), serial number (F69), range (F30)",
    unconfirmed="response delay; place of a refusal's code (as the maker's client takes it)",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    hail=greet,
    recognise=greeting_text,
)
