"""Paroscientific Digiquartz of series 6000: `*0100P3` brings pressure, `*0100Q3` temperature, several on one line.

Sources: Digiquartz Programming and Operations Manual, command summary; public programs. An answer names the unit, not
the quantity: those to P3 and Q3 are confusable, so a bus asks one only after the other is settled. No text is known for
faults. Settings are read, never written: the EEPROM bears few writes.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, USUAL_BAUDS, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.rig_words import Duration
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_LONGEST_NUMBER: Final = 24
_LONGEST_SETTING: Final = 40
_HECTOPASCAL: Final = "2"  # of UN; other codes of the table are not confirmed, so they are refused


class Options(BaseModel):
    """What the rig file can say under `options`.

    Attributes:
        integration: s, how long a measurement takes (set by PI in the device, about 0.8 s as it leaves the factory).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    integration: Duration = 0.1


class Paroscientific:
    """One transmitter; a `drivers.model.Driver`."""

    def __init__(self, unit: int, name: str, words: Transducer) -> None:
        options = Options.model_validate(words.options)
        self._expected = words.serial_number
        self._pressure = _measurement(unit, b"P3", options.integration)
        self._temperature = _measurement(unit, b"Q3", options.integration)
        self._unit_code = _setting(unit, b"UN")
        self._serial_number = _hail(unit)
        self._version = _setting(unit, b"VR")
        self.channels = (
            Channel(transducer=name, quantity="pressure", unit=UNITS["hPa"]),
            Channel(transducer=name, quantity="temperature", unit=UNITS["C"]),
        )
        self.requests: tuple[Request, ...] = (self._pressure, self._temperature)
        self.fences: tuple[Request, ...] = (self._serial_number, self._version)

    async def identify(self, ask: Ask) -> Identity:
        """Read version, serial number and the unit of pressure, which must be hPa (UN=2)."""
        answers = [await ask(question) for question in (self._version, self._serial_number, self._unit_code)]
        for answer in answers:
            if answer.outcome is not Outcome.REPLY:
                return Identity(reason=answer.outcome.reason)
        version, number, code = (_value(answer.frame) for answer in answers)
        text = f"Paroscientific Digiquartz, version {version}"
        if self._expected is not None and number != str(self._expected):
            return Identity(text=text, serial_number=number, reason=Reason.IDENTITY_MISMATCH)
        if code != _HECTOPASCAL:
            text += f"; its unit of pressure is code {code}: set UN={_HECTOPASCAL} (hPa) in the device"
            return Identity(text=text, serial_number=number, reason=Reason.CONFIG)
        return Identity(text=text, serial_number=number)

    async def poll(self, ask: Ask) -> RawPoll:
        """Measure pressure, then temperature if pressure came; the poll's time is that of the pressure."""
        pressure = await ask(self._pressure)
        if pressure.outcome is not Outcome.REPLY:
            return unanswered(self.channels, pressure)
        temperature = await ask(self._temperature)
        told = temperature.outcome is Outcome.REPLY
        return RawPoll(
            channels=self.channels,
            values=np.array([_number(pressure.frame), _number(temperature.frame) if told else np.nan]),
            reasons=np.array([Reason.NONE, temperature.outcome.reason], dtype=np.uint8),
            time_s=pressure.time_s,
            uncertainty_s=pressure.uncertainty_s,
        )


def _frame(unit: int, command: bytes) -> bytes:
    return b"*%02d00%s\r\n" % (unit, command)  # 00 is the host


def _head(unit: int) -> bytes:
    return b"*00%02d" % unit


def _measurement(unit: int, command: bytes, integration_s: float) -> LineRequest:
    return LineRequest(
        unit=unit,
        frame=_frame(unit, command),
        head=_head(unit),
        answer=re.compile(re.escape(_head(unit)) + rb"[-+ ]?\d+(?:\.\d*)?\r\n"),
        answer_size=_LONGEST_NUMBER,
        processing_s=integration_s,
    )


def _setting(unit: int, name: bytes) -> LineRequest:
    head = _head(unit) + name + b"="
    return LineRequest(
        unit=unit,
        frame=_frame(unit, name),
        head=head,
        answer=re.compile(re.escape(head) + rb"[^\r\n]*\r\n"),
        answer_size=_LONGEST_SETTING,
    )


def _number(frame: bytes) -> float:
    return float(frame[len(_head(0)) :])


def _value(frame: bytes) -> str:
    return frame.partition(b"=")[2].strip().decode("ascii", "replace")


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> Paroscientific:
    ((name, words),) = transducers.items()
    return Paroscientific(unit, name, words)


def _hail(unit: int) -> LineRequest:
    return _setting(unit, b"SN")


def _recognise(frame: bytes) -> str | None:
    return f"Paroscientific Digiquartz, serial number {_value(frame)}" if frame[5:8] == b"SN=" else None


MODEL: Final = Model(
    name="paroscientific-6000",
    title="Paroscientific Digiquartz pressure transmitter, series 6000",
    kinds=LINE_KINDS,
    bauds=USUAL_BAUDS,
    formats=frozenset({"8N1"}),
    units=range(1, 99),
    quantities=("pressure", "temperature"),
    span=None,
    protocol="ASCII lines (Digiquartz)",
    faults="none documented",
    identity="model, serial number, version (`MN`, `SN`, `VR`)",
    unconfirmed="texts for faults and for values beyond the range; who answers the global address 99",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    options=Options,
    hail=_hail,
    recognise=_recognise,
)
