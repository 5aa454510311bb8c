"""Twin of the Pfeiffer TPG 261 and 262: a mnemonic is acknowledged, and what it asked for comes when ENQ is heard.

A mistake is answered with NAK, and ENQ then brings which one it was. Sources: Pfeiffer operating instructions of TPG
261, pages 66 to 76, and of its kin VGC501; public clients for BAU, SEN and TID.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import State, TextDevice


class Status(IntEnum):
    """What stands before a pressure."""

    OK = 0
    UNDERRANGE = 1
    OVERRANGE = 2
    ERROR = 3
    OFF = 4
    NO_SENSOR = 5
    UNKNOWN_SENSOR = 6


BOOT_NS: Final = 1_000_000_000
"""Silence after power-up; our choice, the manual's figure was not at hand."""
DELAY_NS: Final = 5_000_000
"""From mnemonic to ACK, and from ENQ to data; our choice."""
ACK, NAK = b"\x06\r\n", b"\x15\r\n"

_NO_ERROR, _PARAMETER, _SYNTAX = "0000", "0010", "0001"  # the words of ERR; two more mean broken hardware
_PROGRAM: Final = "302-510-A"
_GAUGE_TYPE, _NO_GAUGE = "TPR", "noSEn"
_ENQ, _ETX = "\x05", "\x03"
_CONTROL: Final = re.compile(rb"([\x03\x05])")
_COMMAND: Final = re.compile(r"([A-Z][A-Z0-9]{2})(?:,(\d))?", re.ASCII)
_UNITS: Final = tuple(unit_of(symbol, "pressure") for symbol in ("mbar", "Torr", "Pa"))
_PERIODS_NS: Final = (100_000_000, 1_000_000_000, 60_000_000_000)
_USUAL_RANGE_PA: Final = (5e-2, 1.5e5)
_NOBODY_PA: Final = 2.0  # 2.0000E-2 mbar: what a gauge that is not there shows
_GAUGES: Final = (1, 2)
_MNEMONICS: Final = ("UNI", "BAU", "COM", "PR1", "PR2", "PRX", "SEN", "ERR", "PNR", "TID")
_TAKE_A_CODE: Final = ("UNI", "BAU", "COM")  # 0 to 2
_BAUDS: Final = (9600, 19200, 38400)


class PfeifferTpg26x(TextDevice):
    """One controller with a gauge for each transducer (its `channel`). The unit of pressure is kept without power."""

    def __init__(
        self,
        *,
        unit: int,  # noqa: ARG002 - the seam's; it has no address
        bus: Bus,
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(boot_ns=BOOT_NS, delay_ns=DELAY_NS, settings={"UNI": "0", "BAU": str(_baud_code(bus.baud))})
        self._sensors = {words.channel or 1: sensors[name] for name, words in transducers.items()}
        self._ranges_pa = {words.channel or 1: words.range or _USUAL_RANGE_PA for words in transducers.values()}
        self._failures: dict[int, Status] = {}
        self._asked = ""
        self._error = _NO_ERROR
        self._period_ns = _PERIODS_NS[1]

    @property
    def baud(self) -> int:
        """The speed that it is set to."""
        return _BAUDS[int(self.settings["BAU"])]

    def fail(self, gauge: int, status: Status = Status.ERROR) -> None:
        """Break the gauge with this number, or mend it with OK."""
        self._failures[gauge] = status

    def _forget(self) -> None:
        super()._forget()
        self._asked = ""
        self._error = _NO_ERROR

    def _cut(self, data: bytes) -> Iterator[str]:
        """Yield mnemonics and ENQ; any character ends a continuous output, ETX forgets what has begun."""
        if data and self.state is State.STREAM:
            self._stop()
        for part in _CONTROL.split(data):
            character = part.decode("latin-1")
            if character == _ETX:
                self._lines.clear()
            elif character == _ENQ:
                yield character
            else:
                yield from super()._cut(part)

    def _answer(self, at_ns: int, line: str) -> bytes:
        if line == _ENQ:
            return self._data(at_ns, self._asked)
        match = _COMMAND.fullmatch(line.replace(" ", ""))
        error = _SYNTAX if match is None or self._refusal is not None else self._obey(at_ns, match[1], match[2])
        if error:
            self._asked, self._error = "ERR", error
        return NAK if error else ACK

    def _obey(self, at_ns: int, name: str, value: str | None) -> str:
        """Do what a mnemonic says; return the word of the mistake when it cannot be done."""
        if name not in _MNEMONICS:
            return _SYNTAX
        if value is not None and (name not in _TAKE_A_CODE or int(value) >= len(_UNITS)):
            return _PARAMETER
        self._asked = ""
        if name == "COM":
            self._period_ns = _PERIODS_NS[int(value or 1)]
            self._stream(at_ns, self._period_ns)
            return ""
        if value is not None:
            self.settings.put(name, value)
        self._asked = name
        return ""

    def _data(self, at_ns: int, name: str) -> bytes:
        lines: dict[str, Callable[[], str]] = {
            "UNI": lambda: self.settings["UNI"],
            "BAU": lambda: self.settings["BAU"],
            "SEN": lambda: ",".join("0" for _ in _GAUGES),  # none can be switched
            "PR1": lambda: self._gauge(at_ns, 1),
            "PR2": lambda: self._gauge(at_ns, 2),
            "PRX": lambda: ",".join(self._gauge(at_ns, gauge) for gauge in _GAUGES),
            "ERR": self._tell_error,
            "PNR": lambda: _PROGRAM,
            "TID": lambda: ",".join(_GAUGE_TYPE if gauge in self._sensors else _NO_GAUGE for gauge in _GAUGES),
        }
        return f"{lines[name]()}\r\n".encode() if name else b""

    def _tell_error(self) -> str:
        error, self._error = self._error, _NO_ERROR
        return error

    def _tell(self, at_ns: int) -> tuple[bytes, int]:
        return self._data(at_ns, "PRX"), self._period_ns

    def _gauge(self, at_ns: int, gauge: int) -> str:
        status, pressure_pa = Status.NO_SENSOR, _NOBODY_PA
        if gauge in self._sensors:
            low, high = self._ranges_pa[gauge]
            felt_pa = self._sensors[gauge].read(at_ns)[0]
            pressure_pa = min(max(felt_pa, low), high)
            status = Status.UNDERRANGE if felt_pa < low else Status.OVERRANGE if felt_pa > high else Status.OK
            status = self._failures.get(gauge) or status
        if status in (Status.ERROR, Status.OFF, Status.NO_SENSOR, Status.UNKNOWN_SENSOR):
            pressure_pa = _NOBODY_PA
        return f"{status:d},{_UNITS[int(self.settings['UNI'])].from_si(pressure_pa):+.4E}"


def _baud_code(baud: int) -> int:
    return _BAUDS.index(baud) if baud in _BAUDS else 0
