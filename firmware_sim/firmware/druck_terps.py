"""Twin of Druck TERPS sensors: streams on its own in direct mode until a character stops it, for 20 s.

Settings are kept without power. Source: Druck 8000/8100/8200/8300 series instruction manual, programming guide. The
texts behind the numbers of errors, the numbers of units and the form of an identity are ours.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Reply, Sensor
from firmware_sim.firmware.text_device import State, TextDevice, digits, only

BOOT_NS: Final = 1_000_000_000
"""Silence after power-up; our choice."""
QUIET_NS: Final = 20_000_000_000
"""How long a stopped stream stays away after the last command (6.2.1)."""
UNITS: Final = ("mbar", "Pa", "kPa", "MPa", "hPa", "bar", "psi", "mmHg", "inHg")

_SECOND_NS: Final = 1_000_000_000
_RANGE_PA: Final = (0.0, 350e3)
_COMMAND: Final = re.compile(r" *(?:(?P<to>\d{1,2}):)?(?P<verbose>\*?)(?P<name>[A-Z])(?:,(?P<value>.*))?", re.ASCII)
_BAD_MESSAGE: Final = 22
_NO_FREQUENCY: Final = 20
_ERRORS: Final = {_BAD_MESSAGE: "Bad Message", _NO_FREQUENCY: "No Frequency"}
_SETTLES_NS: Final = 2_000_000_000  # after a higher speed was set
_MEASURES_NS: Final = tuple(each * 1_000_000 for each in (1600, 800, 400, 200, 100, 50))  # by speed (Q)
_HIGHEST: Final = {"A": 9999, "N": 32, "Q": 5, "U": len(UNITS) - 1}


class DruckTerps(TextDevice):
    """One sensor. Address 0 is direct mode; any other is polled and puts its address before each answer."""

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(boot_ns=BOOT_NS, settings={"A": "1", "N": str(unit), "Q": "2", "U": "0"})
        name, words, self._sensor = only(transducers, sensors)
        self.serial_number = zlib.crc32(name.encode()) % 10_000_000
        low, high = words.range or _RANGE_PA
        margin = (high - low) / 20  # 5 % of span
        self._limits_pa = (low - margin, high + margin)
        self._long_errors = False
        self._settled_ns = 0
        self._failed = False
        self._run(0)

    def fail(self, *, failed: bool = True) -> None:
        """Break the sensing element (`**** NO RPT ****`), or mend it."""
        self._failed = failed

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """Send the next reading of the stream, or begin it: after booting, and 20 s after the last command."""
        if self.wakes_at_ns is None or at_ns < self.wakes_at_ns:
            return ()
        if self.state is State.STREAM:
            return super().wake(at_ns)
        self._run(at_ns)
        return ()

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Take characters as they come; the one that stops the stream is lost."""
        replies = list(self.wake(at_ns))
        if self.state is State.BOOT or not data:
            return replies
        if self.state is State.STREAM:
            self._stop()
            data = data[1:]
        replies += super().hear(at_ns, data)
        if self._address == 0:
            self.wakes_at_ns = at_ns + QUIET_NS
        return replies

    @property
    def _address(self) -> int:
        return int(self.settings["N"])

    @property
    def _interval_ns(self) -> int:
        return int(self.settings["A"]) * _SECOND_NS

    def _run(self, at_ns: int) -> None:
        self._stop()
        if self._address == 0 and self._interval_ns:
            self._stream(at_ns, self._interval_ns)

    def _tell(self, at_ns: int) -> tuple[bytes, int]:
        return f"{self._reading(at_ns, units=False)}\r".encode(), self._interval_ns

    def _answer(self, at_ns: int, line: str) -> bytes:
        match = _COMMAND.fullmatch(line.upper())
        address = self._address
        if match is None or int(match["to"] or 0) != address:
            # in addressed mode other lines are for others, or nobody's
            return b"" if address or not line.strip() else self._error(_BAD_MESSAGE)
        if self._refusal is not None:
            return self._error(self._refusal)
        measures = match["name"] in ("R", "G") and match["value"] is None
        if measures and at_ns < self._settled_ns:
            return self._error(_NO_FREQUENCY)
        self._delay_ns = _MEASURES_NS[int(self.settings["Q"])] if measures and match["name"] == "G" else 0
        text = self._obey(at_ns, match["name"], match["value"], verbose=bool(match["verbose"]))
        if text is None:
            return self._error(_BAD_MESSAGE)
        prefix = f"{address}:" if address else ""
        return "".join(f"{prefix}{each}\r" for each in text).encode("ascii")

    def _error(self, code: int) -> bytes:
        prefix = f"{self._address}:" if self._address else ""
        text = f"!{code:03} {_ERRORS.get(code, _ERRORS[_BAD_MESSAGE])}" if self._long_errors else f"ERROR {code:02}"
        return f"{prefix}{text}\r".encode()

    def _obey(self, at_ns: int, name: str, value: str | None, *, verbose: bool) -> list[str] | None:
        """Return the lines that a command brings, None when it is none."""
        if value is None:
            match name:
                case "R" | "G":
                    return [self._reading(at_ns, units=verbose)]
                case "I":
                    return [f"TERPS {self.serial_number}"]
            return None
        if name not in self.settings:
            return None
        return self._describe(name, verbose=verbose) if value == "?" else self._set(at_ns, name, value, verbose=verbose)

    def _describe(self, name: str, *, verbose: bool) -> list[str]:
        setting = self.settings[name]
        match name:
            case "A":
                return [f"Interval = {setting}", "Units = No"] if verbose else [f"{setting},N"]
            case "N":
                return [f"Device Address = {setting}" if verbose else setting]
        return [setting]

    def _set(self, at_ns: int, name: str, value: str, *, verbose: bool) -> list[str] | None:
        number = digits(value.strip(), 0, _HIGHEST[name])
        if number is None:
            return None
        if name == "N":
            self._long_errors = verbose
        if name == "Q" and number > int(self.settings["Q"]):
            self._settled_ns = at_ns + _SETTLES_NS
        self.settings.put(name, str(number))
        return []

    def _reading(self, at_ns: int, *, units: bool) -> str:
        low, high = self._limits_pa
        pressure_pa = self._sensor.read(at_ns)[0]
        if self._failed:
            return "**** NO RPT ****"
        if not low <= pressure_pa <= high:
            return "*Over Pressure*" if pressure_pa > high else "*Under Pressure*"
        symbol = UNITS[int(self.settings["U"])]
        text = f"{unit_of(symbol, 'pressure').from_si(pressure_pa):.6g}" if symbol == "bar" else ""
        text = text or f"{unit_of(symbol, 'pressure').from_si(pressure_pa):.4f}"
        return f"{text} {symbol}" if units else text
