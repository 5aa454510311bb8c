"""The station's air in time: moles of each gas and temperature of each segment, advanced from event to event.

Steps end on a fixed grid, at events, and where something moves fast; they never depend on when anybody looks. So any
moment can be asked, in any order, and the same seed and events give the same answer.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from firmware_sim.physics.climate import Climate, Temperatures
from firmware_sim.physics.gas import GAS_CONSTANT, GASES, Array
from firmware_sim.physics.network import Arrangement, Network, Rates
from firmware_sim.physics.setting import Passage, Setting

SECOND_NS: Final = 1_000_000_000

_CABIN_SHARES: Final = (0.778, 0.209, 0.004, 0.009)  # of GASES in cabin air; the water is a dew point of 6 C
_FINE: Final = 0.05  # a step is at most so much of the time in which something decays
_MIXED: Final = 0.7  # and at most so much of the time in which ventilation mixes the smallest segment
_LONGEST_NS: Final = 60 * SECOND_NS
_SHORTEST_NS: Final = 1_000_000
_EQUAL_PA: Final = 1.0  # what an equalisation valve leaves is gone in seconds; see `_valves_done`
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
        state: moles of each gas, then K above what the air settles to, [segments, gases + 1].
        lost, added: since the start, mol [gases].
    """

    at_ns: int
    state: Array
    setting: Setting
    lost: Array
    added: Array


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
        step_s: the grid.
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
        step_s: float = 20.0,
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
        self._arranged: tuple[Setting, tuple[bool, ...], Arrangement] | None = None
        self._rates: tuple[Array, Arrangement, Rates] | None = None
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
        none = np.zeros(len(GASES))
        return _Moment(at_ns=at_ns, state=state, setting=self._setting, lost=none, added=none)

    def _advance(self) -> None:
        """Do the next step."""
        before = self._front
        start_ns = before.at_ns
        surroundings = self._temperatures.at(start_ns / SECOND_NS)
        state, setting, added = self._happened(before, surroundings)
        arrangement = self._arrangement(setting, start_ns)
        rates = self._known_rates(state, arrangement, surroundings)
        span_ns = self._span_ns(start_ns, setting, max(rates.speed / _FINE, arrangement.exchange_per_s / _MIXED))
        end_ns = start_ns + span_ns
        span_s = span_ns / SECOND_NS
        halfway = self._temperatures.at((start_ns + span_ns / 2) / SECOND_NS)
        then = self._temperatures.at(end_ns / SECOND_NS)
        second = arrangement.rates(state + span_s / 2 * rates.change, halfway)
        third = arrangement.rates(state + span_s / 2 * second.change, halfway)
        fourth = arrangement.rates(state + span_s * third.change, then)
        sixth = span_s / 6
        last = state + sixth * (rates.change + 2 * (second.change + third.change) + fourth.change)
        lost = before.lost + sixth * (rates.lost + 2 * (second.lost + third.lost) + fourth.lost)
        arrangement.level(last, then)
        after = arrangement.rates(last, then)
        per_s = (then - surroundings) / span_s
        ends = (arrangement.slope(rates, per_s), arrangement.slope(after, per_s))
        rows = self._rows(rates, after, ends, (start_ns, end_ns))
        self._rates = (last, arrangement, after)
        self._spans.append(_Span(before=before, start_ns=start_ns, end_ns=end_ns, first=state, last=last, rows=rows))
        self._ends_ns.append(end_ns)
        setting, settled = self._valves_done(setting, after.pressure_pa, last, end_ns)
        added = added + span_s * rates.added
        self._front = _Moment(at_ns=end_ns, state=settled, setting=setting, lost=lost, added=added)
        if end_ns // _CHECKPOINT_NS > self._checkpoints[-1].at_ns // _CHECKPOINT_NS:
            self._checkpoints.append(self._front)
        if len(self._spans) > 2 * _KEPT:
            del self._spans[:_KEPT], self._ends_ns[:_KEPT]

    def _happened(self, before: _Moment, surroundings: Array) -> tuple[Array, Setting, Array]:
        """Return (state, setting, added) after the events of a moment."""
        state, setting, added = before.state, before.setting, before.added
        events = self._events_of(before.at_ns)
        if not events:
            return state, setting, added
        state = state.copy()
        if before.at_ns > self._checkpoints[0].at_ns:
            # Within a body pressures are uneven by what the last step's warmth did; no closing hatch may catch that.
            self._arrangement(setting, before.at_ns).equalise(state, surroundings)
        for event in events:
            if isinstance(event, Refill):
                added = added + self._refill(state, event, surroundings)
            elif isinstance(event, Alter):
                added = added + self._alter(state, event, surroundings)
            else:
                setting = event(setting)
        self._arrangement(setting, before.at_ns).equalise(state, surroundings)
        return state, setting, added

    def _events_of(self, at_ns: int) -> list[Change | Refill | Alter]:
        place = bisect_left(self._events, at_ns, key=lambda event: event.at_ns)
        return [event.happens for event in self._events[place:] if event.at_ns == at_ns]

    def _refill(self, state: Array, refill: Refill, surroundings: Array) -> Array:
        place = self._network.segments.index(refill.segment)
        moles = refill.pressure_pa * self._network.volume_m3[place] / (GAS_CONSTANT * surroundings[place])
        there = state[place, : len(GASES)].copy()
        state[place, : len(GASES)] = moles * np.array(_CABIN_SHARES)
        state[place, len(GASES)] = 0.0
        more: Array = state[place, : len(GASES)] - there
        return more

    def _alter(self, state: Array, alter: Alter, surroundings: Array) -> Array:
        place = self._network.segments.index(alter.segment)
        there = state[place, : len(GASES)].copy()
        gas = state[place, : len(GASES)]
        if alter.temperature_k is not None:
            state[place, len(GASES)] = alter.temperature_k - surroundings[place]
        temperature_k = surroundings[place] + state[place, len(GASES)]
        moles_per_pa = self._network.volume_m3[place] / (GAS_CONSTANT * temperature_k)
        for name, partial_pa in alter.partial_pa.items():
            gas[GASES.index(name)] = partial_pa * moles_per_pa
        if alter.pressure_pa is not None:
            gas *= alter.pressure_pa * moles_per_pa / gas.sum()
        more: Array = gas - there
        return more

    def _arrangement(self, setting: Setting, at_ns: int) -> Arrangement:
        on = tuple(machine.on(at_ns) for machine in setting.machines.values())
        known = self._arranged
        if known is None or known[0] is not setting or known[1] != on:
            known = self._arranged = setting, on, Arrangement(self._network, setting, at_ns, self._settle_s)
        return known[2]

    def _known_rates(self, state: Array, arrangement: Arrangement, surroundings: Array) -> Rates:
        if self._rates is not None and self._rates[0] is state and self._rates[1] is arrangement:
            return self._rates[2]
        return arrangement.rates(state, surroundings)

    def _span_ns(self, at_ns: int, setting: Setting, speed: float) -> int:
        """Return how long the next step is, of which there must be at least `speed` in a second."""
        longest_ns = min(_LONGEST_NS, self._step_ns)
        if speed * longest_ns > SECOND_NS:
            longest_ns = max(int(SECOND_NS / speed), _SHORTEST_NS)
        next_ns = min(at_ns + longest_ns, (at_ns // self._step_ns + 1) * self._step_ns)
        place = bisect_right(self._events, at_ns, key=lambda event: event.at_ns)
        if place < len(self._events):
            next_ns = min(next_ns, self._events[place].at_ns)
        for machine in setting.machines.values():
            switch_ns = machine.next_switch_ns(at_ns)
            if switch_ns is not None:
                next_ns = min(next_ns, switch_ns)
        return next_ns - at_ns

    def _rows(
        self,
        start: Rates,
        end: Rates,
        slopes: tuple[tuple[Array, Array], tuple[Array, Array]],
        times_ns: tuple[int, int],
    ) -> list[list[float]]:
        error, error_then = (self._temperatures.error_at(at_ns / SECOND_NS) for at_ns in times_ns)
        span_s = (times_ns[1] - times_ns[0]) / SECOND_NS
        (pressure_slope, warming), (pressure_slope_then, warming_then) = slopes
        columns = (
            *_cubic(start.pressure_pa, end.pressure_pa, pressure_slope * span_s, pressure_slope_then * span_s),
            *_cubic(start.temperature_k, end.temperature_k, warming * span_s, warming_then * span_s),
            error,
            error_then - error,
        )
        rows: list[list[float]] = np.array(columns).T.tolist()
        return rows

    def _valves_done(self, setting: Setting, pressure: Array, state: Array, at_ns: int) -> tuple[Setting, Array]:
        """Join what equalisation valves have equalised; the small rest would need very small steps for nothing."""
        hatches = self._network.hatches
        done = [
            name
            for name, passage in setting.passages.items()
            if passage is Passage.VALVE and abs(pressure[hatches[name][0]] - pressure[hatches[name][1]]) < _EQUAL_PA
        ]
        if not done:
            return setting, state
        for name in done:
            setting = setting.with_passage(name, Passage.EQUAL)
        state = state.copy()
        self._arrangement(setting, at_ns).equalise(state, self._temperatures.at(at_ns / SECOND_NS))
        return setting, state


def _cubic(first: Array, last: Array, slope: Array, slope_then: Array) -> tuple[Array, Array, Array, Array]:
    """Return the coefficients of the cubic with these ends and slopes at 0 and 1."""
    rise = last - first
    return first, slope, 3 * rise - 2 * slope - slope_then, slope + slope_then - 2 * rise
