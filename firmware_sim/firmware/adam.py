"""Twins of Advantech ADAM modules in their ASCII protocol: `#01` brings eight currents, `>+12.106+04.000...`.

They answer a wrong address and a mistake of syntax with nothing at all, and a command that they cannot do with `?01`.
Sources: Advantech manuals of ADAM-4000, ADAM-4100, ADAM-6000 and ADAM-6200; field notes of a public program on `$AAM`,
`$AAF` and `%AA`; the public client adam-ascii.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from drivers.rig import Bus, Transducer
from firmware_sim.firmware.current_loop import Loop, LoopFailure
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import TextDevice

BOOT_NS: Final = 500_000_000
"""Silence after power-up; our choice, the manual's figure was not at hand."""
DELAY_NS: Final = 4_000_000
"""From question to answer; our choice."""
CHANNELS: Final = range(1, 9)

_COMMAND: Final = re.compile(r"([#$%])([0-9A-F]{2})([ -~]*)", re.ASCII)
_BAUD_CODES: Final = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)  # from 03 on
_CURRENT_RANGE: Final = "07"  # 4-20 mA
_SETTINGS: Final = re.compile(r"([0-9A-F]{2})([0-9A-F]{2})([0-9A-F]{2})([0-9A-F]{2})", re.ASCII)
_RANGE: Final = re.compile(rf"\$A0([0-7]){_CURRENT_RANGE}", re.ASCII)
_ADDRESS: Final = "address"
_OPEN_MA: Final = 0.0


class _Adam(TextDevice):
    """One module with eight inputs; `told` is what it answers to questions about itself, behind `!` and its address."""

    told: Mapping[str, str]
    head: str

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; what a line changes is the family member's business
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(boot_ns=BOOT_NS, delay_ns=DELAY_NS, settings={_ADDRESS: f"{unit:02X}"})
        self._loops = {words.channel: Loop(name, words, sensors[name], CHANNELS) for name, words in transducers.items()}
        self._failures: dict[int, LoopFailure] = {}

    @property
    def unit(self) -> int:
        """Its address."""
        return int(self.settings[_ADDRESS], 16)

    def fail(self, channel: int, failure: LoopFailure | None) -> None:
        """Break the loop on a channel (1 to 8), or mend it with None."""
        if failure is None:
            self._failures.pop(channel, None)
        else:
            self._failures[channel] = failure

    def _answer(self, at_ns: int, line: str) -> bytes:
        match = _COMMAND.fullmatch(line)
        if match is None or int(match[2], 16) != self.unit:
            return b""
        answer = None if self._refusal is not None else self._do(at_ns, match[1] + match[3])
        return f"?{match[2]}\r".encode() if answer is None else f"{answer}\r".encode()

    def _do(self, at_ns: int, command: str) -> str | None:
        """Return what a command brings without its CR, None when it cannot be done."""
        if command in self.told:
            return f"!{self.settings[_ADDRESS]}{self.told[command]}"
        if command == "#":
            head = self.head.format(self.unit)
            return head + "".join(f"{self._milliamps(at_ns, channel):+07.3f}" for channel in CHANNELS)
        return None

    def _milliamps(self, at_ns: int, channel: int) -> float:
        if channel in self._failures:
            return self._failures[channel].value * 1e3
        return self._loops[channel].current_a(at_ns) * 1e3 if channel in self._loops else _OPEN_MA


class Adam4117(_Adam):
    """One on RS-485. Its address is kept without power; baud and checksum change only in its INIT mode, so not here."""

    head = ">"

    def __init__(
        self, *, unit: int, bus: Bus, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]
    ) -> None:
        super().__init__(unit=unit, bus=bus, transducers=transducers, sensors=sensors)
        baud = bus.baud if bus.baud in _BAUD_CODES else 9600
        self._format = f"{_CURRENT_RANGE}{_BAUD_CODES.index(baud) + 3:02X}00"
        self.told = {"$M": "4117", "$F": "A2.02", "$2": self._format}

    def _do(self, at_ns: int, command: str) -> str | None:
        return self._configure(command[1:]) if command[0] == "%" else super()._do(at_ns, command)

    def _configure(self, text: str) -> str | None:
        """Take another address from the next command on, if the rest stays as it is."""
        match = _SETTINGS.fullmatch(text)
        if match is None or text[2:] != self._format:
            return None
        self.settings.put(_ADDRESS, match[1])
        return f"!{match[1]}"


class Adam6017(_Adam):
    """One on the network, in UDP datagrams; its address is always 01. The range of an input is kept without power."""

    head = ">{:02X}"
    told: Mapping[str, str] = MappingProxyType({"$M": "6017", "$F": " A1.00B01"})

    def _do(self, at_ns: int, command: str) -> str | None:
        """Take another range for an input (4-20 mA is the only code that is confirmed), or do as any module."""
        match = _RANGE.fullmatch(command)
        if match is None:
            return super()._do(at_ns, command)
        self.settings.put(f"range {match[1]}", _CURRENT_RANGE)
        return f"!{self.settings[_ADDRESS]}"
