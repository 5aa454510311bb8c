"""Alicat pressure gauges and flow meters: `A` brings `A +014.696 +022.50 +000.00 +000.00     Air`, flags behind it.

Sources: Alicat manuals of the M, MC, IM and BC series; captures of `??D*`, `??M*` and `VE` by a public client. Which
columns a device sends it says itself (`A??D*`, two dialects); for one that does not, the rig file says it
(`options.columns`). All quantities stand in one answer that names the unit. Unit 1 is A, 26 is Z. There is no checksum:
only the width of the columns shows damage. On RS-485 a device cannot stream.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, identity, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS, unit
from drivers.wire.ascii_line import LineRequest

_Column = Literal["pressure", "temperature", "other", "gas"]
_LONGEST_FRAME: Final = 80
_LONGEST_ROW: Final = 70
_COLUMN_ROWS: Final = 26
_MAKER_ROWS: Final = 10
# `@` stands for the letter; a table must be heard to its end, because only then the line is free again
_DESCRIPTION: Final = (
    rb"@ +D00 [^\r]*\r(?:@ +D\d\d [^\r]*\r)*?@ +D\d\d +(?:702 \*Status +string +3 LCK|Status +string +na +MOV +na)\r"
)
_MAKER: Final = rb"@ +M0[01] [^\r]*\r(?:@ +M\d\d[^\r]*\r){9}"
_SERIAL_NUMBER: Final = re.compile(rb"M05 (?:[^\r]* )?([!-~]+)\r")
_PLACE: Final = re.compile(
    rb"[A-Z] +D\d\d +(?:(?P<id>\d{3}) )?(?P<name>\*?[A-Z][A-Za-z ]*?) +(?P<type>s decimal|decimal|signed|string|char) "
    rb"+(?P<rest>[^\r]*)"
)
_DASHES: Final = b"--"  # in place of a value that is not there
_PRESSURES: Final = (b"Abs Press", b"Pressure")
_TEMPERATURES: Final = (b"Flow Temp", b"Temperature")
_NUMBERS: Final = (b"s decimal", b"decimal", b"signed")
_NOT_IN_EACH_FRAME: Final = (b"*Error", b"*Status", b"Error", b"Status")
_PRESSURE_LABEL: Final = b"PSIA"  # labels of other units are not confirmed, so they are refused
_TEMPERATURE_LABELS: Final = (b"`C", b"C")

_PRESSURE_TOO_HIGH: Final = frozenset({b"POV", b"OPL"})
_TEMPERATURE_TOO_HIGH: Final = frozenset({b"TOV"})
_HARMLESS: Final = frozenset({b"MOV", b"VOV", b"OVR", b"LCK", b"HLD", b"VTM", b"TMF"})
"""Flags of flow, totaliser, keys and valve. Any other (ADC, a failed converter; one that nobody knows) is a fault."""


def _with_pressure(columns: tuple[_Column, ...]) -> tuple[_Column, ...]:
    if columns and columns.count("pressure") != 1:
        raise ValueError("name exactly one column 'pressure'")
    if columns.count("temperature") > 1 or "gas" in columns[:-1]:
        raise ValueError("at most one column is 'temperature', and 'gas' can only be the last one")
    return columns


def _of_pressure(symbol: str) -> str:
    return unit(symbol, "pressure").symbol


class Options(BaseModel):
    """What the rig file can say under `options`.

    Attributes:
        columns: what stands in a frame, for a device that cannot say so itself: "pressure", "temperature", "other" for
            any other number, "gas". Without it the device is asked.
        unit: the unit of pressure; only with `columns`, as a device that says what it sends must send psia.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    columns: Annotated[tuple[_Column, ...], AfterValidator(_with_pressure)] = ()
    unit: Annotated[str, AfterValidator(_of_pressure)] = "psia"


