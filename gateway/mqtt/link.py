"""The link to the broker: empties the outbox, and reconnects for ever."""

import asyncio
import contextlib
import logging
import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

import aiomqtt
from paho.mqtt.reasoncodes import ReasonCode

from drivers.rig_gateway import Mqtt
from gateway.mqtt.broker import broker
from gateway.mqtt.connection import ClosedEarlyError, Connection
from gateway.mqtt.corked import TOO_LARGE_END, refusal
from gateway.mqtt.outbox import Entry, Inbox, LinkStatistics, Loss, Message, Outbox
from gateway.mqtt.topics import kind

_LOG: Final = logging.getLogger(__name__)

_WINDOW_BYTES: Final = 4 * 2**20
_ACK_S: Final = 20.0  # a broker that is there but does not acknowledge the next in turn for so long is left
_CONNECT_S: Final = 60.0  # a connection has limits of its own, but looking up its name has the system's, some 30 s
_ROUNDING_S: Final = 1e-6  # a timer may fire a rounding error too soon
_STOP_S: Final = 1.0
_BACKOFF_S: Final = (0.2, 10.0)
_ABSENT_S: Final = 1.0  # the most while nobody is there: who looks at a station wants it back within 2 s
_PACKET_OVERHEAD: Final = 10  # fixed header 5, topic length 2, packet id 2, MQTT 5 properties 1
_UNSUPPORTED_VERSION: Final = 0x84  # MQTT 5, 3.2.2.2; paho makes it of MQTT 3.1.1's return code 1 too
_KEEPALIVE_END: Final = "Keep alive timeout"  # paho's words
_TAKEN_OVER_END: Final = "Session taken over"
_NAMES: Final = {aiomqtt.ProtocolVersion.V5: "5", aiomqtt.ProtocolVersion.V311: "3.1.1"}
_SUSPECT: Final = 3  # cuts in a row with a topic in flight after which its messages travel alone
_GUILTY: Final = 6  # cuts in a row after which the message that travelled alone is dropped


