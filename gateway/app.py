"""The gateway: builds everything from a rig and runs it in one task group.

A poll goes poller -> normaliser -> `_take`, which hands the readings to the publisher and to whoever listens in this
process. Everything waits on the running loop's clock, so the same gateway runs in virtual time.
"""

import asyncio
import hashlib
import math
import secrets
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal, Protocol

from drivers.bus import Bus
from drivers.reader import UnitReader, reader
from drivers.reading import RawPoll, Readings
from drivers.rig import HatchState, Rig
from drivers.rig_source import without_secrets
from drivers.transport.choose import transport_for
from drivers.transport.transport import MakeTransport
from gateway.alarms import Alarm
from gateway.clock_watch import ClockWatch
from gateway.corrections import Correction
from gateway.findings import Findings
from gateway.health import HealthCheck
from gateway.leak.event import Event
from gateway.mqtt import payloads
from gateway.mqtt.commands import obey
from gateway.mqtt.journal import Journal
from gateway.mqtt.keeper import Keeper
from gateway.mqtt.outbox import Inbox, LinkStatistics, Message, Outbox
from gateway.mqtt.publisher import Publisher
from gateway.mqtt.topics import Topics
from gateway.normalise import Normaliser
from gateway.poller import Poller, periods
from gateway.stamps import Stamps, kernel_sync
from gateway.supervision import Again, Supervision

_HEALTH_S: Final = 10.0
_FIRST_HEALTH_S: Final = 2.0
_EXPIRE_EACH_S: Final = 0.05


class Carrier(Protocol):
    """What brings the outbox to subscribers: `gateway.mqtt.link.Link`, or memory."""

    async def run(self) -> None:
        """Deliver until cancelled."""
        ...

    def statistics(self) -> LinkStatistics:
        """Return a snapshot."""
        ...


class MakeCarrier(Protocol):
    """Makes the carrier of one gateway."""

    def __call__(
        self, outbox: Outbox, *, client_id: str, will: Message, farewell: Callable[[], Message], inbox: Inbox
    ) -> Carrier: ...


