"""What happens in an emulated rig, told to whoever listens: faults, deeds, restarts, plugs, the clock."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from firmware_sim.clock import Alarm, EmulatorClock

KINDS: Final[Mapping[str, str]] = {
    "injected": "a fault is in force (or waits for its time)",
    "struck": "faults changed what a unit answers",
    "cleared": "a fault was taken back",
    "deed": "something happened to the air or to a sensing element",
    "rebooted": "a unit lost its power and came back",
    "unplugged": "a bus' port vanished",
    "plugged": "it came back",
    "paused": "time stands still",
    "resumed": "time goes on",
    "stepped": "paused time went on by so much at once",
    "speed": "time passes at another speed",
    "snapshot": "a state was kept",
    "restored": "a kept state was put back, and its time",
    "mark": "somebody left a remark",
    "dropped": "a subscriber was too slow and lost so many events",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        t_ns: when, on the emulator's clock.
        kind: a key of `KINDS`.
        words: what else there is to say; JSON can write it.
    """

    t_ns: int
    kind: str
    words: Mapping[str, Any]

    def row(self) -> dict[str, Any]:
        """Return it as live control sends it."""
        return {"event": self.kind, "t_ns": self.t_ns, **self.words}


Listener = Callable[[Event], None]
"""Takes an event, at once and without waiting."""


class Events:
    """Tells listeners what happens.

    Attributes:
        agenda: events that are known before their time (a heap); part of a fleet's state.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self.agenda: list[tuple[int, int, str, Mapping[str, Any]]] = []
        self._clock = clock
        self._alarm = Alarm(clock, self._ring)
        self._listeners: list[Listener] = []
        self._order = count()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener everything from now on; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def tell(self, kind: str, **words: Any) -> None:
        """Tell that something happens now."""
        if self._listeners:
            self._tell(Event(t_ns=self._clock.now_ns(), kind=kind, words=words))

    def tell_at(self, at_ns: int, kind: str, **words: Any) -> None:
        """Tell it when its time has come."""
        heapq.heappush(self.agenda, (at_ns, next(self._order), kind, words))

    def set_alarm(self) -> None:
        """Wait for the next event of the agenda."""
        self._alarm.set(self.agenda[0][0] if self.agenda else None)

    def close(self) -> None:
        """Tell nothing more of the agenda."""
        self._alarm.set(None)

    def _ring(self, now_ns: int) -> None:
        while self.agenda and self.agenda[0][0] <= now_ns:
            at_ns, _, kind, words = heapq.heappop(self.agenda)
            self._tell(Event(t_ns=at_ns, kind=kind, words=words))
        self.set_alarm()

    def _tell(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            listener(event)
