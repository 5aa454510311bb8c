"""Twin of Alicat pressure gauges and flow meters: `A` brings `A +014.696 +022.50 +000.00 +000.00     Air`.

Sources: Alicat manuals of the M, MC, IM and BC series; captures of `??D*`, `??M*` and `VE` by a public client. The rig
file's `options.columns` make it an older device, which sends these columns and rejects `??D*`.
"""

import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import State, TextDevice, only

BOOT_NS: Final = 500_000_000
"""Silence after power-up; our choice, the manuals' figure was not at hand."""
DELAY_NS: Final = 2_000_000
"""From question to answer; our choice."""
STREAM_NS: Final = 50_000_000
REJECTED: Final = b"?\r"

_LETTER: Final = "letter"
_STREAMING: Final = "@"
_STOP: Final = re.compile(r"@@[= ]([A-Z])")
_RENAME: Final = re.compile(r"@[= ]([A-Z@])")
_USUAL_RANGE_PSI: Final = (0.0, 160.0)
_PSI: Final = unit_of("psi", "pressure")
_CELSIUS: Final = unit_of("C", "temperature")
_TEMPERATURE_RANGE: Final = (-10.0, 60.0)
_GAS: Final = "Air"
_METER: Final = ("pressure", "temperature", "other", "other", "gas")
_ROWS: Final = (
    "D00 ID_ NAME______________________ TYPE_______ WIDTH NOTES___________________",
    "D01 700 Unit ID                    string          1",
    "D02 002 Abs Press                  s decimal     8/3 010 02 PSIA",
    "D03 003 Flow Temp                  s decimal     7/2 002 02 `C",
    "D04 004 Volu Flow                  s decimal     7/2 007 02 LPM",
    "D05 005 Mass Flow                  s decimal     7/2 007 02 SLPM",
    "D06 703 Gas                        string          6",
    "D07 701 *Error                     string          3 ADC",
)
_FLAGS: Final = ("OPL", "POV", "TOV", "VOV", "MOV", "OVR", "HLD", "LCK")
_ABSENT: Final = "-------"


class Alicat(TextDevice):
    """One gauge or meter without flow. Its letter is kept without power; it has no volatile settings but streaming."""

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(boot_ns=BOOT_NS, delay_ns=DELAY_NS, settings={_LETTER: chr(ord("A") - 1 + unit)})
        name, words, self._sensor = only(transducers, sensors)
        self.serial_number = str(words.serial_number or zlib.crc32(name.encode()) % 1_000_000)
        columns: Sequence[str] = words.options.get("columns", ())
        self._columns = tuple(columns) or _METER
        self._describes = not columns
        self._unit = unit_of(words.options.get("unit", "psia"), "pressure")
        low, high = words.range or tuple(map(_PSI.to_si, _USUAL_RANGE_PSI))
        self._limits_pa = (low, high)
        self._flags: frozenset[str] = frozenset()

    @property
    def letter(self) -> str:
        """Its address."""
        return self.settings[_LETTER]

    def fail(self, *flags: str) -> None:
        """Show these flags (ADC, and it has no values; LCK, HLD ...) until called without any."""
        self._flags = frozenset(flags)

    def _tell(self, at_ns: int) -> tuple[bytes, int]:
        return self._frame(at_ns, _STREAMING), STREAM_NS

    def _answer(self, at_ns: int, line: str) -> bytes:
        stop = _STOP.fullmatch(line)
        if stop is not None:
            self._stop()
            self.settings.put(_LETTER, stop[1])
            return b""
        if not line.startswith(self.letter) or self.state is State.STREAM:
            return b""
        return REJECTED if self._refusal is not None else self._do(at_ns, line[1:].upper())

    def _do(self, at_ns: int, command: str) -> bytes:
        rename = _RENAME.fullmatch(command)
        if rename is not None:
            return self._rename(at_ns, rename[1])
        if command == "??M*":
            return self._rows(*self._maker())
        if command == "??D*" and self._describes:
            return self._rows(*self._description())
        if command == "VE":
            return self._rows("  10v20.0-R24 Jan  9 2025,15:04:07")
        return REJECTED if command else self._frame(at_ns, self.letter)

    def _rename(self, at_ns: int, letter: str) -> bytes:
        """Take another letter from the next command on, or stream."""
        if letter == _STREAMING:
            self._stream(at_ns, STREAM_NS)
            return b""
        frame = self._frame(at_ns, self.letter)
        self.settings.put(_LETTER, letter)
        return frame

    def _description(self) -> Sequence[str]:
        flags = enumerate(_FLAGS, len(_ROWS))
        return (
            *_ROWS,
            *(f"D{place:02} 702 *Status                    string          3 {flag}" for place, flag in flags),
        )

    def _maker(self) -> Sequence[str]:
        return (
            "M00 ALICAT SCIENTIFIC",
            "M01 www.alicat.com",
            "M02 Ph   520-290-6060",
            "M03 Fax  520-290-0109",
            "M04 Model Number M-10SLPM-D",
            f"M05 Serial Number {self.serial_number}",
            "M06 Date Manufactured 01/20/2020",
            "M07 Date Calibrated   01/20/2020",
            "M08 Calibrated By     BL",
            "M09 Software Revision 10v20.0-R24",
        )

    def _rows(self, *rows: str) -> bytes:
        return "".join(f"{self.letter} {row}\r" for row in rows).encode("ascii")

    def _frame(self, at_ns: int, letter: str) -> bytes:
        pressure_pa, temperature_k = self._sensor.read(at_ns)
        low, high = self._limits_pa
        celsius = _CELSIUS.from_si(temperature_k)
        coldest, warmest = _TEMPERATURE_RANGE
        flags = set(self._flags)
        flags |= {"POV"} if pressure_pa > high else set()
        flags |= {"TOV"} if not coldest <= celsius <= warmest else set()
        texts = {
            "pressure": f"{self._unit.from_si(min(max(pressure_pa, low), high)):+08.3f}",
            "temperature": f"{min(max(celsius, coldest), warmest):+07.2f}",
            "other": "+000.00",
            "gas": f"{_GAS:>7}",
        }
        if "ADC" in flags:
            texts |= {"pressure": _ABSENT, "temperature": _ABSENT}
        words = [letter, *(texts[column] for column in self._columns), *sorted(flags)]
        return f"{' '.join(words)}\r".encode("ascii")
