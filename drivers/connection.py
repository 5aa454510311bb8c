"""Keeps one transport open: connects, notices loss, connects again, for ever."""

import asyncio
from typing import Final

from drivers.transport.transport import Receiver, Transport

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 2.0


class Connection:
    """A transport with its supervision.

    Attributes:
        up: whether bytes can be sent now.
        problem: why it is not up, for people; empty when it is.
        connects: how often it came up.
    """

    def __init__(self, transport: Transport, receiver: Receiver) -> None:
        self._transport = transport
        self._receiver = receiver
        self._lost: asyncio.Event | None = None
        self._came_up = asyncio.Event()
        self.up = False
        self.problem = "not opened yet"
        self.connects = 0

    async def run(self) -> None:
        """Hold the connection until cancelled."""
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                self._lost = asyncio.Event()
                try:
                    await self._transport.connect(self)
                except OSError as error:
                    self.problem = str(error)
                else:
                    pause_s = _FIRST_PAUSE_S
                    self.up, self.problem = True, ""
                    self.connects += 1
                    self._came_up.set()
                    await self._lost.wait()
                    self._transport.close()
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        finally:
            self.up = False
            self._transport.close()

    async def came_up(self) -> None:
        """Wait until it was up once."""
        await self._came_up.wait()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._transport.write(data)

    def received(self, data: bytes) -> None:
        """Hand bytes on."""
        self._receiver.received(data)

    def lost(self, why: str) -> None:
        """Note the loss, tell the receiver, and let `run` connect again."""
        self.up, self.problem = False, why
        self._receiver.lost(why)
        if self._lost is not None:
            self._lost.set()
