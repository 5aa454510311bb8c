"""A visit at the broker: a command that listens to topics and publishes a message or two, then goes."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from drivers.rig_gateway import Mqtt
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Inbox, Message, Outbox

_LOG: Final = logging.getLogger(__name__)
_BACKLOG: Final = 1000  # messages that were not looked at yet; then the newest are dropped
_PATIENCE_S: Final = 3.0  # without a connection, before it is said


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message that came."""

    topic: str
    payload: bytes


class _Link(Link):
    """A link that knows since when and why it has no connection, and says so when that lasts.

    Attributes:
        away_since_s: since when there is no connection, s on the event loop's clock; None while there is one.
        why: the last try or the connection ended; empty while nothing is known of that.
    """

    def __init__(self, mqtt: Mqtt, outbox: Outbox, inbox: Inbox) -> None:
        super().__init__(mqtt, outbox, client_id=f"manovac-visit-{secrets.token_hex(4)}", will=None, inbox=inbox)
        self.away_since_s: float | None = asyncio.get_running_loop().time()
        self.why = ""
        self._told = set[str]()

    def _begin(self) -> None:
        super()._begin()
        if self._told:
            _LOG.warning("MQTT: connected to %s", self._broker.name)
        self.away_since_s, self.why, self._told = None, "", set()

    def _say(self, level: int, subject: str, what: str, then: str) -> None:
        super()._say(level, subject, what, then)
        if level != logging.WARNING:  # it is of a topic
            return
        now_s = asyncio.get_running_loop().time()
        self.away_since_s = now_s if self.away_since_s is None else self.away_since_s
        self.why = f"{subject}: {what}"
        if now_s - self.away_since_s >= _PATIENCE_S and self.why not in self._told:
            self._told.add(self.why)
            _LOG.warning("MQTT: %s; still trying", self.why)


class Visit:
    """A connection with an inbox."""

    def __init__(
        self, link: _Link, outbox: Outbox, heard: "asyncio.Queue[Heard | None]", running: "asyncio.Task[None]"
    ) -> None:
        self._link = link
        self._outbox = outbox
        self._heard = heard
        self._running = running

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._link.statistics().connected

    @property
    def away_s(self) -> float:
        """For how long there is no connection; 0 while there is one."""
        since_s = self._link.away_since_s
        return 0.0 if since_s is None else asyncio.get_running_loop().time() - since_s

    @property
    def why(self) -> str:
        """Why there is no connection, for people; empty while there is one."""
        return "" if self.connected else self._link.why or "no answer yet"

    def publish(self, message: Message) -> None:
        """Publish as soon as the broker is there."""
        self._outbox.put(message)

    async def next(self) -> Heard:
        """Return the next message; waits for it.

        Raises:
            Exception: that which ended the link, a mistake of ours: nothing would ever come.
        """
        heard = await self._heard.get()
        if heard is None:
            self._heard.put_nowait(None)  # for whoever asks next
            self._running.result()
            raise RuntimeError("the link to the broker has ended")
        return heard


@asynccontextmanager
async def visit(mqtt: Mqtt, *topics: str) -> AsyncIterator[Visit]:
    """Listen to topic filters for a `with` block; a warning says when there is no connection for long, and why.

    Raises:
        MqttSettingsError: `mqtt` cannot be used.
    """
    heard: asyncio.Queue[Heard | None] = asyncio.Queue()

    def take(topic: str, payload: bytes, _retained: bool) -> None:  # noqa: FBT001 - an inbox is told so
        if heard.qsize() < _BACKLOG:
            heard.put_nowait(Heard(topic=topic, payload=payload))

    outbox = Outbox()
    logging.getLogger("gateway.mqtt.link").setLevel(logging.ERROR)  # whoever visits says himself what is wrong
    link = _Link(mqtt, outbox, Inbox(topics=topics, take=take))
    running = asyncio.create_task(link.run(), name="visit")
    running.add_done_callback(lambda _: heard.put_nowait(None))
    try:
        yield Visit(link, outbox, heard, running)
    finally:
        running.cancel()
        await asyncio.wait([running])