class _Layout:
    """What stands in a frame: the columns, and how wide each is (0: unknown)."""

    def __init__(self, columns: tuple[_Column, ...], widths: tuple[int, ...]) -> None:
        self._gas = "gas" in columns
        self._columns = columns[:-1] if self._gas else columns
        self._widths = widths[: len(self._columns)]

    def fits(self, words: list[bytes]) -> bool:
        """Say whether a frame has these columns, none of them narrower or wider than it should be."""
        numbers = words[: len(self._columns)]
        if len(numbers) < len(self._columns) or any(_is_number(word) for word in words[len(numbers) :]):
            return False
        if not all(map(_is_number, numbers)) or (self._gas and len(words) == len(numbers)):
            return False
        pairs = zip(self._widths, numbers, strict=True)
        return all(width in (0, len(number)) or number.startswith(_DASHES) for width, number in pairs)

    def value(self, column: _Column, words: list[bytes]) -> float:
        """Return the number in a column, NaN for dashes and where there is no such column."""
        if column not in self._columns:
            return np.nan
        word = words[self._columns.index(column)]
        return np.nan if word.startswith(_DASHES) else float(word)

    def flags(self, words: list[bytes]) -> frozenset[bytes]:
        """Return the words behind the columns."""
        return frozenset(words[len(self._columns) + self._gas :])

    def has(self, column: _Column) -> bool:
        """Say whether there is such a column."""
        return column in self._columns


class Alicat:
    """One gauge or meter; a `drivers.model.Driver`."""

    def __init__(self, number: int, name: str, words: Transducer) -> None:
        options = Options.model_validate(words.options)
        letter = _letter(number)
        self._expected = words.serial_number
        self._given = _Layout(options.columns, (0,) * len(options.columns)) if options.columns else None
        self._layout = self._given
        self._frame = _line(
            number, letter, rb"%s(?: +(?:[-+]?\d+(?:\.\d+)?|--+))+(?: +[A-Za-z][!-~]*)*\r" % letter, _LONGEST_FRAME
        )
        self._version = _hail(number)
        self._description = _table(number, b"??D*", _DESCRIPTION, _COLUMN_ROWS)
        self._maker = _table(number, b"??M*", _MAKER, _MAKER_ROWS)
        self.channels: tuple[Channel, ...] = (Channel(transducer=name, quantity="pressure", unit=UNITS[options.unit]),)
        if not options.columns or "temperature" in options.columns:
            self.channels += (Channel(transducer=name, quantity="temperature", unit=UNITS["C"]),)
        self.requests: tuple[Request, ...] = (self._frame,)
        self.fences: tuple[Request, ...] = (self._version, self._maker)

    async def identify(self, ask: Ask) -> Identity:
        """Read the firmware's version and what a frame holds; the serial number where the rig file expects one."""
        frames, reason = await told(ask, (self._version,))
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        text = _recognise(frames[0]) or ""
        if self._given is None:
            reason, advice = await self._describe(ask)
            if reason is not Reason.NONE:
                return Identity(text=text + advice, reason=reason)
        if self._expected is None:
            return Identity(text=text)
        frames, reason = await told(ask, (self._maker,))
        if reason is not Reason.NONE:
            return Identity(text=text, reason=reason)
        number = _SERIAL_NUMBER.search(frames[0])
        return identity(text, number[1].decode() if number else "", self._expected)

    async def _describe(self, ask: Ask) -> tuple[Reason, str]:
        """Ask what a frame holds; return why it cannot be read, and what to do."""
        frames, reason = await told(ask, (self._description,))
        if reason is not Reason.NONE:
            return reason, "; it does not describe its frames: name them in options.columns"
        try:
            self._layout = _described(frames[0])
        except ValueError as error:
            return Reason.CONFIG, f"; {error}"
        return Reason.NONE, ""

    async def poll(self, ask: Ask) -> RawPoll:
        """Read one frame; one with other columns than it described is told as a restart, so that it is asked again."""
        attempt = await ask(self._frame)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        words = attempt.frame.split()[1:]
        if self._layout is None or not self._layout.fits(words):
            return RawPoll.nothing(self.channels, Reason.RESTARTED, attempt.time_s)
        columns: tuple[_Column, ...] = ("pressure", "temperature")
        values = np.array([self._layout.value(column, words) for column in columns])[: len(self.channels)]
        reasons = _reasons(values, self._layout.flags(words), temperature=self._layout.has("temperature"))
        return RawPoll(
            channels=self.channels,
            values=values,
            reasons=reasons,
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )


