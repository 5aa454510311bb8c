"""What brings the outbox to subscribers, as the gateway sees it."""

from collections.abc import Callable
from typing import Protocol

from gateway.mqtt.outbox import Inbox, LinkStatistics, Message, Outbox
from gateway.supervision import Part


class Carrier(Part, Protocol):
    """What brings the outbox to subscribers: `gateway.mqtt.link.Link`, or memory. A part that must go on delivering."""

    def statistics(self) -> LinkStatistics:
        """Return a snapshot."""
        ...


class MakeCarrier(Protocol):
    """Makes the carrier of one gateway."""

    def __call__(
        self, outbox: Outbox, *, client_id: str, will: Message, farewell: Callable[[], Message | None], inbox: Inbox
    ) -> Carrier:
        """Return the carrier of an outbox."""
        ...
