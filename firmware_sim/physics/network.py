"""The station as a graph: segments joined by hatches, and how gas moves in it under one setting."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firmware_sim.physics.gas import (
    DRY_AIR_KG,
    GAMMA,
    GAS_CONSTANT,
    GASES,
    MOLAR_KG,
    REFERENCE_K,
    REFERENCE_PA,
    Array,
    between,
)
from firmware_sim.physics.setting import VENTILATION_M3_S, Passage, Setting

Indices = npt.NDArray[np.intp]

_ENERGY = len(GASES)  # the column of the state behind the moles: moles times temperature, mol K
_EMPTY_MOL = 1e-9
_STEADY_ABOVE_PA = 1000.0  # a steady loss fades below it, for there is nothing left to lose
_EMPTY = 1e-9  # of the reference pressure: below it openings lose ever less, for no segment is ever quite empty
_THINNEST = 20.0  # thin air takes on its surroundings' temperature sooner, but not at any rate
_COLDEST_K = 1.0  # only a step that is much too long, and will not be kept, gets there
_LIGHTEST_KG = 1e-3  # nor there
_STIFF_PER_S = 0.05  # a passage that equalises more slowly is followed whatever its difference
_JOIN_PA = 1.0  # below this difference a stiff passage is taken to have equalised
_PART_PA = 5.0  # until what must pass it to keep both sides equal would need this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What of the station never changes.

    Attributes:
        segments: their names.
        volume_m3: of each, [segments].
        hatches: id -> places of the two segments in `segments`.
    """

    segments: Sequence[str]
    volume_m3: Array
    hatches: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How the state changes.

    Attributes:
        change: of the state, per s, [segments, gases + 1].
        lost: mol/s that leave the station, [gases].
        pressure_pa, temperature_k: now, [segments].
        upward: mol/s through each hatch of the tree that joins bodies, towards its root; None when all are alone.
    """

    change: Array
    lost: Array
    pressure_pa: Array
    temperature_k: Array
    upward: Array | None


class Arrangement:
    """A network under one setting, with machines on or off as they are at one moment.

    The state is an array [segments, gases + 1]: moles of each gas, then moles times temperature (mol K). Pressure is
    linear in it, so that every step keeps the pressure of a body one, and the energy of air that only moves.

    Attributes:
        volume_m3: of each segment, [segments].
        added: mol/s that machines bring in, [gases].
        passages: names of hatches that are shut and let air past, by valve or seal.

    Args:
        network: what never changes.
        setting: what does.
        equal: of the hatches that are shut and let air past, those with nothing left to equalise: one pressure on both
            sides, but no ventilation.
        at_ns: the moment.
        settle_s: see `Climate`.
    """

    def __init__(self, network: Network, setting: Setting, equal: Collection[str], at_ns: int, settle_s: float) -> None:
        self.volume_m3 = network.volume_m3
        self._settle_s = settle_s
        areas = {
            name: setting.area_m2(name)
            for name in network.hatches
            if setting.passages.get(name) is not Passage.OPEN and setting.area_m2(name) > 0
        }
        open_hatches = [name for name in network.hatches if setting.passages.get(name) is Passage.OPEN]
        self._bodies, self._tree = _spanned(network, [*open_hatches, *(name for name in areas if name in equal)])
        self._volume_of_body = self._bodies @ self.volume_m3
        self._mixing = _mixing(network, setting)
        self._openings = _Openings(network, setting)
        self._machines(network, setting, at_ns)
        self.passages = tuple(areas)
        ends = np.array([network.hatches[name] for name in areas], dtype=np.intp).reshape(-1, 2)
        self._one, self._other = ends.T
        self._area = np.array(list(areas.values()))
        self._apart = np.array([name not in equal for name in areas], dtype=bool)
        edges = {} if self._tree is None else {name: place for place, name in enumerate(self._tree.hatches)}
        self._edge = np.array([edges.get(name, -1) for name in areas], dtype=np.intp)

    def pressure(self, state: Array) -> Array:
        """Return each segment's pressure, Pa: one for each body."""
        return GAS_CONSTANT * (self._bodies @ state[:, _ENERGY]) / self._volume_of_body

    def rates(self, state: Array, surroundings: Array, warming: Array) -> Rates:
        """Return how a state changes.

        Args:
            state: [segments, gases + 1].
            surroundings: temperature that the air settles to, K [segments].
            warming: how fast that changes, K/s [segments].
        """
        gas = np.maximum(state[:, :_ENERGY], 0.0)
        moles = np.maximum(gas.sum(1), _EMPTY_MOL)
        temperature = np.maximum(state[:, _ENERGY] / moles, _COLDEST_K)
        pressure = self.pressure(state)
        shares = gas / moles[:, None]
        molar = np.maximum(shares @ MOLAR_KG, _LIGHTEST_KG)
        change = np.empty_like(state)
        flow, energy = change[:, :_ENERGY], change[:, _ENERGY]
        scrubbed = self._scrub * gas
        lost = scrubbed.sum(0)
        flow[:] = self._sources - scrubbed
        energy[:] = temperature * flow.sum(1) + self._fill * (GAMMA * REFERENCE_K - temperature)
        flow += (self._mixing @ shares) * (pressure / REFERENCE_PA)[:, None]
        if self._openings.count:
            lost += self._openings.flow(change, shares, molar, pressure, temperature)
        if self._apart.any():
            self._pass(change, shares, molar, pressure, temperature)
        energy += moles * warming
        if self._settle_s:
            thinner = np.minimum(np.maximum(REFERENCE_PA / np.maximum(pressure, 1.0), 1.0), _THINNEST)
            energy -= thinner / self._settle_s * (state[:, _ENERGY] - moles * surroundings)
        upward = None
        if self._tree is not None and self._settle_s:
            upward = self._tree.move(self._uneven(energy), change, shares, temperature)
        elif self._tree is not None:
            upward = self._tree.move_moles(
                self._uneven_moles(flow.sum(1), moles, surroundings, warming), change, shares
            )
        if not self._settle_s:
            energy[:] = surroundings * flow.sum(1) + moles * warming
        return Rates(change=change, lost=lost, pressure_pa=pressure, temperature_k=temperature, upward=upward)

    def slope(self, state: Array, rates: Rates) -> tuple[Array, Array]:
        """Return how fast pressure (Pa/s) and temperature (K/s) change, [segments]."""
        moles = np.maximum(state[:, :_ENERGY].sum(1), _EMPTY_MOL)
        warming = rates.change[:, _ENERGY] - rates.temperature_k * rates.change[:, :_ENERGY].sum(1)
        return self.pressure(rates.change), warming / moles

    def slack(self, state: Array, rates: Rates) -> Array:
        """Return for each of `passages` how far it is from where it should join or part its bodies; below 0 it should.

        In small differences a passage is a conductance; what drives it further apart, divided by that, is the
        difference to which it tends.
        """
        pressure, molar = rates.pressure_pa, (state[:, :_ENERGY] @ MOLAR_KG) / state[:, :_ENERGY].sum(1)
        higher = np.where(pressure[self._one] >= pressure[self._other], self._one, self._other)
        temperature = rates.temperature_k[higher]
        high = pressure[higher]
        conductance = between(high, high - _JOIN_PA, temperature, molar[higher], self._area) / _JOIN_PA
        narrow = 1 / self._volume_of_body[self._one] + 1 / self._volume_of_body[self._other]
        stiffness = GAMMA * GAS_CONSTANT * temperature * conductance * narrow
        fall = pressure[self._one] - pressure[self._other]
        rise = self.pressure(rates.change)
        tends = fall + (rise[self._one] - rise[self._other]) / stiffness
        apart = np.maximum(np.abs(fall), np.abs(tends)) / _JOIN_PA - 1
        apart = np.where(stiffness > _STIFF_PER_S, apart, 1.0)
        through = (
            np.zeros(len(self._edge))
            if rates.upward is None
            else np.where(self._edge >= 0, np.abs(rates.upward[self._edge]), 0.0)
        )
        return np.where(self._apart, apart, 1 - through / (conductance * _PART_PA))

    def equalise(self, state: Array) -> None:
        """Let the pressures within each body become one at once, as when a hatch is opened on a difference.

        What stays behind where the pressure falls expands without heat; what comes in compresses what it meets. Moles
        and energy are kept.
        """
        gas, energy = state[:, :_ENERGY], state[:, _ENERGY]
        moles = np.maximum(gas.sum(1), _EMPTY_MOL)
        room = self.volume_m3 * moles / energy
        before = GAS_CONSTANT * energy / self.volume_m3
        if self._settle_s:
            after = self.pressure(state)
            fall = np.maximum(before - after, 0.0) / before
            gone = moles * (1 - (1 - fall) ** (1 / GAMMA))
        else:
            after = GAS_CONSTANT * (self._bodies @ moles) / (self._bodies @ room)
            gone = np.maximum(moles - after * room / GAS_CONSTANT, 0.0)
        out = gas * (gone / moles)[:, None]
        wants = np.maximum(after - before, 0.0) * room
        of_body = self._bodies @ wants
        part = wants / np.maximum(of_body, 1e-300)
        gas += part[:, None] * (self._bodies @ out) - np.where(of_body > 0, 1.0, 0.0)[:, None] * out
        energy[:] = after * self.volume_m3 / GAS_CONSTANT

    def _uneven(self, energy: Array) -> Array:
        """Return what of a change of energy would make the pressure of a body uneven, mol K/s [segments]."""
        return energy - self.volume_m3 * (self._bodies @ energy) / self._volume_of_body

    def _uneven_moles(self, net: Array, moles: Array, surroundings: Array, warming: Array) -> Array:
        """Return the same of a change of moles, where temperatures are their surroundings', mol/s [segments]."""
        room = self.volume_m3 / surroundings
        widening = -room * warming / surroundings
        of_body, room_of_body = self._bodies @ moles, self._bodies @ room
        kept = (room * (self._bodies @ net) + widening * of_body) / room_of_body
        kept -= room * of_body * (self._bodies @ widening) / room_of_body**2
        return net - kept

    def _pass(self, change: Array, shares: Array, molar: Array, pressure: Array, temperature: Array) -> None:
        """Add what passes shut hatches, by seals and valves."""
        one, other = self._one[self._apart], self._other[self._apart]
        forward = pressure[one] >= pressure[other]
        source, target = np.where(forward, one, other), np.where(forward, other, one)
        flow = between(pressure[source], pressure[target], temperature[source], molar[source], self._area[self._apart])
        moved = np.empty((len(flow), change.shape[1]))
        moved[:, :_ENERGY] = flow[:, None] * shares[source]
        moved[:, _ENERGY] = GAMMA * flow * temperature[source]
        np.subtract.at(change, source, moved)
        np.add.at(change, target, moved)

    def _machines(self, network: Network, setting: Setting, at_ns: int) -> None:
        self._sources = np.zeros((len(network.segments), len(GASES)))
        self._scrub = np.zeros_like(self._sources)
        self._fill = np.zeros(len(network.segments))
        for machine in setting.machines.values():
            if machine.on(at_ns):
                place = network.segments.index(machine.segment)
                self._sources[place] += machine.mol_per_s
                self._scrub[place] += np.array(machine.scrub_m3_s) / network.volume_m3[place]
                if machine.fills:
                    self._fill[place] += sum(machine.mol_per_s)
        self.added = self._sources.sum(0)