def _reasons(values: NDArray[np.float64], flags: frozenset[bytes], *, temperature: bool) -> NDArray[np.uint8]:
    """Return `Reason` codes, shape (channels,), and strike the values of a device in trouble in place."""
    limits = (_PRESSURE_TOO_HIGH, _TEMPERATURE_TOO_HIGH)[: len(values)]
    reasons = np.array([Reason.SATURATED_HIGH if flags & limit else Reason.NONE for limit in limits], dtype=np.uint8)
    reasons[np.isnan(values)] = Reason.SENSOR_FAILURE
    if flags - _HARMLESS - _PRESSURE_TOO_HIGH - _TEMPERATURE_TOO_HIGH:
        values[:] = np.nan
        reasons[:] = Reason.SENSOR_FAILURE
    if len(values) > 1 and not temperature:
        reasons[1] = Reason.CONFIG
    return reasons


def _described(frame: bytes) -> _Layout:
    """Return the layout that `??D*` describes.

    Raises:
        ValueError: frames that this driver cannot read; the message says why and what to do.
    """
    columns: list[_Column] = []
    widths: list[int] = []
    for row in frame.split(b"\r")[2:-1]:  # without heading and letter, and nothing behind the last CR
        match = _PLACE.fullmatch(row)
        if match is None:
            raise ValueError(f"it describes a column in unknown words: {row.decode('ascii', 'replace')}")
        if match["name"] in _NOT_IN_EACH_FRAME:
            break
        rest = match["rest"].split()
        columns.append(_column(match["name"], match["type"], rest[-1]))
        width = rest[0].partition(b"/")[0] if match["id"] else b"0"
        widths.append(int(width) if width.isdigit() else 0)
    return _Layout(_with_pressure(tuple(columns)), tuple(widths))


def _column(name: bytes, kind: bytes, label: bytes) -> _Column:
    if kind not in _NUMBERS:
        return "gas"
    if name in _PRESSURES:
        if label != _PRESSURE_LABEL:
            raise ValueError(f"its unit of pressure is {label.decode('ascii', 'replace')}: set it to PSIA")
        return "pressure"
    if name in _TEMPERATURES:
        if label not in _TEMPERATURE_LABELS:
            raise ValueError(f"its unit of temperature is {label.decode('ascii', 'replace')}: set it to C")
        return "temperature"
    return "other"


def _is_number(word: bytes) -> bool:
    return not word[:1].isalpha()


def _letter(number: int) -> bytes:
    return bytes((ord("A") - 1 + number,))


def _line(number: int, frame: bytes, answer: bytes, size: int) -> LineRequest:
    return LineRequest(
        unit=number,
        frame=frame + b"\r",
        head=_letter(number) + b" ",
        answer=re.compile(answer),
        answer_size=size,
        terminator=b"\r",
    )


def _table(number: int, command: bytes, pattern: bytes, rows: int) -> LineRequest:
    letter = _letter(number)
    return LineRequest(
        unit=number,
        frame=letter + command + b"\r",
        head=letter + b" ",
        answer=re.compile(pattern.replace(b"@", letter)),
        answer_size=rows * _LONGEST_ROW,
        terminator=b"\r",
        lines=rows,
    )


def _hail(number: int) -> LineRequest:
    letter = _letter(number)
    return _line(number, letter + b"VE", rb"%s +\d+v\d[^\r]*\r" % letter, _LONGEST_ROW)


def _recognise(frame: bytes) -> str | None:
    match = re.fullmatch(rb"[A-Z] +(\d+v[!-~]+)[^\r]*\r", frame)
    return f"Alicat, firmware {match[1].decode()}" if match else None


def _driver(number: int, transducers: Mapping[str, Transducer], _bus: Bus) -> Alicat:
    ((name, words),) = transducers.items()
    return Alicat(number, name, words)


MODEL: Final = Model(
    name="alicat",
    title="Alicat pressure gauge or flow meter (unit 1 is A)",
    kinds=LINE_KINDS,
    bauds=frozenset({9600, 19200, 38400, 57600, 115200}),
    formats=frozenset({"8N1"}),
    units=range(1, 27),
    quantities=("pressure", "temperature"),
    span=None,
    protocol="ASCII lines",
    faults="flags behind the frame (ADC, POV, TOV ...), dashes in place of a number",
    identity="firmware (`VE`), serial number (`??M*`)",
    unconfirmed="labels of units other than PSIA; the numbers after power-up",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    options=Options,
    hail=_hail,
    recognise=_recognise,
)
