"""The emulated station as a rig file describes it: the truth in each segment, and what each transducer feels of it."""

from collections.abc import Mapping

from drivers.rig import Rig
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.physics.air import Air
from firmware_sim.physics.sensor import GRADES, SensingElement


class World:
    """Air and sensing elements of one rig. Times are ns of the emulator's clock."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._air = Air(rig)
        self._sensors: dict[str, Sensor] = {}

    def sensor(self, transducer_id: str) -> Sensor:
        """Return the sensing element of a transducer, always the same one.

        Raises:
            LookupError: no such transducer in the rig.
        """
        _known("transducer", transducer_id, self._rig.transducers)
        if transducer_id not in self._sensors:
            segment = self._rig.transducers[transducer_id].segment
            _known("segment", segment, self._rig.segments)
            air = self._air
            self._sensors[transducer_id] = SensingElement(
                grade=GRADES[self._rig.emulator.grade],
                seed=self._rig.emulator.seed,
                name=transducer_id,
                truth=lambda at_ns: (air.pressure_pa(segment, at_ns), air.temperature_k(segment, at_ns)),
            )
        return self._sensors[transducer_id]

    def pressure_pa(self, segment: str, at_ns: int) -> float:
        """Return the true pressure of a segment, Pa.

        Raises:
            LookupError: no such segment in the rig.
        """
        _known("segment", segment, self._rig.segments)
        return self._air.pressure_pa(segment, at_ns)

    def temperature_k(self, segment: str, at_ns: int) -> float:
        """Return the true temperature of a segment, K.

        Raises:
            LookupError: no such segment in the rig.
        """
        _known("segment", segment, self._rig.segments)
        return self._air.temperature_k(segment, at_ns)

    def leak(self, segment: str, rate_pa_per_s: float, at_ns: int) -> None:
        """Let a segment lose air from `at_ns` on; a later call for the same segment changes the rate, 0 ends the leak.

        Args:
            segment: where the hole is.
            rate_pa_per_s: how fast its pressure would fall behind closed hatches; segments joined to it by open
                hatches share the loss by volume.
            at_ns: when it begins.

        Raises:
            LookupError: no such segment in the rig.
        """
        _known("segment", segment, self._rig.segments)
        self._air.leak(segment, rate_pa_per_s, at_ns)


def _known(kind: str, name: str, names: Mapping[str, object]) -> None:
    if name not in names:
        raise LookupError(f"no {kind} '{name}' in the rig (known: {', '.join(names)})")
