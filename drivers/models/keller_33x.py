"""KELLER 33X, 35X, 36X and their Series 30 kin: absolute pressure and sensor temperature in one Modbus read.

Sources: KELLER "Communication protocol Serie 30" (floats, F48, refusal 32) and the X-Line register map; the serial
number at 0x0202 is where two independent public clients read it.
"""

import struct
from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import RTU_KINDS, USUAL_BAUDS, strike_non_finite, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.keller_bus import (
    NOT_INITIALISED,
    READ_SERIAL_NUMBER,
    greet,
    greeting_text,
    keller_request,
)
from drivers.wire.modbus import PAYLOAD_AT, READ_HOLDING, read_registers

_VALUES: Final = 0x0100, 4  # P1 in bar and TOB1 in degC, both float32 with the high word first
_FLOATS: Final = struct.Struct(">2f")
_SERIAL_NUMBER: Final = 0x0202, 2  # 32 bits, high word first


class Keller33x:
    """One transmitter; a `drivers.model.Driver`.

    After power-up it refuses everything but F48 with code 32: that is how a break of its supply is noticed and told as
    RESTARTED. F48 is therefore no fence: it would hide the break.
    """

    def __init__(self, unit: int, name: str, words: Transducer) -> None:
        self._expected = words.serial_number
        self._initialise = greet(unit)
        self._values = read_registers(unit, READ_HOLDING, *_VALUES)
        self._serial_number = read_registers(unit, READ_HOLDING, *_SERIAL_NUMBER)
        self.channels = (
            Channel(transducer=name, quantity="pressure", unit=UNITS["bar"]),
            Channel(transducer=name, quantity="temperature", unit=UNITS["C"]),
        )
        self.requests: tuple[Request, ...] = (self._values,)
        # one of each protocol: refusals of Modbus reads are all equal, and after a restart it does nothing but refuse
        self.fences: tuple[Request, ...] = (keller_request(unit, READ_SERIAL_NUMBER), self._serial_number)

    async def identify(self, ask: Ask) -> Identity:
        """Send F48, which gives class, group and firmware date; then compare the serial number."""
        greeting = await ask(self._initialise)
        if greeting.outcome is not Outcome.REPLY:
            return Identity(reason=greeting.outcome.reason)
        text = greeting_text(greeting.frame) or ""
        answer = await ask(self._serial_number)
        if answer.outcome is not Outcome.REPLY:
            untold = answer.outcome is Outcome.EXCEPTION and answer.code != NOT_INITIALISED and self._expected is None
            return Identity(text=text, reason=Reason.NONE if untold else answer.outcome.reason)
        found = str(int.from_bytes(answer.frame[PAYLOAD_AT : PAYLOAD_AT + 4], "big"))
        wrong = self._expected is not None and found != str(self._expected)
        return Identity(text=text, serial_number=found, reason=Reason.IDENTITY_MISMATCH if wrong else Reason.NONE)

    async def poll(self, ask: Ask) -> RawPoll:
        """Read P1 and TOB1; NaN is a channel error, an infinity over- or underflow."""
        attempt = await ask(self._values)
        if attempt.code == NOT_INITIALISED:
            await ask(self._initialise)
            return RawPoll.nothing(self.channels, Reason.RESTARTED, attempt.time_s)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        values = np.array(_FLOATS.unpack_from(attempt.frame, PAYLOAD_AT))
        return RawPoll(
            channels=self.channels,
            reasons=strike_non_finite(values),
            values=values,
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> Keller33x:
    ((name, words),) = transducers.items()
    return Keller33x(unit, name, words)


MODEL: Final = Model(
    name="keller-33x",
    title="KELLER 33X, 35X, 36X pressure transmitter (Modbus RTU with KELLER bus)",
    kinds=RTU_KINDS,
    bauds=USUAL_BAUDS,
    formats=frozenset({"8N1"}),
    units=range(1, 250),
    quantities=("pressure", "temperature"),
    span=(0.0, 1e8),
    protocol="Modbus RTU, with F48 and F69 of the KELLER bus",
    faults="NaN (channel error), +Inf and -Inf (range); refusal 32 after power-up",
    identity="class, group, firmware (F48), serial number (0x0202)",
    unconfirmed="response delay; the scale of the 16-bit integer map",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    hail=greet,
    recognise=greeting_text,
)
