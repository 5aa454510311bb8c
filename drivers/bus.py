"""The owner of one line: whose turn it is, what proves an answer, who rests, what it all cost.

`ask` never raises for what a transducer or a line does; it returns an `Attempt` with one outcome. A question is only
put when no older answer could be taken for its own: otherwise a fence goes first, a question whose answer cannot be
mistaken.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from heapq import heappop, heappush
from itertools import count
from typing import Final, Protocol

from drivers.connection import Connection
from drivers.exchange import Ask, Attempt, Outcome, Quiet, Request
from drivers.half_duplex import HalfDuplex
from drivers.lone_unit import LoneUnit
from drivers.pipelined import Pipelined
from drivers.rig import Bus as BusWords
from drivers.rig import BusKind
from drivers.transport.choose import transport_for
from drivers.transport.transport import MakeTransport
from drivers.unit_record import ROUND_TRIP_BOUNDS_S, Patience, UnitRecord

READ: Final = 1
WRITE: Final = 0
"""Priorities of a turn: commands go ahead of reads."""

_ANSWERED: Final = (Outcome.REPLY, Outcome.EXCEPTION)
_ENDS_TURN: Final = (*_ANSWERED, Outcome.BUS_DOWN, Outcome.BUSY)
_TRIES: Final = 2


class _Discipline(Protocol):
    """How questions and answers share the wire."""

    foreign: int

    @property
    def echo(self) -> bool: ...
    async def exchange(self, record: UnitRecord, request: Request) -> Attempt | None: ...
    def received(self, data: bytes) -> None: ...
    def lost(self, why: str) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStatistics:
    """What one unit did since the bus was made.

    Attributes:
        outcomes: attempts by outcome.
        unused: intact frames of it that no attempt took: late, repeat, stray.
        round_trips: counts per step of `ROUND_TRIP_BOUNDS_S` and one more beyond the last.
        line_s: time that its attempts held the line.
        silent: True while it rests after silence.
    """

    outcomes: dict[str, int]
    unused: dict[str, int]
    round_trips: tuple[int, ...]
    round_trip_mean_s: float
    round_trip_longest_s: float
    line_s: float
    silent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BusStatistics:
    """What a bus did since it was made; `problem` says why it is down."""

    up: bool
    problem: str
    connects: int
    echo: bool
    foreign: int
    units: dict[int, UnitStatistics]


class Bus:
    """One line or TCP endpoint of the rig file. Made in its event loop; touches nothing until `run` opens it.

    Attributes:
        name, words: as in the rig file.
        pipelined: whether several questions can be in flight, each answer its own proof.
    """

    def __init__(self, name: str, words: BusWords, *, make_transport: MakeTransport = transport_for) -> None:
        self.name = name
        self.words = words
        self.pipelined = words.kind is BusKind.MODBUS_TCP
        self._loop = asyncio.get_running_loop()
        self._records: dict[int, UnitRecord] = {}
        self._line: _Discipline
        if self.pipelined:
            self._line = Pipelined(self._loop, self._write, self._records.values, self._reopen)
            self._turns = _Turns(words.window)
        else:
            self._line = HalfDuplex(self._loop, words, self._write, self._records.values)
            self._turns = _Turns(1)
        self._connection = Connection(make_transport(words), self._line)

    def _write(self, data: bytes) -> None:
        self._connection.write(data)

    def _reopen(self, why: str) -> None:
        self._connection.give_up(why)

    async def run(self) -> None:
        """Keep the line open until cancelled: an unplugged adapter is opened again when it is back."""
        await self._connection.run()

    @asynccontextmanager
    async def opened(self, *, within_s: float = 4.0) -> AsyncIterator["Bus"]:
        """Run the bus for a `with` block, for scripts; waits until the line is open.

        Raises:
            ConnectionError: it cannot be opened in that time; the message says why.
        """
        running = asyncio.create_task(self.run(), name=f"bus {self.name}")
        try:
            try:
                async with asyncio.timeout(within_s):
                    await self.came_up()
            except TimeoutError:
                raise ConnectionError(f"bus {self.name}: {self._connection.problem}") from None
            yield self
        finally:
            running.cancel()
            await asyncio.wait([running])

    async def came_up(self) -> None:
        """Wait until the line was open once."""
        await self._connection.came_up()

    async def changed(self) -> None:
        """Wait until `up` or `problem` has changed since the last time; for one listener."""
        await self._connection.changed.wait()
        self._connection.changed.clear()

    @property
    def up(self) -> bool:
        """Whether the line is open."""
        return self._connection.up

    @property
    def connects(self) -> int:
        """How often the line was opened."""
        return self._connection.connects

    @property
    def problem(self) -> str:
        """Why the line is not open; empty when it is."""
        return self._connection.problem

    def unit(
        self,
        unit: int,
        fences: Iterable[Request] | Quiet,
        *,
        usual: Iterable[Request] = (),
        priority: int = READ,
        once: bool = False,
    ) -> Ask:
        """Register a unit and return the function that asks it.

        Args:
            unit: its address.
            fences: questions whose answers cannot be mistaken, or the silence that stands for them; see
                `drivers.model.Driver`.
            usual: questions of a usual poll: fences of last resort. Where the proper ones are owed in turn, and the
                driver asks for just them to learn who answers, a healthy device could seem answers behind for ever.
            priority: READ or WRITE.
            once: a question is never put twice, whatever became of it: for those that change the device.

        Raises:
            ValueError: no fences on a line that needs them.
        """
        record = self._record(unit)
        if isinstance(fences, Quiet):
            record.lone = LoneUnit(fences.span_s)
        else:
            record.fences, record.usual = tuple(fences), tuple(usual)
            for each in self._records.values():
                each.rest.alone = len(self._records) == 1
        if not (record.lone or record.fences or self.pipelined):
            raise ValueError(f"bus {self.name}, unit {unit}: its driver names no fences, so no answer could be proven")

        async def ask(request: Request) -> Attempt:
            await self._turns.enter(priority)
            try:
                return await (self._only_turn(record, request) if once else self._turn(record, request))
            finally:
                self._turns.leave()

        return ask

    async def probe(self, request: Request) -> Attempt:
        """Ask once, with no proof that the answer is to this question: to find out who is there, never for values."""
        record = self._record(request.unit)
        await self._turns.enter(READ)
        try:
            return await self._attempt(record, request) or _nothing(request, Outcome.FOREIGN, self._loop.time())
        finally:
            self._turns.leave()

    def _record(self, unit: int) -> UnitRecord:
        if unit not in self._records:
            self._records[unit] = UnitRecord(unit, Patience(self.words.timeout))
        return self._records[unit]

    def now_s(self) -> float:
        """Return the time on the bus' clock, which is its event loop's."""
        return self._loop.time()

    def resting(self, unit: int) -> Outcome | None:
        """Say why a unit is not to be asked yet, None if it may: in trouble it costs the others a share of the line."""
        rest = self._records[unit].rest
        return rest.cause if self._loop.time() < rest.until_s else None

    def wake(self, unit: int) -> None:
        """Let a unit that rests be asked at once."""
        self._records[unit].rest.until_s = 0.0

    def silent(self, unit: int) -> bool:
        """Say whether a unit left its last question without an answer."""
        return self._records[unit].rest.failures > 0

    async def _turn(self, record: UnitRecord, request: Request) -> Attempt:
        """Ask only where the answer can prove itself, else put a fence first; a unit in trouble gets one try a turn."""
        if self.pipelined:
            return await self._attempt(record, request) or _nothing(request, Outcome.FOREIGN, self._loop.time())
        if record.lone is not None and isinstance(self._line, HalfDuplex):
            return await self._lone_turn(self._line, record, record.lone, request)
        healthy = record.rest.failures == 0
        attempt: Attempt | None = None
        for _ in range(_TRIES if healthy else 1):
            if record.ledger.settled(request) and not record.still(request):
                attempt = await self._attempt(record, request)
                if attempt is not None and (not healthy or attempt.outcome in _ENDS_TURN):
                    return attempt
            fences = (*record.fences, *record.usual) if record.ledger.behind else record.fences
            fence = await self._attempt(record, record.ledger.fence(fences))
            if fence is None or fence.outcome not in (*_ANSWERED, Outcome.LATE):
                break
            if record.ledger.settled(request):
                attempt = await self._attempt(record, request)
                if attempt is not None and attempt.outcome in _ENDS_TURN:
                    return attempt
        return attempt or _not_put(request, fence, self._loop.time())

    async def _only_turn(self, record: UnitRecord, request: Request) -> Attempt:
        """Ask once: after a fence where one is needed, and not at all where it did not hold."""
        fence: Attempt | None = None
        if not self.pipelined and not (record.ledger.settled(request) and not record.still(request)):
            fences = (*record.fences, *record.usual) if record.ledger.behind else record.fences
            fence = await self._attempt(record, record.ledger.fence(fences))
            if not record.ledger.settled(request):
                return _not_put(request, fence, self._loop.time())
        return await self._attempt(record, request) or _not_put(request, fence, self._loop.time())

    async def _lone_turn(self, line: HalfDuplex, record: UnitRecord, lone: LoneUnit, request: Request) -> Attempt:
        """Ask the only question of a unit, after a silence in place of a fence where one is needed."""
        lone.check(request)
        doubtful = line.unasked or not record.ledger.settled(request)
        if (doubtful or lone.repeated) and not await line.quiet(lone.quiet_s):
            return self._left_unput(record, request)
        record.ledger.over()
        attempt = await self._attempt(record, request)
        return self._left_unput(record, request) if attempt is None else lone.aged(attempt, doubtful=doubtful)

    def _left_unput(self, record: UnitRecord, request: Request) -> Attempt:
        """Count a question that the line left no silence for."""
        now_s = self._loop.time()
        attempt = _nothing(request, Outcome.BUSY if self.up else Outcome.BUS_DOWN, now_s)
        record.ended(attempt, now_s, 0.0)
        return attempt

    async def _attempt(self, record: UnitRecord, request: Request) -> Attempt | None:
        """Make one attempt and count it once, however it ends; None when the question was not put."""
        loop = self._loop
        start_s = loop.time()
        try:
            attempt = (
                await self._line.exchange(record, request) if self.up else _nothing(request, Outcome.BUS_DOWN, start_s)
            )
        except BaseException:  # cancelled, or the driver's own grammar of answers failed
            record.ended(_nothing(request, Outcome.CANCELLED, start_s), loop.time(), loop.time() - start_s)
            raise
        if attempt is None:
            return None
        now_s = loop.time()
        record.ended(attempt, now_s, now_s - start_s)
        if not self.pipelined:
            record.compare(attempt)
        return attempt

    def statistics(self) -> BusStatistics:
        """Return the counters."""
        return BusStatistics(
            up=self.up,
            problem=self.problem,
            connects=self._connection.connects,
            echo=self._line.echo,
            foreign=self._line.foreign,
            units={unit: _unit_statistics(record) for unit, record in self._records.items()},
        )


def _unit_statistics(record: UnitRecord) -> UnitStatistics:
    trips = record.round_trips
    return UnitStatistics(
        outcomes={outcome.value: number for outcome, number in record.outcomes.items()},
        unused=dict(record.unused),
        round_trips=tuple(trips.counts),
        round_trip_mean_s=trips.total_s / max(sum(trips.counts), 1),
        round_trip_longest_s=trips.longest_s,
        line_s=record.line_s,
        silent=record.rest.failures > 0,
    )


def _not_put(request: Request, fence: Attempt | None, now_s: float) -> Attempt:
    """Say why a question was not put: its fence did not hold, or others asked the unit meanwhile."""
    if fence is None or fence.outcome in _ANSWERED:
        return _nothing(request, Outcome.FOREIGN, now_s)
    return replace(fence, request=request)


def _nothing(request: Request, outcome: Outcome, now_s: float) -> Attempt:
    return Attempt(request=request, outcome=outcome, frame=b"", code=None, heard=b"", sent_s=now_s, answered_s=now_s)


class _Turns:
    """Hands out a number of places by priority, first come first served within one."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    async def enter(self, priority: int) -> None:
        """Wait for a place; whoever has one gives it back by `leave`."""
        if self._free > 0:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (priority, next(self._order), place))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place to whoever is first in line."""
        while self._waiting:
            _, _, place = heappop(self._waiting)
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


__all__ = ["READ", "ROUND_TRIP_BOUNDS_S", "WRITE", "Bus", "BusStatistics", "UnitStatistics"]
