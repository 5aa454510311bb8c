"""The station as a graph: segments joined by hatches, and how gas moves in it under one setting."""

from collections.abc import Mapping, Sequence
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
from firmware_sim.physics.setting import VALVE_M2, VENTILATION_M3_S, Passage, Setting

Indices = npt.NDArray[np.intp]

_THERMAL = len(GASES)  # the column of the state behind the moles: warmth above the surroundings, K
_EMPTY_MOL = 1e-9
_STEADY_ABOVE_PA = 1000.0  # a steady loss fades below it, for there is nothing left to lose
_EMPTY = 1e-8  # of the reference pressure: no opening empties a segment further
_THINNEST = 20.0  # thin air takes on its surroundings' temperature sooner, but no step can follow any rate
_TOO_CLOSE_PA = 1e-3


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
        lost, added: mol/s that leave the station and that machines bring in, [gases].
        pressure_pa, temperature_k: now, [segments].
        speed: the fastest rate at which something here decays or grows, 1/s.
    """

    change: Array
    lost: Array
    added: Array
    pressure_pa: Array
    temperature_k: Array
    speed: float


class Arrangement:
    """A network under one setting, with machines on or off as they are at one moment.

    The state is an array [segments, gases + 1]: moles of each gas, then K above what the air settles to.

    Attributes:
        bodies: 1 where two segments share their pressure, else 0, [segments, segments].
        exchange_per_s: how often in a second ventilation and scrubbers exchange the air of the segment where they do
            most.
    """

    def __init__(self, network: Network, setting: Setting, at_ns: int, settle_s: float) -> None:
        self._volume = network.volume_m3
        self._settle_s = settle_s
        joined = [
            ends
            for name, ends in network.hatches.items()
            if setting.passages.get(name) in {Passage.OPEN, Passage.EQUAL}
        ]
        self.bodies, self._tree = _spanned(len(network.segments), joined)
        self._volume_of_body = self.bodies @ self._volume
        self._mixing = _mixing(network, setting)
        self._openings = _Openings(network, setting)
        self._machines(network, setting, at_ns)
        ventilated = -np.diag(self._mixing) * (GAS_CONSTANT * REFERENCE_K / REFERENCE_PA) / self._volume
        self.exchange_per_s = float((ventilated + self._scrub.max(1)).max())
        areas = {
            name: setting.seals_m2.get(name, 0.0) + (VALVE_M2 if setting.passages.get(name) is Passage.VALVE else 0.0)
            for name in network.hatches
        }
        apart = [
            (*network.hatches[name], area)
            for name, area in areas.items()
            if area and setting.passages.get(name) not in {Passage.OPEN, Passage.EQUAL}
        ]
        self._one = np.array([one for one, _, _ in apart], dtype=np.intp)
        self._other = np.array([other for _, other, _ in apart], dtype=np.intp)
        self._area = np.array([area for _, _, area in apart])

    def pressure(self, moles: Array, temperature: Array) -> Array:
        """Return each segment's pressure, Pa: one for each body."""
        return GAS_CONSTANT * (self.bodies @ moles) / (self.bodies @ (self._volume / temperature))

    def rates(self, state: Array, surroundings: Array) -> Rates:
        """Return how a state changes.

        Args:
            state: [segments, gases + 1].
            surroundings: temperature that the air settles to, K [segments].
        """
        gas = state[:, :_THERMAL]
        temperature = surroundings + state[:, _THERMAL]
        moles = np.maximum(gas.sum(1), _EMPTY_MOL)
        pressure = self.pressure(moles, temperature)
        shares = gas / moles[:, None]
        change = np.empty_like(state)
        flow, warmth = change[:, :_THERMAL], change[:, _THERMAL]
        np.matmul(self._mixing, shares, out=flow)
        flow *= (pressure / REFERENCE_PA)[:, None]
        scrubbed = self._scrub * gas
        flow += self._sources - scrubbed
        warmth[:] = self._fill / moles * (GAMMA * REFERENCE_K - temperature)
        lost = scrubbed.sum(0)
        if self._openings.count:
            lost += self._openings.flow(change, shares, moles, pressure, temperature)
        speed = 0.0
        if self._area.size:
            speed = self._pass(change, shares, moles, pressure, temperature)
        net = flow.sum(1)
        of_body = np.maximum(self.bodies @ moles, _EMPTY_MOL)
        growth = (self.bodies @ net) / of_body
        if self._tree is not None:
            room = self._volume / temperature
            excess = net - room * (self.bodies @ net) / (self.bodies @ room)
            self._tree.move(excess, change, shares, moles, temperature)
        if self._settle_s:
            thinner = np.clip(REFERENCE_PA / pressure, 1.0, _THINNEST)
            warmth -= thinner * state[:, _THERMAL] / self._settle_s
        else:
            warmth[:] = 0.0
        return Rates(
            change=change,
            lost=lost,
            added=self._added,
            pressure_pa=pressure,
            temperature_k=temperature,
            speed=max(speed, float(np.abs(growth).max())),
        )

    def slope(self, rates: Rates, surroundings_per_s: Array) -> tuple[Array, Array]:
        """Return how fast pressure (Pa/s) and temperature (K/s) change, [segments]."""
        per_s = rates.change[:, _THERMAL] + surroundings_per_s
        room = self._volume / rates.temperature_k
        relative = (self.bodies @ rates.change[:, :_THERMAL].sum(1)) * GAS_CONSTANT / rates.pressure_pa
        relative += self.bodies @ (room * per_s / rates.temperature_k)
        return rates.pressure_pa * relative / (self.bodies @ room), per_s

    def level(self, state: Array, surroundings: Array) -> None:
        """Let air move within each body so far as changed temperatures have left its pressure uneven."""
        if self._tree is None:
            return
        gas = state[:, :_THERMAL]
        temperature = surroundings + state[:, _THERMAL]
        moles = np.maximum(gas.sum(1), _EMPTY_MOL)
        room = self._volume / temperature
        excess = moles - room * (self.bodies @ moles) / (self.bodies @ room)
        moved = np.zeros_like(state)
        self._tree.move(excess, moved, gas / moles[:, None], moles, temperature)
        if not self._settle_s:
            moved[:, _THERMAL] = 0.0
        state += moved

    def equalise(self, state: Array, surroundings: Array) -> None:
        """Let the pressures within each body become one at once, as when a hatch is opened on a difference.

        What stays behind where the pressure falls expands without heat; what comes in compresses what it meets. Moles
        and energy are kept.
        """
        gas = state[:, :_THERMAL]
        temperature = surroundings + state[:, _THERMAL]
        moles = np.maximum(gas.sum(1), _EMPTY_MOL)
        before = GAS_CONSTANT * moles * temperature / self._volume
        if self._settle_s:
            after = (self.bodies @ (before * self._volume)) / self._volume_of_body
            fall = np.maximum(before - after, 0.0) / before
            gone = moles * (1 - (1 - fall) ** (1 / GAMMA))
        else:
            after = self.pressure(moles, temperature)
            gone = np.maximum(moles - after * self._volume / (GAS_CONSTANT * temperature), 0.0)
        out = gas * (gone / moles)[:, None]
        wants = np.maximum(after - before, 0.0) * self._volume / temperature
        part = wants / np.maximum(self.bodies @ wants, 1e-300)
        gas += part[:, None] * (self.bodies @ out) - np.where(self.bodies @ wants > 0, 1.0, 0.0)[:, None] * out
        if self._settle_s:
            moles = np.maximum(gas.sum(1), _EMPTY_MOL)
            state[:, _THERMAL] = after * self._volume / (GAS_CONSTANT * moles) - surroundings

    def _pass(self, change: Array, shares: Array, moles: Array, pressure: Array, temperature: Array) -> float:
        """Add what passes shut hatches, by seals and valves; return the speed of that."""
        forward = pressure[self._one] >= pressure[self._other]
        source = np.where(forward, self._one, self._other)
        target = np.where(forward, self._other, self._one)
        fall = pressure[source] - pressure[target]
        flow = between(pressure[source], pressure[target], temperature[source], shares[source] @ MOLAR_KG, self._area)
        moved = np.empty((len(flow), change.shape[1]))
        moved[:, :_THERMAL] = flow[:, None] * shares[source]
        moved[:, _THERMAL] = flow * (GAMMA - 1) * temperature[source] / moles[source]
        np.subtract.at(change, source, moved)
        moved[:, :_THERMAL] *= -1
        moved[:, _THERMAL] = -flow * (GAMMA * temperature[source] - temperature[target]) / moles[target]
        np.subtract.at(change, target, moved)
        narrow = 1 / self._volume_of_body[source] + 1 / self._volume_of_body[target]
        stiffness = flow / np.maximum(fall, _TOO_CLOSE_PA) * GAS_CONSTANT * temperature[source] * narrow
        return float(stiffness.max())

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
        self._added = self._sources.sum(0)


