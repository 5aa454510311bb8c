"""Pfeiffer TPG 261 and 262 gauge controllers: `PRX`, an ACK, ENQ, then status and pressure of both gauges.

Source: Pfeiffer operating instructions of TPG 261, pages 66 to 76. A mnemonic is acknowledged first, and its data come
only when asked for by ENQ: for the bus that is one exchange, because what ENQ brings is told by the mnemonic before it.
The status stands beside each number and must be read: a gauge that is not there has a pressure of 2.0000E-2.
"""

import re
from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_ACK, _ENQ, _NAK = b"\x06\r\n", b"\x05", b"\x15\r\n"
_GAUGES: Final = 2
_PAIR: Final = rb"\d,[-+]\d\.\d{4}E[-+]\d\d"
_UNIT_NAMES: Final = ("mbar", "Torr", "Pa")  # by the code of UNI
_SECOND_TRANSFER_S: Final = 0.05
_REASONS: Final = {
    b"0": Reason.NONE,
    b"1": Reason.SATURATED_LOW,
    b"2": Reason.SATURATED_HIGH,
    b"4": Reason.CONFIG,  # switched off
}
"""By status. Any other one is a sensor error (3), no sensor (5), an identification error (6) or unknown: no value."""
_WITHOUT_VALUE: Final = (Reason.SENSOR_FAILURE, Reason.CONFIG)


class Options(BaseModel):
    """What the rig file can say under `options`.

    Attributes:
        unit: the unit of pressure that the controller is set to (UNI).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Literal["mbar", "Torr", "Pa"] = "mbar"


class PfeifferTpg26x:
    """The gauges in use of one controller; a `drivers.model.Driver`. A transducer's `channel` is its gauge, 1 or 2."""

    def __init__(self, unit: int, transducers: Mapping[str, Transducer]) -> None:
        names = {Options.model_validate(words.options).unit for words in transducers.values()}
        if len(names) > 1:
            raise ValueError(f"unit {unit}: options.unit must be the same for {' and '.join(transducers)}")
        (self._unit_name,) = names
        self._places = [_gauge(name, words) - 1 for name, words in transducers.items()]
        self._pressures = _question(unit, b"PRX", _PAIR + b"," + _PAIR)
        self._unit = _hail(unit)
        self.channels = tuple(
            Channel(transducer=name, quantity="pressure", unit=UNITS[self._unit_name]) for name in transducers
        )
        self.requests: tuple[Request, ...] = (self._pressures,)
        self.fences: tuple[Request, ...] = (self._unit, _question(unit, b"PR1", _PAIR))

    async def identify(self, ask: Ask) -> Identity:
        """Read the unit of pressure, which must be the rig file's; it has no serial number to tell."""
        frames, reason = await told(ask, (self._unit,))
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        code = int(_data(frames[0]))
        if code >= len(_UNIT_NAMES) or _UNIT_NAMES[code] != self._unit_name:
            text = (
                f"Pfeiffer TPG 26x; its unit of pressure is of code {code}, not {self._unit_name}: set one to the other"
            )
            return Identity(text=text, reason=Reason.CONFIG)
        return Identity(text="Pfeiffer TPG 26x")

    async def poll(self, ask: Ask) -> RawPoll:
        """Read status and pressure of both gauges."""
        attempt = await ask(self._pressures)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        words = _data(attempt.frame).split(b",")
        reasons = [_REASONS.get(words[2 * place], Reason.SENSOR_FAILURE) for place in self._places]
        values = [
            np.nan if reason in _WITHOUT_VALUE else float(words[2 * place + 1])
            for place, reason in zip(self._places, reasons, strict=True)
        ]
        return RawPoll(
            channels=self.channels,
            values=np.array(values),
            reasons=np.array(reasons, dtype=np.uint8),
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )


def _question(unit: int, mnemonic: bytes, data: bytes) -> LineRequest:
    return LineRequest(
        unit=unit,
        frame=mnemonic + b"\r\n",
        head=b"",
        starts_line=True,
        answer=re.compile(rb"\x06\r\n\x05?%s\r\n" % data),
        refused=re.compile(_NAK),
        answer_size=36,
        lines=2,
        prompt=_ACK,
        follow=_ENQ,
        processing_s=_SECOND_TRANSFER_S,
    )


def _data(frame: bytes) -> bytes:
    return frame[len(_ACK) :].lstrip(_ENQ).rstrip()


def _gauge(name: str, words: Transducer) -> int:
    gauge = 1 if words.channel is None else words.channel
    if not 1 <= gauge <= _GAUGES:
        raise ValueError(f"transducer {name}: channel must be 1 or 2, the number of the gauge")
    return gauge


def _hail(unit: int) -> LineRequest:
    return _question(unit, b"UNI", rb"\d")


def _recognise(frame: bytes) -> str | None:
    return "Pfeiffer TPG 26x" if re.fullmatch(rb"\x06\r\n\x05?\d\r\n", frame) else None


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> PfeifferTpg26x:
    return PfeifferTpg26x(unit, transducers)


MODEL: Final = Model(
    name="pfeiffer-tpg26x",
    title="Pfeiffer TPG 261 or 262 gauge controller (mnemonics on RS-232)",
    kinds=LINE_KINDS,
    bauds=frozenset({9600, 19200, 38400}),
    formats=frozenset({"8N1"}),
    units=range(1, 2),
    quantities=("pressure",),
    span=None,
    protocol="mnemonics, ACK and ENQ",
    faults="status digit before each pressure; NAK",
    identity="none",
    driver=_driver,
    alone=True,
    takes=frozenset({"channel"}),
    shares_unit=True,
    options=Options,
    hail=_hail,
    recognise=_recognise,
)