class _Openings:
    """All ways into vacuum at once."""

    def __init__(self, network: Network, setting: Setting) -> None:
        openings = list(setting.openings.values())
        self.count = len(openings)
        self._at = np.array([network.segments.index(each.segment) for each in openings], dtype=np.intp)
        self._scatter = np.zeros((len(network.segments), self.count))
        self._scatter[self._at, np.arange(self.count)] = 1.0
        power = np.array([each.power for each in openings])
        steady = power == 0
        self._power = power
        self._half = power / 2
        # mass flow goes with (M/T)^(k/2): the root for an orifice, the whole for a crack; moles are mass by M
        self._mass = np.where(steady, 0.0, 1 - self._half)
        self._mol_per_s = np.array([each.kg_per_s / DRY_AIR_KG for each in openings])
        self._inward = self._mol_per_s < 0
        self._fading = steady & ~self._inward
        self._work = np.where(steady, 1.0, GAMMA)

    def flow(self, change: Array, shares: Array, molar: Array, pressure: Array, temperature: Array) -> Array:
        """Take what escapes from `change`, and return it, mol/s [gases]."""
        relative = np.maximum(pressure[self._at], 0.0) / REFERENCE_PA
        mixture = shares[self._at]
        flow = self._mol_per_s * relative**self._power
        flow *= (REFERENCE_K / temperature[self._at]) ** self._half * (DRY_AIR_KG / molar[self._at]) ** self._mass
        if self._fading.any():
            flow = np.where(self._fading, flow * np.minimum(relative * (REFERENCE_PA / _STEADY_ABOVE_PA), 1.0), flow)
        flow *= np.where(self._inward, 1.0, relative / (relative + _EMPTY))
        out = flow[:, None] * mixture
        change[:, :_ENERGY] -= self._scatter @ out
        # Where pressure drives it, what leaves has done work on the way: gamma, not 1.
        change[:, _ENERGY] -= self._scatter @ (self._work * flow * temperature[self._at])
        lost: Array = out.sum(0)
        return lost


