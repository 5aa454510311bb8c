"""Twins of cheap RS-485 transmitters (QDW90A class): the two maps that many makers copy, one with integers, one floats.

Registers beside the measured ones hold settings, which function 6 changes at once; they are lost without power unless
register `SAVE_AT` of the map was written after them. What the makers' firmware does there is not documented.
Source: register pages that list both maps with their revisions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from drivers.rig import Bus, Register, Transducer
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.firmware.modbus_map import ModbusMap
from firmware_sim.firmware.settings import Settings
from firmware_sim.wire import modbus

_BAUDS: Final = (1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200)
_ADDRESS_AT, _BAUD_AT = 0, 1
_MOST_DECIMALS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """One map: register addresses, and what the codes of the unit register mean."""

    unit_at: int
    decimals_at: int
    save_at: int
    pressure_at: int
    pressure_type: str
    temperature_at: int | None
    units: Mapping[int, str]
    settings: Mapping[int, int]


INTEGERS: Final = Layout(
    unit_at=2,
    decimals_at=3,
    save_at=0x0F,
    pressure_at=4,
    pressure_type="int16",
    temperature_at=None,
    units={0: "MPa", 1: "kPa", 2: "Pa", 3: "bar", 4: "mbar", 5: "kgf/cm2", 6: "psi", 7: "mH2O", 8: "mmH2O"},
    settings={2: 1, 3: 1, 5: 0, 6: 0x7FFF, 0x0C: 0},
)
FLOATS: Final = Layout(
    unit_at=3,
    decimals_at=4,
    save_at=0xFFFF,
    pressure_at=0x16,
    pressure_type="float32",
    temperature_at=0x26,
    units={0: "kPa", 1: "MPa", 8: "psi", 9: "bar", 10: "mbar", 14: "Torr"},
    settings={2: 0, 3: 0, 4: 3, 5: 0},
)


class GenericTransmitter(ModbusMap):
    """One transmitter; `settings` has the registers that can be written (function 3 reads them too)."""

    layout: Layout
    functions = ModbusMap.functions | {modbus.Function.WRITE_ONE}

    def __init__(
        self, *, unit: int, bus: Bus, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]
    ) -> None:
        ((name, words),) = transducers.items()
        self._name, self._words, self._sensors = name, words, sensors
        super().__init__(unit=unit, bus=bus, transducers={}, sensors={})
        baud = _BAUDS.index(bus.baud) if bus.baud in _BAUDS else 3
        self.settings = Settings({_ADDRESS_AT: unit, _BAUD_AT: baud, **self.layout.settings})
        self._settle()

    @property
    def baud(self) -> int:
        """The speed that it is set to."""
        return _BAUDS[self.settings[_BAUD_AT]]

    def reboot(self, at_ns: int) -> None:
        """Lose power and come back with the settings that were saved."""
        super().reboot(at_ns)
        self.settings.restore()
        self._settle()

    def store(self, request: modbus.Write) -> None:
        """Change one setting, or save all of them."""
        (value,) = request.values
        if request.address == self.layout.save_at:
            self.settings.save()
            return
        if request.address not in self.settings:
            raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
        if not self._fits(request.address, value):
            raise modbus.Refusal(modbus.Code.ILLEGAL_VALUE)
        self.settings.try_out(request.address, value)
        self._settle()

    def _fits(self, address: int, value: int) -> bool:
        limits = {
            _ADDRESS_AT: range(1, 248),
            _BAUD_AT: range(len(_BAUDS)),
            self.layout.unit_at: self.layout.units,
            self.layout.decimals_at: range(_MOST_DECIMALS + 1),
        }
        return value in limits.get(address, range(0x10000))

    def _settle(self) -> None:
        """Put the settings where they are read, and the pressure into the unit that they say."""
        self.readdress(self.settings[_ADDRESS_AT])
        for address, value in self.settings.items():
            self.hold(3, address, value)
        layout = self.layout
        decimals = self.settings[layout.decimals_at] if layout.pressure_type == "int16" else 0
        pressure = Register.model_validate(
            {
                "address": layout.pressure_at,
                "type": layout.pressure_type,
                "scale": 10.0**-decimals,
                "unit": layout.units.get(self.settings[layout.unit_at], "Pa"),
            }
        )
        registers = {"pressure": pressure}
        if layout.temperature_at is not None:
            registers["temperature"] = Register(address=layout.temperature_at, unit="C")
        self.remap({self._name: self._words.model_copy(update={"map": registers})}, self._sensors)


class GenericInt(GenericTransmitter):
    """The map with integers."""

    layout = INTEGERS


class GenericFloat(GenericTransmitter):
    """The map with floats."""

    layout = FLOATS
