"""Twin of Mensor and WIKA transducers CPT6010, CPT6020: `#1?` brings `1 14.6960`, commands bring `R`.

What is set is gone without power until `SAVE`. Sources: CPT6010 operating instructions, 6.4.4; CPT6020, 6.1.3.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import TextDevice, digits, only

BOOT_NS: Final = 1_000_000_000
"""Silence after power-up; our choice."""

_ADDRESSES: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_COMMAND: Final = re.compile(r"#(?P<to>[0-9A-Z*])(?P<name>[A-Z]*[-+]?)(?:(?P<ask>\?)| ?(?P<value>[ -~]*))", re.ASCII)
_READY: Final = b"R"
_RANGE_PA: Final = (0.0, 206_842.7)  # 30 psi


class MensorCpt(TextDevice):
    """One transducer in its native unit, psi unless the rig file's options say otherwise."""

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(boot_ns=BOOT_NS, settings={"A": _ADDRESSES[unit], "FL": "80"})
        name, words, self._sensor = only(transducers, sensors)
        self.serial_number = str(words.serial_number or zlib.crc32(name.encode()) % 1_000_000)
        self._unit = unit_of(str(words.options.get("unit", "psi")), "pressure")
        self._range_pa = words.range or _RANGE_PA

    def _answer(self, at_ns: int, line: str) -> bytes:
        match = _COMMAND.fullmatch(line.upper())
        if match is None or match["to"] not in (self.settings["A"], "*") or self._refusal is not None:
            return b""
        if match["ask"]:
            return self._tell_of(at_ns, match["name"])
        return self._set(match["name"], match["value"])

    def _tell_of(self, at_ns: int, name: str) -> bytes:
        low, high = self._range_pa
        match name:
            case "":
                text = self._number(min(max(self._sensor.read(at_ns)[0], low), high))
            case "R-" | "R+":
                text = f"{name} {self._number(low if name == 'R-' else high)}"
            case "ID":
                text = f"ID MENSOR, CPT6010, {self.serial_number}, V1.20"
            case "FL":
                text = f"FL {self.settings['FL']}"
            case _:
                return b""
        return f"{self.settings['A']} {text}\r\n".encode("ascii", "replace")

    def _set(self, name: str, value: str) -> bytes:
        if name == "SAVE" and not value:
            self.settings.save()
        elif name == "A" and len(value) == 1 and value in _ADDRESSES:
            self.settings.try_out("A", value)
        elif name == "FL" and digits(value, 0, 99) is not None:
            self.settings.try_out("FL", value)
        else:
            return b""
        return _READY

    def _number(self, pressure_pa: float) -> str:
        return f"{self._unit.from_si(pressure_pa):.4f}"
