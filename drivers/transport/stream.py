"""The asyncio side that serial ports and TCP connections share."""

import asyncio

from drivers.transport.transport import Receiver


class Stream(asyncio.Protocol):
    """Hands what comes in to a receiver until it is let go."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver: Receiver | None = receiver

    def data_received(self, data: bytes) -> None:
        """Hand bytes over."""
        if self.receiver is not None:
            self.receiver.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss."""
        if self.receiver is not None:
            self.receiver.lost(str(exc) if exc else "closed by the other side")


def abandon(transport: asyncio.Transport) -> None:
    """Close a transport at once, without a report of loss."""
    protocol = transport.get_protocol()
    if isinstance(protocol, Stream):  # one that was lost has none any more
        protocol.receiver = None
    transport.abort()