class _Openings:
    """All ways into vacuum at once."""

    def __init__(self, network: Network, setting: Setting) -> None:
        openings = list(setting.openings.values())
        self.count = len(openings)
        self._at = np.array([network.segments.index(each.segment) for each in openings], dtype=np.intp)
        self._scatter = np.zeros((len(network.segments), self.count))
        self._scatter[self._at, np.arange(self.count)] = 1.0
        power = np.array([each.power for each in openings])
        self._steady = power == 0
        self._power = power
        self._half = power / 2
        # mass flow goes with (M/T)^(k/2): the root for an orifice, the whole for a crack; moles are mass by M
        self._mass = np.where(self._steady, 0.0, 1 - self._half)
        self._mol_per_s = np.array([each.kg_per_s / DRY_AIR_KG for each in openings])

    def flow(self, change: Array, shares: Array, moles: Array, pressure: Array, temperature: Array) -> Array:
        """Take what escapes from `change`, and return it, mol/s [gases]."""
        relative = pressure[self._at] / REFERENCE_PA
        mixture = shares[self._at]
        flow = self._mol_per_s * relative**self._power
        flow *= (REFERENCE_K / temperature[self._at]) ** self._half * (DRY_AIR_KG / (mixture @ MOLAR_KG)) ** self._mass
        if self._steady.any():
            fading = self._steady & (self._mol_per_s > 0)
            flow = np.where(fading, flow * np.minimum(relative * (REFERENCE_PA / _STEADY_ABOVE_PA), 1.0), flow)
        flow = np.where((relative < _EMPTY) & (flow > 0), 0.0, flow)
        out = flow[:, None] * mixture
        change[:, :_THERMAL] -= self._scatter @ out
        cooling = self._scatter @ np.where(self._steady, 0.0, flow)
        change[:, _THERMAL] -= (GAMMA - 1) * temperature * cooling / moles
        lost: Array = out.sum(0)
        return lost


