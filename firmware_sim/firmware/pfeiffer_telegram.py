"""Twin of Pfeiffer's gauges with telegrams (CPT, RPT, PPT, HPT, MPT 100): parameter 740 is the pressure.

An answer names address and parameter. What is wrong with the gauge is told by parameter 303 only. Sources: operating
instructions of PPT 100 and HPT 100; the public client pfeiffer-vacuum-protocol.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.text_device import TextDevice, digits, only
from firmware_sim.wire import pfeiffer
from firmware_sim.wire.pfeiffer import Telegram


class Fault(StrEnum):
    """What parameter 303 says."""

    NONE = "000000"
    TRANSMITTER = "Err001"
    MEMORY = "Err002"


class Refusal(StrEnum):
    """How a telegram is refused."""

    NO_PARAMETER = "NO_DEF"
    OUT_OF_RANGE = "_RANGE"
    NOT_ALLOWED = "_LOGIC"


BOOT_NS: Final = 500_000_000
"""Silence after power-up; our choice, the manuals' figure was not at hand."""
DELAY_NS: Final = 5_000_000
"""From question to answer; our choice."""
RANGE_PA: Final = (1e-2, 1.2e5)
"""Outside it the value stays at the limit (of a PPT 100); our choice, no text is known."""

_HPA: Final = unit_of("hPa", "pressure")
_ASKS: Final = "=?"
_CORRECTION_AT: Final = 742
_SETPOINT_AT: Final = 741
_FAULT_AT: Final = 303
_PRESSURE_AT: Final = 740
_SETPOINTS: Final = ("000", "001", "002", "003")
_REFUSALS: Final = tuple(Refusal)


class PfeifferTelegram(TextDevice):
    """One gauge. Its set point and correction are kept without power."""

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        super().__init__(
            boot_ns=BOOT_NS, delay_ns=DELAY_NS, settings={str(_SETPOINT_AT): "001", str(_CORRECTION_AT): "000100"}
        )
        _, _, self._sensor = only(transducers, sensors)
        self.unit = unit
        self.fault = Fault.NONE
        self._constants = {312: "010400", 349: "    A3"}

    def fail(self, fault: Fault) -> None:
        """Break the gauge, or mend it with NONE; its pressure goes on to look like one."""
        self.fault = fault

    def _answer(self, at_ns: int, line: str) -> bytes:
        telegram = pfeiffer.split(line)
        if telegram is None or telegram.unit != self.unit:
            return b""
        unit = self.unit
        if self._refusal is not None:
            return telegram.answer(unit, _REFUSALS[self._refusal % len(_REFUSALS)])
        return telegram.answer(unit, self._write(telegram) if telegram.writes else self._read(at_ns, telegram))

    def _read(self, at_ns: int, telegram: Telegram) -> str:
        if telegram.data != _ASKS:
            return Refusal.NOT_ALLOWED
        match telegram.parameter:
            case 740:
                return pfeiffer.expo(_HPA.from_si(self._pressure_pa(at_ns)))
            case 303:
                return self.fault
        at = telegram.parameter
        if str(at) in self.settings:
            return self.settings[str(at)]
        return self._constants.get(at, Refusal.NO_PARAMETER)

    def _pressure_pa(self, at_ns: int) -> float:
        low, high = RANGE_PA
        return min(max(self._sensor.read(at_ns)[0], low), high)

    def _write(self, telegram: Telegram) -> str:
        """Store a value that fits. There is nothing to write an address to: it is set by a switch."""
        at, data = telegram.parameter, telegram.data
        if at in self._constants or at in (_PRESSURE_AT, _FAULT_AT):
            return Refusal.NOT_ALLOWED
        if str(at) not in self.settings:
            return Refusal.NO_PARAMETER
        fits = data in _SETPOINTS if at == _SETPOINT_AT else len(data) == 6 and digits(data, 20, 800) is not None
        if not fits:
            return Refusal.OUT_OF_RANGE
        self.settings.put(str(at), data)
        return data
