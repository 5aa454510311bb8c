"""Advantech ADAM-4117 with 4-20 mA transmitters, in its ASCII protocol: `#01` brings eight currents, `>+12.106+04...`.

Sources: Advantech manuals of ADAM-4000 and ADAM-4100; the public client adam-ascii. Currents outside the range of an
input are given as they are, so a failed transmitter shows by NAMUR NE 43. Where a module puts its address before the
currents (as the ADAM-6017 does), that is checked. Inputs must be of a range in mA, and the checksum off; neither is
read, and nothing is written.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, told, unanswered
from drivers.models.current_loop import CurrentLoops, input_number
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_INPUTS: Final = 8
_CURRENT: Final = re.compile(rb"[-+]\d\d\.\d{3}")
_LONGEST: Final = 4 + 7 * _INPUTS
_NAMES: Final = re.compile(rb"![0-9A-F]{2}(4117)\r")


class Adam4117:
    """The inputs in use of one module; a `drivers.model.Driver`. A transducer's `channel` is its input, 1 to 8."""

    def __init__(self, unit: int, transducers: Mapping[str, Transducer]) -> None:
        self._places = [input_number(name, words, _INPUTS) for name, words in transducers.items()]
        self._loops = CurrentLoops(transducers)
        self._currents = _question(unit, b"#%02X", rb">(?:%02X)?(?:[-+]\d\d\.\d{3}){8}\r" % unit)
        self._name = _hail(unit)
        self._version = _question(unit, b"$%02XF", rb"!%02X[A-Z]\d?[0-9.]+\r" % unit)
        self.channels = tuple(Channel(transducer=name, quantity="pressure", unit=UNITS["Pa"]) for name in transducers)
        self.requests: tuple[Request, ...] = (self._currents,)
        self.fences: tuple[Request, ...] = (self._name, self._version)

    async def identify(self, ask: Ask) -> Identity:
        """Read name and firmware; it has no serial number to tell."""
        frames, reason = await told(ask, (self._name, self._version))
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        return Identity(text=f"{_recognise(frames[0])}, firmware {frames[1][3:].strip().decode()}")

    async def poll(self, ask: Ask) -> RawPoll:
        """Read all inputs."""
        attempt = await ask(self._currents)
        if attempt.outcome is not Outcome.REPLY:
            return unanswered(self.channels, attempt)
        milliamps = np.array([float(text) for text in _CURRENT.findall(attempt.frame)])
        values, reasons = self._loops.graded(milliamps[self._places] * 1e3)
        return RawPoll(
            channels=self.channels,
            values=values,
            reasons=reasons,
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )


def _question(unit: int, command: bytes, answer: bytes) -> LineRequest:
    return LineRequest(
        unit=unit,
        frame=command % unit + b"\r",
        head=b"",
        starts_line=True,
        answer=re.compile(answer),
        refused=re.compile(rb"\?%02X\r" % unit),
        answer_size=_LONGEST,
        terminator=b"\r",
    )


def _hail(unit: int) -> LineRequest:
    return _question(unit, b"$%02XM", rb"!%02X4117\r" % unit)


def _recognise(frame: bytes) -> str | None:
    match = _NAMES.fullmatch(frame)
    return f"Advantech ADAM-{match[1].decode()}" if match else None


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> Adam4117:
    return Adam4117(unit, transducers)


MODEL: Final = Model(
    name="adam-4117",
    title="Advantech ADAM-4117 with 4-20 mA transmitters (ASCII on RS-485)",
    kinds=LINE_KINDS,
    bauds=frozenset({1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200}),
    formats=frozenset({"8N1"}),
    units=range(256),
    quantities=("pressure",),
    span=None,
    driver=_driver,
    takes=frozenset({"channel", "current", "range"}),
    needs=frozenset({"channel", "range"}),
    shares_unit=True,
    hail=_hail,
    recognise=_recognise,
)
