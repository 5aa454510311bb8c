"""Setra 470 digital pressure transducer: `P` brings ` +14.6960  PSI    A OK`, with its unit and how it is corrected.

Source: Setra Model 470 manual, 3.1, 3.2, 4.1 and 4.6. Its commands are single letters without an end; it ignores CR and
LF. It has no address, so it is alone on its line; no second question with a confirmed answer is known: silence is its
fence. The symbols of its units are not confirmed: one that is not ours, whatever its case, is no pressure.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Outcome, Quiet, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, USUAL_BAUDS, one_value, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_LONGEST: Final = 36
_MEASUREMENT_S: Final = 0.5  # our choice: how often it measures is not confirmed
_READING: Final = re.compile(
    rb" {0,2}(?P<number>[-+](?=[\d.]{7} )\d*\.\d*)(?P<unit> [ -~]{7}) "
    rb"(?P<kind>[AT])(?: OK)?(?P<corrected> SEA LEVEL)? *\r\n"
)
_ALARMS: Final = {b"HI ALARM": Reason.SATURATED_HIGH, b"LO ALARM": Reason.SATURATED_LOW}
_ANSWER: Final = re.compile(_READING.pattern + rb"| *(?P<alarm>HI|LO) ALARM *\r\n")
_REFUSED: Final = re.compile(rb"(?:UNABLE|PROTEC) *\r\n")
_UNITS: Final = {symbol.lower(): unit for symbol, unit in UNITS.items() if unit.dimension == "pressure"}


class Setra470:
    """One transducer; a `drivers.model.Driver`. Its pressure is in Pa, because its own unit can change."""

    def __init__(self, name: str, bus: Bus) -> None:
        self._pressure = _hail(1)
        self.channels = (Channel(transducer=name, quantity="pressure", unit=UNITS["Pa"]),)
        self.requests: tuple[Request, ...] = (self._pressure,)
        self.fences = Quiet(span_s=bus.timeout + _MEASUREMENT_S + 2 * _LONGEST * bus.character_s)

    async def identify(self, ask: Ask) -> Identity:
        """Ask for a reading: nothing else tells who it is."""
        frames, reason = await told(ask, (self._pressure,))
        return Identity(text=_recognise(frames[0]) or "") if frames else Identity(reason=reason)

    async def poll(self, ask: Ask) -> RawPoll:
        """Ask for the pressure."""
        attempt = await ask(self._pressure)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        value, reason = _graded(attempt.frame)
        return one_value(self.channels, attempt, value, reason)


def _graded(frame: bytes) -> tuple[float, Reason]:
    """Return the pressure in Pa, NaN with the reason where an alarm stands in its place or it is not the true one."""
    match = _READING.fullmatch(frame)
    if match is None:
        return np.nan, _ALARMS.get(frame.strip(), Reason.CONFIG)
    unit = _UNITS.get(match["unit"].strip().decode().lower())
    if unit is None or match["kind"] == b"T" or match["corrected"]:  # tared, or reduced to sea level
        return np.nan, Reason.CONFIG
    return unit.to_si(float(match["number"])), Reason.NONE


def _hail(unit: int) -> LineRequest:
    return LineRequest(
        unit=unit,
        frame=b"P\r",
        head=b"",
        starts_line=True,
        answer=_ANSWER,
        refused=_REFUSED,
        answer_size=_LONGEST,
        processing_s=_MEASUREMENT_S,
    )


def _recognise(frame: bytes) -> str | None:
    match = _READING.fullmatch(frame)
    if match is None:
        return None
    text = f"Setra 470, in {match['unit'].strip().decode()}"
    tared = ", tared: undo that" if match["kind"] == b"T" else ""
    return text + tared + (", reduced to sea level: undo that" if match["corrected"] else "")


def _driver(_unit: int, transducers: Mapping[str, Transducer], bus: Bus) -> Setra470:
    (name,) = transducers
    return Setra470(name, bus)


MODEL: Final = Model(
    name="setra-470",
    title="Setra 470 digital pressure transducer (RS-232)",
    kinds=LINE_KINDS,
    bauds=USUAL_BAUDS,
    formats=frozenset({"8N1"}),
    units=range(1, 2),
    quantities=("pressure",),
    span=None,
    protocol="ASCII, single letters",
    faults="`HI ALARM`, `LO ALARM`; a tared or reduced pressure is refused",
    identity="none",
    unconfirmed="symbols of units; response time; where an alarm stands; any second question",
    driver=_driver,
    alone=True,
    hail=_hail,
    recognise=_recognise,
)
