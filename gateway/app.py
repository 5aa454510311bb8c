"""The gateway: builds everything from a rig and runs it in one task group.

A poll goes poller -> normaliser -> `_take`, which hands the readings to the publisher and to whoever listens in this
process. Everything waits on the running loop's clock, so the same gateway runs in virtual time.
"""

import asyncio
import logging
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from typing import Final, Literal

from drivers.bus import Bus
from drivers.reader import UnitReader, reader
from drivers.reading import RawPoll, Readings
from drivers.rig import Rig
from drivers.transport.choose import transport_for
from drivers.transport.transport import MakeTransport
from gateway.before import skipped, started
from gateway.beginning import begin
from gateway.calibrations import Calibrations
from gateway.clock_watch import ClockWatch
from gateway.corrections import Correction
from gateway.delivery_watch import DeliveryWatch
from gateway.desk import Desk
from gateway.down_polls import DownPolls
from gateway.findings import Findings
from gateway.handover import Handover, left_over
from gateway.health import HealthCheck
from gateway.mqtt import payloads
from gateway.mqtt.carrier import MakeCarrier
from gateway.mqtt.journal import Journal
from gateway.mqtt.keeper import Keeper
from gateway.mqtt.outbox import Inbox, Message, Outbox
from gateway.mqtt.publisher import Publisher
from gateway.mqtt.topics import Topics
from gateway.normalise import Normaliser
from gateway.operations import NewRig, Operations
from gateway.poller import Poller, periods
from gateway.silence_watch import SilenceWatch
from gateway.stamps import Stamps, kernel_sync
from gateway.supervision import Again, Supervision

_LOG: Final = logging.getLogger(__name__)
_HEALTH_S: Final = 10.0
_FIRST_HEALTH_S: Final = 2.0
_EXPIRE_EACH_S: Final = 0.05
_SILENCE_S: Final = 1.0


