"""A link without a broker, for simulations and tests: sockets know no virtual time, this does."""

from collections.abc import Callable

from gateway.mqtt.outbox import Inbox, LinkStatistics, Message, Outbox


class MemoryLink:
    """Hands each message of the outbox to `deliver`, in order and at once; otherwise as `gateway.mqtt.link.Link`.

    Attributes:
        name: for logs and health.
    """

    def __init__(
        self,
        outbox: Outbox,
        deliver: Callable[[Message], object],
        *,
        client_id: str,  # noqa: ARG002 - made like a Link
        will: Message,
        farewell: Callable[[], Message | None] | None = None,
        inbox: Inbox | None = None,
    ) -> None:
        self.name = "link"
        self._outbox = outbox
        self._deliver = deliver
        self._will = will
        self._farewell = farewell
        self._inbox = inbox
        self._connected = False
        self._published = 0

    def statistics(self) -> LinkStatistics:
        """Return a snapshot."""
        return LinkStatistics(
            connected=self._connected,
            protocol="memory" if self._published else None,
            published=self._published,
            acknowledged=self._published,
            refused=0,
            reconnects=0,
            in_flight=0,
            outbox=self._outbox.statistics(),
        )

    def hear(self, topic: str, payload: bytes) -> None:
        """Let somebody publish something; it gets to whoever listens to that topic."""
        if self._inbox is not None and topic.startswith(tuple(each.removesuffix("#") for each in self._inbox.topics)):
            self._inbox.take(topic, payload, False)  # noqa: FBT003 - not retained

    async def run(self) -> None:
        """Deliver until cancelled, then say offline."""
        self._connected = True
        self._outbox.renew_state(first=self._will.topic)
        try:
            while True:
                self._drain()
                await self._outbox.wait()
        finally:
            self._drain()
            self._published += 1
            self._deliver((self._farewell and self._farewell()) or self._will)
            self._connected = False

    def overdue_s(self) -> float:
        """Return 0: nothing waits."""
        return 0.0

    def _drain(self) -> None:
        while (entry := self._outbox.take()) is not None:
            self._published += 1
            self._deliver(entry.message)
            self._outbox.delivered(entry)
