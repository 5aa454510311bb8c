"""Twin of the Setra 470: single letters without an end; `P` brings ` +14.6960   PSI    A OK`.

It ignores CR, LF, blanks and every character that is no command. Source: Setra Model 470 manual, 3.2, 4.1, 4.2, 4.6 and
4.8. The symbols of its units, their order and that only the alarm is sent while one lasts are our choice.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import TextDevice, only

BOOT_NS: Final = 1_000_000_000
"""Silence after power-up; our choice."""
DELAY_NS: Final = 50_000_000
"""From question to answer; our choice."""
SYMBOLS: Final = ("PSI", "inHg", "mmHg", "mbar", "hPa", "kPa")

_COMMANDS: Final = "PUBZC-"
_DIGITS: Final = 6
_RANGE_PA: Final = (0.0, 137_895.0)  # 20 psi
_MARGIN: Final = 0.05  # of span; beyond it the alarms of the factory's set points go off
_UNABLE: Final = b"UNABLE\r\n"


class Setra470(TextDevice):
    """One transducer. Unit, tare and sea level mode are lost without power; that the manual does not say."""

    def __init__(
        self,
        *,
        unit: int,  # noqa: ARG002 - the seam's; it has no address
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(boot_ns=BOOT_NS, delay_ns=DELAY_NS)
        _, words, self._sensor = only(transducers, sensors)
        low, high = words.range or _RANGE_PA
        margin = _MARGIN * (high - low)
        self._limits_pa = (low - margin, high + margin)
        self._reset()

    def _reset(self) -> None:
        self._unit_at = 0
        self._tare_pa: float | None = None
        self._sea_level = self._minus = False

    def _forget(self) -> None:
        super()._forget()
        self._reset()

    def _cut(self, data: bytes) -> Iterator[str]:
        """Yield each letter that is a command."""
        yield from (character for character in data.decode("latin-1") if character in _COMMANDS)

    def _answer(self, at_ns: int, line: str) -> bytes:
        if self._refusal is not None:
            return _UNABLE
        minus, self._minus = self._minus, line == "-"
        match line:
            case "P":
                return self._reading(at_ns)
            case "U":
                self._unit_at = (self._unit_at + (-1 if minus else 1)) % len(SYMBOLS)
            case "B":
                self._sea_level = not self._sea_level
            case "Z":
                self._tare_pa = None if minus else self._sensor.read(at_ns)[0]
        return b""

    def _reading(self, at_ns: int) -> bytes:
        pressure_pa = self._sensor.read(at_ns)[0]
        low, high = self._limits_pa
        if not low <= pressure_pa <= high:
            return b"HI ALARM\r\n" if pressure_pa > high else b"LO ALARM\r\n"
        symbol = SYMBOLS[self._unit_at]
        value = unit_of(symbol.replace("PSI", "psi"), "pressure").from_si(pressure_pa - (self._tare_pa or 0.0))
        kind = "A" if self._tare_pa is None else "T"
        sea_level = " SEA LEVEL" if self._sea_level else ""
        return f" {_six_digits(value)}{symbol:^8} {kind} OK{sea_level}\r\n".encode("ascii")


def _six_digits(value: float) -> str:
    """Return a sign, six digits and the point among them."""
    whole = len(str(int(abs(value))))
    text = f"{value:+.{max(_DIGITS - whole, 0)}f}"
    return text if "." in text else f"{text}."
