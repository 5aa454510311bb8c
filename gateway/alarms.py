"""Alarms by ISA-18.2's states, pure: what is wrong, since when, and whether anybody has seen it.

```
            comes                      acknowledge
  (none) ----------> unacknowledged ----------------> acknowledged
                        |      ^                         |      |
                  goes  |      | comes again       goes  |      | comes again: as before, it is known
                        v      |                         v      v
                       returned ---- acknowledge ----> cleared (none)
```
From unacknowledged or acknowledged an alarm can be shelved for a while: it says nothing until that is over, and one
that comes again meanwhile is shelved from the start. After that it is unacknowledged, if it is still there.
An alarm stands for one cause in one place, whatever number of readings, transducers or bodies show it.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

LONGEST_ON_SHELF_S: Final = 28_800.0


class AlarmState(StrEnum):
    """Where an alarm stands."""

    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    RETURNED = "returned"
    """It has gone, but nobody has acknowledged it."""
    CLEARED = "cleared"
    SHELVED = "shelved"
    """Somebody does not want to hear of it for a while."""


class Priority(StrEnum):
    """How urgent an alarm is."""

    CRITICAL = "critical"
    WARNING = "warning"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """What would be an alarm.

    Attributes:
        id: level of its topic, one for each cause and place.
        cause: "leak", "closed-hatch-passes-air", ...
        segment: where; None for the whole station.
        limit: what the value is measured by; None when it has none.
        deadband: by so much the value has to fall below the limit before it has gone.
        on_delay_s, off_delay_s: for so long it has to be there, or gone, without a break.
    """

    id: str
    priority: Priority
    cause: str
    segment: str | None = None
    limit: float | None = None
    deadband: float = 0.0
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Whether what would be an alarm is there, as whoever watches for it sees it; see `Alarms.update`."""

    condition: Condition
    there: bool
    value: float | None = None
    since_s: float | None = None
    instead_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An alarm at one moment; times on the event loop's clock, s.

    Attributes:
        on_s: since when what it tells of is there, as far as that is known.
        changed_s: since when it is in this state.
        value: as of the last update, None when there is none.
        shelved_until_s: when it is back; None unless it is shelved.
        stamped_s: which of these times are known by the wall clock only, as those of an alarm from before a restart.
    """

    condition: Condition
    state: AlarmState
    on_s: float
    changed_s: float
    value: float | None
    shelved_until_s: float | None = None
    stamped_s: frozenset[float] = frozenset()


@dataclass(slots=True, kw_only=True)
class _Watched:
    """A condition under watch.

    Attributes:
        pending_s: since when it is there or gone against its state.
        shelved_until_s: how long its alarm rests, but not beyond `back_s`.
        stamped_s: as that of an alarm.
        kept_until_s: how long an alarm from before stands though nobody sees it now; None for one of our own.
    """

    condition: Condition
    pending_s: float | None = None
    alarm: Alarm | None = None
    shelved_until_s: float = -math.inf
    back_s: float = math.inf
    stamped_s: frozenset[float] = frozenset()
    kept_until_s: float | None = None

    def rests(self, now_s: float) -> bool:
        """Say whether its alarm is not to be heard of."""
        return now_s < min(self.shelved_until_s, self.back_s)


class UnknownAlarmError(LookupError):
    """There is no such alarm to acknowledge; the message names those that there are."""


class Alarms:
    """All alarms of a gateway. Each call returns the alarms that it changed, for whoever publishes them."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}

    @property
    def standing(self) -> tuple[Alarm, ...]:
        """Those that are not cleared, the first one first."""
        alarms = [each.alarm for each in self._watched.values() if each.alarm is not None]
        return tuple(sorted(alarms, key=lambda alarm: alarm.on_s))

    def take(self, seen: Observation, now_s: float) -> tuple[Alarm, ...]:
        """Take an observation."""
        return self.update(
            seen.condition,
            there=seen.there,
            now_s=now_s,
            value=seen.value,
            since_s=seen.since_s,
            instead_of=seen.instead_of,
        )

    def update(
        self,
        condition: Condition,
        *,
        there: bool,
        now_s: float,
        value: float | None = None,
        since_s: float | None = None,
        instead_of: str | None = None,
    ) -> tuple[Alarm, ...]:
        """Say whether a condition is there.

        Args:
            condition: what it is; the one last given for its id counts.
            there: whether it is, beyond `limit` and whatever else decides.
            now_s: the time.
            value: what is measured; within the deadband a standing alarm stays.
            since_s: since when it is there, when that is known better than by now.
            instead_of: id of the alarm that stood for the same thing so far: this one takes its place, and its state.
        """
        if instead_of is not None and instead_of != condition.id:
            return (
                *self._replace(instead_of, condition, now_s),
                *self.update(condition, there=there, now_s=now_s, value=value, since_s=since_s),
            )
        watched = self._watched.setdefault(condition.id, _Watched(condition=condition))
        if watched.kept_until_s is not None and not there:
            return ()
        watched.kept_until_s = None
        watched.condition = condition
        stands = watched.alarm is not None and watched.alarm.state is not AlarmState.RETURNED
        if stands and not there and value is not None and condition.limit is not None:
            there = value > condition.limit - condition.deadband
        if there == stands:
            watched.pending_s = None
            return self._moved(watched, value, since_s) if stands else ()
        if watched.pending_s is None:
            watched.pending_s = now_s
        if now_s - watched.pending_s < (condition.on_delay_s if there else condition.off_delay_s):
            return ()
        watched.pending_s = None
        return (self._come(watched, now_s, value, since_s) if there else self._gone(watched, now_s, value),)

    def acknowledge(self, alarm_id: str, now_s: float) -> Alarm:
        """Note that somebody has seen an alarm, and return it as it is then; a second time changes nothing.

        A shelved one is heard of again.

        Raises:
            UnknownAlarmError: no such alarm stands.
        """
        watched, alarm = self._standing(alarm_id)
        watched.shelved_until_s = -math.inf
        if alarm.state in (AlarmState.UNACKNOWLEDGED, AlarmState.SHELVED):
            alarm = watched.alarm = replace(alarm, state=AlarmState.ACKNOWLEDGED, changed_s=now_s, shelved_until_s=None)
        elif alarm.state is AlarmState.RETURNED:
            watched.alarm = None
            alarm = replace(alarm, state=AlarmState.CLEARED, changed_s=now_s)
        return alarm

    def shelve(self, alarm_id: str, until_s: float, now_s: float) -> Alarm:
        """Say nothing of an alarm until then, and return it as it is now.

        Raises:
            UnknownAlarmError: no such alarm stands, or what it told of is over: that one wants acknowledging.
        """
        watched, alarm = self._standing(alarm_id)
        if alarm.state is AlarmState.RETURNED:
            raise UnknownAlarmError(f"what alarm '{alarm_id}' told of is over: acknowledge it instead")
        watched.shelved_until_s, watched.back_s = until_s, math.inf
        alarm = watched.alarm = replace(alarm, state=AlarmState.SHELVED, changed_s=now_s, shelved_until_s=until_s)
        return alarm

    def unshelve(self, now_s: float) -> tuple[Alarm, ...]:
        """Let those be heard of again whose time on the shelf is over."""
        over = []
        for watched in self._watched.values():
            alarm = watched.alarm
            if alarm is not None and alarm.state is AlarmState.SHELVED and not watched.rests(now_s):
                watched.alarm = replace(alarm, state=AlarmState.UNACKNOWLEDGED, changed_s=now_s, shelved_until_s=None)
                over.append(watched.alarm)
        return tuple(over)

    def restore(self, alarm: Alarm, until_s: float, *, now_s: float) -> None:
        """Let an alarm from before a restart stand, until it is seen again, or until then: see `lapse`.

        A shelved one rests no longer than somebody who shelves it now could ask for: a clock may have been wrong.
        """
        self._watched[alarm.condition.id] = _Watched(
            condition=alarm.condition,
            alarm=alarm,
            shelved_until_s=-math.inf if alarm.shelved_until_s is None else alarm.shelved_until_s,
            back_s=now_s + LONGEST_ON_SHELF_S,
            stamped_s=alarm.stamped_s,
            kept_until_s=until_s,
        )

    def move(self, by_s: float) -> None:
        """Move the times that are known by the wall clock only: it has been found wrong."""
        for watched in self._watched.values():
            moved = {time_s: time_s + by_s for time_s in watched.stamped_s}
            watched.stamped_s = frozenset(moved.values())
            watched.shelved_until_s = moved.get(watched.shelved_until_s, watched.shelved_until_s)
            alarm = watched.alarm
            if alarm is not None:
                watched.alarm = replace(
                    alarm,
                    on_s=moved.get(alarm.on_s, alarm.on_s),
                    changed_s=moved.get(alarm.changed_s, alarm.changed_s),
                    shelved_until_s=None if alarm.shelved_until_s is None else watched.shelved_until_s,
                    stamped_s=watched.stamped_s,
                )

    def lapse(self, now_s: float) -> tuple[Alarm, ...]:
        """Let go of alarms from before a restart that nobody has seen again in their time."""
        over = []
        for watched in self._watched.values():
            if watched.kept_until_s is not None and now_s >= watched.kept_until_s:
                watched.kept_until_s = None
                if watched.alarm is not None and watched.alarm.state is not AlarmState.RETURNED:
                    over.append(self._gone(watched, now_s, None))
        return tuple(over)

    def _standing(self, alarm_id: str) -> tuple[_Watched, Alarm]:
        watched = self._watched.get(alarm_id)
        if watched is None or watched.alarm is None:
            standing = ", ".join(alarm.condition.id for alarm in self.standing)
            raise UnknownAlarmError(
                f"no alarm '{alarm_id}' stands ({f'there are: {standing}' if standing else 'none does'})"
            )
        return watched, watched.alarm

    def _replace(self, old_id: str, condition: Condition, now_s: float) -> tuple[Alarm, ...]:
        """Let an alarm go on under another id; return both, the old one as cleared."""
        old = self._watched.pop(old_id, None)
        here = self._watched.get(condition.id)
        if old is None or old.alarm is None:
            return ()
        over = replace(old.alarm, state=AlarmState.CLEARED, changed_s=now_s)
        if here is not None and here.alarm is not None:
            return (over,)
        alarm = replace(old.alarm, condition=condition)
        self._watched[condition.id] = replace(old, condition=condition, alarm=alarm, pending_s=None, kept_until_s=None)
        return over, alarm

    @staticmethod
    def _moved(watched: _Watched, value: float | None, since_s: float | None) -> tuple[Alarm, ...]:
        """Take a new value, or a better onset, of an alarm that stands."""
        before = watched.alarm
        if before is None:
            return ()
        alarm = replace(
            before, condition=watched.condition, value=value, on_s=before.on_s if since_s is None else since_s
        )
        watched.alarm = alarm
        return (alarm,) if alarm != before and alarm.state is not AlarmState.SHELVED else ()

    @staticmethod
    def _come(watched: _Watched, now_s: float, value: float | None, since_s: float | None) -> Alarm:
        shelved = watched.rests(now_s)
        alarm = watched.alarm = Alarm(
            condition=watched.condition,
            state=AlarmState.SHELVED if shelved else AlarmState.UNACKNOWLEDGED,
            on_s=now_s if since_s is None else since_s,
            changed_s=now_s,
            value=value,
            shelved_until_s=watched.shelved_until_s if shelved else None,
            stamped_s=watched.stamped_s,
        )
        return alarm

    @staticmethod
    def _gone(watched: _Watched, now_s: float, value: float | None) -> Alarm:
        assert watched.alarm is not None  # noqa: S101 - only what stands can go
        known = watched.alarm.state is not AlarmState.UNACKNOWLEDGED
        alarm = replace(
            watched.alarm,
            condition=watched.condition,
            state=AlarmState.CLEARED if known else AlarmState.RETURNED,
            changed_s=now_s,
            value=value,
            shelved_until_s=None,
        )
        watched.alarm = None if known else alarm
        return alarm
