"""A 4-20 mA transmitter on an input of any module, and what a broken one shows (NAMUR NE 43)."""

from enum import Enum
from typing import Final

from drivers.rig import Transducer
from firmware_sim.firmware.firmware import Sensor

SATURATION_A: Final = (3.8e-3, 20.5e-3)
"""Where a transmitter's current stops when the pressure leaves its range (NE 43)."""


class LoopFailure(Enum):
    """What a broken loop or transmitter shows, in A (NE 43: failure is 3.6 mA and less, 21 mA and more)."""

    BROKEN_WIRE = 0.0
    LOW = 3.5e-3
    HIGH = 21.5e-3


class Loop:
    """A transmitter on one input: pressure in, current out."""

    def __init__(self, name: str, words: Transducer, sensor: Sensor, channels: range) -> None:
        if words.range is None or words.channel not in channels:
            raise ValueError(
                f"transducer {name}: {words.model} needs a range and a channel from {channels[0]} to {channels[-1]}"
            )
        self._low_pa, self._high_pa = words.range
        self._low_a, self._high_a = words.current or (4e-3, 20e-3)
        self._sensor = sensor

    def current_a(self, at_ns: int) -> float:
        """Return the loop current, A."""
        pressure_pa = self._sensor.read(at_ns)[0]
        part = (pressure_pa - self._low_pa) / (self._high_pa - self._low_pa)
        current_a = self._low_a + part * (self._high_a - self._low_a)
        low_a, high_a = SATURATION_A
        return min(max(min(low_a, self._low_a), current_a), max(high_a, self._high_a))
