"""Publishes what the leak watch finds: segment states, hatches, leaks, alarms; and takes what people tell it.

It hears the readings of each poll, and once a second looks at what has come together. All numerics are in
`gateway.leak`, pure; here they meet the outbox and the clock.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final

from drivers.reading import Quality, Readings
from drivers.rig import HatchState, Rig
from gateway import silence_watch
from gateway.alarms import Alarm, Alarms, AlarmState, Observation, Priority
from gateway.leak.event import Event
from gateway.leak.finding import StationFinding
from gateway.leak.segment_state import SegmentState
from gateway.leak.watch import StationWatch
from gateway.mqtt import finding_payloads
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.publisher import Stamps
from gateway.mqtt.topics import Topics

_log: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_KEPT_S: Final = 86_400.0  # how long an alarm from before a restart stands unseen: a seep takes hours to be found again
_KEPT_SHORT_S: Final = 60.0  # where whoever watches for it sees at once whether it is there


class Findings:
    """The leak watch of one gateway and the topics that it fills.

    Attributes:
        watch: what is known, for whoever shows it in this process.
        listeners: called with each alarm that changes.
    """

    def __init__(self, rig: Rig, outbox: Outbox, stamps: Stamps, boot: str) -> None:
        self._loop = asyncio.get_running_loop()
        self.watch = StationWatch(rig, self._loop.time())
        self.listeners: list[Callable[[Alarm], None]] = []
        self._gateway = rig.station.gateway
        self._outbox = outbox
        self._stamps = stamps
        self._boot = boot
        self._topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
        self._alarms = Alarms()
        self._told_hatches = False
        self._leak: StationFinding | None = None
        self._recorded: dict[str, tuple[AlarmState, float, Priority]] = {}
        self._said: dict[str, tuple[tuple[str, ...], dict[str, str], Quality]] = {}

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """Those that stand, the first one first."""
        return self._alarms.standing

    def take(self, readings: Readings) -> None:
        """Take the readings of one poll."""
        self.watch.take(readings)

    def act(self) -> float:
        """Look; return when to be called again, in s."""
        if not self._told_hatches:
            self._told_hatches = True
            for hatch in self.watch.hatches:
                self._tell_hatch(hatch)
            return _LOOK_S
        self.look(self._loop.time())
        return _LOOK_S

    def look(self, now_s: float) -> None:
        """Publish what has been found by now."""
        for states in self.watch.advance(now_s):
            for state in states:
                self._tell_state(state)
        for hatch in self.watch.moved():
            self._tell_hatch(hatch)
        finding = self.watch.news()
        if finding is not None:
            self._leak = finding
            self._tell_leak(finding)
        for alarm in (*self._alarms.unshelve(now_s), *self._alarms.lapse(now_s)):
            self._tell_alarm(alarm, now_s)
        for seen in self.watch.observations():
            self.observe(seen, now_s)

    def observe(self, seen: Observation, now_s: float) -> None:
        """Take an observation, the leak watch's or another's, and publish the alarms that it changes."""
        for alarm in self._alarms.take(seen, now_s):
            self._tell_alarm(alarm, now_s)

    def restore(self, alarms: Iterable[Alarm], *, seen_at_once: Collection[str] = ()) -> None:
        """Let alarms from before a restart stand: what has raised them begins to look anew, and may take its time.

        Args:
            alarms: that stood.
            seen_at_once: ids of those that take none; what the broker may have of one that did not stand is taken away:
                a gateway that was killed with its disk could not note it.
        """
        now_s = self._loop.time()
        standing = list(alarms)
        for alarm in standing:
            soon = alarm.condition.id in seen_at_once or alarm.condition.cause == silence_watch.CAUSE
            kept_s = _KEPT_SHORT_S if soon else _KEPT_S
            self._alarms.restore(alarm, now_s + kept_s, now_s=now_s)
            self._tell_standing(alarm, now_s)
        for alarm_id in sorted({*seen_at_once} - {alarm.condition.id for alarm in standing}):
            self._outbox.put(Message(topic=self._topics.alarm(alarm_id), payload=b"", retain=True))

    def renew(self, *, corrected_s: float = 0.0) -> None:
        """Say again, with the stamps of now, what stands retained: hatches, leaks and alarms.

        Args:
            corrected_s: by how much the wall clock was wrong until now, as far as that is known.
        """
        self._alarms.move(-corrected_s)
        now_s = self._loop.time()
        for hatch in self.watch.hatches:
            self._tell_hatch(hatch)
        if self._leak is not None:
            self._tell_leak(self._leak)
        for alarm in self.alarms:
            self._tell_standing(alarm, now_s)

    def move_hatch(self, hatch: str, state: HatchState) -> None:
        """Take somebody's word for the state of a hatch.

        Raises:
            LookupError: the rig has no such hatch, or its contact says something else; see `StationWatch.move_hatch`.
        """
        self.watch.move_hatch(hatch, state, "command", self._loop.time())
        self.look(self._loop.time())

    def expect(self, event: Event, segment: str, *, lasts_s: float, mass_kg: float | None, by: str) -> None:
        """Take somebody's word for what is done to the air of a segment from now on: it is no leak and no gain.

        Raises:
            LookupError: there is no such segment, nothing measures its air, or a mass is given and a volume is missing.
        """
        self.watch.disturb(segment, lasts_s, mass_kg)
        metered = "" if mass_kg is None else f", {mass_kg:g} kg"
        _log.info("%s in %s, expected to last %.0f s%s", event.value, segment, lasts_s, metered)
        told = finding_payloads.happening(segment=segment, lasts_s=lasts_s, mass_kg=mass_kg, by=by)
        self.record(event.value, told, self._stamps.utc_ms(self._loop.time()))
        self.look(self._loop.time())

    def acknowledge(self, alarm_id: str) -> Alarm:
        """Note that somebody has seen an alarm, and return it as it is then.

        Raises:
            gateway.alarms.UnknownAlarmError: no such alarm stands.
        """
        now_s = self._loop.time()
        stood = self.alarms
        alarm = self._alarms.acknowledge(alarm_id, now_s)
        if alarm not in stood:
            self._tell_alarm(alarm, now_s)
        return alarm

    def shelve(self, alarm_id: str, lasts_s: float) -> Alarm:
        """Say nothing of an alarm for so long, and return it as it is then.

        Raises:
            gateway.alarms.UnknownAlarmError: no such alarm stands.
        """
        now_s = self._loop.time()
        alarm = self._alarms.shelve(alarm_id, now_s + lasts_s, now_s)
        self._tell_alarm(alarm, now_s)
        return alarm

    def record(self, kind: str, what: bytes, t_ms: int, *, lasting: bool = True) -> int:
        """Publish an event and return its number; one that is lasting is kept when telemetry has to make room."""
        n = self._outbox.number()
        payload = finding_payloads.event(kind, what, gateway=self._gateway, boot=self._boot, n=n, t_ms=t_ms)
        self._outbox.put(Message(topic=self._topics.event(kind), payload=payload, n=n, record=lasting))
        return n

    def _tell_state(self, state: SegmentState) -> None:
        said = (state.used, dict(state.rejected), state.quality)
        if not state.fresh and self._said.get(state.segment) == said:
            return
        self._said[state.segment] = said
        payload = finding_payloads.state(
            state, gateway=self._gateway, n=self._outbox.newest_n, t_ms=self._stamps.utc_ms(state.time_s)
        )
        self._outbox.put(Message(topic=self._topics.segment_state(state.segment), payload=payload, retain=True))

    def _tell_leak(self, finding: StationFinding) -> None:
        payload = finding_payloads.leak(finding, self._stamps.utc_ms)
        self._outbox.put(Message(topic=self._topics.leak, payload=payload, retain=True))

    def _tell_hatch(self, hatch: str) -> None:
        now = self.watch.hatches[hatch]
        payload = finding_payloads.hatch(
            passage=now.state.value,
            source=now.source,
            quality=now.quality.word,
            t_ms=self._stamps.utc_ms(now.since_s),
        )
        self._outbox.put(Message(topic=self._topics.hatch(hatch), payload=payload, retain=True))

    def _tell_standing(self, alarm: Alarm, now_s: float) -> None:
        """Say again how an alarm stands; nothing has happened."""
        self._recorded[alarm.condition.id] = _transition(alarm)
        payload = finding_payloads.alarm(alarm, t_ms=self._stamps.utc_ms(now_s), utc_ms=self._stamps.utc_ms)
        self._outbox.put(Message(topic=self._topics.alarm(alarm.condition.id), payload=payload, retain=True))

    def _tell_alarm(self, alarm: Alarm, now_s: float) -> None:
        """Say how an alarm stands now, and put it on record if that is more than another value."""
        alarm_id, transition = alarm.condition.id, _transition(alarm)
        over = alarm.state is AlarmState.CLEARED
        t_ms = self._stamps.utc_ms(now_s)
        payload = finding_payloads.alarm(alarm, t_ms=t_ms, utc_ms=self._stamps.utc_ms)
        if self._recorded.get(alarm_id) != transition:
            self._recorded[alarm_id] = transition
            self.record("alarm", payload, t_ms)
        topic = self._topics.alarm(alarm_id)
        self._outbox.put(Message(topic=topic, payload=payload, retain=not over))
        if over:  # an empty retained payload takes it from the broker; who listens has had the word "cleared"
            del self._recorded[alarm_id]
            self._outbox.put(Message(topic=topic, payload=b"", retain=True))
        for listener in self.listeners:
            listener(alarm)


def _transition(alarm: Alarm) -> tuple[AlarmState, float, Priority]:
    """Return what is another one when more has happened than a new value."""
    return alarm.state, alarm.changed_s, alarm.condition.priority
