"""Mensor and WIKA pressure transducers CPT6010, CPT6020 (61xx) with the Mensor command set: `#1?` brings `1 14.6960`.

Sources: CPT6010 operating instructions, 6.4.4; CPT6020 operating instructions, 6.1.3. An answer has the unit's address
and names what was asked for, except the pressure. That comes in the transducer's native unit, which it does not tell:
`options.unit` must. No word for a fault is documented; a pressure at an end of the range that it tells is suspect.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, identity, one_value, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from drivers.wire.ascii_line import LineRequest

_ADDRESSES: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NUMBER: Final = rb"[-+ ]? *\d+(?:\.\d*)?"
_LONGEST_LINE: Final = 64


def _pressure_unit(symbol: str) -> str:
    unit_of(symbol, "pressure")
    return symbol


class Options(BaseModel):
    """What the rig file must say under `options`.

    Attributes:
        unit: the transducer's native unit of pressure, as on its label.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Annotated[str, AfterValidator(_pressure_unit)]


class MensorCpt:
    """One transducer; a `drivers.model.Driver`."""

    def __init__(self, unit: int, name: str, words: Transducer) -> None:
        options = Options.model_validate(words.options)
        self._expected = words.serial_number
        self._range = (-np.inf, np.inf)  # in the native unit, until it has told it
        self._pressure = _question(unit, b"", _NUMBER)
        self._identity = _hail(unit)
        self._floor = _question(unit, b"R-", _NUMBER)
        self._ceiling = _question(unit, b"R+", _NUMBER)
        self.channels = (Channel(transducer=name, quantity="pressure", unit=unit_of(options.unit, "pressure")),)
        self.requests: tuple[Request, ...] = (self._pressure,)
        self.fences: tuple[Request, ...] = (self._floor, self._ceiling)

    async def identify(self, ask: Ask) -> Identity:
        """Read who it is and its range."""
        frames, reason = await told(ask, (self._identity, self._floor, self._ceiling))
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        who, floor, ceiling = frames
        self._range = (_value(floor), _value(ceiling))
        _, model, number, version = _parts(who)
        return identity(f"Mensor {model}, version {version.removeprefix('V')}", number, self._expected)

    async def poll(self, ask: Ask) -> RawPoll:
        """Ask for the pressure."""
        attempt = await ask(self._pressure)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        value = _value(attempt.frame)
        low, high = self._range
        reason = Reason.SATURATED_HIGH if value >= high else Reason.SATURATED_LOW if value <= low else Reason.NONE
        return one_value(self.channels, attempt, value, reason)


def _question(unit: int, name: bytes, pattern: bytes) -> LineRequest:
    address = _ADDRESSES[unit : unit + 1]
    head = address + b" " + (name + b" " if name else b"")
    return LineRequest(
        unit=unit,
        frame=b"#%s%s?\r" % (address, name),
        head=address + b" ",
        answer=re.compile(b" ?".join(re.escape(part) for part in head.split()) + b" " + pattern + rb"\r\n"),
        answer_size=_LONGEST_LINE,
        starts_line=True,
    )


def _value(frame: bytes) -> float:
    return float(frame.split()[-1])


def _parts(frame: bytes) -> list[str]:
    text = frame.decode("ascii", "replace").split(" ID ", 1)[1]
    return [part.strip() for part in text.split(",")]


def _hail(unit: int) -> LineRequest:
    return _question(unit, b"ID", rb"[^,\r\n]*,[^,\r\n]*,[^,\r\n]*,[^,\r\n]*")


def _recognise(frame: bytes) -> str | None:
    if b" ID " not in frame:
        return None
    _, model, number, _ = _parts(frame)
    return f"Mensor {model}, serial number {number}"


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> MensorCpt:
    ((name, words),) = transducers.items()
    return MensorCpt(unit, name, words)


MODEL: Final = Model(
    name="mensor-cpt",
    title="Mensor and WIKA pressure transducers CPT6010, CPT6020 (Mensor command set)",
    kinds=LINE_KINDS,
    bauds=frozenset({9600, 19200, 57600, 115200}),
    formats=frozenset({"8N1"}),
    units=range(len(_ADDRESSES)),
    quantities=("pressure",),
    span=None,
    protocol="ASCII lines",
    faults="none documented; an end of the range that it tells is suspect",
    identity="model, serial number, version (`ID?`)",
    unconfirmed="baud as delivered; form of an error",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    options=Options,
    hail=_hail,
    recognise=_recognise,
)
