"""Twin of the MKS 900 series (a 910 with Pirani and piezo): `@253PR4?;FF` brings `@253ACK7.600E+2;FF`.

An answer does not name what it answers. Without its receive-to-transmit delay (RSD) the head of an answer is lost while
the asker's adapter still drives the line. Sources: MKS manuals of 902B, 905, 910, 925 and 971.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum, StrEnum
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import TextDevice, digits, only


class Nak(IntEnum):
    """Why a command is refused."""

    UNKNOWN = 160
    BAD_ARGUMENT = 169
    OUT_OF_RANGE = 172
    BAD_QUERY = 175
    LOCKED = 180


class Status(StrEnum):
    """What `T?` says."""

    OK = "O"
    PIRANI = "M"
    PIEZO = "Z"


BOOT_NS: Final = 500_000_000
"""Silence after power-up; our choice, the manuals' figure was not at hand."""
DELAY_NS: Final = 8_000_000
"""From question to answer with RSD; our choice."""
HEAD_LOST: Final = 8
"""Characters that an answer loses without RSD: the manual shows `64;FF` for `@253ACK764;FF`."""
EVERYBODY, NOBODY = 254, 255
"""Addresses that all obey; all answer the first and none the second."""

_COMMAND: Final = re.compile(r"@(\d{3})([A-Z]+\d?)(?:(\?)|!([ -~]*))", re.ASCII)
_LIMIT: Final = 80
_LOWEST_PA: Final = 1e-3
_UNITS: Final = {
    "TORR": unit_of("Torr", "pressure"),
    "MBAR": unit_of("mbar", "pressure"),
    "PASCAL": unit_of("Pa", "pressure"),
}
_CELSIUS: Final = unit_of("C", "temperature")
_BAUDS: Final = ("4800", "9600", "19200", "38400", "57600", "115200", "230400")


class _RefusalError(Exception):
    def __init__(self, nak: int) -> None:
        super().__init__(f"NAK {nak}")
        self.nak = nak


class Mks900(TextDevice):
    """One transducer. All its settings are kept without power; a new address or speed counts after the answer."""

    def __init__(
        self, *, unit: int, bus: Bus, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]
    ) -> None:
        settings = {"AD": f"{unit:03}", "U": "TORR", "RSD": "ON", "BR": str(bus.baud)}
        super().__init__(boot_ns=BOOT_NS, settings=settings)
        name, words, self._sensor = only(transducers, sensors)
        self.serial_number = str(words.serial_number or f"{zlib.crc32(name.encode()) % 10**10:010}")
        self.status = Status.OK
        self._open = ""
        self._constants = {
            "SN": self.serial_number,
            "MD": "910",
            "DT": "DUALTRANS",
            "MF": "MKS",
            "FV": "1.12",
            "HV": "A",
        }
        self._measurements: dict[str, Callable[[int], str]] = {
            "PR1": lambda at_ns: f"{_exponential(self._pressure(at_ns), 2)}",
            "PR4": lambda at_ns: f"{_exponential(self._pressure(at_ns), 3)}",
            "TEM": lambda at_ns: f"{_exponential(_CELSIUS.from_si(self._sensor.read(at_ns)[1]), 2)}",
            "TIM": lambda at_ns: str(at_ns // 3_600_000_000_000),
            "T": lambda _at_ns: self.status,
        }

    @property
    def unit(self) -> int:
        """Its address."""
        return int(self.settings["AD"])

    @property
    def baud(self) -> int:
        """The speed that it is set to."""
        return int(self.settings["BR"])

    def fail(self, status: Status) -> None:
        """Break a sensor, or mend all with OK; the pressure goes on to look like one."""
        self.status = status

    def _forget(self) -> None:
        self._open = ""

    def _cut(self, data: bytes) -> Iterator[str]:
        """Yield what ends with `;FF` and begins with the last `@` before it."""
        self._open += data.decode("latin-1")
        *whole, self._open = self._open.split(";FF")
        self._open = self._open[-_LIMIT:]
        for command in whole:
            _, at, rest = command.rpartition("@")
            if at and len(rest) <= _LIMIT:
                yield f"@{rest}"

    def _answer(self, at_ns: int, line: str) -> bytes:
        match = _COMMAND.fullmatch(line)
        if match is None or int(match[1]) not in (self.unit, EVERYBODY, NOBODY):
            return b""
        unit, delayed = self.unit, self.settings["RSD"] == "ON"
        text = self._outcome(at_ns, match[2], None if match[3] else match[4])
        if int(match[1]) == NOBODY:
            return b""
        self._delay_ns = DELAY_NS if delayed else 0
        return f"@{unit:03}{text};FF".encode("latin-1")[0 if delayed else HEAD_LOST :]

    def _outcome(self, at_ns: int, name: str, value: str | None) -> str:
        """Return ACK with what a command brings, or NAK with why it is refused."""
        if self._refusal is not None:
            return f"NAK{self._refusal:03}"
        try:
            return "ACK" + (self._read(at_ns, name) if value is None else self._write(name, value))
        except _RefusalError as refusal:
            return f"NAK{refusal.nak:03}"

    def _read(self, at_ns: int, name: str) -> str:
        if name in self._measurements:
            return self._measurements[name](at_ns)
        if name not in self.settings and name not in self._constants:
            raise _RefusalError(Nak.UNKNOWN)
        return self.settings[name] if name in self.settings else self._constants[name]

    def _write(self, name: str, value: str) -> str:
        """Store a value; a new address counts from the next command on."""
        choices = {"U": tuple(_UNITS), "RSD": ("ON", "OFF"), "BR": _BAUDS}.get(name)
        if name == "AD":
            unit = digits(value, 1, 253)
            if unit is None:
                raise _RefusalError(Nak.OUT_OF_RANGE if value.isdigit() else Nak.BAD_ARGUMENT)
            value = f"{unit:03}"
        elif choices is None:
            raise _RefusalError(Nak.LOCKED if name in self._constants | self._measurements else Nak.UNKNOWN)
        elif value not in choices:
            raise _RefusalError(Nak.BAD_ARGUMENT)
        self.settings.put(name, value)
        return value

    def _pressure(self, at_ns: int) -> float:
        return _UNITS[self.settings["U"]].from_si(max(self._sensor.read(at_ns)[0], _LOWEST_PA))


def _exponential(value: float, decimals: int) -> str:
    digits_, _, exponent = f"{value:.{decimals}E}".partition("E")
    return f"{digits_}E{int(exponent):+}"
