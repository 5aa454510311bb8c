"""Keeps one transport open: connects, notices loss, connects again, for ever."""

import asyncio
from typing import Final

from drivers.transport.transport import Receiver, Transport

_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 2.0
_FLOOD_PER_S: Final = 4 * 2**20  # bytes; no line and no device that is asked brings as many


class Connection:
    """A transport with its supervision.

    Attributes:
        up: whether bytes can be sent now.
        problem: why it is not up, for people; empty when it is.
        connects: how often it came up.
        changed: set whenever `up` or `problem` has changed.
    """

    def __init__(self, transport: Transport, receiver: Receiver) -> None:
        self._transport = transport
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._flooded_s = 0.0  # when what has come would be over, at the rate that is taken
        self._lost: asyncio.Event | None = None
        self._came_up = asyncio.Event()
        self.up = False
        self.problem = "not opened yet"
        self.connects = 0
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Hold the connection until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = _FIRST_PAUSE_S
        try:
            while True:
                lost = self._lost = asyncio.Event()
                try:
                    await self._transport.connect(self)
                except OSError as error:
                    self._tell(up=False, problem=str(error))
                else:
                    opened_s = loop.time()
                    self.connects += 1
                    if not lost.is_set():  # a peer may accept and close at once
                        self._tell(up=True, problem="")
                        self._came_up.set()
                    await lost.wait()
                    if loop.time() - opened_s > _LONGEST_PAUSE_S:
                        pause_s = _FIRST_PAUSE_S
                self._transport.close()
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
        finally:
            self.up = False
            self._transport.close()

    def _tell(self, *, up: bool, problem: str) -> None:
        self.up, self.problem = up, problem
        self.changed.set()

    async def came_up(self) -> None:
        """Wait until it was up once."""
        await self._came_up.wait()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._transport.write(data)

    def give_up(self, why: str) -> None:
        """Close the transport, so that it is opened anew."""
        self._transport.close()
        self.lost(why)

    def received(self, data: bytes) -> None:
        """Hand bytes on; a peer that floods is given up, or to read it would take the other buses' time."""
        now_s = self._loop.time()
        self._flooded_s = max(self._flooded_s, now_s) + len(data) / _FLOOD_PER_S
        if self._flooded_s > now_s + 1.0:
            self.give_up(f"it sends more than {_FLOOD_PER_S >> 20} MiB a second")
            return
        self._receiver.received(data)

    def lost(self, why: str) -> None:
        """Note the loss, tell the receiver, and let `run` connect again."""
        self._tell(up=False, problem=why)
        self._receiver.lost(why)
        if self._lost is not None:
            self._lost.set()
