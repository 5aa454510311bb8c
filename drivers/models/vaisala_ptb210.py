"""Vaisala PTB210 barometer: `.P` brings a bare number, `.?` a page of settings; it neither echoes nor confirms.

Sources: Vaisala PTB210 (serial) user's guide (form of commands, ID codes, limits, stars); public programs for `.P`,
`.BP` and the page that `.?` brings. A number has no checksum: what a line could make of it is caught only by the limits
outside which the barometer sends stars. ID codes are compared as text: unit 7 is the code "7", unit 0 is asked without.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Attempt, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, identity, one_value, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_LONGEST_VALUE: Final = 24
_VALUE: Final = re.compile(rb" *(?:(?P<number>[1-9]\d{1,4}\.\d{1,3})|\*+\.\*+) *\r\n")
_LONGEST_PAGE: Final = 360
_LONGEST_LINE: Final = 62
_PAGE_LINES: Final = 11
_PAGE: Final = re.compile(rb"PTB210 Ver [^\r\n]*\r\n(?:[^\r\n]*\r\n)*RS485 RESISTOR [^\r\n]*\r\n")
_LAST_LINE: Final = re.compile(rb"RS485 RESISTOR [^\r\n]*\r\n")
_VERSION: Final = re.compile(rb"(PTB210 Ver [!-~]+)")
_SERIAL_NUMBER: Final = re.compile(rb"SERIAL NUMBER *: *([!-~]+)")
_PRESSURE_UNIT: Final = re.compile(rb"PRESSURE UNIT *: *([!-~]+)")
_LIMITS: Final = re.compile(rb"Pressure Min\.\.\.Max *: *(\d+) +(\d+)")
_HECTOPASCALS: Final = (b"hpa", b"mbar")


class _PageStart(LineRequest):
    """The question for the page of which all but the last line is the answer, once the last line is there too.

    So the page has two parts, each a fence: there is no other question that this barometer answers with text.
    """

    def measure(self, heard: bytes, start: int) -> int:
        """Return the length of all lines but the last of a whole page at `start`; otherwise as any line."""
        length = super().measure(heard, start)
        return heard.rindex(b"RS485", start, start + length) - start if length > 0 else length


class VaisalaPtb210:
    """One barometer; a `drivers.model.Driver`. The CR before a question ends a continuous output (`.BP`)."""

    def __init__(self, unit: int, name: str, words: Transducer, character_s: float) -> None:
        self._expected = words.serial_number
        self._limits = (0.0, np.inf)  # hPa, until the page has told them
        self._pressure = LineRequest(
            unit=unit,
            frame=_command(unit, b"P"),
            head=b"",
            answer=_VALUE,
            answer_size=_LONGEST_VALUE,
            starts_line=True,
        )
        self._page = _hail(unit)
        self.channels = (Channel(transducer=name, quantity="pressure", unit=UNITS["hPa"]),)
        self.requests: tuple[Request, ...] = (self._pressure,)
        end = LineRequest(
            unit=unit,
            frame=b"\r" + self._page.frame,  # other bytes: a bus tells questions apart by them
            head=b"RS485",
            answer=_LAST_LINE,
            answer_size=_LONGEST_LINE,
            processing_s=_LONGEST_PAGE * character_s,  # the rest of the page comes first
        )
        self.fences: tuple[Request, ...] = (end, self._page)

    async def identify(self, ask: Ask) -> Identity:
        """Read the page: version, serial number, limits, and the unit of pressure, which must be hPa or mbar."""
        frames, reason = await told(ask, (self._page,))
        if not frames:
            return Identity(reason=reason)
        (page,) = frames
        text, number, unit = (_found(each, page) for each in (_VERSION, _SERIAL_NUMBER, _PRESSURE_UNIT))
        limits = _LIMITS.search(page)
        if limits is not None:
            self._limits = (float(limits[1]), float(limits[2]))
        if unit.lower() not in _HECTOPASCALS:
            advice = f"its unit of pressure is '{unit.decode()}': set the barometer to hPa"
            return Identity(text=f"Vaisala {text.decode()}; {advice}", reason=Reason.CONFIG)
        return identity(f"Vaisala {text.decode()}", number.decode(), self._expected)

    async def poll(self, ask: Ask) -> RawPoll:
        """Ask for the pressure."""
        attempt = await ask(self._pressure)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        value, reason = self._graded(attempt)
        return one_value(self.channels, attempt, value, reason)

    def _graded(self, attempt: Attempt) -> tuple[float, Reason]:
        match = _VALUE.fullmatch(attempt.frame)
        if match is None or match["number"] is None:
            return np.nan, Reason.OUT_OF_RANGE  # stars: below the lower or above the upper limit
        value = float(match["number"])
        low, high = self._limits
        return (value, Reason.NONE) if low <= value <= high else (np.nan, Reason.CRC)


def _command(unit: int, name: bytes) -> bytes:
    return b"%d.%s\r" % (unit, name) if unit else b".%s\r" % name


def _found(pattern: re.Pattern[bytes], page: bytes) -> bytes:
    match = pattern.search(page)
    return match[1] if match else b""


def _hail(unit: int) -> _PageStart:
    return _PageStart(
        unit=unit,
        frame=b"\r" + _command(unit, b"?"),
        head=b"PTB210",
        answer=_PAGE,
        answer_size=_LONGEST_PAGE,
        lines=_PAGE_LINES,
    )


def _recognise(frame: bytes) -> str | None:
    version, number = _found(_VERSION, frame), _found(_SERIAL_NUMBER, frame)
    return f"Vaisala {version.decode()}, serial number {number.decode()}" if version else None


def _driver(unit: int, transducers: Mapping[str, Transducer], bus: Bus) -> VaisalaPtb210:
    ((name, words),) = transducers.items()
    return VaisalaPtb210(unit, name, words, bus.character_s)


MODEL: Final = Model(
    name="vaisala-ptb210",
    title="Vaisala PTB210 barometer",
    kinds=LINE_KINDS,
    bauds=frozenset({1200, 2400, 4800, 9600, 19200}),
    formats=frozenset({"7E1", "8N1"}),
    units=range(256),
    quantities=("pressure",),
    span=(5e3, 130e3),
    protocol="ASCII lines",
    faults="stars in place of the number",
    identity="version, serial number (`.?`)",
    unconfirmed="line as delivered; form of the answer to `.P` (as public programs take it)",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    hail=_hail,
    recognise=_recognise,
)
