"""Runs the schedule of one bus and hands each poll on; nothing that a device or driver does ends it.

What a bug of ours ends, `gateway.supervision` begins again.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.bus import Bus
from drivers.reader import UnitReader
from drivers.reading import RawPoll, Reason
from drivers.rig import Transducer
from gateway.schedule import Schedule

_log = logging.getLogger(__name__)
_TELL_PAUSE_S: Final = 5.0
_QUESTIONS: Final = 20  # that a poll may leave unanswered, fences included
_EARLY_S: Final = 1e-6  # a timer may fire a rounding error too soon

Deliver = Callable[[int, RawPoll], None]


class Poller:
    """The polls of one bus.

    Attributes:
        name: for logs and health.
        schedule: made when it first starts; None before.
        paused: transducers that are not asked; their readings are bad, "config", until they are asked again.
        crashes: polls that ended in an exception of a driver (a bug, logged once per unit and kind).
        undelivered: polls whose readings nobody could take (a bug, logged likewise).
        heartbeat_s: loop time of the last poll that ended, -inf before the first.
    """

    def __init__(
        self, bus: Bus, readers: Mapping[int, UnitReader], periods: Mapping[int, float], deliver: Deliver
    ) -> None:
        self.name = f"bus {bus.name}"
        self.bus = bus
        self.readers = readers
        self.schedule: Schedule | None = None
        self.paused: set[str] = set()
        self.crashes = 0
        self.undelivered = 0
        self.heartbeat_s = -math.inf
        self._began_s = math.inf
        self._periods = dict(periods)
        self._deliver = deliver
        self._crash_kinds: set[tuple[int, type[Exception]]] = set()
        self._under_way: dict[int, float] = {}  # unit -> when its poll began
        self._idle: list[asyncio.Future[int]] = []
        self._alarm: asyncio.TimerHandle | None = None
        self._wanted: dict[int, list[asyncio.Future[RawPoll]]] = {}

    def set_period(self, unit: int, period_s: float) -> None:
        """Poll a unit at another period, from now on."""
        self._periods[unit] = period_s
        if self.schedule is not None:
            self.schedule.change(unit, period_s, now_s=self.bus.now_s())
            self._look_anew(self.schedule)

    async def poll_anew(self, unit: int) -> RawPoll:
        """Ask a unit as soon as the line is free, who it is first, even if it rests; return what that poll brings."""
        wanted: asyncio.Future[RawPoll] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(unit, []).append(wanted)
        if self.schedule is not None:
            self.schedule.hurry(unit, now_s=self.bus.now_s())
            self._look_anew(self.schedule)
        return await wanted

    def _look_anew(self, schedule: Schedule) -> None:
        """Hand out what is due now that it may be sooner than before."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._hand_out(schedule)

    async def run(self) -> None:
        """Hold the bus open and poll until cancelled; a second time it goes on with its schedule."""
        self._began_s = min(self._began_s, self.bus.now_s())
        try:
            await self._run()
        finally:
            self._idle.clear()
            self._under_way.clear()
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            if self.schedule is not None:
                self.schedule.give_back()

    def overdue_s(self) -> float:
        """Return for how long a poll was to end, or to begin, and has not, beyond what one may take."""
        due_s = self._began_s if self.schedule is None else self.schedule.oldest_due_s()
        since_s = min([max(due_s, self.heartbeat_s), *self._under_way.values()])
        return max(self.bus.now_s() - since_s - _QUESTIONS * self.bus.words.timeout, 0.0)

    async def _run(self) -> None:
        workers = min(self.bus.words.window if self.bus.pipelined else 1, len(self.readers))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.bus.run(), name=f"bus {self.bus.name}")
            tasks.create_task(self._tell(), name=f"tell of {self.bus.name}")
            await self._first_connection()
            if self.schedule is None:
                self.schedule = Schedule(self._periods, start_s=self.bus.now_s(), together=self.bus.pipelined)
            schedule = self.schedule
            for worker in range(workers):
                tasks.create_task(self._work(schedule), name=f"poll {self.bus.name} {worker}")

    async def _work(self, schedule: Schedule) -> None:
        while True:
            unit = await self._next(schedule)
            wanted = self._wanted.pop(unit, ())
            if wanted:
                self.readers[unit].forget()
            self._under_way[unit] = self.bus.now_s()
            raw = await self._poll(unit)
            self._hand_on(unit, raw)
            for each in wanted:
                if not each.done():
                    each.set_result(raw)
            self.heartbeat_s = self.bus.now_s()
            del self._under_way[unit]
            schedule.done(unit, now_s=self.heartbeat_s)
            if self.bus.resting(unit) is not None:
                await asyncio.sleep(0)  # nothing was waited for: where all is late, nobody else would have a turn

    async def _next(self, schedule: Schedule) -> int:
        """Return the unit to poll next, as soon as it is due."""
        due_s = schedule.next_due_s()
        if due_s is not None and due_s <= self.bus.now_s() + _EARLY_S:
            return schedule.take()
        place: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._idle.append(place)
        self._set_alarm(schedule, due_s)
        return await place

    def _set_alarm(self, schedule: Schedule, due_s: float | None) -> None:
        """Have `_hand_out` called then, unless it is called sooner: one timer, however many workers wait."""
        if due_s is None or (self._alarm is not None and self._alarm.when() <= due_s):
            return
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(due_s, self._hand_out, schedule)

    def _hand_out(self, schedule: Schedule) -> None:
        """Give the units that are due to workers that wait."""
        self._alarm = None
        now_s = self.bus.now_s() + _EARLY_S
        while self._idle and (due_s := schedule.next_due_s()) is not None:
            if due_s > now_s:
                self._set_alarm(schedule, due_s)
                return
            place = self._idle.pop()
            if not place.done():  # a worker was cancelled
                place.set_result(schedule.take())

    async def _first_connection(self) -> None:
        """Give the port a moment to open, so that a healthy start has no reading "bus_down"; a dead one has."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self.bus.came_up()

    async def _tell(self) -> None:
        """Log when the bus goes down and when it is back; not at once again, so that a loose plug fills no log."""
        was_up = True
        while True:
            await self.bus.changed()
            if self.bus.up == was_up:
                continue
            was_up = self.bus.up
            if was_up:
                _log.info("bus %s is back", self.bus.name)
            else:
                _log.warning("bus %s is down: %s (tried again until it is back)", self.bus.name, self.bus.problem)
            await asyncio.sleep(_TELL_PAUSE_S)

    async def _poll(self, unit: int) -> RawPoll:
        reader = self.readers[unit]
        try:
            if not self.paused:
                return await reader.poll()
            held = np.array([channel.transducer in self.paused for channel in reader.driver.channels])
            if held.all():
                return RawPoll.nothing(reader.driver.channels, Reason.CONFIG, self.bus.now_s())
            return _without(await reader.poll(), held)
        except Exception as error:  # noqa: BLE001 - anybody's driver, and whatever it raises is that unit's trouble alone
            self.crashes += 1
            self._tell_crash(unit, error, "the driver failed; its readings are bad until it works")
            return RawPoll.nothing(reader.driver.channels, Reason.CONFIG, self.bus.now_s())

    def _hand_on(self, unit: int, raw: RawPoll) -> None:
        try:
            self._deliver(unit, raw)
        except Exception as error:  # noqa: BLE001 - whatever one unit's readings do to us is no other's trouble
            self.undelivered += 1
            self._tell_crash(unit, error, "its readings could not be taken; they are counted as lost")

    def _tell_crash(self, unit: int, error: Exception, what: str) -> None:
        kind = unit, type(error)
        if kind not in self._crash_kinds:
            self._crash_kinds.add(kind)
            _log.error("bus %s, unit %d: %s", self.bus.name, unit, what, exc_info=error)


def _without(raw: RawPoll, held: NDArray[np.bool_]) -> RawPoll:
    """Return a poll without what is paused: the other inputs of its device go on."""
    reasons = np.where(held, np.uint8(Reason.CONFIG), raw.reasons)
    return replace(raw, values=np.where(held, np.nan, raw.values), reasons=reasons)


def periods(units: Mapping[int, Mapping[str, Transducer]]) -> dict[int, float]:
    """Return how often each unit is polled, s: as often as the most frequent of its transducers asks for."""
    return {unit: min(each.poll for each in transducers.values()) for unit, transducers in units.items()}
