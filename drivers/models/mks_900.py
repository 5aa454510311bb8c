"""MKS 900 series (902B, 905, 910, 925, 971, 974B): `@253PR4?;FF` brings `@253ACK7.600E+2;FF`, with no CR anywhere.

Sources: MKS manuals of those models; public programs for `TEM?`. An answer names the unit, not the question, so each
question's pattern matches no other's answer: four digits are a pressure, three a temperature, a letter the state. A
broken sensor goes on sending a pressure that looks like one, so `T?` is asked before each. Without its delay between
receiving and transmitting (RSD) a transducer loses the head of its answer: that is a setting, and never written here.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, identity, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_END: Final = b";FF"
_LONGEST: Final = 32
_DATA_AT: Final = len(b"@253ACK")
_WORKS: Final = b"O"
_UNIT_WORDS: Final = {"Torr": b"TORR", "mbar": b"MBAR", "Pa": b"PASCAL"}


class Options(BaseModel):
    """What the rig file can say under `options`.

    Attributes:
        unit: the unit of pressure that the transducer is set to (`U?`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Literal["Torr", "mbar", "Pa"] = "Torr"


class Mks900:
    """One transducer; a `drivers.model.Driver`."""

    def __init__(self, unit: int, name: str, words: Transducer) -> None:
        self._unit_word = _UNIT_WORDS[Options.model_validate(words.options).unit]
        self._expected = words.serial_number
        self._state = _question(unit, b"T", rb"[A-Z]")
        self._pressure = _question(unit, b"PR4", rb"\d\.\d{3}E[-+]\d{1,2}")
        self._temperature = _question(unit, b"TEM", rb"-?\d\.\d{2}E[-+]\d{1,2}")
        self._unit = _question(unit, b"U", rb"TORR|MBAR|PASCAL")
        self._serial_number = _question(unit, b"SN", rb"(?=[A-Z]*\d)[0-9A-Z]{5,20}")
        self._model = _hail(unit)
        self.channels = (
            Channel(transducer=name, quantity="pressure", unit=UNITS[Options.model_validate(words.options).unit]),
            Channel(transducer=name, quantity="temperature", unit=UNITS["C"]),
        )
        self.requests: tuple[Request, ...] = (self._state, self._pressure, self._temperature)
        self.fences: tuple[Request, ...] = (self._model, self._unit)

    async def identify(self, ask: Ask) -> Identity:
        """Read model, serial number and the unit of pressure, which must be the rig file's."""
        frames, reason = await told(ask, (self._model, self._serial_number, self._unit))
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        model, number, unit = (_data(frame) for frame in frames)
        text = f"MKS {model.decode()}"
        if unit != self._unit_word:
            text += f"; its unit of pressure is {unit.decode()}, not {self._unit_word.decode()}: set one to the other"
            return Identity(text=text, serial_number=number.decode(), reason=Reason.CONFIG)
        return identity(text, number.decode(), self._expected)

    async def poll(self, ask: Ask) -> RawPoll:
        """Ask for the state, and for the values of a transducer that works; the poll's time is that of the pressure."""
        state = await ask(self._state)
        if state.outcome is not Outcome.REPLY:
            return unanswered(self.channels, state)
        if _data(state.frame) != _WORKS:
            return RawPoll.nothing(self.channels, Reason.SENSOR_FAILURE, state.time_s)
        pressure = await ask(self._pressure)
        if pressure.outcome is not Outcome.REPLY:
            return unanswered(self.channels, pressure)
        temperature = await ask(self._temperature)
        told_it = temperature.outcome is Outcome.REPLY
        return RawPoll(
            channels=self.channels,
            values=np.array([float(_data(pressure.frame)), float(_data(temperature.frame)) if told_it else np.nan]),
            reasons=np.array([Reason.NONE, temperature.outcome.reason], dtype=np.uint8),
            time_s=pressure.time_s,
            uncertainty_s=pressure.uncertainty_s,
        )


def _question(unit: int, name: bytes, data: bytes) -> LineRequest:
    head = b"@%03d" % unit
    return LineRequest(
        unit=unit,
        frame=b"%s%s?;FF" % (head, name),
        head=head,
        answer=re.compile(b"%sACK(?:%s);FF" % (head, data)),
        refused=re.compile(rb"%sNAK(\d{0,3});FF" % head),
        answer_size=_LONGEST,
        terminator=_END,
    )


def _data(frame: bytes) -> bytes:
    return frame[_DATA_AT : -len(_END)]


def _hail(unit: int) -> LineRequest:
    return _question(unit, b"MD", rb"9\d\d[A-Z]?")


def _recognise(frame: bytes) -> str | None:
    return f"MKS {_data(frame).decode()}" if re.fullmatch(rb"@\d{3}ACK9\d\d[A-Z]?;FF", frame) else None


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> Mks900:
    ((name, words),) = transducers.items()
    return Mks900(unit, name, words)


MODEL: Final = Model(
    name="mks-900",
    title="MKS 900 series vacuum transducer (902B, 905, 910, 925, 971, 974B)",
    kinds=LINE_KINDS,
    bauds=frozenset({4800, 9600, 19200, 38400, 57600, 115200}),
    formats=frozenset({"8N1"}),
    units=range(1, 254),
    quantities=("pressure", "temperature"),
    span=(0.0, 2e5),
    protocol="ASCII, `@253PR4?;FF`",
    faults="status letter of `T?`, `NAK` with a code",
    identity="model, serial number (`MD?`, `SN?`)",
    unconfirmed="update rate",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    options=Options,
    hail=_hail,
    recognise=_recognise,
)
