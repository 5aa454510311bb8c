"""Keeps what has a number until the broker has it: journal first, then the link, and again after each outage.

A message that is put is written with others of its time, and is handed to the link only when it is on disk: so a
number that anybody has seen belongs to that message for ever. While there is no broker, messages stay on disk alone;
when it is back, what is new goes first, and what has waited follows on the segment's `late` topic, in order.
"""

import asyncio
import contextlib
import itertools
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

from gateway.mqtt.journal import Journal, JournalDamagedError, JournalError, Row, Spans, Trimmed
from gateway.mqtt.outbox import KeeperStatistics, Loss, Message, Outbox
from gateway.mqtt.topics import late_topic

_LOG: Final = logging.getLogger(__name__)
_GROUP: Final = 100  # rows that are not kept waiting for more
_EARLY: Final = 0.9  # of the commit interval: batches do not come to the millisecond
_AGAIN_S: Final = 10.0  # after a disk that could not be written
_IDLE_S: Final = 10.0  # what was delivered is written with the next rows, or after that time
_MARKS: Final = 1000  # of times since which numbers wait
_HELD: Final = 20_000  # rows kept in memory while the disk cannot be written


class Keeper:
    """Stands between an outbox and a journal; `run` does the work. Times are those of the event loop, s.

    Rows that cannot be written (disk full, read-only, gone) are delivered all the same and held in memory, at most
    20,000, the oldest telemetry dropped and counted; they are written when the disk is back.

    Args:
        journal: opened.
        outbox: gets this as its keeper.
        commit_s: telemetry is written at most that often; records and every hundredth row at once.
        utc_ms: now.

    Attributes:
        problem: why rows are not on disk now; empty while they are.
        age_ms: now, for judging what is too old; 0 where nothing is to be. As `utc_ms`, unless somebody knows better.
    """

    def __init__(self, journal: Journal, outbox: Outbox, *, commit_s: float, utc_ms: Callable[[], int]) -> None:
        self.problem = ""
        self._journal = journal
        self._outbox = outbox
        self._commit_s = commit_s
        self._utc_ms = self.age_ms = utc_ms
        self._restamps: list[tuple[int, int, int]] = []  # first, last, ms: what is on disk of them is to be changed
        self._loop = asyncio.get_running_loop()
        self._undelivered = Spans(journal.undelivered)
        self._pending: list[Row] = []  # put, to be written next
        self._writing: list[Row] = []
        self._held: deque[Row] = deque()  # could not be written
        self._live: dict[int, None] = {}  # handed to the link as they came, not settled
        self._since: deque[tuple[int, float]] = deque()  # when some of the numbers were put, for the oldest wait
        self._up = False
        self._late_from = 0
        self._acknowledged = False
        self._replayed = Spans()  # what was asked for again: if it is gone, nothing is lost
        self._committed_s = self._try_again_s = -math.inf
        self._work = asyncio.Event()
        self._late_work = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        outbox.keeper = self
        outbox.newest_n = journal.last_n
        if journal.set_aside is not None:
            outbox.lose(Loss.JOURNAL_DAMAGED)
            _LOG.error("journal %s was damaged; kept as %s, a new one begun", journal.path, journal.set_aside.name)

    def take(self, message: Message) -> None:
        """Take a message that was put."""
        if message.n is None:
            raise ValueError(f"a message of {message.topic} without a number cannot be kept")
        row = Row(
            n=message.n,
            t_ms=self._utc_ms(),
            topic=message.topic,
            payload=message.payload,
            record=message.record,
        )
        self._pending.append(row)
        self._undelivered.add(row.n, row.n)
        if not self._since or self._loop.time() >= self._since[-1][1] + 1.0:
            self._since.append((row.n, self._loop.time()))
        self._work.set()

    def up(self) -> None:
        """Learn that there is a broker; what has not been delivered until now is late."""
        self._up = True
        self._late_from = 0
        self._late_work.set()

    def down(self) -> None:
        """Learn that there is none."""
        self._up = False
        self._live.clear()

    def settled(self, n: int, cause: Loss | None) -> None:  # noqa: ARG002 - the outbox has counted it
        """Learn that a message was delivered, or never will be."""
        self._undelivered.discard(n)
        self._live.pop(n, None)
        if not self._acknowledged:
            self._acknowledged = True
            self._work.set()

    def passed_over(self, n: int) -> None:
        """Learn that a message that waited live is to come again late."""
        self._live.pop(n, None)
        self._late_from = min(self._late_from, n)
        self._late_work.set()

    def wants_late(self) -> None:
        """Learn that there is room for late ones."""
        self._late_work.set()

    def again(self, first: int, last: int) -> int:
        """Deliver what the journal still has of these numbers once more; return how many numbers that can be."""
        last = min(last, self._journal.last_n)
        if first > last:
            return 0
        self._undelivered.add(first, last)
        self._replayed.add(first, last)
        self._late_from = min(self._late_from, first)
        self._late_work.set()
        return last - first + 1

    def restamp(self, first: int, last: int, add_ms: int) -> None:
        """Let rows age as what they are: their clock was wrong by so much. What they say stays."""
        self._restamps.append((first, last, add_ms))

    def statistics(self) -> KeeperStatistics:
        """Return a snapshot."""
        first = self._undelivered.first_from(0)
        if first is None:
            self._since.clear()
        while first is not None and len(self._since) > 1 and self._since[1][0] <= first:
            self._since.popleft()
        if len(self._since) > _MARKS:  # an outage of days: every other one tells as much
            self._since = deque(itertools.islice(self._since, 0, None, 2))
        return KeeperStatistics(
            messages=len(self._undelivered),
            oldest_s=self._loop.time() - self._since[0][1] if self._since else 0.0,
            rows=self._journal.rows,
            problem=self.problem,
        )

    async def run(self) -> None:
        """Write and re-deliver until cancelled; then write what is left and close the journal."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._write_on(), name="journal")
                tasks.create_task(self._late_on(), name="late messages")
        finally:
            await self.flush()
            await self._loop.run_in_executor(self._thread, self._journal.close)
            self._thread.shutdown(wait=False)

    async def flush(self) -> None:
        """Write what has been put, and what was delivered, now; a cancellation waits until it is written."""
        if not (self._pending or self._held or self._acknowledged):
            return
        writing = self._loop.create_task(self._commit(), name="journal write")
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    async def _write_on(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            due_s = self._committed_s + (_EARLY * self._commit_s if self._pending else _IDLE_S)
            while self._loop.time() < due_s and not self._is_urgent():
                try:
                    async with asyncio.timeout_at(due_s):
                        await self._work.wait()
                        self._work.clear()
                except TimeoutError:
                    break
                if self._pending:
                    due_s = min(due_s, self._committed_s + _EARLY * self._commit_s)
            await self.flush()

    def _is_urgent(self) -> bool:
        """Say whether rows wait that are not to wait for more."""
        return len(self._pending) >= _GROUP or any(row.record for row in self._pending)

    async def _commit(self) -> None:
        """Write all rows that wait to be written, then hand the new ones to the link."""
        new = self._writing = self._pending
        self._pending = []
        self._committed_s, self._acknowledged = self._loop.time(), False
        if not self.problem or self._loop.time() >= self._try_again_s:
            await self._write([*self._held, *new], new)
        else:
            self._hold(new)
        self._writing = []
        if self._up:
            for row in new:
                self._live[row.n] = None
                self._outbox.send(_message(row, late=False))

    async def _write(self, rows: list[Row], new: list[Row]) -> None:
        try:
            trimmed = await self._in_thread(self._journal.write, rows, self._undelivered.lists(), self.age_ms())
        except JournalError as error:
            self._failed(error)
            self._hold(new)
            return
        self._held.clear()
        self._count_dropped(trimmed)
        if self.problem:
            _LOG.warning("journal %s is written again", self._journal.path)
            self.problem = ""
        with contextlib.suppress(JournalError):  # the next write finds it out, and then it is done
            while self._restamps and self._restamps[0][1] <= self._journal.last_n:
                await self._loop.run_in_executor(self._thread, self._journal.restamp, *self._restamps[0])
                self._restamps.pop(0)

    async def _in_thread(
        self, write: Callable[..., Trimmed], rows: list[Row], undelivered: list[list[int]], now_ms: int
    ) -> Trimmed:
        return await self._loop.run_in_executor(self._thread, lambda: write(rows, undelivered, now_ms=now_ms))

    def _failed(self, error: JournalError) -> None:
        self._try_again_s = self._loop.time() + _AGAIN_S
        if not self.problem:
            _LOG.error("%s; messages are kept in memory until it can be written", error)
        self.problem = str(error)
        if isinstance(error, JournalDamagedError):
            self._journal.close()
            try:
                self._journal.open()
            except JournalError as other:
                self.problem = str(other)
            self._outbox.lose(Loss.JOURNAL_DAMAGED)

    def _hold(self, rows: Iterable[Row]) -> None:
        """Keep rows in memory; the oldest telemetry makes room, and is lost if nobody has it."""
        self._held.extend(rows)
        while len(self._held) > _HELD:
            place = next((place for place, row in enumerate(self._held) if not row.record), 0)
            n = self._held[place].n
            del self._held[place]
            if n in self._undelivered and n not in self._live:
                self._undelivered.discard(n)
                self._outbox.lose(Loss.JOURNAL_DOWN)

    def _count_dropped(self, trimmed: Trimmed) -> None:
        """Count what made room before anybody had it."""
        for first, last, cause in trimmed.spans:
            before = len(self._undelivered)
            self._undelivered.discard_span(first, last)
            lost = before - len(self._undelivered)
            if lost:
                self._outbox.lose(Loss(cause), lost)

    async def _late_on(self) -> None:
        while True:
            await self._late_work.wait()
            self._late_work.clear()
            while self._up and self._outbox.room_for_late > 0:
                rows = await self._next_late(self._outbox.room_for_late)
                if not rows or not self._up:
                    break
                self._outbox.send_late(_message(row, late=True) for row in rows)

    async def _next_late(self, limit: int) -> list[Row]:
        """Return the next rows that the broker has not got and that are not on their way to it."""
        while True:
            new = [next(iter(self._live), math.inf), *(rows[0].n for rows in (self._writing, self._pending) if rows)]
            new_from = min(new)
            span = self._undelivered.span_from(self._late_from)
            if span is None or span[0] >= new_from:
                return []
            first, last = span[0], int(min(span[1], new_from - 1))
            rows = [row for row in self._held if first <= row.n <= last][:limit]
            try:
                read = lambda: self._journal.read(first, last, limit=limit)  # noqa: B023, E731 - awaited in this round
                rows = sorted([*await self._loop.run_in_executor(self._thread, read), *rows], key=_number)[:limit]
            except JournalError as error:
                self._failed(error)
            upto = rows[-1].n if len(rows) == limit else last
            self._miss(first, upto, rows)
            self._late_from = upto + 1
            if rows:
                return rows

    def _miss(self, first: int, last: int, rows: list[Row]) -> None:
        """Count numbers that should have been there."""
        missing = Spans([(first, last)])
        for row in rows:
            missing.discard(row.n)
        if len(missing):
            for low, high in missing:
                self._undelivered.discard_span(low, high)
            for low, high in self._replayed:
                missing.discard_span(low, high)
            self._outbox.lose(Loss.JOURNAL_DAMAGED, len(missing))
        self._replayed.discard_span(first, last)


def _number(row: Row) -> int:
    return row.n


def _message(row: Row, *, late: bool) -> Message:
    message = Message(topic=row.topic, payload=row.payload, n=row.n, record=row.record)
    return replace(message, topic=late_topic(row.topic)) if late else message
