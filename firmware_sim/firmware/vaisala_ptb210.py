"""Twin of the Vaisala PTB210 barometer: commands with a dot, no echo, no confirmation, stars outside its limits.

Settings are kept without power, and take effect at the next start only. Sources: Vaisala PTB210 (serial) user's guide;
public programs for `.P`, `.BP`, and the page that `.?` brings.
"""

import re
import zlib
from collections.abc import Iterator, Mapping
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import State, TextDevice, digits, only

BOOT_NS: Final = 1_000_000_000
"""Silence after power-up; our choice, public programs wait 0.5 s and then once more."""
RANGE_PA: Final = (50e3, 110e3)

_MINUTE_NS: Final = 60_000_000_000
_HPA: Final = unit_of("hPa", "pressure")
_COMMAND: Final = re.compile(r"(?P<id>[^.]{0,15})\.(?P<name>[A-Z]+|\?)(?:\.(?P<value>[ -~]*))?", re.ASCII)
_STARS: Final = "****.**"
_LIMITS: Final = {"PMIN": (0, 15_000), "PMAX": (0, 15_000), "MPM": (6, 4200), "AVRG": (0, 255), "BAUD": (1200, 19_200)}


class VaisalaPtb210(TextDevice):
    """One barometer; its ID code is the unit's number as text."""

    def __init__(
        self, *, unit: int, bus: Bus, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]
    ) -> None:
        name, words, self._sensor = only(transducers, sensors)
        self.serial_number = str(words.serial_number or f"N{zlib.crc32(name.encode()) % 10_000_000:07}")
        low, high = words.range or RANGE_PA
        limits = {"PMIN": f"{_HPA.from_si(low):.0f}", "PMAX": f"{_HPA.from_si(high):.0f}"}
        settings = {"ID": str(unit), "BAUD": str(bus.baud), "MPM": "60", "AVRG": "0", **limits}
        super().__init__(boot_ns=BOOT_NS, settings=settings)
        self._failed = False

    def fail(self, *, failed: bool = True) -> None:
        """Break the sensing element (stars), or mend it."""
        self._failed = failed

    @property
    def baud(self) -> int:
        """The speed that it was set to when it started."""
        return int(self.settings["BAUD"])

    def _cut(self, data: bytes) -> Iterator[str]:
        for _, line in self._lines.feed(data):
            if line is not None:  # an empty one ends a continuous output
                yield line

    def _tell(self, at_ns: int) -> tuple[bytes, int]:
        return self._reading(at_ns), _MINUTE_NS // int(self.settings["MPM"])

    def _answer(self, at_ns: int, line: str) -> bytes:
        if self.state is State.STREAM:
            self._stop()
        match = _COMMAND.fullmatch(line)
        if match is None or match["id"] not in ("", self.settings["ID"]) or self._refusal is not None:
            return b""
        match match["name"], match["value"]:
            case "P", None:
                return self._reading(at_ns)
            case "?", None:
                return self._page()
            case "BP", None:
                self._stream(at_ns, _MINUTE_NS // int(self.settings["MPM"]))
            case "RESET", None:
                self.reboot(at_ns)
            case name, str(value):
                self._store(name, value)
        return b""

    def _store(self, name: str, value: str) -> None:
        if (name == "ID" and 1 <= len(value) <= 15) or (name in _LIMITS and digits(value, *_LIMITS[name]) is not None):
            self.settings.store(name, value)

    def _reading(self, at_ns: int) -> bytes:
        value = _HPA.from_si(self._sensor.read(at_ns)[0])
        there = not self._failed and float(self.settings["PMIN"]) <= value <= float(self.settings["PMAX"])
        return f"{value:7.2f}\r\n".encode() if there else f"{_STARS}\r\n".encode()

    def _page(self) -> bytes:
        lines = (
            "PTB210 Ver 2.0",
            "CAL DATE       :2017-08-15",
            f"ID CODE        :{self.settings['ID']}",
            f"SERIAL NUMBER  :{self.serial_number}",
            "MULTIPOINT CORR:ON",
            f"MEAS PER MINUTE:{self.settings['MPM']:>6}",
            f"AVERAGING      :{self.settings['AVRG']:>6}",
            "PRESSURE UNIT  : hPa",
            f"Pressure Min...Max:{self.settings['PMIN']:>6}{self.settings['PMAX']:>6}",
            "LOW CURRENT MODE",
            "RS485 RESISTOR OFF",
        )
        return "".join(f"{line}\r\n" for line in lines).encode("ascii", "replace")
