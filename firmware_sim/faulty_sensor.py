"""A sensor with faults between it and its device."""

from collections.abc import Collection
from typing import Final, cast

from firmware_sim.device_clock import DeviceClock
from firmware_sim.fault_kinds import kinds_of
from firmware_sim.faults import ArmedFault, Faults
from firmware_sim.firmware.firmware import Sensor, WideSensor

_KINDS: Final = kinds_of("sensor")
_NS: Final = 1_000_000_000


class FaultySensor:
    """A sensor that can be stuck, off, adrift or hit by a spike; only its pressure, unless it is stuck.

    Args:
        sensor: the sensing element.
        names: the targets that mean it.
        faults: those in force.
        clock: of the device that reads it, whose time is not always ours.
    """

    def __init__(
        self, sensor: Sensor, *, names: Collection[str], faults: Faults, clock: DeviceClock | None = None
    ) -> None:
        self._sensor = sensor
        self._names = names
        self._faults = faults
        self._clock = clock or DeviceClock(names=names, faults=faults)
        self._held: tuple[ArmedFault, tuple[float, float]] | None = None

    def read(self, at_ns: int) -> tuple[float, float]:
        """Return (pressure in Pa, temperature in K) at a time on the device's clock."""
        if self._clock.skewed:
            at_ns = self._clock.true_ns(at_ns)
        if not self._faults.armed:
            return self._sensor.read(at_ns)
        lasting = [armed for armed in self._faults.on(self._names, _KINDS) if armed.lasts(at_ns)]
        pressure_pa, temperature_k = self._felt(at_ns, lasting)
        return pressure_pa + sum(_error_pa(armed, at_ns) for armed in lasting), temperature_k

    def feel(self, quantity: str, at_ns: int) -> float:
        """Return another quantity as the sensing element feels it, at a time on the device's clock."""
        if self._clock.skewed:
            at_ns = self._clock.true_ns(at_ns)
        return cast("WideSensor", self._sensor).feel(quantity, at_ns)

    def _felt(self, at_ns: int, lasting: list[ArmedFault]) -> tuple[float, float]:
        for armed in lasting:
            if armed.fault.kind == "stuck":
                if self._held is None or self._held[0] is not armed:
                    self._held = armed, self._sensor.read(at_ns)
                return self._held[1]
        return self._sensor.read(at_ns)


def _error_pa(armed: ArmedFault, at_ns: int) -> float:
    fault = armed.fault
    match fault.kind:
        case "offset":
            return fault.quantity("by")
        case "drift":
            return fault.quantity("rate") * (at_ns - armed.begin_ns) / _NS
        case "spike":
            hit = armed.would_strike()
            armed.count_request()
            return fault.quantity("by") if hit else 0.0
    return 0.0
