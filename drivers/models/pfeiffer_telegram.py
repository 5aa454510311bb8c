"""Pfeiffer's gauges with telegrams (CPT, RPT, PPT, HPT, MPT 100): pressure, and a word about the gauge's own health.

Sources: operating instructions of PPT 100 and HPT 100; the public client pfeiffer-vacuum-protocol. A broken gauge goes
on sending a pressure that looks like one, so parameter 303 is asked before each: `Err001` is the transmitter, `Err002`
its memory. Four digits are 100 Pa at one atmosphere. They have no temperature to tell.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest
from drivers.wire.pfeiffer import data_of, expo, read_parameter

_HEALTHY: Final = b"000000"
_GAUGES: Final = {
    b"    A1": "CPT 100",
    b"    A2": "RPT 100",
    b"    A3": "PPT 100",
    b"    A4": "HPT 100",
    b"    A5": "MPT 100",
}


class PfeifferTelegram:
    """One gauge; a `drivers.model.Driver`."""

    def __init__(self, unit: int, name: str) -> None:
        self._health = read_parameter(unit, 303, rb"\d{6}|Err\d{3}", 6)
        self._pressure = read_parameter(unit, 740, rb"\d{6}", 6)
        self._gauge = _hail(unit)
        self._version = read_parameter(unit, 312, rb"\d{6}", 6)
        self.channels = (Channel(transducer=name, quantity="pressure", unit=UNITS["hPa"]),)
        self.requests: tuple[Request, ...] = (self._health, self._pressure)
        self.fences: tuple[Request, ...] = (self._version, self._gauge)

    async def identify(self, ask: Ask) -> Identity:
        """Read type and version; no parameter for a serial number is confirmed."""
        frames, reason = await told(ask, (self._gauge, self._version))
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        version = data_of(frames[1]).decode()
        text = f"{_recognise(frames[0])}, version {version[:2]}.{version[2:4]}.{version[4:]}"
        return Identity(text=text)

    async def poll(self, ask: Ask) -> RawPoll:
        """Ask for the gauge's health, and for the pressure of a healthy one."""
        health = await ask(self._health)
        if health.outcome is not Outcome.REPLY:
            return unanswered(self.channels, health)
        if data_of(health.frame) != _HEALTHY:
            return RawPoll.nothing(self.channels, Reason.SENSOR_FAILURE, health.time_s)
        pressure = await ask(self._pressure)
        if pressure.outcome is not Outcome.REPLY:
            return unanswered(self.channels, pressure)
        return RawPoll(
            channels=self.channels,
            values=np.array([expo(data_of(pressure.frame))]),
            reasons=np.array([Reason.NONE], dtype=np.uint8),
            time_s=pressure.time_s,
            uncertainty_s=pressure.uncertainty_s,
        )


def _hail(unit: int) -> LineRequest:
    return read_parameter(unit, 349, rb"[ -~]{6}", 6)


def _recognise(frame: bytes) -> str | None:
    if frame[3:8] != b"10349":
        return None
    code = data_of(frame)
    return f"Pfeiffer {_GAUGES.get(code, f'gauge of type {code.decode().strip()}')}"


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> PfeifferTelegram:
    (name,) = transducers
    return PfeifferTelegram(unit, name)


MODEL: Final = Model(
    name="pfeiffer-telegram",
    title="Pfeiffer CPT, RPT, PPT, HPT, MPT 100 vacuum gauge (telegrams on RS-485)",
    kinds=LINE_KINDS,
    bauds=frozenset({9600}),
    formats=frozenset({"8N1"}),
    units=range(1, 16),
    quantities=("pressure",),
    span=(0.0, 1.2e5),
    protocol="telegrams on RS-485",
    faults="parameter 303 (`Err001`, `Err002`)",
    identity="type of gauge (349)",
    unconfirmed="what a pressure beyond the range looks like",
    driver=_driver,
    hail=_hail,
    recognise=_recognise,
)
