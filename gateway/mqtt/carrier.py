"""What brings the outbox to subscribers, as the gateway sees it."""

from collections.abc import Callable
from typing import Protocol

from gateway.mqtt.outbox import Inbox, LinkStatistics, Message, Outbox


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
    ) -> Carrier:
        """Return the carrier of an outbox."""
        ...
