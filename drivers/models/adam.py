"""Advantech ADAM modules with 4-20 mA transmitters, in their ASCII protocol: `#01` brings eight currents.

The ADAM-4117 speaks it on RS-485 and answers `>+12.106+04...`, the ADAM-6017 in UDP datagrams (port 1025) and puts its
address before the currents: `>01+12.106...`. Sources: Advantech manuals of ADAM-4000, ADAM-4100, ADAM-6000 and
ADAM-6200; the public client adam-ascii. Currents outside the range of an input are given as they are, so a failed
transmitter shows by NAMUR NE 43. Inputs must be of a range in mA, and the checksum off; neither is read, and nothing is
written. The ADAM-6017's Modbus registers are left out: how they are scaled is not confirmed.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Final

import numpy as np

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, USUAL_BAUDS, told, unanswered
from drivers.models.current_loop import CurrentLoops, input_number
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, BusKind, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_INPUTS: Final = 8
_CURRENT: Final = re.compile(rb"[-+]\d\d\.\d{3}")
_LONGEST: Final = 4 + 7 * _INPUTS


class Adam:
    """The inputs in use of one module; a `drivers.model.Driver`. A transducer's `channel` is its input, 1 to 8."""

    def __init__(self, name: bytes, unit: int, transducers: Mapping[str, Transducer]) -> None:
        self._places = [input_number(each, words, _INPUTS) for each, words in transducers.items()]
        self._loops = CurrentLoops(transducers)
        self._currents = _question(unit, b"#%02X", rb">(?:%02X)?(?:[-+]\d\d\.\d{3}){8}\r" % unit)
        self._name = _hail(name, unit)
        self._version = _question(unit, b"$%02XF", rb"!%02X ?[A-Z]\d?[0-9.]+(?:B\d+)?\r" % unit)
        self.channels = tuple(Channel(transducer=each, quantity="pressure", unit=UNITS["Pa"]) for each in transducers)
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


def _hail(name: bytes, unit: int) -> LineRequest:
    return _question(unit, b"$%02XM", rb"!%02X%s\r" % (unit, name))


def _recognise(frame: bytes) -> str | None:
    match = re.fullmatch(rb"![0-9A-F]{2}(\d{4})\r", frame)
    return f"Advantech ADAM-{match[1].decode()}" if match else None


def _driver(name: bytes, unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> Adam:
    return Adam(name, unit, transducers)


def _model(name: bytes, where: str, kinds: frozenset[BusKind], units: range) -> Model:
    number = name.decode()
    return Model(
        name=f"adam-{number}",
        title=f"Advantech ADAM-{number} with 4-20 mA transmitters (ASCII {where})",
        kinds=kinds,
        bauds=USUAL_BAUDS,
        formats=frozenset({"8N1"}),
        units=units,
        quantities=("pressure",),
        span=None,
        protocol=f"ASCII lines {where}",
        faults="the loop current (NAMUR NE 43)",
        identity="module name, firmware (`$01M`, `$01F`)",
        unconfirmed="accuracy; how the Modbus registers of a 6017 are scaled, so they are not used",
        driver=partial(_driver, name),
        takes=frozenset({"channel", "current", "range"}),
        needs=frozenset({"channel", "range"}),
        shares_unit=True,
        hail=partial(_hail, name),
        recognise=_recognise,
    )


ADAM_4117: Final = _model(b"4117", "on RS-485", LINE_KINDS, range(256))
ADAM_6017: Final = _model(b"6017", "over UDP", frozenset({BusKind.LINE_OVER_UDP}), range(1, 2))
