"""The station's air in time: moles of each gas and temperature of each segment, advanced from event to event.

Steps end on a fixed grid, at events, and as soon as their error would be more than is tolerated; they never depend on
when anybody looks. So any moment can be asked, in any order, and the same seed and events give the same answer.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from firmware_sim.physics.climate import KNOT_S, Climate, Temperatures
from firmware_sim.physics.gas import GAS_CONSTANT, GASES, Array
from firmware_sim.physics.network import Arrangement, Network
from firmware_sim.physics.setting import Setting
from firmware_sim.physics.stride import LANDED, SECOND_NS, Start, Stride, stride

_CABIN_SHARES: Final = (0.778, 0.209, 0.004, 0.009)  # of GASES in cabin air; the water is a dew point of 6 C
_KNOT_NS: Final = round(KNOT_S) * SECOND_NS
_KEPT: Final = 1024
_CHECKPOINT_NS: Final = 3600 * SECOND_NS

Change = Callable[[Setting], Setting]
"""What an event does to the station's setting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refill:
    """An event that replaces a segment's air, as when a ship docks with air of its own."""

    segment: str
    pressure_pa: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Alter:
    """An event that changes a segment's air by decree; where open hatches join it to others, they share at once.

    Attributes:
        temperature_k: of its air, which then settles to its surroundings again; None for as it is.
        pressure_pa: by more or less of the same mixture; None for what temperature and partial pressures make it.
        partial_pa: gas -> its partial pressure, for those of `GASES` that change.
    """

    segment: str
    temperature_k: float | None = None
    pressure_pa: float | None = None
    partial_pa: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class _Event:
    at_ns: int
    number: int
    happens: Change | Refill | Alter = field(compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """Everything that the future depends on, before the events of that very moment. Nothing in it changes any more.

    Attributes:
        state: moles of each gas, then moles times temperature in mol K, [segments, gases + 1].
        equal: hatches that are shut, but let air past and have nothing left to equalise.
        lost, added: since the start, mol [gases].
        pace_s: how long the next step may be for its error, as far as the last one tells.
    """

    at_ns: int
    state: Array
    setting: Setting
    equal: frozenset[str]
    lost: Array
    added: Array
    pace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """One step, kept.

    Attributes:
        before: what it began from.
        first, last: state after the events of its beginning, and at its end.
        rows: for each segment, u from 0 to 1: pressure c0 + u (c1 + u (c2 + u c3)), temperature in the same way, then
            how much warmer it is at the transducers, e0 + u e1.
    """

    before: _Moment
    start_ns: int
    end_ns: int
    first: Array
    last: Array
    rows: list[list[float]]


class Air:
    """The air of a network of segments.

    Args:
        network: segments and hatches.
        setting: at the start.
        pressure_pa: of each segment at the start, [segments].
        temperature_k: of all segments at time 0.
        climate: how temperatures move.
        seed: of the course of the temperatures.
        step_s: the grid; no step is longer.
    """

    def __init__(
        self,
        network: Network,
        setting: Setting,
        *,
        pressure_pa: Array,
        temperature_k: float,
        climate: Climate,
        seed: int,
        step_s: float = 300.0,
    ) -> None:
        self._network = network
        self._setting = setting
        self._pressure_pa = pressure_pa
        self._settle_s = climate.settle_s
        self._temperatures = Temperatures(network.segments, climate, seed=seed, start_k=temperature_k)
        self._step_ns = round(step_s * SECOND_NS)
        self._events: list[_Event] = []
        self._spans: list[_Span] = []
        self._ends_ns: list[int] = []
        self._arranged: tuple[Setting, frozenset[str], tuple[bool, ...], Arrangement] | None = None
        self._checkpoints = [self._begin(0)]
        self._front = self._checkpoints[0]

    def happen(self, at_ns: int, event: Change | Refill | Alter) -> None:
        """Let something happen at a moment, which may be past, and even before time 0."""
        insort(self._events, _Event(at_ns, len(self._events), event))
        if at_ns < self._checkpoints[0].at_ns:
            self._checkpoints = [self._begin(at_ns)]
            self._front = self._checkpoints[0]
            self._keep(0)
        elif at_ns < self._front.at_ns or at_ns < self._checkpoints[-1].at_ns:
            del self._checkpoints[bisect_right(self._checkpoints, at_ns, key=lambda moment: moment.at_ns) :]
            self._return_to(at_ns)

    def feel(self, segment: int, at_ns: int) -> tuple[float, float]:
        """Return a segment's pressure in Pa, and its temperature in K as transducers there feel it."""
        pressure, temperature, error = self._look(segment, at_ns)
        return pressure, temperature + error

    def truth(self, segment: int, at_ns: int) -> tuple[float, float]:
        """Return a segment's pressure in Pa and mean temperature in K."""
        pressure, temperature, _ = self._look(segment, at_ns)
        return pressure, temperature

    def moles(self, at_ns: int) -> Array:
        """Return the moles of `GASES` in each segment, [segments, gases]; exact at steps' ends, straight between."""
        span, u = self._span(at_ns)
        moles: Array = ((1 - u) * span.first + u * span.last)[:, : len(GASES)]
        return moles

    def setting(self, at_ns: int) -> Setting:
        """Return how the station is set up to and including a moment, without the events of that very moment."""
        span, _ = self._span(at_ns)
        setting = span.before.setting
        for event in self._events_of(span.start_ns):
            setting = setting if isinstance(event, Refill | Alter) else event(setting)
        return setting

    def balance(self, at_ns: int) -> tuple[Array, Array, Array]:
        """Return the whole station's (content, lost since the start, added since the start), mol [gases].

        All three at the end of the step into which the moment falls.
        """
        span, _ = self._span(at_ns)
        place = self._spans.index(span) + 1
        moment = self._spans[place].before if place < len(self._spans) else self._front
        return moment.state[:, : len(GASES)].sum(0), moment.lost, moment.added

    def _look(self, segment: int, at_ns: int) -> tuple[float, float, float]:
        spans = self._spans
        if spans and (span := spans[-1]).start_ns < at_ns <= span.end_ns:
            u = (at_ns - span.start_ns) / (span.end_ns - span.start_ns)
        else:
            span, u = self._span(at_ns)
        p0, p1, p2, p3, t0, t1, t2, t3, e0, e1 = span.rows[segment]
        return p0 + u * (p1 + u * (p2 + u * p3)), t0 + u * (t1 + u * (t2 + u * t3)), e0 + u * e1

    def _span(self, at_ns: int) -> tuple[_Span, float]:
        """Return the step into which a moment falls, and its place there; before the start, that is the start."""
        at_ns = max(at_ns, self._checkpoints[0].at_ns)
        start = at_ns == self._checkpoints[0].at_ns
        self._seek(at_ns + start)
        span = self._spans[bisect_left(self._ends_ns, at_ns + start)]
        return span, (at_ns - span.start_ns) / (span.end_ns - span.start_ns)

    def _seek(self, at_ns: int) -> None:
        """Let the kept steps reach over a moment that is later than the start."""
        kept_from_ns = self._spans[0].start_ns if self._spans else self._front.at_ns
        if at_ns <= kept_from_ns or self._front.at_ns < self._checkpoints[-1].at_ns < at_ns:
            self._return_to(at_ns - 1)
        while self._front.at_ns < at_ns:
            self._advance()

    def _return_to(self, at_ns: int) -> None:
        """Go on from the last known moment that is not later than the given one."""
        place = bisect_right(self._ends_ns, at_ns)
        if place < len(self._spans) and self._spans[place].start_ns <= at_ns:
            self._front = self._spans[place].before
            self._keep(place)
            return
        place = bisect_right(self._checkpoints, at_ns, key=lambda moment: moment.at_ns) - 1
        self._front = self._checkpoints[place]
        self._keep(0)

    def _keep(self, count: int) -> None:
        del self._spans[count:], self._ends_ns[count:]

    def _begin(self, at_ns: int) -> _Moment:
        temperature = self._temperatures.at(at_ns / SECOND_NS)
        moles = self._pressure_pa * self._network.volume_m3 / (GAS_CONSTANT * temperature)
        state = np.zeros((len(moles), len(GASES) + 1))
        state[:, : len(GASES)] = moles[:, None] * np.array(_CABIN_SHARES)
        state[:, len(GASES)] = moles * temperature
        none = np.zeros(len(GASES))
        return _Moment(
            at_ns=at_ns,
            state=state,
            setting=self._setting,
            equal=frozenset(),
            lost=none,
            added=none,
            pace_s=self._step_ns / SECOND_NS,
        )

    def _advance(self) -> None:
        """Do the next step."""
        before = self._front
        start, setting, equal, added = self._start(before)
        done = stride(start, pace_s=before.pace_s, longest_ns=self._longest_ns(before.at_ns, setting))
        end_ns = before.at_ns + done.span_ns
        rows = self._rows(start, done, end_ns)
        self._spans.append(
            _Span(before=before, start_ns=before.at_ns, end_ns=end_ns, first=start.state, last=done.state, rows=rows)
        )
        self._ends_ns.append(end_ns)
        self._front = _Moment(
            at_ns=end_ns,
            state=done.state,
            setting=setting,
            equal=equal,
            lost=done.lost,
            added=added + done.span_ns / SECOND_NS * start.arrangement.added,
            pace_s=done.pace_s,
        )
        if end_ns // _CHECKPOINT_NS > self._checkpoints[-1].at_ns // _CHECKPOINT_NS:
            self._checkpoints.append(self._front)
        if len(self._spans) > 2 * _KEPT:
            del self._spans[:_KEPT], self._ends_ns[:_KEPT]

    def _start(self, before: _Moment) -> tuple[Start, Setting, frozenset[str], Array]:
        """Let happen what happens at a moment, then join and part what its passages no longer hold apart or even."""
        course = self._temperatures.course(before.at_ns / SECOND_NS)
        surroundings = course(before.at_ns / SECOND_NS)
        state, setting, equal, added = self._happened(before, surroundings[0])
        arrangement = self._arrangement(setting, equal, before.at_ns)
        rates = arrangement.rates(state, *surroundings)
        while arrangement.passages:
            slack = arrangement.slack(state, rates)
            turned = {name for name, left in zip(arrangement.passages, slack, strict=True) if left <= LANDED}
            if not turned:
                break
            equal = equal ^ turned
            arrangement = self._arrangement(setting, equal, before.at_ns)
            state = state.copy()
            arrangement.equalise(state)
            rates = arrangement.rates(state, *surroundings)
        start = Start(
            at_ns=before.at_ns, state=state, lost=before.lost, arrangement=arrangement, rates=rates, course=course
        )
        return start, setting, equal, added

    def _happened(self, before: _Moment, surroundings: Array) -> tuple[Array, Setting, frozenset[str], Array]:
        """Return (state, setting, equal, added) after the events of a moment."""
        state, setting, added = before.state, before.setting, before.added
        events = self._events_of(before.at_ns)
        if not events:
            return state, setting, before.equal, added
        state = state.copy()
        for event in events:
            if isinstance(event, Refill):
                added = added + self._refill(state, event, surroundings)
            elif isinstance(event, Alter):
                added = added + self._alter(state, event)
            else:
                setting = event(setting)
        equal = frozenset(
            name
            for name in before.equal
            if setting.passages.get(name) is before.setting.passages.get(name)
            and setting.area_m2(name) == before.setting.area_m2(name)
        )
        self._arrangement(setting, equal, before.at_ns).equalise(state)
        return state, setting, equal, added

    def _events_of(self, at_ns: int) -> list[Change | Refill | Alter]:
        place = bisect_left(self._events, at_ns, key=lambda event: event.at_ns)
        return [event.happens for event in self._events[place:] if event.at_ns == at_ns]

    def _refill(self, state: Array, refill: Refill, surroundings: Array) -> Array:
        place = self._network.segments.index(refill.segment)
        moles = refill.pressure_pa * self._network.volume_m3[place] / (GAS_CONSTANT * surroundings[place])
        there = state[place, : len(GASES)].copy()
        state[place, : len(GASES)] = moles * np.array(_CABIN_SHARES)
        state[place, len(GASES)] = moles * surroundings[place]
        more: Array = state[place, : len(GASES)] - there
        return more

    def _alter(self, state: Array, alter: Alter) -> Array:
        place = self._network.segments.index(alter.segment)
        gas = state[place, : len(GASES)]
        there = gas.copy()
        temperature_k = alter.temperature_k or state[place, len(GASES)] / gas.sum()
        moles_per_pa = self._network.volume_m3[place] / (GAS_CONSTANT * temperature_k)
        for name, partial_pa in alter.partial_pa.items():
            gas[GASES.index(name)] = partial_pa * moles_per_pa
        if alter.pressure_pa is not None:
            gas *= alter.pressure_pa * moles_per_pa / gas.sum()
        state[place, len(GASES)] = gas.sum() * temperature_k
        more: Array = gas - there
        return more

    def _arrangement(self, setting: Setting, equal: frozenset[str], at_ns: int) -> Arrangement:
        on = tuple(machine.on(at_ns) for machine in setting.machines.values())
        known = self._arranged
        if known is None or known[0] is not setting or known[1:3] != (equal, on):
            arrangement = Arrangement(self._network, setting, equal, at_ns, self._settle_s)
            known = self._arranged = setting, equal, on, arrangement
        return known[3]

    def _longest_ns(self, at_ns: int, setting: Setting) -> int:
        """Return how long the next step may be at most: to the grid, to a turn of the weather, to what happens next."""
        next_ns = (at_ns // self._step_ns + 1) * self._step_ns
        if self._temperatures.turning:
            next_ns = min(next_ns, (at_ns // _KNOT_NS + 1) * _KNOT_NS)
        place = bisect_right(self._events, at_ns, key=lambda event: event.at_ns)
        if place < len(self._events):
            next_ns = min(next_ns, self._events[place].at_ns)
        for machine in setting.machines.values():
            switch_ns = machine.next_switch_ns(at_ns)
            if switch_ns is not None:
                next_ns = min(next_ns, switch_ns)
        return next_ns - at_ns

    def _rows(self, start: Start, done: Stride, end_ns: int) -> list[list[float]]:
        error, error_then = (self._temperatures.error_at(at_ns / SECOND_NS) for at_ns in (start.at_ns, end_ns))
        span_s = done.span_ns / SECOND_NS
        rates, after = start.rates, done.rates
        rise, warming = start.arrangement.slope(start.state, rates)
        rise_then, warming_then = start.arrangement.slope(done.state, after)
        columns = (
            *_cubic(rates.pressure_pa, after.pressure_pa, rise * span_s, rise_then * span_s),
            *_cubic(rates.temperature_k, after.temperature_k, warming * span_s, warming_then * span_s),
            error,
            error_then - error,
        )
        rows: list[list[float]] = np.array(columns).T.tolist()
        return rows


def _cubic(first: Array, last: Array, slope: Array, slope_then: Array) -> tuple[Array, Array, Array, Array]:
    """Return the coefficients of the cubic with these ends and slopes at 0 and 1."""
    rise = last - first
    return first, slope, 3 * rise - 2 * slope - slope_then, slope + slope_then - 2 * rise
