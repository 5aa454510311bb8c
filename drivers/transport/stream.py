"""The asyncio side that serial ports and TCP connections share."""

import asyncio
from collections.abc import Callable

from drivers.transport.transport import Receiver


class Stream(asyncio.Protocol):
    """Hands what comes in to a receiver until it is let go.

    Args:
        receiver: takes it.
        explain: says for people what an error means that ends it.
    """

    def __init__(self, receiver: Receiver, explain: Callable[[Exception], str] = str) -> None:
        self.receiver: Receiver | None = receiver
        self._explain = explain

    def data_received(self, data: bytes) -> None:
        """Hand bytes over."""
        if self.receiver is not None:
            self.receiver.received(data)

    def pause_writing(self) -> None:
        """Count a peer as lost that takes nothing: 64 KiB of questions wait, and each poll would add to them."""
        if self.receiver is not None:
            receiver, self.receiver = self.receiver, None
            receiver.lost("it takes nothing any more")

    def connection_lost(self, exc: Exception | None) -> None:
        """Report the loss."""
        if self.receiver is not None:
            self.receiver.lost(self._explain(exc) if exc else "closed by the other side")


def abandon(transport: asyncio.Transport) -> None:
    """Close a transport at once, without a report of loss."""
    protocol = transport.get_protocol()
    if isinstance(protocol, Stream):  # one that was lost has none any more
        protocol.receiver = None
    if transport.is_closing() and not transport.get_write_buffer_size():
        return  # it is on its way; pyserial-asyncio-fast fails in the background when it is told so twice
    transport.abort()