class Link:
    """Carries the outbox to the broker for as long as `run` runs; construction touches no wire.

    Up to 50 messages (or the broker's Receive Maximum) and 4 MiB are in flight. When a connection breaks, its telemetry
    goes back to the head of the queue in order, and all state is published anew on the next one: a message may arrive
    twice, with the same `n`, but not too seldom. The next try comes after 0.2 s, then ever later up to 1 s, up to 10 s
    with a broker that is there and refuses, jittered.

    Not delivered, but counted (`Loss`) and logged once a topic (once for all answers): what the broker refuses (only
    MQTT 5 can say so), what is larger than the broker takes (256 KiB when it states no limit), and what makes it cut
    the connection: a message that was in flight alone, after its topic was in flight at five cuts before.

    Args:
        mqtt: where and as whom; after each connection the next address has its turn.
        outbox: what to deliver.
        client_id: unique at the broker; a second one of that name would throw the first out.
        will: what the broker publishes when the link is lost; None for a visitor whom nobody misses.
        farewell: makes what is published at a clean stop on the Will's topic, None when it is none and the broker is to
            publish the Will; without a farewell it is the Will itself.
        inbox: what to listen to, and who takes it; None listens to nothing.
        uniform: draws the jitter, as `random.uniform`.

    Attributes:
        name: for logs and health.

    Raises:
        MqttSettingsError: `mqtt` cannot be used (a secret that is not there, a bad url).
    """

    def __init__(
        self,
        mqtt: Mqtt,
        outbox: Outbox,
        *,
        client_id: str,
        will: Message | None,
        farewell: Callable[[], Message | None] | None = None,
        inbox: Inbox | None = None,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.name = "link"
        self._broker = broker(mqtt)
        self._outbox = outbox
        self._client_id = client_id
        self._will = will
        self._farewell = farewell
        self._inbox = inbox
        self._uniform = uniform
        self._version = aiomqtt.ProtocolVersion.V5
        self._proven = False
        self._connected = False
        self._due_s = math.inf  # by when the next connection is to have come about, or failed
        self._moved_s = -math.inf  # when anything last went out or was acknowledged
        self._flight: dict[int, tuple[float, Entry]] = {}
        self._turn_s = -math.inf  # since when the first of them is the first
        self._flight_bytes = 0
        self._held: Entry | None = None
        self._alone = False
        self._patience: asyncio.TimerHandle | None = None  # rings when the oldest in flight may be too old
        self._cuts: Counter[str] = Counter()
        self._said: set[tuple[str, str]] = set()
        self._published = self._acknowledged = self._refused = self._connections = self._taken_over = 0

    def statistics(self) -> LinkStatistics:
        """Return a snapshot."""
        return LinkStatistics(
            connected=self._connected,
            protocol=_NAMES[self._version] if self._proven else None,
            published=self._published,
            acknowledged=self._acknowledged,
            refused=self._refused,
            reconnects=max(self._connections - 1, 0),
            in_flight=len(self._flight),
            taken_over=self._taken_over,
            outbox=self._outbox.statistics(),
        )

    async def run(self) -> None:
        """Connect, deliver, reconnect; ends only by cancellation, then delivers for up to 1 s more and says offline.

        May be called again after it has failed.
        """
        loop = asyncio.get_running_loop()
        failures = 0
        self._due_s = min(self._due_s, loop.time() + _CONNECT_S)  # what was due is not put off by a new beginning
        try:
            while True:
                began_s, longest_s = loop.time(), _BACKOFF_S[1]
                try:
                    end = await self._session()
                except aiomqtt.MqttError as error:
                    end = self._broker.explained(error)
                    longest_s = _ABSENT_S if self._broker.is_absent(error) else longest_s
                    self._due_s = loop.time() + _CONNECT_S
                    if self._falls_back(error):
                        self._say(logging.INFO, self._broker.name, "no MQTT 5 here", "trying 3.1.1")
                        continue
                failures = 1 if loop.time() - began_s > _BACKOFF_S[1] else failures + 1
                rounds = min(max(failures // len(self._broker.addresses), 1), 10)
                delay_s = self._uniform(_BACKOFF_S[0], min(_BACKOFF_S[0] * 2**rounds, longest_s))
                self._due_s = loop.time() + delay_s + _CONNECT_S
                self._say(logging.WARNING, self._broker.name, end, f"readings wait; next try in {delay_s:.1f} s")
                await asyncio.sleep(delay_s)
                self._broker.turn()
        finally:
            if left := self._outbox.statistics().messages:
                _LOG.debug("MQTT: stopped with %d messages undelivered", left)

    def overdue_s(self) -> float:
        """Return for how long the next connection is due, or nothing has gone out of what waits; a broker may be away.

        One that is there and acknowledges nothing is left before that is so.
        """
        now_s = asyncio.get_running_loop().time()
        if not self._connected:
            return max(now_s - self._due_s, 0.0)
        waits_s = self._moved_s if self._flight else self._outbox.waits_since_s
        return 0.0 if waits_s is None else max(now_s - max(waits_s, self._moved_s) - _ACK_S, 0.0)

    async def _session(self) -> str:
        """Live through one connection; return why it ended."""
        connection = Connection(
            self._broker,
            client_id=self._client_id,
            will=self._will,
            version=self._version,
            settled=self._settle,
            changed=self._outbox.wake,
            inbox=self._inbox,
        )
        try:
            await connection.open()
            self._begin()
            await self._pump(connection)
            self._taken_over += connection.end == _TAKEN_OVER_END
            if connection.end not in {_KEEPALIVE_END, _TAKEN_OVER_END, TOO_LARGE_END}:
                self._blame()
        except asyncio.CancelledError:
            if self._connected:
                await self._stop(connection)
            raise
        finally:
            connection.close()
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None
            if self._connected:
                self._due_s = asyncio.get_running_loop().time() + _CONNECT_S
            self._connected = False
            self._take_back()
        return connection.end

    def _falls_back(self, error: aiomqtt.MqttError) -> bool:
        """Change to the other protocol version when this one is refused; return whether to try it at once."""
        code = error.rc if isinstance(error, aiomqtt.MqttCodeError) else None
        refused = isinstance(code, ReasonCode) and code.value == _UNSUPPORTED_VERSION
        if refused or (isinstance(error, ClosedEarlyError) and not self._proven):
            first = self._version is aiomqtt.ProtocolVersion.V5
            self._version = aiomqtt.ProtocolVersion.V311 if first else aiomqtt.ProtocolVersion.V5
            self._proven = False
            return first
        return False

    def _begin(self) -> None:
        self._connected = self._proven = True
        self._connections += 1
        self._said = {(subject, what) for subject, what in self._said if "/" in subject}  # topics, not addresses
        self._outbox.renew_state(first=self._will.topic if self._will else "")
        _LOG.info("MQTT: connected to %s, MQTT %s", self._broker.name, _NAMES[self._version])

    async def _pump(self, connection: Connection, *, until_empty: bool = False) -> None:
        while not connection.lost:
            self._fill(connection)
            if until_empty and not self._flight and self._outbox.waits_since_s is None:
                return
            self._lose_patience()
            await self._outbox.wait()

    def _lose_patience(self) -> None:
        """Leave a broker that owes an acknowledgement for too long; until then have somebody look in time."""
        if not self._flight:
            return
        loop = asyncio.get_running_loop()
        sent_s, _ = next(iter(self._flight.values()))
        due_s = max(sent_s, self._turn_s) + _ACK_S
        if loop.time() >= due_s - _ROUNDING_S:
            raise aiomqtt.MqttError(f"the broker did not acknowledge what was next for {_ACK_S:g} s")
        if self._patience is None:
            self._patience = loop.call_at(due_s, self._look_again)

    def _look_again(self) -> None:
        self._patience = None
        self._outbox.wake()

    def _fill(self, connection: Connection) -> None:
        now_s = asyncio.get_running_loop().time()
        while (entry := self._next(connection)) is not None:
            size = entry.size
            if size + _PACKET_OVERHEAD > connection.largest_packet:
                why = f"more than the {connection.largest_packet} bytes that the broker takes"
                self._drop(entry, Loss.TOO_LARGE, why)
                continue
            self._held = entry  # and not lost, whatever becomes of sending it
            mid = connection.send(entry.message)
            if mid is None:
                return
            self._held = None
            self._flight[mid] = (now_s, entry)
            self._moved_s = now_s
            self._flight_bytes += size
            self._alone = self._suspects(entry)
            self._published += 1

    def _next(self, connection: Connection) -> Entry | None:
        if self._alone or len(self._flight) >= connection.window or self._flight_bytes >= _WINDOW_BYTES:
            return None
        entry = self._held or self._outbox.take()
        self._held = None
        if entry is not None and self._flight and self._suspects(entry):
            self._held = entry
            return None
        return entry

    def _suspects(self, entry: Entry) -> bool:
        """Say whether a message may be what the broker cuts the connection for."""
        return bool(self._cuts) and self._cuts[kind(entry.message.topic)] >= _SUSPECT

    def _settle(self, mid: int, code: int) -> None:
        in_turn = mid == next(iter(self._flight), None)
        _, entry = self._flight.pop(mid, (0.0, None))
        if entry is None:
            return
        self._flight_bytes -= entry.size
        self._moved_s = asyncio.get_running_loop().time()
        self._turn_s = self._moved_s if in_turn else self._turn_s
        self._alone = self._alone and bool(self._flight)
        if (why := refusal(code)) is not None:
            self._refused += 1
            self._outbox.given_up(entry, Loss.REFUSED)
            self._say(logging.ERROR, kind(entry.message.topic), f"the broker refuses it: {why}", "counted and dropped")
        else:
            self._outbox.delivered(entry)
            self._acknowledged += entry.message.qos > 0
            if self._cuts:
                self._cuts.pop(kind(entry.message.topic), None)
        if not (self._flight and self._outbox.empty):
            self._outbox.wake()

    def _blame(self) -> None:
        """Note what was in flight when the broker cut the connection; drop what was alone too often."""
        entries = [entry for _, entry in self._flight.values()]
        self._cuts.update({kind(entry.message.topic) for entry in entries})
        if self._alone and self._cuts[kind(entries[0].message.topic)] >= _GUILTY:
            self._flight.clear()
            self._drop(entries[0], Loss.CUTS_CONNECTION, "the broker cuts the connection whenever it gets it")

    def _drop(self, entry: Entry, cause: Loss, why: str) -> None:
        self._outbox.given_up(entry, cause)
        self._outbox.forget(entry.message)
        self._say(logging.ERROR, kind(entry.message.topic), why, f"counted and dropped; {entry.size} bytes")

    def _take_back(self) -> None:
        held = [] if self._held is None else [self._held]
        self._outbox.give_back([entry for _, entry in self._flight.values()] + held)
        self._flight.clear()
        self._flight_bytes = 0
        self._held = None
        self._alone = False

    async def _stop(self, connection: Connection) -> None:
        """Deliver what waits, say offline, disconnect; whatever takes longer than 1 s is left to the Will."""
        with contextlib.suppress(TimeoutError, aiomqtt.MqttError):
            async with asyncio.timeout(_STOP_S):
                await self._pump(connection, until_empty=True)
                last = self._farewell() if self._farewell else self._will
                if self._farewell and last is None:
                    return
                if last is not None:
                    self._outbox.put(last)
                await self._pump(connection, until_empty=True)
                await connection.finish()

    def _say(self, level: int, subject: str, what: str, then: str) -> None:
        """Log the same thing once: about a topic for ever, about the broker until it is reached again."""
        known = (subject, what) in self._said
        self._said.add((subject, what))
        _LOG.log(logging.DEBUG if known else level, "MQTT: %s: %s (%s)", subject, what, then)