class _Tree:
    """Open hatches that join each body without a circle: by these air moves to keep its pressure even.

    Attributes:
        hatches: their names.
    """

    def __init__(self, hatches: Sequence[str], below: Array, child: Indices, parent: Indices) -> None:
        self.hatches = hatches
        self._below = below
        self._child = child
        self._parent = parent
        places = np.arange(len(child))
        self._ends = np.zeros((below.shape[1], len(child)))
        self._ends[parent, places] = 1.0
        self._ends[child, places] = -1.0

    def move(self, excess: Array, change: Array, shares: Array, temperature: Array) -> Array:
        """Add to `change` what leaves segments with an excess of energy for those that lack it; return the moles/s."""
        upward = self._below @ excess
        source = np.where(upward > 0, self._child, self._parent)
        moles = upward / (GAMMA * temperature[source])
        change[:, :_ENERGY] += self._ends @ (moles[:, None] * shares[source])
        change[:, _ENERGY] += self._ends @ upward
        return moles

    def move_moles(self, excess: Array, change: Array, shares: Array) -> Array:
        """Do the same with an excess of moles, and leave the energy alone."""
        upward: Array = self._below @ excess
        source = np.where(upward > 0, self._child, self._parent)
        change[:, :_ENERGY] += self._ends @ (upward[:, None] * shares[source])
        return upward


