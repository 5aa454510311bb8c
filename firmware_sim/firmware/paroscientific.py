"""Twin of Paroscientific Digiquartz transmitters (series 6000): `*0100P3` brings `*00011013.2500`.

An answer does not name the quantity it brings. No text is known for faults or values out of range, so there is none.
Sources: Digiquartz Programming and Operations Manual, command summary; a dozen public programs.
"""

import zlib
from collections.abc import Mapping
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import TextDevice, only
from firmware_sim.wire.ascii import DigiquartzCommand, digiquartz

BOOT_NS: Final = 500_000_000
"""Silence after power-up; our choice, the manual's figure was not at hand."""

UNITS: Final = {1: unit_of("psi", "pressure"), 2: unit_of("hPa", "pressure"), 8: unit_of("mH2O", "pressure")}
"""Values of UN that public programs agree on."""

# A real one leaves the factory with PI=666 and needs about 0.8 s for an answer.
_SETTINGS: Final = {"UN": "2", "PR": "238", "PI": "100", "TH": "0", "IA": "1", "XM": "0"}
_CELSIUS: Final = unit_of("C", "temperature")
_MILLISECOND_NS: Final = 1_000_000
_LARGEST: Final = 100_000


class Paroscientific(TextDevice):
    """One transmitter. Its settings are kept without power; it integrates for PI milliseconds before it answers."""

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(boot_ns=BOOT_NS, settings=_SETTINGS)
        name, words, self._sensor = only(transducers, sensors)
        self.serial_number = str(words.serial_number or zlib.crc32(name.encode()) % 1_000_000)
        self._unit = unit
        self._constants = {"SN": self.serial_number, "MN": "6000-16B", "VR": "R5.10"}
        self._continuous: DigiquartzCommand | None = None

    def _tell(self, at_ns: int) -> tuple[bytes, int]:
        asked = self._continuous
        return asked.answer(self._pressure(at_ns)) if asked else b"", self._integration_ns()

    def _answer(self, at_ns: int, line: str) -> bytes:
        self._stop()  # any command ends a continuous output
        self._delay_ns = 0
        command = digiquartz(line)
        if command is None or command.to != self._unit or self._refusal is not None:
            return b""  # no text for a refusal is known
        return self._do(at_ns, command)

    def _do(self, at_ns: int, command: DigiquartzCommand) -> bytes:
        name = command.name
        if command.value is not None:
            return self._set(command, command.value)
        if name in self.settings:
            return command.answer(f"{name}={self.settings[name]}")
        if name in self._constants:
            return command.answer(f"{name}={self._constants[name]}")
        match name:
            case "P3" | "Q3":
                self._delay_ns = self._integration_ns()
                return command.answer(self._pressure(at_ns) if name == "P3" else self._temperature(at_ns))
            case "P4":
                self._continuous = command
                self._stream(at_ns, self._integration_ns())
        return b""

    def _set(self, command: DigiquartzCommand, value: str) -> bytes:
        """Store a value, if EW stood before it and it fits; answer with what is stored then."""
        if not command.enabled or command.name not in self.settings or not _fits(command.name, value):
            return b""
        self.settings.put(command.name, value)
        return command.answer(f"{command.name}={value}")

    def _integration_ns(self) -> int:
        return int(self.settings["PI"]) * _MILLISECOND_NS

    def _pressure(self, at_ns: int) -> str:
        return f"{UNITS[int(self.settings['UN'])].from_si(self._sensor.read(at_ns)[0]):.4f}"

    def _temperature(self, at_ns: int) -> str:
        return f"{_CELSIUS.from_si(self._sensor.read(at_ns)[1]):.3f}"


def _fits(name: str, value: str) -> bool:
    if not (value.isascii() and value.isdigit()) or str(int(value)) != value:
        return False
    number = int(value)
    if name == "UN":
        return number in UNITS
    return 1 <= number <= _LARGEST or (number == 0 and name in ("TH", "XM"))