class _Tree:
    """Open hatches that join each body without a circle: by these air moves to keep its pressure even."""

    def __init__(self, below: Array, child: Indices, parent: Indices, count: int) -> None:
        self._below = below
        self._child = child
        self._parent = parent
        hatches = np.arange(len(child))
        self._ends = np.zeros((count, len(child)))
        self._ends[parent, hatches] = 1.0
        self._ends[child, hatches] = -1.0

    def move(self, excess: Array, change: Array, shares: Array, moles: Array, temperature: Array) -> None:
        """Add to `change` what leaves segments with an excess of moles for those that lack them, with its warmth."""
        upward = self._below @ excess
        source = np.where(upward > 0, self._child, self._parent)
        moved = upward[:, None] * shares[source]
        change[:, :_THERMAL] += self._ends @ moved
        net = self._ends @ upward
        carried = self._ends @ (upward * temperature[source])
        # (in) (gamma T' - T) - (out) (gamma - 1) T, with T' = T for what goes out
        change[:, _THERMAL] += (GAMMA * carried - temperature * net) / moles


def _spanned(count: int, joined: Sequence[tuple[int, int]]) -> tuple[Array, _Tree | None]:
    """Return which segments share a pressure, and the tree of hatches that joins them; None when all are alone."""
    neighbours: list[list[int]] = [[] for _ in range(count)]
    for one, other in joined:
        neighbours[one].append(other)
        neighbours[other].append(one)
    parent = [-1] * count
    root = [-1] * count
    order: list[int] = []
    for start in range(count):
        if root[start] < 0:
            root[start] = start
            waiting = [start]
            while waiting:
                here = waiting.pop()
                order.append(here)
                for near in neighbours[here]:
                    if root[near] < 0:
                        root[near], parent[near] = start, here
                        waiting.append(near)
    of_body = np.array(root)
    bodies = (of_body[:, None] == of_body[None, :]).astype(np.float64)
    below = np.eye(count)
    for here in reversed(order):
        if parent[here] >= 0:
            below[parent[here]] += below[here]
    children = np.array([here for here in range(count) if parent[here] >= 0], dtype=np.intp)
    if not children.size:
        return bodies, None
    return bodies, _Tree(below[children], children, np.array(parent, dtype=np.intp)[children], count)


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
