"""What devices on a network have still to send: each unit in the order in which it was asked, none in another's way."""

import heapq
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from firmware_sim.clock import Alarm, EmulatorClock
from firmware_sim.firmware.firmware import Reply
from firmware_sim.ports import Receive

TURNAROUND_NS: Final = 200_000
"""A device takes a moment. Without it virtual time would stand still under a client that asks as fast as it can."""

Listener = Callable[[int, str, bytes], None]
"""Is told of each message: (ns, talker, bytes)."""


class Outbox:
    """Answers on their way.

    Args:
        clock: the emulator's.
        listener: told of each message, for a trace.
    """

    def __init__(self, clock: EmulatorClock, listener: Listener | None = None) -> None:
        self._listener = listener
        self._free_ns: dict[int, int] = {}
        self._waiting: list[tuple[int, int, str, Receive, bytes]] = []
        self._order = count()
        self._alarm = Alarm(clock, self._send_due)

    def post(self, at_ns: int, unit: int, replies: Sequence[Reply], send: Receive) -> None:
        """Send what a unit has to say when its time has come and all that it said before is out."""
        for reply in replies:
            due_ns = max(at_ns + TURNAROUND_NS + reply.delay_ns, self._free_ns.get(unit, 0))
            self._free_ns[unit] = due_ns
            heapq.heappush(self._waiting, (due_ns, next(self._order), f"unit {unit}", send, reply.data))
        self.set_alarm()

    def listen(self, at_ns: int, talker: str, data: bytes) -> None:
        """Tell the listener of a message."""
        if self._listener is not None:
            self._listener(at_ns, talker, data)

    def close(self) -> None:
        """Send nothing more."""
        self._waiting.clear()
        self._alarm.set(None)

    def set_alarm(self) -> None:
        """Wait until the next answer is due."""
        self._alarm.set(self._waiting[0][0] if self._waiting else None)

    def _send_due(self, now_ns: int) -> None:
        while self._waiting and self._waiting[0][0] <= now_ns:
            due_ns, _, talker, send, data = heapq.heappop(self._waiting)
            self.listen(due_ns, talker, data)
            send(data)
        self.set_alarm()
