"""Vaisala PTB330 barometer: lines of text in a format of our own, with labels, errors, a counter and a checksum.

Source: Vaisala PTB330 user's guide M210855EN (commands, format items, OPEN). After power-up the barometer echoes,
prompts and has lost our format: that is how a break of its supply is noticed. An address other than 0 stands for a
barometer on RS-485 in POLL mode, which listens to its number only.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Attempt, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_FORM: Final = b'FORM "P=" 4.3 P " " U " T=" 2.3 TP1 " E=" ERR " N=" MCTR " " CS2 #RN\r'
_MESSAGE: Final = re.compile(
    rb"P= *(?P<pressure>-?\d+\.\d+|\*[*.]*) +(?P<unit>\S+) +T= *(?P<temperature>-?\d+\.\d+|\*[*.]*)"
    rb" +E= *(?P<errors>[01]{1,3}) +N= *(?P<counter>\d+) (?P<sum>[0-9A-F]{2})\r\n"
)
_LABELS: Final = (b"P=", b" T=", b" E=", b" N=")
_LONGEST_MESSAGE: Final = 60
_LONGEST_LINE: Final = 80
_PRESSURE_UNIT: Final = b"hPa"
_COUNTS_WITHIN_S: Final = 2.0  # it measures at least once a second, so a counter that stands still this long is stuck
_GARBLED: Final = (Outcome.CRC, Outcome.SHORT, Outcome.ECHO_MISMATCH)


def _checksum_holds(line: bytes) -> bool:
    """CS2 is the sum of all characters before it, modulo 256."""
    return int(line[-4:-2], 16) == sum(line[:-4]) % 256


class VaisalaPtb330:
    """One barometer; a `drivers.model.Driver`.

    The last fence begins with `S`, which stops a continuous output: while one is running nothing else is heard. It is
    the last because a barometer that echoes on a half-duplex line talks over what follows the `S`.
    """

    def __init__(self, unit: int, name: str, words: Transducer) -> None:
        self._expected = words.serial_number
        self._counter = (b"", 0.0)
        self._values = LineRequest(
            unit=unit,
            frame=b"SEND %d\r" % unit if unit else b"SEND\r",
            head=b"P=",
            answer=_MESSAGE,
            answer_size=_LONGEST_MESSAGE,
            intact=_checksum_holds,
        )
        self._serial_number = _question(unit, b"SNUM\r", rb"Serial number *: *\S+\r\n", head=b"Serial number")
        self._version = _version(unit)
        opening = _opening(unit)
        self._preparations = (
            *((opening,) if unit else ()),
            _echo(unit, b"ECHO OFF\r"),
            _question(unit, b"SMODE POLL\r" if unit else b"SMODE STOP\r", rb"Start[^\r\n]*\r\n", head=b"Start"),
        )
        self._format = _question(unit, _FORM, rb"OK\r\n", head=b"OK")
        self.channels = (
            Channel(transducer=name, quantity="pressure", unit=UNITS["hPa"]),
            Channel(transducer=name, quantity="temperature", unit=UNITS["C"]),
        )
        self.requests: tuple[Request, ...] = (self._values,)
        first, second = (opening, self._serial_number) if unit else (self._serial_number, self._version)
        self.fences: tuple[Request, ...] = (first, second, _echo(unit, b"S\rECHO\r"))

    async def identify(self, ask: Ask) -> Identity:
        """Turn echo off, stop output on its own, set our format; then compare the serial number."""
        reason = await self._prepare(ask)
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        version = await ask(self._version)
        number = await ask(self._serial_number)
        for answer in (version, number):
            if answer.outcome is not Outcome.REPLY:
                return Identity(reason=answer.outcome.reason)
        found = _text(number.frame.partition(b":")[2])
        wrong = self._expected is not None and found != str(self._expected)
        return Identity(
            text=f"Vaisala {_text(version.frame)}",
            serial_number=found,
            reason=Reason.IDENTITY_MISMATCH if wrong else Reason.NONE,
        )

    async def _prepare(self, ask: Ask) -> Reason:
        """Set the session up; how ECHO and SMODE answer is not documented, so only FORM has to be confirmed."""
        for question in self._preparations:
            attempt = await ask(question)
            if attempt.outcome is not Outcome.REPLY and not attempt.heard:
                return attempt.outcome.reason
        return (await ask(self._format)).outcome.reason

    async def poll(self, ask: Ask) -> RawPoll:
        """Ask for one message in our format; set the session up again when the format is lost."""
        attempt = await ask(self._values)
        if attempt.outcome is Outcome.REPLY:
            return self._graded(attempt)
        if _is_other_format(attempt):
            await self._prepare(ask)
            return RawPoll.nothing(self.channels, Reason.RESTARTED, attempt.time_s)
        return unanswered(self.channels, attempt)

    def _graded(self, attempt: Attempt) -> RawPoll:
        match = _MESSAGE.fullmatch(attempt.frame)
        if match is None:
            raise ValueError(
                f"unit {attempt.request.unit}: not an answer to {attempt.request.frame!r}: {attempt.frame!r}"
            )
        suspect = Reason.FROZEN if self._stands_still(match["counter"], attempt.time_s) else Reason.NONE
        values = [_number(match["pressure"]), _number(match["temperature"])]
        reasons = [suspect, suspect]
        if b"1" in match["errors"]:
            values[0] = np.nan
        elif match["unit"] != _PRESSURE_UNIT:
            values[0], reasons[0] = np.nan, Reason.CONFIG
        for index, value in enumerate(values):
            if np.isnan(value) and reasons[index] is not Reason.CONFIG:
                reasons[index] = Reason.SENSOR_FAILURE
        return RawPoll(
            channels=self.channels,
            values=np.array(values),
            reasons=np.array(reasons, dtype=np.uint8),
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )

    def _stands_still(self, counter: bytes, now_s: float) -> bool:
        """Say whether the measurement counter has not moved for longer than a measurement takes."""
        last, since_s = self._counter
        if counter != last:
            self._counter = (counter, now_s)
            return False
        return now_s - since_s > _COUNTS_WITHIN_S


def _is_other_format(attempt: Attempt) -> bool:
    """Say whether a whole line came that has none of our labels."""
    heard = attempt.heard
    return attempt.outcome in _GARBLED and b"\n" in heard and not any(label in heard for label in _LABELS)


def _number(text: bytes) -> float:
    """Return a number, NaN for the stars that stand for a value that is missing."""
    return np.nan if text.startswith(b"*") else float(text)


def _text(line: bytes) -> str:
    return line.strip().decode("ascii", "replace")


def _version(unit: int) -> LineRequest:
    return _question(unit, b"VERS\r", rb"PTB\d+ */ *\S+\r\n", head=b"PTB")


def _opening(unit: int) -> LineRequest:
    return _question(unit, b"OPEN %d\r" % unit, rb"PTB\d+: *%d line opened[^\r\n]*\r\n" % unit, head=b"PTB")


def _echo(unit: int, frame: bytes) -> LineRequest:
    return _question(unit, frame, rb"Echo[^\r\n]*\r\n", head=b"Echo")


def _question(unit: int, frame: bytes, pattern: bytes, *, head: bytes) -> LineRequest:
    return LineRequest(unit=unit, frame=frame, head=head, answer=re.compile(pattern), answer_size=_LONGEST_LINE)


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> VaisalaPtb330:
    ((name, words),) = transducers.items()
    return VaisalaPtb330(unit, name, words)


def _hail(unit: int) -> LineRequest:
    return _opening(unit) if unit else _version(unit)


def _recognise(frame: bytes) -> str | None:
    return f"Vaisala {_text(frame.partition(b':')[0])}" if frame.startswith(b"PTB") else None


MODEL: Final = Model(
    name="vaisala-ptb330",
    title="Vaisala PTB330 barometer",
    kinds=LINE_KINDS,
    bauds=frozenset({4800, 9600, 19200, 38400, 57600, 115200}),
    formats=frozenset({"7E1", "8N1"}),
    units=range(100),
    quantities=("pressure", "temperature"),
    span=(50e3, 110e3),
    protocol="ASCII lines in a format of our own, with checksum",
    faults="stars in place of a number, error digit, a counter that stands still",
    identity="version, serial number (`VERS`, `SNUM`)",
    unconfirmed="texts of ERRS; the service port",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    hail=_hail,
    recognise=_recognise,
)