class Gateway:
    """One gateway of one station. Construction needs a running loop and touches no wire.

    Args:
        journal: opened, or its opening has failed; closed at the end of `run`. None keeps what waits for the broker in
            memory.
        calibrations: those given by command, of this rig; None keeps them in memory.
        load: reads the rig file anew, for the command `reload`; raises RigError, or ValueError for what else hinders.
        handover: what the gateway before this one has left, after `reload`.
        emulated: whether an emulator plays the transducers; `meta` says so.

    Attributes:
        boot: id of this start.
        findings: segment states, hatches, leaks and alarms; takes words on hatches and acknowledgements.
        desk: takes commands.
        listeners: called with the readings of each poll.
        station: as in the rig file.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        rig_hash: str,
        make_carrier: MakeCarrier,
        make_transport: MakeTransport = transport_for,
        journal: Journal | None = None,
        calibrations: Calibrations | None = None,
        load: Callable[[], NewRig] | None = None,
        handover: Handover | None = None,
        emulated: bool = False,
        boot: str | None = None,
        wall: Callable[[], float] = time.time,
        sync: Callable[[], str] = kernel_sync,
    ) -> None:
        self._calibrations = calibrations or Calibrations(rig)
        rig = self._calibrations.applied()
        self._farewell: str | None = None  # why it ends; None while it goes on
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self.listeners: list[Callable[[Readings], None]] = []
        self._rig, self._rig_hash, self._emulated = rig, rig_hash, emulated
        self._topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
        self._stamps = Stamps(wall=wall, sync=sync, before=None if handover is None else handover.clock)
        boot = boot or secrets.token_hex(4)
        beginning = begin(rig, self._stamps, journal=journal, handover=handover, boot=boot, now_s=self._began_s)
        self._beginning, self.boot, self.station = beginning, beginning.boot, rig.station
        self._outbox = Outbox(clock=self._loop.time)
        self._keeper: Keeper | None = None
        if journal is not None:
            self._keeper = Keeper(
                journal,
                self._outbox,
                commit_s=rig.journal.commit,
                utc_ms=self._now_ms,
                spares=rig.journal.keep == "card",
            )
            self._keeper.age_ms = self._stamps.age_ms
            self._keeper.tell_skipped = self._tell_skipped
        self._publisher = Publisher(rig, self._outbox, self._stamps, self.boot)
        self.findings = Findings(rig, self._outbox, self._stamps, self.boot)
        self._normalisers: dict[tuple[str, int], Normaliser] = {}
        self.pollers = [self._poller(name, make_transport) for name in rig.buses if rig.units(name)]
        self._supervision = Supervision()
        self._delivery_watch = DeliveryWatch(rig.station.gateway)
        self._silence_watch = SilenceWatch(rig, self._began_s)
        self._operations = Operations(
            self._rig,
            pollers=self.pollers,
            findings=self.findings,
            listeners=self.listeners,
            replay=self._replay,
            adopt=self._adopt,
            calibrations=self._calibrations,
            load=load,
            utc_ms=self._now_ms,
        )
        self.desk = Desk(
            self._operations,
            self.findings.record,
            permissions=rig.commands,
            outbox=self._outbox,
            topics=self._topics,
            boot=self.boot,
            utc_ms=self._now_ms,
            seen=beginning.seen,
            counts=beginning.counts,
        )
        self._down_polls = DownPolls(beginning.uncounted, self._stamps, beginning.free_starts)
        self._health = self.health_check()
        self.carrier = make_carrier(
            self._outbox,
            client_id=f"manovac-{rig.station.id}-{rig.station.gateway}",
            will=self._status("offline", "connection lost"),
            farewell=lambda: None if self._farewell is None else self._status("offline", self._farewell),
            inbox=Inbox(topics=(self._topics.commands,), take=self.desk.take),
        )
        self._resume()
        self._clock = ClockWatch(
            self._stamps,
            self._outbox,
            self._topics,
            boot=self.boot,
            free_since=beginning.free_since,
            begins=beginning.anew,
            earlier=None if journal is None else beginning.free_starts,
            stepped=self._clock_stepped,
            restamp=lambda *words: self._keeper.restamp(*words) if self._keeper is not None else None,
        )

    def _resume(self) -> None:
        """Go on with numbers, alarms and hatches; what this rig no longer has is taken from the broker."""
        beginning = self._beginning
        self._outbox.newest_n = max(self._outbox.newest_n, beginning.newest_n)
        if not beginning.anew or beginning.before is not None:
            self.findings.restore(beginning.alarms, seen_at_once=self._delivery_watch.ids)
        for hatch, state in beginning.hatches.items():
            with suppress(LookupError):  # its contact knows better
                self.findings.watch.move_hatch(hatch, state, "command", self._loop.time())
        channels = [each for normaliser in self._normalisers.values() for each in normaliser.channels]
        for topic in left_over(beginning.retained, self._rig, channels):
            self._outbox.put(Message(topic=topic, payload=b"", retain=True))

    def _poller(self, name: str, make_transport: MakeTransport) -> Poller:
        bus = Bus(name, self._rig.buses[name], make_transport=make_transport)
        readers: dict[int, UnitReader] = {}
        units = self._rig.units(name)
        for unit, transducers in units.items():
            readers[unit] = reader(bus, unit, transducers)
            self._normalisers[name, unit] = Normaliser(readers[unit].driver.channels, transducers)
        return Poller(bus, readers, periods(units), lambda unit, raw: self._take(name, unit, raw))

    def _take(self, bus: str, unit: int, raw: RawPoll) -> None:
        """Carry one poll from the wire to everybody who wants it."""
        readings = self._normalisers[bus, unit](raw, now_ms=self._stamps.utc_ms(raw.time_s))
        self._publisher.publish(readings)
        for listener in (self.findings.take, self._silence_watch.take, *self.listeners):
            try:
                listener(readings)
            except Exception as error:  # noqa: BLE001 - what is published is published, whoever cannot bear it
                self._supervision.failed(f"listener {getattr(listener, '__qualname__', listener)}", error)

    @property
    def sync(self) -> str:
        """State of the clock: "ntp", "free" or "unknown"."""
        return self._stamps.sync

    def _adopt(self, rig: Rig, transducer: str) -> None:
        """Go on with other words of one transducer, or with others paused, and say so."""
        words = rig.transducers[transducer]
        recalibrated = words.calibration != self._rig.transducers[transducer].calibration
        if recalibrated:
            channels = self._normalisers[words.bus, words.unit].channels
            self._normalisers[words.bus, words.unit] = Normaliser(channels, rig.units(words.bus)[words.unit])
        self._rig = rig
        self._publisher.adopt(rig)
        self.findings.watch.adopt(transducer, words, recalibrated_s=self._loop.time() if recalibrated else None)
        self._tell_meta()

    async def _replay(self, first: int, last: int) -> int:
        """Deliver messages of record again, on `late`; return how many there are."""
        return 0 if self._keeper is None else await self._keeper.again(first, last)

    async def run(self) -> Handover:
        """Run until cancelled, or until the command `reload` has found a good rig file.

        What is collected is published before it ends.

        Returns:
            What the next gateway begins with.
        """
        working = self._loop.create_task(self._work(), name="gateway")
        successor = self._operations.successor
        try:
            await asyncio.wait((working, successor), return_when=asyncio.FIRST_COMPLETED)
            self._farewell = "reload"
        finally:
            self._farewell = self._farewell or "stopped"
            working.cancel()
            await asyncio.wait([working])
            if not working.cancelled():
                working.result()
        return self._handover(successor.result())

    async def _work(self) -> None:
        self._announce()
        self._tell_start()
        parts = (
            Again("clock", self._clock.act),
            Again("stale readings", self._expire),
            Again("findings", self.findings.act),
            Again("silent units", self._watch_silence),
            Again("health", self._report_health, first_s=_FIRST_HEALTH_S),
            Again("loop lag", self._health.watch_loop),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._supervision.keep(self.desk), name="commands, kept")
                tasks.create_task(self._until_all_is_kept(), name="polls, then link, then journal")
                for part in parts:
                    tasks.create_task(self._supervision.keep(part), name=f"{part.name}, kept")
        finally:
            self._publisher.flush()

    @property
    def polled(self) -> bool:
        """Whether a poll has ended yet."""
        return any(poller.heartbeat_s > -math.inf for poller in self.pollers)

    def stuck(self) -> list[str]:
        """Return the names of parts that stand still for good; see `Supervision.stuck`."""
        return self._supervision.stuck()

    def health_check(self) -> HealthCheck:
        """Return what takes snapshots of how all of this does."""
        return HealthCheck(self.pollers, self._supervision, commands=self.desk.counts, lost_before=self._beginning.lost)

    def _handover(self, successor: NewRig) -> Handover:
        self._down_polls.count(self._beginning.lost)
        statistics = self._outbox.statistics()
        losses = Counter(self._health.losses(statistics))
        if self._keeper is None:
            losses["stopped"] += statistics.messages
        told = {
            hatch.id: self.findings.watch.hatches[hatch.id].state
            for hatch in self._rig.hatches
            if hatch in successor.rig.hatches and self.findings.watch.hatches[hatch.id].source == "command"
        }
        return Handover(
            rig=successor.rig,
            rig_hash=successor.rig_hash,
            boot=self.boot,
            newest_n=self._outbox.newest_n,
            losses={cause: number for cause, number in losses.items() if number},
            clock=self._stamps.state,
            free_since=self._clock.free_since,
            alarms=self.findings.alarms,
            hatches=told,
            seen={name: seen for name, seen in self.desk.seen.items() if seen.answer is not None},
            counts=dict(self.desk.counts),
            retained=self._outbox.retained,
            uncounted=self._down_polls.uncounted,
            ended_s=self._loop.time(),
        )

    async def _until_all_is_kept(self) -> None:
        """Keep what is said until the link has ended; what it could not deliver is then in the journal."""
        if self._keeper is None:
            await self._until_polls_end()
            return
        try:
            async with self._supervision.kept(self._keeper):
                await self._until_polls_end()
        finally:
            await self._keeper.close()

    async def _until_polls_end(self) -> None:
        """Poll, and keep the link until the last poll has been handed to it."""
        async with self._supervision.kept(self.carrier):
            try:
                async with asyncio.TaskGroup() as polls:
                    for poller in self.pollers:
                        polls.create_task(self._supervision.keep(poller), name=f"{poller.name}, kept")
            finally:
                self._publisher.flush()
                if self._keeper is not None:
                    await self._keeper.flush()

    def _announce(self) -> None:
        self._outbox.put(self._status("online", None, since_s=self._began_s))
        self._tell_meta()

    def _tell_start(self) -> None:
        """Put on record how the gateway before this one ended, and what was lost thereby."""
        if self._beginning.skipped is not None:
            self._tell_skipped(*self._beginning.skipped)
        if self._beginning.before is not None:
            n = self._outbox.number()
            payload = started(
                self._beginning.before,
                polls=self._down_polls.count(self._beginning.lost),
                had_time=not self._beginning.free_starts,
                gateway=self._rig.station.gateway,
                boot=self.boot,
                n=n,
                t_ms=self._now_ms(),
            )
            self._outbox.put(Message(topic=self._topics.event("start"), payload=payload, n=n, record=True))

    def _tell_skipped(self, first: int, last: int) -> None:
        """Put on record which numbers nobody can have any more; the start, which says so too, has not."""
        n = self._outbox.number()
        payload = skipped(first, last, gateway=self._rig.station.gateway, boot=self.boot, n=n, t_ms=self._now_ms())
        self._outbox.put(Message(topic=self._topics.event("journal"), payload=payload, n=n, record=True))

    def _tell_meta(self) -> None:
        meta = payloads.meta(
            self._rig,
            t_ms=self._stamps.utc_ms(self._began_s),
            rig_hash=self._rig_hash,
            software=version("manovac"),
            emulated=self._emulated,
            paused=self._operations.paused,
            calibrated={name: asdict(told) for name, told in self._calibrations.told.items()},
        )
        self._outbox.put(Message(topic=self._topics.meta, payload=meta, retain=True))

    def _status(
        self, state: Literal["online", "offline"], reason: str | None, *, since_s: float | None = None
    ) -> Message:
        t_ms = self._now_ms() if since_s is None else self._stamps.utc_ms(since_s)
        payload = payloads.status(state=state, boot=self.boot, t_ms=t_ms, reason=reason)
        return Message(topic=self._topics.status, payload=payload, retain=True)

    def _now_ms(self) -> int:
        return self._stamps.utc_ms(self._loop.time())

    def _expire(self) -> float:
        again_s = self._publisher.expire(self._loop.time())
        return max(again_s - self._loop.time(), _EXPIRE_EACH_S)

    def _watch_silence(self) -> float:
        now_s = self._loop.time()
        for seen in self._silence_watch.look(now_s, self._operations.paused):
            self.findings.observe(seen, now_s)
        return _SILENCE_S

    def _clock_stepped(self, correction: Correction) -> None:
        """Say again with new stamps what stands retained."""
        self._announce()
        self._publisher.renew()
        self.findings.renew(corrected_s=correction.add_ms / 1000)

    def _report_health(self) -> float:
        self._down_polls.count(self._beginning.lost)
        link = self.carrier.statistics()
        for seen in self._delivery_watch.look(link):
            self.findings.observe(seen, self._loop.time())
        now = self._health.snapshot(link, sync=self._stamps.sync)
        self._health.forget_longest()
        payload = payloads.health(now, gateway=self._rig.station.gateway, boot=self.boot, t_ms=self._now_ms())
        self._outbox.put(Message(topic=self._topics.health, payload=payload, qos=0))
        return _HEALTH_S