def _spanned(network: Network, joining: Sequence[str]) -> tuple[Array, _Tree | None]:
    """Return which segments share a pressure, and the tree of hatches that joins them; None when all are alone."""
    count = len(network.segments)
    neighbours: list[list[tuple[int, str]]] = [[] for _ in range(count)]
    for name in joining:
        one, other = network.hatches[name]
        neighbours[one].append((other, name))
        neighbours[other].append((one, name))
    parent: dict[int, tuple[int, str]] = {}
    root = [-1] * count
    order: list[int] = []
    for start in range(count):
        if root[start] < 0:
            root[start] = start
            waiting = [start]
            while waiting:
                here = waiting.pop()
                order.append(here)
                for near, name in neighbours[here]:
                    if root[near] < 0:
                        root[near], parent[near] = start, (here, name)
                        waiting.append(near)
    of_body = np.array(root)
    bodies = (of_body[:, None] == of_body[None, :]).astype(np.float64)
    below = np.eye(count)
    for here in reversed(order):
        if here in parent:
            below[parent[here][0]] += below[here]
    if not parent:
        return bodies, None
    children = np.array(list(parent), dtype=np.intp)
    parents = np.array([above for above, _ in parent.values()], dtype=np.intp)
    return bodies, _Tree([name for _, name in parent.values()], below[children], children, parents)


def _mixing(network: Network, setting: Setting) -> Array:
    """Return the matrix by which ventilation changes moles with mole fractions, mol/s at the reference state."""
    count = len(network.segments)
    mixing = np.zeros((count, count))
    for name, (one, other) in network.hatches.items():
        if setting.passages.get(name) is Passage.OPEN:
            volume = setting.ventilation_m3_s.get(name, VENTILATION_M3_S)
            flow = volume * REFERENCE_PA / (GAS_CONSTANT * REFERENCE_K)
            mixing[one, other] += flow
            mixing[other, one] += flow
            mixing[one, one] -= flow
            mixing[other, other] -= flow
    return mixing
