"""Twin of Honeywell HPB, HPA and PPT transducers: `*12P1` brings `#12CP= 14.450`, without an address `?01CP= 14.450`.

Sources: manuals of HPB/HPA (pages 5-14, 30, 45), PPT and PPT2. That a setting is confirmed by silence is our choice.
"""

import re
import zlib
from collections.abc import Mapping
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import TextDevice, digits, only

BOOT_NS: Final = 250_000_000
"""Silence after power-up; our choice, the manuals' figure was not at hand."""
DELAY_NS: Final = 3_000_000
"""From a question that needs no measurement to its answer; our choice."""
EVERYBODY: Final = 99

_COMMAND: Final = re.compile(r"\*(\d\d)([A-Z]{1,2}\d?)(?:=([ -~]*))?", re.ASCII)
_INTERVALS_NS: Final = {"M2": 200_000_000, "R50": 20_000_000}  # 5 a second as delivered; 50 a second
_PSI: Final = unit_of("psi", "pressure")
_CELSIUS: Final = unit_of("C", "temperature")
_USUAL_RANGE_PA: Final = (0.0, 17 * unit_of("psi", "pressure").scale)
_MARGIN: Final = 0.05  # how far beyond its range it still measures; our choice
_NOTHING: Final = ".."


class HoneywellHpb(TextDevice):
    """One transducer. Settings need `WE` before them, and are kept without power only after `SP=ALL`."""

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(boot_ns=BOOT_NS, delay_ns=DELAY_NS, settings={"ID": f"{unit:02}", "I": "M2"})
        name, words, self._sensor = only(transducers, sensors)
        low, high = words.range or _USUAL_RANGE_PA
        margin = _MARGIN * (high - low)
        self._limits_pa = (low - margin, high + margin)
        self._full_scale = f"{round(_PSI.from_si(high)):04}psia"
        self.serial_number = str(words.serial_number or f"{zlib.crc32(name.encode()) % 10**8:08}")
        self._writable = False
        self._streamed = ""
        self._parity_error = False
        self._no_temperature = False

    def fail(self, *, parity: bool = False, temperature: bool = False) -> None:
        """Spoil the EEPROM (`!` in place of `=`) or the temperature (`..`); mend both without an argument."""
        self._parity_error = parity
        self._no_temperature = temperature

    @property
    def unit(self) -> int:
        """Its address, 0 when none was assigned."""
        return int(self.settings["ID"])

    def _forget(self) -> None:
        super()._forget()
        self._writable = False

    def _tell(self, at_ns: int) -> tuple[bytes, int]:
        return self._line(*self._measured(at_ns, self._streamed)), _INTERVALS_NS[self.settings["I"]]

    def _answer(self, at_ns: int, line: str) -> bytes:
        match = _COMMAND.fullmatch(line)
        if match is None or int(match[1]) not in (self.unit, EVERYBODY) or self._refusal is not None:
            return b""
        self._stop()  # any command ends a continuous output
        name, value = match[2], match[3]
        writable, self._writable = self._writable, name == "WE"
        self._delay_ns = DELAY_NS
        if value:
            if writable:
                self._write(name, value)
            return b""
        return self._ask(at_ns, name, asks_setting=value is not None)

    def _ask(self, at_ns: int, name: str, *, asks_setting: bool) -> bytes:
        told = {"S": self.serial_number, "V": "02.41", "M": self._full_scale, "P": "03/14/19"}
        match name:
            case "S" | "V" | "M" | "P" if asks_setting:
                return self._line(name, told[name])
            case "RS":
                return self._line("RS", "0000")
            case "P1" | "T1":
                interval_ns = _INTERVALS_NS[self.settings["I"]]
                self._delay_ns = interval_ns - at_ns % interval_ns  # when its next measurement is there
                return self._line(*self._measured(at_ns, name[0]))
            case "P2" | "T2":
                self._streamed = name[0]
                self._stream(at_ns, _INTERVALS_NS[self.settings["I"]])
        return b""

    def _measured(self, at_ns: int, quantity: str) -> tuple[str, str]:
        pressure_pa, temperature_k = self._sensor.read(at_ns)
        if quantity == "P":
            low, high = self._limits_pa
            return "CP", f"{_PSI.from_si(min(max(pressure_pa, low), high)):7.3f}"
        return "CT", _NOTHING if self._no_temperature else f"{_CELSIUS.from_si(temperature_k):.1f}"

    def _line(self, name: str, value: str) -> bytes:
        head = f"#{self.unit:02}" if self.unit else "?01"
        return f"{head}{name}{'!' if self._parity_error else '='}{value}\r".encode("ascii", "replace")

    def _write(self, name: str, value: str) -> None:
        if name == "SP" and value == "ALL":
            self.settings.save()
        elif (name == "ID" and len(value) == 2 and digits(value, 0, 89) is not None) or (
            name == "I" and value in _INTERVALS_NS
        ):
            self.settings.try_out(name, value)
