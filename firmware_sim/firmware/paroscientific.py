"""Twin of Paroscientific Digiquartz transmitters (series 6000): `*0100P3` brings `*00011013.2500`.

An answer does not name the quantity it brings. No text is known for faults or values out of range, so there is none.
Sources: Digiquartz Programming and Operations Manual, command summary; a dozen public programs.
"""

import zlib
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Reply, Sensor
from firmware_sim.wire.ascii import DigiquartzCommand, Lines, digiquartz


class State(Enum):
    """What the transmitter is doing."""

    BOOT = auto()
    IDLE = auto()
    CONTINUOUS = auto()


BOOT_NS: Final = 500_000_000
"""Silence after power-up; our choice, the manual's figure was not at hand."""

UNITS: Final = {1: unit_of("psi", "pressure"), 2: unit_of("hPa", "pressure"), 8: unit_of("mH2O", "pressure")}
"""Values of UN that public programs agree on."""

_CELSIUS: Final = unit_of("C", "temperature")
_MILLISECOND_NS: Final = 1_000_000
_LINE_LIMIT: Final = 80
_LARGEST: Final = 100_000


class Paroscientific:
    """One transmitter. Its settings are kept without power; it integrates for PI milliseconds before it answers."""

    silence_framed = False
    addresses: frozenset[int] | None = None

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        ((name, words),) = transducers.items()
        self.serial_number = str(words.serial_number or zlib.crc32(name.encode()) % 1_000_000)
        self.state = State.IDLE
        self.wakes_at_ns: int | None = None
        self._unit = unit
        self._sensor = sensors[name]
        self._lines = Lines(limit=_LINE_LIMIT)
        # A real one leaves the factory with PI=666 and needs about 0.8 s for an answer.
        self._settings = {"UN": "2", "PR": "238", "PI": "100", "TH": "0"}
        self._constants = {"SN": self.serial_number, "MN": "6000-16B", "VR": "R5.10"}
        self._continuous: DigiquartzCommand | None = None
        self._refused = False

    def refuse(self, code: int | None) -> None:
        """Stay silent, whatever the code: no text for a refusal is known in this family."""
        self._refused = code is not None

    def reboot(self, at_ns: int) -> None:
        """Lose power and come back idle."""
        self._lines.clear()
        self.state = State.BOOT
        self.wakes_at_ns = at_ns + BOOT_NS

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """End booting, or send the next pressure of a continuous output."""
        if self.wakes_at_ns is None or at_ns < self.wakes_at_ns:
            return ()
        if self.state is State.CONTINUOUS and self._continuous is not None:
            self.wakes_at_ns = at_ns + self._integration_ns()
            return (Reply(data=self._continuous.answer(self._pressure(at_ns))),)
        self._stop()
        return ()

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Take characters as they come; answer a command when its CR is there."""
        replies = list(self.wake(at_ns))
        if self.state is State.BOOT:
            return ()
        for _, line in self._lines.feed(data):
            if not line:
                continue
            self._stop()  # any command ends a continuous output
            command = digiquartz(line)
            if command is not None and command.to == self._unit and not self._refused:
                replies += self._do(at_ns, command)
        return replies

    def _stop(self) -> None:
        self.state = State.IDLE
        self.wakes_at_ns = None
        self._continuous = None

    def _do(self, at_ns: int, command: DigiquartzCommand) -> list[Reply]:
        name = command.name
        if command.value is not None:
            return self._set(command, command.value)
        if name in self._settings or name in self._constants:
            stored = self._settings.get(name) or self._constants[name]
            return [Reply(data=command.answer(f"{name}={stored}"))]
        match name:
            case "P3":
                return [Reply(data=command.answer(self._pressure(at_ns)), delay_ns=self._integration_ns())]
            case "Q3":
                return [Reply(data=command.answer(self._temperature(at_ns)), delay_ns=self._integration_ns())]
            case "P4":
                self.state = State.CONTINUOUS
                self._continuous = command
                self.wakes_at_ns = at_ns + self._integration_ns()
        return []

    def _set(self, command: DigiquartzCommand, value: str) -> list[Reply]:
        """Store a value, if EW stood before it and it fits; answer with what is stored then."""
        if not command.enabled or command.name not in self._settings or not _fits(command.name, value):
            return []
        self._settings[command.name] = value
        return [Reply(data=command.answer(f"{command.name}={value}"))]

    def _integration_ns(self) -> int:
        return int(self._settings["PI"]) * _MILLISECOND_NS

    def _pressure(self, at_ns: int) -> str:
        return f"{UNITS[int(self._settings['UN'])].from_si(self._sensor.read(at_ns)[0]):.4f}"

    def _temperature(self, at_ns: int) -> str:
        return f"{_CELSIUS.from_si(self._sensor.read(at_ns)[1]):.3f}"


def _fits(name: str, value: str) -> bool:
    if not (value.isascii() and value.isdigit()) or str(int(value)) != value:
        return False
    number = int(value)
    if name == "UN":
        return number in UNITS
    return 1 <= number <= _LARGEST or (name == "TH" and number == 0)
