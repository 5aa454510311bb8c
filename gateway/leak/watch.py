"""Ties it together: readings to segment states, to air bodies, to what is found, to what should be announced."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from drivers.reading import Readings
from drivers.rig import HatchState, Rig, Transducer
from gateway.alarms import Condition, Observation, Priority
from gateway.leak.bodies import AIR_S, ClosedHatch, bodies
from gateway.leak.body_watch import BodyWatch, settled_s
from gateway.leak.case import ERROR, Case
from gateway.leak.depress import DepressTrips
from gateway.leak.drift_watch import DriftWatch
from gateway.leak.event import SETTLES_S
from gateway.leak.finding import LOSSES, BodyFinding, Kind, StationFinding
from gateway.leak.gases import Gases
from gateway.leak.hatches import Hatches, HatchNow, Source
from gateway.leak.reserve import reserve
from gateway.leak.segment_state import SegmentState, SegmentVote
from gateway.leak.steps import Steps
from gateway.leak.transducer_record import Member, Rejection

_NEWS_S: Final = 60.0
_SOON_S: Final = 5.0
_YOUNG_S: Final = 300.0  # since the onset, or the last hatch change
_ODDS: Final = 9.0  # logarithm: one closed hatch in 8000 comparisons, 45 min each, is suspected wrongly
_SIGMAS_95: Final = 1.96
_SHARE: Final = 0.95  # probability that the leak is in a body, for that body to be said to leak
_REJECTED_FOR_S: Final = 10.0
_FEW: Final = 3
_SETTLES_S: Final = 10.0  # after a new calibration: it takes effect at once
_NAMED: Final = frozenset(each.value for each in Rejection if each is not Rejection.STALE)


class StationWatch:
    """Watches one station for leaks; pure, all times are handed in.

    Attributes:
        states: segment -> its state after the last step.
    """

    def __init__(self, rig: Rig, now_s: float) -> None:
        self.states: dict[str, SegmentState] = {}
        self.case: Case | None = None
        self._rig = rig
        self._steps = Steps(rig)
        self._gases = Gases(rig)
        self._hatches = Hatches(rig, now_s)
        members: dict[str, list[Member]] = {name: [] for name in rig.segments}
        for name, words in rig.transducers.items():
            if words.segment in members and words.measures_pressure:
                members[words.segment].append(Member.of(name, words))
        self._votes = {name: SegmentVote(name, those) for name, those in members.items() if those}
        self._drifts = {name: DriftWatch(vote, rig.leak.false_alarm_every) for name, vote in self._votes.items()}
        self._trips = DepressTrips(rig)
        self._watches: tuple[BodyWatch, ...] = ()
        self._closed: dict[str, ClosedHatch] = {}
        self._now_s = now_s
        self._next_news_s = now_s
        self._said: tuple[object, ...] = ()
        self._watched: dict[str, Condition] = {}
        self._case_alarm: str | None = None
        self._finding: StationFinding | None = None
        self._partition(now_s)

    @property
    def hatches(self) -> Mapping[str, HatchNow]:
        """Each hatch's state now."""
        return self._hatches.now

    @property
    def watches(self) -> Sequence[BodyWatch]:
        """The air bodies that have transducers."""
        return self._watches

    @property
    def finding(self) -> StationFinding | None:
        """What was found last, None before the first look."""
        return self._finding

    def take(self, readings: Readings) -> None:
        """Take the readings of one poll."""
        self._steps.take(readings)
        self._gases.take(readings, self.states)
        for hatch, state, time_s in self._hatches.hear(readings):
            self.move_hatch(hatch, state, "transducer", time_s)

    def advance(self, now_s: float) -> Iterator[Sequence[SegmentState]]:
        """Work on all steps that are over; yield the segments' states after each."""
        for end_s, said in self._steps.over(now_s):
            self._now_s = end_s
            self.states = {name: vote.take(said.get(name, {}), end_s) for name, vote in self._votes.items()}
            for name, drift in self._drifts.items():
                drift.take(said.get(name, {}))
            self._look_across(end_s)
            for watch in self._watches:
                gases = self._gases.of(watch.body.segments, end_s)
                watch.take(self.states, end_s, partial(self._unrest, watch), gases)
            held = {name for watch in self._watches if end_s < watch.settled_s for name in watch.body.segments}
            self._trips.take(said, self._votes, end_s, held)
            yield tuple(self.states.values())

    def adopt(self, name: str, words: Transducer, *, recalibrated_s: float | None = None) -> None:
        """Take other words for a transducer; that one recalibrated shows the same air differently is no leak."""
        vote = self._votes.get(words.segment)
        if vote is not None and not vote.adopt(Member.of(name, words), recalibrated_s=recalibrated_s):
            self.disturb(words.segment, _SETTLES_S)

    def move_hatch(self, hatch: str, state: HatchState, source: Source, now_s: float) -> None:
        """Note that a hatch moves.

        Raises:
            LookupError: as `Hatches.tell`.
        """
        if self._hatches.tell(hatch, state, source, now_s):
            self._partition(now_s)

    def moved(self) -> Sequence[str]:
        """Return the hatches of which there is news since the last call."""
        return self._hatches.news()

    def disturb(self, segment: str, lasts_s: float = SETTLES_S, mass_kg: float | None = None) -> None:
        """Expect the air of a segment to be disturbed from now on: a repress, an airlock cycle, a docking.

        Args:
            segment: all that open hatches join to it is disturbed alike.
            lasts_s: until its air has settled again.
            mass_kg: air that a repress lets in, as metered.

        Raises:
            LookupError: the rig has no such segment, none of its transducers measures that air, or a mass is given and
                a volume is missing.
        """
        if segment not in self._rig.segments:
            raise LookupError(f"no segment '{segment}' in the rig (there are: {', '.join(self._rig.segments)})")
        watch = next((each for each in self._watches if segment in each.body.segments), None)
        if watch is None:
            raise LookupError(f"no transducer measures the air of segment '{segment}': there is no leak watch to tell")
        if mass_kg is not None and math.isnan(watch.body.volume_m3):
            blank = ", ".join(name for name in watch.body.segments if self._rig.segments[name].volume is None)
            raise LookupError(f"a mass says nothing without a volume, and {blank} has none; tell it without the mass")
        watch.disturb(self._now_s, lasts_s, mass_kg)

    def _partition(self, now_s: float) -> None:
        """Form the air bodies anew; those that stay the same go on, with all they know."""
        passages = [(hatch.between, self.hatches[hatch.id].state) for hatch in self._rig.hatches]
        found = bodies(self._rig.segments, passages)
        measured = [body for body in found if any(name in self._votes for name in body.segments)]
        before = {watch.body.segments: watch for watch in self._watches}
        gone = [watch for segments, watch in before.items() if segments not in {body.segments for body in measured}]
        if self.case is not None:
            self.case.keep(gone)
        each_s = self._rig.leak.false_alarm_every * max(len(measured), 1)
        self._watches = tuple(
            before.get(body.segments)
            or BodyWatch(
                body,
                self._rig.segments,
                self._rig.leak,
                false_alarm_s=each_s,
                begin_s=now_s,
                ready_s=settled_s(body, self._watches, now_s),
            )
            for body in measured
        )
        homes = {name: watch.body.segments for watch in self._watches for name in watch.body.segments}
        self._closed = {
            hatch.id: self._closed.get(hatch.id)
            or ClosedHatch(error_pa=self._air_error_pa(), apart_s=AIR_S, limit=_ODDS)
            for hatch in self._rig.hatches
            if self.hatches[hatch.id].state is HatchState.CLOSED
            and all(end in homes for end in hatch.between)
            and homes[hatch.between[0]] != homes[hatch.between[1]]
        }
        self._next_news_s = self._parted_s = now_s

    def _air_error_pa(self) -> float:
        return math.hypot(self._rig.leak.temperature_error * 343.0, self._rig.leak.gas_error)

    def _unrest(self, watch: BodyWatch) -> float:
        """Return by which factor the transducers of a body are noisier of late than they were, on average."""
        squares = [self._votes[name].unrest() ** 2 for name in watch.body.segments if name in self._votes]
        return math.sqrt(sum(squares) / len(squares))

    def _look_across(self, now_s: float) -> None:
        """Compare the two sides of each hatch."""
        for shut in self._hatches.look(self.states, now_s):
            self.move_hatch(shut, HatchState.CLOSED, "pressure", now_s)
        levels = {name: watch.level for watch in self._watches for name in watch.body.segments}
        for hatch in self._rig.hatches:
            closed = self._closed.get(hatch.id)
            one, other = (levels.get(end) for end in hatch.between)
            if closed is not None and one is not None and other is not None:
                closed.take(one, other, now_s)

    def news(self) -> StationFinding | None:
        """Return what is found by now, when it is time to say it: at once when it changes, else each minute."""
        here = tuple(
            (each.body.segments, each.found is None, each.collecting, each.silent(self._now_s))
            for each in self._watches
        )
        if not self.states or (here == self._said and self._now_s < self._next_news_s):
            return None
        self._said = here
        self._finding = self._find()
        soon = self.case is not None and self._now_s - max(self.case.begin_s, self._parted_s) < _YOUNG_S
        self._next_news_s = self._now_s + (_SOON_S if soon else _NEWS_S)
        return self._finding

    def _find(self) -> StationFinding:
        losing = [each for each in self._watches if each.found is not None and not each.found.gain]
        volumes = all(segment.volume for segment in self._rig.segments.values())
        if losing and volumes and self.case is None:
            self.case = Case(self._rig, min(each.found.onset_s for each in losing if each.found))
        where: Mapping[str, float] = {}
        next_hatch = None
        if self.case is not None:
            self.case.look(self._watches)
            if not losing and self.case.nothing_lost():
                self.case = None
            elif self.case.where is not None:
                where = {} if self.case.several else self.case.where.probability
                closed = {name: hatch.state is not HatchState.OPEN for name, hatch in self.hatches.items()}
                next_hatch = self.case.next_hatch(self._watches, closed)
        hidden = self.case is not None and self.case.hidden_path()
        return StationFinding(
            time_s=self._now_s,
            bodies=tuple(self._body(each, hidden=hidden) for each in self._watches),
            where=where,
            next_hatch=next_hatch,
        )

    def _body(self, watch: BodyWatch, *, hidden: bool) -> BodyFinding:
        kind, slope, interval = watch.seen(self._now_s)
        evidence = self.case.slope(watch) if self.case is not None else None
        if self.case is not None and kind in (Kind.NONE, Kind.COLLECTING):
            share = self.case.share(watch)
            low = evidence.slope_pa_s - _SIGMAS_95 * evidence.slope_sd_pa_s if evidence is not None else 0.0
            if evidence is not None and share > _SHARE and low > 0:
                kind, slope = Kind.LEAK, evidence.slope_pa_s
                interval = (low, slope + _SIGMAS_95 * evidence.slope_sd_pa_s)
            elif not share < ERROR:  # it may be here; that nothing is seen yet is no word that nothing is lost
                kind = Kind.COLLECTING
        if hidden and kind in LOSSES:
            kind = Kind.HIDDEN_PATH
        found = BodyFinding(body=watch.body, kind=kind, notes=(*watch.notes(), *self._doubts(watch)))
        if slope is None or interval is None:
            return found
        relative = watch.body.volume_relative_sigma
        rates = None
        if not math.isnan(watch.body.volume_m3):
            rate = watch.body.rate_kg_per_s(slope)
            rates = (
                rate,
                tuple(
                    rate
                    + math.copysign(math.hypot(watch.body.rate_kg_per_s(end - slope), 2 * relative * rate), end - slope)
                    for end in interval
                ),
            )
        left = None
        if found.loses and watch.pressure_pa > 0:
            left = reserve(watch.pressure_pa, self._rig.leak.reserve_pressure, slope, interval)
        return replace(
            found,
            slope_pa_per_s=slope,
            ci95_pa_per_s=interval,
            rate_kg_per_s=rates[0] if rates else None,
            rate_ci95_kg_per_s=(rates[1][0], rates[1][1]) if rates else None,
            since_s=self._since_s(watch),
            reserve=left,
        )

    def _doubts(self, watch: BodyWatch) -> Iterator[str]:
        """Say which hatches seem to pass air, and which segments have one transducer to go by."""
        alike = self.case.passing() if self.case is not None else []
        for hatch in self._rig.hatches:
            if set(hatch.between).isdisjoint(watch.body.segments):
                continue
            passes = hatch.id in alike or (hatch.id in self._closed and self._closed[hatch.id].passes_air)
            yield from self._hatches.doubts(hatch, passes=passes, now_s=self._now_s)
        alone = [name for name in watch.body.segments if name in self.states and self.states[name].alone]
        if alone:
            yield f"one transducer to go by, nothing to compare it with, in {', '.join(alone)}"

    def _since_s(self, watch: BodyWatch) -> float | None:
        if self.case is not None:
            return self.case.begin_s
        return watch.found.onset_s if watch.found is not None else None

    def observations(self) -> Iterator[Observation]:
        """Yield whatever is, or was, an alarm, as of now."""
        now = {each.condition.id: each for each in self._there()}
        for alarm_id, condition in list(self._watched.items()):
            if alarm_id not in now:
                yield Observation(condition=condition, there=False)
                del self._watched[alarm_id]
        for alarm_id, each in now.items():
            self._watched[alarm_id] = each.condition
            yield each

    def _there(self) -> Iterator[Observation]:
        yield from self._losses()
        for watch in self._watches:
            if self._now_s < watch.settled_s:
                continue
            alarm_id, segment = self._alarm_id(watch.body.segments, None)
            yield from self._trips.observations(watch.body.segments, alarm_id.removeprefix("leak-"), segment)
        alike = self.case.passing() if self.case is not None else []
        for hatch, closed in self._closed.items():
            if closed.passes_air or hatch in alike:
                condition = Condition(id=f"hatch-{hatch}", priority=Priority.WARNING, cause="closed-hatch-passes-air")
                yield Observation(condition=condition, there=True)
        for hatch in self._hatches.contradicted():
            condition = Condition(id=f"hatch-{hatch}", priority=Priority.WARNING, cause="open-hatch-sides-differ")
            yield Observation(condition=condition, there=True)
        for name, state in self.states.items():
            named = [why for why in state.rejected.values() if why in _NAMED]
            if named or not state.agreed:
                condition = Condition(
                    id=f"transducers-{name}",
                    priority=Priority.ADVICE,
                    cause="transducer-rejected" if named else "transducers-disagree",
                    segment=name,
                    on_delay_s=_REJECTED_FOR_S,
                )
                yield Observation(condition=condition, there=True, value=float(len(named)))

    def _losses(self) -> Iterator[Observation]:
        """Yield one observation for each leak, not for each body or transducer that shows it."""
        finding = self._finding
        if finding is None:
            return
        losing = {each.body.segments: each for each in finding.bodies if each.loses}
        if self.case is not None and self.case.where is not None:
            main_watch = max(self._watches, key=self.case.share)
            main = next(each for each in finding.bodies if each.body is main_watch.body)
            alike = self.case.passing()
            joined = {end for hatch in self._rig.hatches if hatch.id in alike for end in hatch.between}
            for watch in self._watches:  # another body's loss is another leak only if it lasts, and is not this one's
                here = watch.body.segments == main.body.segments or not joined.isdisjoint(watch.body.segments)
                if here or (watch.found is not None and self._now_s - watch.found.at_s < _NEWS_S):
                    losing.pop(watch.body.segments, None)
            if self._case_alarm is not None and self.case.named is None and len(main.body.segments) > 1:
                alarm_id, segment = self._case_alarm, None  # as it was announced, until its segment is known
            else:
                alarm_id, segment = self._alarm_id(main.body.segments, self.case.named)
            yield Observation(
                condition=Condition(id=alarm_id, priority=Priority.CRITICAL, cause="leak", segment=segment),
                there=True,
                value=_per_day(main),
                since_s=self.case.begin_s,
                instead_of=self._case_alarm,
            )
            self._case_alarm = alarm_id
        else:
            self._case_alarm = None
        for segments, each in losing.items():
            alarm_id, segment = self._alarm_id(segments, None)
            condition = Condition(id=alarm_id, priority=Priority.CRITICAL, cause=each.kind.value, segment=segment)
            yield Observation(condition=condition, there=True, value=_per_day(each), since_s=each.since_s)
        for each in finding.bodies:
            if each.kind is Kind.GAIN:
                alarm_id, segment = self._alarm_id(each.body.segments, None)
                gain_id = alarm_id.replace("leak-", "gain-", 1)
                condition = Condition(id=gain_id, priority=Priority.ADVICE, cause="gain", segment=segment)
                yield Observation(condition=condition, there=True, value=_per_day(each), since_s=each.since_s)

    def _alarm_id(self, segments: Sequence[str], named: str | None) -> tuple[str, str | None]:
        """Return the id of a body's leak alarm and the segment that it names, None for several."""
        if named is not None or len(segments) == 1:
            segment = named or segments[0]
            return f"leak-{segment}", segment
        if 2 * len(segments) > len(self._rig.segments):
            return "leak-station", None
        if len(segments) <= _FEW:
            return f"leak-{'-'.join(segments)}", None
        return f"leak-{segments[0]}-and-{len(segments) - 1}-more", None


def _per_day(found: BodyFinding) -> float | None:
    return None if found.rate_kg_per_s is None else found.rate_kg_per_s * 86_400
