"""Druck TERPS barometers and pressure sensors (DPS, RPS 8000, 8100, 8200, 8300): text, and words where no value is.

Source: Druck 8000/8100/8200/8300 series instruction manual, programming guide. In direct mode, address 0, it streams on
its own; one character stops it for 20 s and is lost, hence the space before each command. `*R` brings the unit with the
pressure, so nobody has to know what it is set to. Where the answer of an addressed sensor has its address is shown
nowhere: both forms are taken. The form of its identity is not confirmed, so no serial number is compared.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Attempt, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, USUAL_BAUDS, one_value, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_MEASUREMENT_S: Final = 0.64  # at speed 2, the one with the specified accuracy
_LONGEST_LINE: Final = 60
_VALUE: Final = re.compile(rb"([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?) ?([A-Za-z][A-Za-z0-9/]*)")
_REASON_OF_WORDS: Final = {
    b"*Over Pressure*": Reason.SATURATED_HIGH,
    b"*Under Pressure*": Reason.SATURATED_LOW,
    b"**** NO RPT ****": Reason.SENSOR_FAILURE,
}
_NO_FREQUENCY: Final = 20  # refusal for 2 s after another speed was set
_UNITS: Final = {
    symbol.lower().encode("ascii", "replace"): unit for symbol, unit in UNITS.items() if unit.dimension == "pressure"
}


class DruckTerps:
    """One sensor; a `drivers.model.Driver`. Its pressure is in Pa, because its own unit can change."""

    def __init__(self, unit: int, name: str) -> None:
        forms = b"|".join([_VALUE.pattern, *(re.escape(words) for words in _REASON_OF_WORDS)])
        self._pressure = _question(unit, b"*R", b"(?:%s)\r" % forms, measures=True)
        self._address = _hail(unit)
        self._interval = _question(unit, b"*A,?", rb"Interval = [^\r]*\r[^\r]*Units = [^\r]*\r", lines=2)
        self.channels = (Channel(transducer=name, quantity="pressure", unit=UNITS["Pa"]),)
        self.requests: tuple[Request, ...] = (self._pressure,)
        # their refusals are no answers: all refusals are equal, and prove nothing
        self.fences: tuple[Request, ...] = (self._interval, self._address)

    async def identify(self, ask: Ask) -> Identity:
        """Ask for its address: the answer also proves that the stream has stopped."""
        frames, reason = await told(ask, (self._address,))
        return Identity(text=_recognise(frames[0]) or "") if frames else Identity(reason=reason)

    async def poll(self, ask: Ask) -> RawPoll:
        """Ask for the current reading with its unit."""
        attempt = await ask(self._pressure)
        if attempt.code == _NO_FREQUENCY:
            return RawPoll.nothing(self.channels, Reason.SENSOR_FAILURE, attempt.time_s)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        value, reason = _graded(attempt)
        return one_value(self.channels, attempt, value, reason)


def _graded(attempt: Attempt) -> tuple[float, Reason]:
    """Return the pressure in Pa, NaN with the reason where words stand in its place."""
    for words, reason in _REASON_OF_WORDS.items():
        if words in attempt.frame:
            return np.nan, reason
    match = _VALUE.search(attempt.frame)
    unit = None if match is None else _UNITS.get(match[2].lower())
    if match is None or unit is None:
        return np.nan, Reason.CONFIG
    return unit.to_si(float(match[1])), Reason.NONE


def command(unit: int, name: bytes) -> bytes:
    """Return a command's line; the space stops a stream."""
    return b" %d:%s\r" % (unit, name) if unit else b" %s\r" % name


def _question(unit: int, name: bytes, pattern: bytes, *, lines: int = 1, measures: bool = False) -> LineRequest:
    prefix = b" *(?:%d: *)?" % unit if unit else b" *"
    return LineRequest(
        unit=unit,
        frame=command(unit, name),
        head=b"",
        answer=re.compile(prefix + pattern),
        answer_size=_LONGEST_LINE,
        processing_s=_MEASUREMENT_S if measures else 0.0,
        starts_line=True,
        terminator=b"\r",
        lines=lines,
        refused=re.compile(prefix + rb"(?:ERROR|!) ?(\d+)[^\r]*\r") if measures else None,
    )


def _hail(unit: int) -> LineRequest:
    return _question(unit, b"*N,?", rb"Device Address = \d+\r")


def _recognise(frame: bytes) -> str | None:
    _, found, address = frame.partition(b"Device Address = ")
    return f"Druck TERPS, address {int(address)}" if found else None


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> DruckTerps:
    ((name, _),) = transducers.items()
    return DruckTerps(unit, name)


MODEL: Final = Model(
    name="druck-terps",
    title="Druck TERPS pressure sensor (DPS, RPS 8000 series)",
    kinds=LINE_KINDS,
    bauds=USUAL_BAUDS,
    formats=frozenset({"8N1", "7E1", "7O1"}),
    units=range(33),
    quantities=("pressure",),
    span=None,
    protocol="ASCII lines, streams until stopped",
    faults="words in place of the number (`*Over Pressure*`, `**** NO RPT ****`), `ERROR nn`",
    identity="address only",
    unconfirmed="baud as delivered; form of an addressed answer; numbers of units; form of the identity",
    driver=_driver,
    hail=_hail,
    recognise=_recognise,
)
