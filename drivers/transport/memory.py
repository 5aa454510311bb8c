"""Bytes handed over inside the process: the emulator without a port, in virtual time or in real time."""

from collections.abc import Callable

from drivers.transport.transport import Receiver

Connect = Callable[[Callable[[bytes], None], Callable[[], None]], Callable[[bytes], None]]
"""Given a function for what comes in and one for the loss of the port, returns the function that sends."""


class MemoryTransport:
    """A transport over such a pair of functions."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._send: Callable[[bytes], None] | None = None
        self._receiver: Receiver | None = None

    async def connect(self, receiver: Receiver) -> None:
        """Connect; see `Transport`."""
        self._receiver = receiver
        self._send = self._connect(self._received, self._lost)

    def write(self, data: bytes) -> None:
        """Send bytes; see `Transport`."""
        if self._send is not None:
            self._send(data)

    def close(self) -> None:
        """Stop; see `Transport`."""
        self._send = self._receiver = None

    def _received(self, data: bytes) -> None:
        if self._receiver is not None:
            self._receiver.received(data)

    def _lost(self) -> None:
        receiver, self._send, self._receiver = self._receiver, None, None
        if receiver is not None:
            receiver.lost("unplugged")
