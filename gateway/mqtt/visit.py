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

_BACKLOG: Final = 1000  # messages that were not looked at yet; then the newest are dropped


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A message that came."""

    topic: str
    payload: bytes


class Visit:
    """A connection with an inbox."""

    def __init__(self, link: Link, outbox: Outbox, heard: asyncio.Queue[Heard]) -> None:
        self._link = link
        self._outbox = outbox
        self._heard = heard

    @property
    def connected(self) -> bool:
        """Whether the broker is there."""
        return self._link.statistics().connected

    def publish(self, message: Message) -> None:
        """Publish as soon as the broker is there."""
        self._outbox.put(message)

    async def next(self) -> Heard:
        """Return the next message; waits for it."""
        return await self._heard.get()


@asynccontextmanager
async def visit(mqtt: Mqtt, topic: str) -> AsyncIterator[Visit]:
    """Listen to a topic filter for a `with` block.

    Raises:
        MqttSettingsError: `mqtt` cannot be used.
    """
    heard: asyncio.Queue[Heard] = asyncio.Queue(_BACKLOG)

    def take(topic: str, payload: bytes, _retained: bool) -> None:  # noqa: FBT001 - an inbox is told so
        if not heard.full():
            heard.put_nowait(Heard(topic=topic, payload=payload))

    outbox = Outbox()
    logging.getLogger("gateway.mqtt.link").setLevel(logging.ERROR)  # whoever visits says himself what is wrong
    link = Link(
        mqtt,
        outbox,
        client_id=f"manovac-visit-{secrets.token_hex(4)}",
        will=None,
        inbox=Inbox(topic=topic, take=take),
    )
    running = asyncio.create_task(link.run(), name="visit")
    try:
        yield Visit(link, outbox, heard)
    finally:
        running.cancel()
        await asyncio.wait([running])