class Gateway:
    """One gateway of one station. Construction needs a running loop and touches no wire.

    Args:
        journal: opened, and closed at the end of `run`; None keeps what waits for the broker in memory.

    Attributes:
        boot: id of this start.
        findings: segment states, hatches, leaks and alarms; takes words on hatches and acknowledgements.
        listeners: called with the readings of each poll.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        rig_hash: str,
        make_carrier: MakeCarrier,
        make_transport: MakeTransport = transport_for,
        journal: Journal | None = None,
        boot: str | None = None,
        wall: Callable[[], float] = time.time,
        sync: Callable[[], str] = kernel_sync,
    ) -> None:
        self.boot = boot or secrets.token_hex(2)
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self.listeners: list[Callable[[Readings], None]] = []
        self._rig = rig
        self._rig_hash = rig_hash
        self._topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
        self._stamps = Stamps(wall=wall, sync=sync)
        self._outbox = Outbox(clock=self._loop.time)
        self._keeper: Keeper | None = None
        if journal is not None:
            self._keeper = Keeper(journal, self._outbox, commit_s=rig.journal.commit, utc_ms=self._now_ms)
            self._keeper.age_ms = self._stamps.age_ms
        self._publisher = Publisher(rig, self._outbox, self._stamps, self.boot)
        self.findings = Findings(rig, self._outbox, self._stamps)
        self._normalisers: dict[tuple[str, int], Normaliser] = {}
        self.pollers = [self._poller(name, make_transport) for name in rig.buses if rig.units(name)]
        self._supervision = Supervision()
        self._health = HealthCheck(self.pollers, self._supervision)
        self.carrier = make_carrier(
            self._outbox,
            client_id=f"manovac-{rig.station.id}-{rig.station.gateway}",
            will=self._status("offline", "connection lost"),
            farewell=lambda: self._status("offline", "stopped"),
            inbox=Inbox(topic=self._topics.commands, take=self._obey),
        )

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
        for listener in (self.findings.take, *self.listeners):
            try:
                listener(readings)
            except Exception as error:  # noqa: BLE001 - what is published is published, whoever cannot bear it
                self._supervision.failed(f"listener {getattr(listener, '__qualname__', listener)}", error)

    def move_hatch(self, hatch: str, state: HatchState) -> None:
        """Take somebody's word for the state of a hatch; see `Findings.move_hatch`."""
        self.findings.move_hatch(hatch, state)

    def expect(self, event: Event, segment: str, *, lasts_s: float, mass_kg: float | None) -> None:
        """Take somebody's word for what is done to the air of a segment; see `Findings.expect`."""
        self.findings.expect(event, segment, lasts_s=lasts_s, mass_kg=mass_kg)

    def acknowledge(self, alarm_id: str) -> Alarm:
        """Note that somebody has seen an alarm; see `Findings.acknowledge`."""
        return self.findings.acknowledge(alarm_id)

    def replay(self, first: int, last: int) -> None:
        """Deliver messages of record again, on `late`.

        Raises:
            LookupError: there is no journal, or it has none of these numbers.
        """
        if self._keeper is None or not self._keeper.again(first, last):
            raise LookupError("the journal has none of these numbers")

    def _obey(self, topic: str, payload: bytes, retained: bool) -> None:  # noqa: FBT001 - an inbox is told so
        """Obey one command and answer it; whatever it is, it ends nothing. A retained one is old, and nobody's."""
        if retained:
            return
        answer = obey(topic, payload, self, topics=self._topics, t_ms=self._now_ms())
        if answer is not None:
            self._outbox.put(answer)

    async def run(self) -> None:
        """Run until cancelled; what is collected is published before it ends."""
        self._announce()
        clock = ClockWatch(self._stamps, self._outbox, self._topics, boot=self.boot, stepped=self._clock_stepped)
        parts = (
            Again("clock", clock.act),
            Again("stale readings", self._expire),
            Again("findings", self.findings.act),
            Again("health", self._report_health, first_s=_FIRST_HEALTH_S),
            Again("loop lag", self._health.watch_loop),
        )
        try:
            async with asyncio.TaskGroup() as tasks:
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

    async def _until_all_is_kept(self) -> None:
        """Keep what is said until the link has ended; what it could not deliver is then in the journal."""
        async with asyncio.TaskGroup() as keeping:
            keeper = None if self._keeper is None else keeping.create_task(self._keeper.run(), name="keeper")
            try:
                await self._until_polls_end()
            finally:
                if keeper is not None:
                    keeper.cancel()

    async def _until_polls_end(self) -> None:
        """Poll, and keep the link until the last poll has been handed to it; a link that fails ends the polls too."""
        async with asyncio.TaskGroup() as link:
            carrying = link.create_task(self.carrier.run(), name="link")
            try:
                async with asyncio.TaskGroup() as polls:
                    for poller in self.pollers:
                        polls.create_task(self._supervision.keep(poller), name=f"{poller.name}, kept")
            finally:
                self._publisher.flush()
                if self._keeper is not None:
                    await self._keeper.flush()
                carrying.cancel()

    def _announce(self) -> None:
        meta = payloads.meta(
            self._rig,
            t_ms=self._stamps.utc_ms(self._began_s),
            rig_hash=self._rig_hash,
            software=version("manovac"),
        )
        self._outbox.put(self._status("online", None, since_s=self._began_s))
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

    def _clock_stepped(self, correction: Correction) -> None:
        """Say again with new stamps what stands retained; records keep theirs, and age by the new ones."""
        self._announce()
        self._publisher.renew()
        self.findings.renew()
        if self._keeper is not None and correction.add_ms:
            self._keeper.restamp(correction.since, correction.before - 1, correction.add_ms)

    def _report_health(self) -> float:
        now = self._health.snapshot(self.carrier.statistics(), sync=self._stamps.sync)
        payload = payloads.health(now, gateway=self._rig.station.gateway, boot=self.boot, t_ms=self._now_ms())
        self._outbox.put(Message(topic=self._topics.health, payload=payload, qos=0))
        return _HEALTH_S


def rig_hash(path: Path) -> str:
    """Return the SHA-256 of a rig file, which `gw/<gateway>/meta` names.

    A password in it does not count, nor its length: whoever knows the rest could try out passwords by the hash.
    """
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return hashlib.sha256(without_secrets(text, star="").encode("utf-8", "surrogateescape")).hexdigest()
