"""Honeywell HPB, HPA and PPT: `*12P1` brings `#12CP= 14.450`; one without an address answers `*00P1` with `?01CP=...`.

Sources: manuals of HPB/HPA (pages 5-14, 30, 45), PPT and PPT2. An answer names unit and quantity. `!` in place of `=`
is a parity error of its EEPROM, `..` in place of a number a value that is not there. The unit of a number cannot be
asked for: it is psi as delivered, and what is far beyond the full scale that `M=` tells is taken for no measurement.
Settings are read, never written: the EEPROM bears few writes.
"""

import re
from collections.abc import Mapping
from typing import Final

import numpy as np

from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity, Model
from drivers.models.answers import LINE_KINDS, USUAL_BAUDS, identity, told, unanswered
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest

_LONGEST: Final = 24
_HEAD: Final = 3
_INTEGRATION_S: Final = 0.2  # I=M2, as delivered
_VALUE: Final = re.compile(rb"[#?]\d\d[A-Z]{1,2}(?P<mark>[=!]) *(?P<value>[^\r]*)\r")
_FULL_SCALE: Final = re.compile(rb"(?P<psi>\d{4})psia")
_NUMBER: Final = rb" *(?:[-+]?\d+(?:\.\d+)?|\.\.)"
_HEALTHY: Final = b"="
_BEYOND: Final = 0.1  # of full scale, on both sides


class HoneywellHpb:
    """One transducer; a `drivers.model.Driver`."""

    def __init__(self, unit: int, name: str, words: Transducer) -> None:
        self._expected = words.serial_number
        self._pressure = _question(unit, b"P1", b"CP", _NUMBER, _INTEGRATION_S)
        self._temperature = _question(unit, b"T1", b"CT", _NUMBER, _INTEGRATION_S)
        self._serial_number = _hail(unit)
        self._status = _question(unit, b"RS", b"RS", rb"[0-9A-F]+")
        self._version = _question(unit, b"V=", b"V", rb"[ -~]+")
        self._scale = _question(unit, b"M=", b"M", rb"[ -~]+")
        self._full_psi = 0.0
        self.channels = (
            Channel(transducer=name, quantity="pressure", unit=UNITS["psia"]),
            Channel(transducer=name, quantity="temperature", unit=UNITS["C"]),
        )
        self.requests: tuple[Request, ...] = (self._pressure, self._temperature)
        self.fences: tuple[Request, ...] = (self._status, self._serial_number)

    async def identify(self, ask: Ask) -> Identity:
        """Read version, status, serial number and full scale, which must be of an absolute pressure."""
        frames, reason = await told(ask, (self._version, self._status, self._serial_number, self._scale))
        if reason is not Reason.NONE:
            return Identity(reason=reason)
        version, status, number, scale = (_value(frame)[1] for frame in frames)
        text = f"Honeywell {scale.decode()}, version {version.decode()}, status {status.decode()}"
        full = _FULL_SCALE.fullmatch(scale)
        if full is None:
            text += "; it does not measure absolute pressure (psia)"
            return Identity(text=text, serial_number=number.decode(), reason=Reason.CONFIG)
        self._full_psi = float(full["psi"])
        return identity(text, number.decode(), self._expected)

    async def poll(self, ask: Ask) -> RawPoll:
        """Measure pressure, then temperature if pressure came; the poll's time is that of the pressure."""
        pressure = await ask(self._pressure)
        if pressure.outcome is not Outcome.REPLY:
            return unanswered(self.channels, pressure)
        psi, pressure_reason = _graded(pressure.frame)
        if pressure_reason is Reason.NONE:
            psi, pressure_reason = self._scaled(psi)
        temperature = await ask(self._temperature)
        celsius, temperature_reason = np.nan, temperature.outcome.reason
        if temperature.outcome is Outcome.REPLY:
            celsius, temperature_reason = _graded(temperature.frame)
        return RawPoll(
            channels=self.channels,
            values=np.array([psi, celsius]),
            reasons=np.array([pressure_reason, temperature_reason], dtype=np.uint8),
            time_s=pressure.time_s,
            uncertainty_s=pressure.uncertainty_s,
        )

    def _scaled(self, psi: float) -> tuple[float, Reason]:
        """Grade a pressure by the full scale: at its ends the transducer may have stopped following."""
        full = self._full_psi
        if not -_BEYOND * full <= psi <= (1 + _BEYOND) * full:
            return np.nan, Reason.OUT_OF_RANGE
        return psi, Reason.SATURATED_LOW if psi < 0 else Reason.SATURATED_HIGH if psi >= full else Reason.NONE


def _question(unit: int, command: bytes, name: bytes, value: bytes, processing_s: float = 0.0) -> LineRequest:
    head = (b"#%02d" % unit if unit else b"?01") + name
    return LineRequest(
        unit=unit,
        frame=b"*%02d%s\r" % (unit, command),
        head=head,
        answer=re.compile(re.escape(head) + rb"[=!]" + value + rb"\r"),
        answer_size=_LONGEST,
        processing_s=processing_s,
        terminator=b"\r",
    )


def _value(frame: bytes) -> tuple[bytes, bytes]:
    """Return the mark and what stands behind it."""
    match = _VALUE.fullmatch(frame)
    if match is None:
        raise ValueError(f"not an answer of a Honeywell transducer: {frame!r}")
    return match["mark"], match["value"].strip()


def _graded(frame: bytes) -> tuple[float, Reason]:
    mark, value = _value(frame)
    if mark != _HEALTHY or value == b"..":
        return np.nan, Reason.SENSOR_FAILURE
    return float(value), Reason.NONE


def _hail(unit: int) -> LineRequest:
    return _question(unit, b"S=", b"S", rb"[ -~]+")


def _recognise(frame: bytes) -> str | None:
    if frame[_HEAD : _HEAD + 2] not in (b"S=", b"S!"):
        return None
    return f"Honeywell HPB, HPA or PPT, serial number {_value(frame)[1].decode()}"


def _driver(unit: int, transducers: Mapping[str, Transducer], _bus: Bus) -> HoneywellHpb:
    ((name, words),) = transducers.items()
    return HoneywellHpb(unit, name, words)


MODEL: Final = Model(
    name="honeywell-hpb",
    title="Honeywell HPB, HPA, PPT precision barometer or pressure transducer",
    kinds=LINE_KINDS,
    bauds=USUAL_BAUDS,
    formats=frozenset({"8N1"}),
    units=range(90),
    quantities=("pressure", "temperature"),
    span=None,
    protocol="ASCII lines",
    faults="`!` in place of `=` (EEPROM parity), `..` in place of a number",
    identity="serial number, version, status, full scale (`S=`, `V=`, `RS`, `M=`)",
    unconfirmed="baud as delivered; what a pressure beyond the range looks like",
    driver=_driver,
    takes=frozenset({"serial_number"}),
    hail=_hail,
    recognise=_recognise,
)
