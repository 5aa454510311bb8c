"""The emulated station as a rig file describes it: the truth in segments and loops, and what each transducer feels."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from drivers.rig import Coolant, HatchState, Rig
from drivers.rig_problems import did_you_mean
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.physics.air import Air, Alter, Change, Refill
from firmware_sim.physics.climate import Climate, loop_temperature
from firmware_sim.physics.coolant import Breach, Filling, Loop
from firmware_sim.physics.gas import GASES
from firmware_sim.physics.network import Network
from firmware_sim.physics.sensor import GRADES, SensingElement, Upset
from firmware_sim.physics.setting import Machine, Opening, Passage, Setting, steady_loss

_UNKNOWN_VOLUME_M3: Final = 10.0


class World:
    """Air, coolant loops and sensing elements of one rig. Times are ns of the emulator's clock.

    What happens can be told before or while it runs, in any order; the past may be asked at any time.

    Args:
        rig: the rig file; hatches begin as it has them (unknown is closed).
        climate: how temperatures move.
        volumes_m3: of segments, where they are not the rig file's.
        pressures_pa: of segments at the start, where it is not the rig file's.
        step_s: the grid of the integration.

    Raises:
        LookupError: a segment that is not in the rig.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        climate: Climate | None = None,
        volumes_m3: Mapping[str, float] | None = None,
        pressures_pa: Mapping[str, float] | None = None,
        step_s: float = 300.0,
    ) -> None:
        self._rig = rig
        names = tuple(rig.segments)
        for name in (*(volumes_m3 or {}), *(pressures_pa or {})):
            _known("segment", name, rig.segments)
        self._volumes = {name: segment.volume or _UNKNOWN_VOLUME_M3 for name, segment in rig.segments.items()}
        self._volumes |= volumes_m3 or {}
        self._places = {name: place for place, name in enumerate(names)}
        self._hatches = {
            hatch.id: (self._places[hatch.between[0]], self._places[hatch.between[1]]) for hatch in rig.hatches
        }
        open_hatches = [hatch.id for hatch in rig.hatches if hatch.state is HatchState.OPEN]
        pressures = dict.fromkeys(names, rig.emulator.pressure) | dict(pressures_pa or {})
        self._air = Air(
            Network(segments=names, volume_m3=np.array([self._volumes[name] for name in names]), hatches=self._hatches),
            Setting(passages=dict.fromkeys(open_hatches, Passage.OPEN)),
            pressure_pa=np.array([pressures[name] for name in names]),
            temperature_k=rig.emulator.temperature,
            climate=climate or Climate(),
            seed=rig.emulator.seed,
            step_s=step_s,
        )
        self._settles = (climate or Climate()).settle_s > 0
        self._loops = {
            name: Loop(
                filling(coolant),
                loop_temperature(name, climate or Climate(), seed=rig.emulator.seed, start_k=rig.emulator.temperature),
            )
            for name, coolant in rig.coolants.items()
        }
        self._sensors: dict[str, SensingElement] = {}

    def sensor(self, transducer_id: str) -> Sensor:
        """Return the sensing element of a transducer, always the same one.

        Raises:
            LookupError: no such transducer in the rig.
        """
        return self._element(transducer_id)

    def pressure_pa(self, segment: str, at_ns: int) -> float:
        """Return the true pressure of a segment, Pa.

        Raises:
            LookupError: no such segment in the rig.
        """
        return self._air.truth(self._place(segment), at_ns)[0]

    def temperature_k(self, segment: str, at_ns: int) -> float:
        """Return the true mean temperature of a segment, K.

        Raises:
            LookupError: no such segment in the rig.
        """
        return self._air.truth(self._place(segment), at_ns)[1]

    def partial_pa(self, segment: str, at_ns: int) -> dict[str, float]:
        """Return the partial pressure of each gas in a segment, Pa.

        Raises:
            LookupError: no such segment in the rig.
        """
        place = self._place(segment)
        moles = self._air.moles(at_ns)[place]
        pressure_pa = self._air.truth(place, at_ns)[0]
        return dict(zip(GASES, (moles / moles.sum() * pressure_pa).tolist(), strict=True))

    def hatch_between(self, one: str, other: str) -> str:
        """Return the id of the hatch that joins two segments, named in either order.

        Raises:
            LookupError: no such hatch in the rig.
        """
        hatch = f"{one}--{other}" if f"{one}--{other}" in self._hatches else f"{other}--{one}"
        _known("hatch", hatch, self._hatches)
        return hatch

    def move_hatch(self, hatch: str, passage: Passage, at_ns: int) -> None:
        """Open or close a hatch, or open its equalisation valve.

        Raises:
            LookupError: no such hatch in the rig.
        """
        self._hatch_happens(hatch, at_ns, lambda setting: setting.with_passage(hatch, passage))

    def seal(self, hatch: str, area_m2: float, at_ns: int) -> None:
        """Let air past the seal of a hatch while it is shut, through that effective area.

        Raises:
            LookupError: no such hatch in the rig.
        """
        self._hatch_happens(hatch, at_ns, lambda setting: setting.with_seal(hatch, area_m2))

    def ventilate(self, hatch: str, flow_m3_s: float, at_ns: int) -> None:
        """Change the exchange of air through a hatch while it is open.

        Raises:
            LookupError: no such hatch in the rig.
        """
        self._hatch_happens(hatch, at_ns, lambda setting: setting.with_ventilation(hatch, flow_m3_s))

    def open(self, name: str, opening: Opening | None, at_ns: int) -> None:
        """Make an opening into vacuum, change the one of that name, or shut it (None).

        Raises:
            LookupError: no such segment in the rig.
        """
        if opening is not None:
            self._place(opening.segment)
        self._air.happen(at_ns, lambda setting: setting.with_opening(name, opening))

    def run(self, name: str, machine: Machine | None, at_ns: int) -> None:
        """Switch a machine on, change the one of that name, or switch it off (None); crew counts as one.

        Raises:
            LookupError: no such segment in the rig.
        """
        if machine is not None:
            self._place(machine.segment)
        self._air.happen(at_ns, lambda setting: setting.with_machine(name, machine))

    def refill(self, segment: str, pressure_pa: float, at_ns: int) -> None:
        """Replace the air of a segment, as when a ship comes with air of its own.

        Raises:
            LookupError: no such segment in the rig.
        """
        self._place(segment)
        self._air.happen(at_ns, Refill(segment=segment, pressure_pa=pressure_pa))

    def alter(
        self,
        segment: str,
        at_ns: int,
        *,
        temperature_k: float | None = None,
        pressure_pa: float | None = None,
        partial_pa: Mapping[str, float] | None = None,
    ) -> None:
        """Change a segment's air by decree; see `Alter` for what is kept.

        Raises:
            LookupError: no such segment in the rig.
            ValueError: a temperature in a climate whose air always has that of its surroundings.
        """
        self._place(segment)
        if temperature_k is not None and not self._settles:
            raise ValueError("air that settles at once (settle_time 0) keeps the temperature of its surroundings")
        self._air.happen(
            at_ns,
            Alter(
                segment=segment, temperature_k=temperature_k, pressure_pa=pressure_pa, partial_pa=dict(partial_pa or {})
            ),
        )

    def setting(self, at_ns: int) -> Setting:
        """Return how hatches, openings and machines are at a moment, before what happens at that very moment."""
        return self._air.setting(at_ns)

    def volume_m3(self, segment: str) -> float:
        """Return the volume of a segment, m3.

        Raises:
            LookupError: no such segment in the rig.
        """
        self._place(segment)
        return self._volumes[segment]

    def upset_of(self, transducer_id: str, at_ns: int) -> Upset:
        """Return what is wrong with a sensing element at a moment; an empty upset when nothing is.

        Raises:
            LookupError: no such transducer in the rig.
        """
        return self._element(transducer_id).upset_at(at_ns) or Upset(at_ns=at_ns)

    def loop(self, coolant: str) -> Loop:
        """Return a coolant loop, to be asked or breached.

        Raises:
            LookupError: no such loop in the rig.
        """
        _known("coolant", coolant, self._loops)
        return self._loops[coolant]

    def breach(self, name: str, coolant: str, make: Callable[[Filling], Breach], at_ns: int) -> None:
        """Breach a loop, or change the breach of that name.

        Args:
            name: of the breach.
            coolant: the loop.
            make: what it is in a loop of that filling.
            at_ns: when.

        Raises:
            LookupError: no such loop in the rig.
        """
        self.loop(coolant).breach(name, make(filling(self._rig.coolants[coolant])), at_ns)

    def shut(self, name: str, at_ns: int) -> None:
        """End the openings and breaches of that name."""
        self.open(name, None, at_ns)
        for loop in self._loops.values():
            loop.breach(name, None, at_ns)

    def upset(self, transducer_id: str, upset: Upset) -> None:
        """Let a sensing element go wrong.

        Raises:
            LookupError: no such transducer in the rig.
        """
        self._element(transducer_id).upset(upset)

    def leak(self, segment: str, rate_pa_per_s: float, at_ns: int) -> None:
        """Let a segment lose air steadily from `at_ns` on; a later call changes the rate, 0 ends the leak.

        A plain ramp, for tests of whatever else; `open` has holes and cracks.

        Args:
            segment: where.
            rate_pa_per_s: how fast its pressure would fall behind closed hatches; segments joined to it by open
                hatches share the loss by volume. Less than 0 lets air in.
            at_ns: when it begins; before time 0 it has already begun.

        Raises:
            LookupError: no such segment in the rig.
        """
        self._place(segment)
        temperature_k = self._rig.emulator.temperature
        self.open(f"leak {segment}", steady_loss(segment, rate_pa_per_s, self._volumes[segment], temperature_k), at_ns)

    def _element(self, transducer_id: str) -> SensingElement:
        _known("transducer", transducer_id, self._rig.transducers)
        if transducer_id not in self._sensors:
            self._sensors[transducer_id] = SensingElement(
                grade=GRADES[self._rig.emulator.grade],
                seed=self._rig.emulator.seed,
                name=transducer_id,
                truth=self._truth(transducer_id),
                others=self._others(transducer_id),
            )
        return self._sensors[transducer_id]

    def _truth(self, transducer_id: str) -> Callable[[int], tuple[float, float]]:
        words = self._rig.transducers[transducer_id]
        if words.coolant is not None:
            return self.loop(words.coolant).feel
        place, feel = self._place(words.segment), self._air.feel
        return lambda at_ns: feel(place, at_ns)

    def _others(self, transducer_id: str) -> dict[str, Callable[[int], float]]:
        """Return what a transducer feels beside pressure and temperature, by the quantities of its map."""
        words = self._rig.transducers[transducer_id]
        others: dict[str, Callable[[int], float]] = {}
        for gas, name in zip(("o2", "co2", "h2o"), GASES[1:], strict=True):
            quantity = f"partial_{gas}"
            if words.coolant is None and quantity in (words.map or {}):
                others[quantity] = self._gas_element(transducer_id, quantity, name)
        hatch = next((each.id for each in self._rig.hatches if each.contact == transducer_id), None)
        others["contact"] = lambda at_ns: float(hatch is not None and self._is_open(hatch, at_ns))
        return others

    def _gas_element(self, transducer_id: str, quantity: str, gas: str) -> Callable[[int], float]:
        """Return what feels one gas: an element of its own, as noisy and slow to settle as one for pressure."""
        segment = self._rig.transducers[transducer_id].segment
        place = self._place(segment)

        def truth(at_ns: int) -> tuple[float, float]:
            return self.partial_pa(segment, at_ns)[gas], self._air.feel(place, at_ns)[1]

        element = SensingElement(
            grade=GRADES[self._rig.emulator.grade],
            seed=self._rig.emulator.seed,
            name=f"{transducer_id}.{quantity}",
            truth=truth,
        )
        return lambda at_ns: element.read(at_ns)[0]

    def _is_open(self, hatch: str, at_ns: int) -> bool:
        return self._air.setting(at_ns).passages.get(hatch) is Passage.OPEN

    def _hatch_happens(self, hatch: str, at_ns: int, change: Change) -> None:
        _known("hatch", hatch, self._hatches)
        self._air.happen(at_ns, change)

    def _place(self, segment: str) -> int:
        _known("segment", segment, self._places)
        return self._places[segment]


def filling(coolant: Coolant) -> Filling:
    """Return what a loop of the rig file is filled with."""
    return Filling(
        volume_m3=coolant.volume,
        gas_m3=coolant.gas_volume,
        stroke_m3=coolant.gas_volume if coolant.stroke is None else coolant.stroke,
        pressure_pa=coolant.pressure,
        temperature_k=coolant.temperature,
        expansion_per_k=coolant.expansion,
        density_kg_m3=coolant.density,
        vapour_pa=coolant.vapour_pressure,
    )


def _known(kind: str, name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise LookupError(
            f"no {kind} '{name}' in the rig{did_you_mean(name, names)} (known: {', '.join(names) or 'none'})"
        )
