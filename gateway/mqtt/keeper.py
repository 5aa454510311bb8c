"""Keeps what has a number until the broker has it: journal first, then the link, and again after each outage.

A message that is put is handed to the link only when it is on disk: so a number that anybody has seen belongs to that
message for ever. When a broker is back, records go first, in order; then what is new; and batches that have waited
follow on their segment's `late` topic, in order too.
"""

import asyncio
import contextlib
import math
from collections.abc import Callable
from itertools import islice
from typing import Final

from gateway.mqtt.disk import Disk
from gateway.mqtt.journal import Journal
from gateway.mqtt.outbox import KeeperStatistics, Loss, Message, Outbox
from gateway.mqtt.ring import Ring
from gateway.mqtt.row import Row, Trimmed
from gateway.mqtt.spans import Spans
from gateway.mqtt.topics import late_topic
from gateway.mqtt.waits import Waits

_GROUP: Final = 100  # rows that are not kept waiting for more
_EARLY: Final = 0.9  # of the commit interval: batches do not come to the millisecond
_ROUNDING_S: Final = 1e-6  # a timer may fire a rounding error too soon
_IDLE_S: Final = 10.0  # what was delivered is written with the next rows, or after that time
_SPARED_S: Final = 5.0  # what the broker has not taken by then is written all the same
_ANSWERS: Final = 1000  # that wait for the records before them
_HELD: Final = 20_000  # rows in memory
_HELD_BYTES: Final = 32 * 2**20


class Keeper:
    """Stands between an outbox and a journal; `run` does the work, `close` ends it. Times are the event loop's, s.

    Rows that cannot be written (disk full, read-only, gone) are delivered all the same and held in memory, at most
    20,000 and 32 MiB, the oldest telemetry dropped and counted; they are written when the disk is back.

    A disk that is to be spared gets records at once, but telemetry only when the broker has not taken it for 5 s. What
    is only in memory then dies with the process; its numbers do not come again, because they were reserved on disk.

    Args:
        journal: opened, or its opening has failed.
        outbox: gets this as its keeper.
        commit_s: telemetry is written at most that often; records and every hundredth row at once.
        utc_ms: now.
        spares: whether the disk is to be spared.

    Attributes:
        name: for logs and health.
        age_ms: now, for judging what is too old; 0 where nothing is to be. As `utc_ms`, unless somebody knows better.
        tell_skipped: called with the first and last number of those that a journal which could not be opened at the
            start turned out not to have.
    """

    def __init__(
        self, journal: Journal, outbox: Outbox, *, commit_s: float, utc_ms: Callable[[], int], spares: bool = False
    ) -> None:
        self.name = "journal"
        self._journal = journal
        self._disk = Disk(journal, outbox.lose)
        self._outbox = outbox
        self._commit_s = commit_s
        self._utc_ms = self.age_ms = utc_ms
        self.tell_skipped: Callable[[int, int], None] | None = None
        self._spares = spares
        self._restamps: list[tuple[int, int, int]] = []  # first, last, ms: what is on disk of them is to be changed
        self._loop = asyncio.get_running_loop()
        self._undelivered = Spans(journal.undelivered)
        self._ring = Ring(max_rows=_HELD, max_bytes=_HELD_BYTES)  # what is not on disk
        self._pending: dict[int, None] = {}  # put, not handed to the link
        self._pending_since_s = math.inf
        self._writing: list[int] = []  # of them, what is being made safe
        self._live: dict[int, None] = {}  # handed to the link as they came, not settled
        self._after: list[Message] = []  # without a number: sent when what was put before them is safe
        self._waits = Waits()
        self._up = False
        self._connections = 0  # so far: what was read for one is not sent on the next
        self._late_from = 0
        self._late: set[int] = set()  # handed to the link as late ones, not settled
        self._unread_from = math.inf  # from there on some were passed over: the disk, which has them, was not readable
        self._records_from: int | None = None  # while records have waited longer than those that come; None: no more
        self._records_out: set[int] = set()  # of them, handed to the link, not settled
        self._withheld: list[Row] = []  # records that came meanwhile
        self._acknowledged = False  # of what is on disk
        self._record = False  # waits to be written
        self._replayed = Spans()  # what was asked for again: if it is gone, nothing is lost
        self._committed_s = -math.inf
        self._committing = asyncio.Lock()
        self._work = asyncio.Event()
        self._late_work = asyncio.Event()
        outbox.keeper = self
        outbox.newest_n = journal.last_n

    def take(self, message: Message) -> None:
        """Take a message that was put: one with a number is kept, one without sent once the records before are safe."""
        if message.n is None:
            if len(self._after) >= _ANSWERS:
                self._outbox.lose(Loss.QUEUE_FULL)  # whoever still wants it asks again
            elif self._record or self._writing:
                self._after.append(message)
                self._work.set()
            else:
                self._outbox.send(message)
            return
        now_s = self._loop.time()
        row = Row(n=message.n, t_ms=self._utc_ms(), topic=message.topic, payload=message.payload, record=message.record)
        if not self._pending:
            self._pending_since_s = now_s
        self._pending[row.n] = None
        self._undelivered.add(row.n, row.n)
        self._record |= row.record
        for n in self._ring.add(row, now_s=now_s):
            self._pending.pop(n, None)
            if n not in self._live:
                self._undelivered.discard(n)
                self._outbox.lose(Loss.JOURNAL_DOWN)
        self._waits.note(row.n, now_s)
        self._work.set()

    def up(self) -> None:
        """Learn that there is a broker; what has not been delivered until now is late."""
        self._up = True
        self._connections += 1
        self._late_from = self._records_from = 0
        self._late_work.set()

    def down(self) -> None:
        """Learn that there is none."""
        self._up = False
        self._live.clear()
        self._late.clear()
        self._records_out.clear()
        self._withheld.clear()

    def settled(self, n: int, cause: Loss | None) -> None:  # noqa: ARG002 - the outbox has counted it
        """Learn that a message was delivered, or never will be."""
        self._undelivered.discard(n)
        self._live.pop(n, None)
        self._late.discard(n)
        self._records_out.discard(n)
        waits = self._undelivered.first_from(self._late_from)
        if self._records_from is not None or (
            waits is not None and waits not in self._live and waits <= self._safe_upto()
        ):
            self._late_work.set()
        in_memory = self._spares and self._ring.get(n) is not None
        self._ring.safe(n)
        if not in_memory and not self._acknowledged:
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

    async def again(self, first: int, last: int) -> int:
        """Deliver what the journal still has of these numbers once more; return how many these are."""
        last = min(last, self._outbox.newest_n)
        if first > last:
            return 0
        asked = Spans([(first, last)]).without(self._undelivered)  # these are on their way
        for low, high in asked:
            self._undelivered.add(low, high)
            self._replayed.add(low, high)
        self._late_from = min(self._late_from, asked.first_from(0) or self._late_from)
        self._late_work.set()
        in_memory = self._ring.between(first, last, limit=_HELD, records=False)  # and not on disk
        return await self._disk.count(first, last) + len(in_memory)

    def restamp(self, first: int, last: int, add_ms: int) -> None:
        """Let rows age as what they are: their clock was wrong by so much. What they say stays."""
        self._restamps.append((first, last, add_ms))

    def statistics(self) -> KeeperStatistics:
        """Return a snapshot."""
        return KeeperStatistics(
            messages=len(self._undelivered),
            oldest_s=self._waits.oldest_s(self._undelivered.first_from(0), self._loop.time()),
            rows=self._journal.rows,
            problem=self.problem,
        )

    @property
    def problem(self) -> str:
        """Why rows are not on disk now; empty while they are."""
        return self._disk.problem

    async def run(self) -> None:
        """Write and re-deliver until cancelled; a second time it goes on with what is there."""
        self._late_work.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_on(), name="journal")
            tasks.create_task(self._late_on(), name="late messages")

    def overdue_s(self) -> float:
        """Return for how long the disk has not answered, or what was put waits beyond what it may; it may refuse."""
        waits_s = self._loop.time() - self._pending_since_s - self._commit_s if self._pending else 0.0
        return max(self._disk.silent_s, waits_s, 0.0)

    async def close(self) -> None:
        """Write what is left and close the journal."""
        try:
            await self.flush()
        finally:
            await self._disk.close(self._outbox.newest_n, now_ms=self._utc_ms())

    async def flush(self) -> None:
        """Write what has been put, and what was delivered, now; a cancellation waits until it is written."""
        if not (self._pending or self._after or len(self._ring) or self._acknowledged):
            return
        await self._commit_whole(write=True)

    async def _commit_whole(self, *, write: bool) -> None:
        writing = self._loop.create_task(self._commit(write=write), name="journal write")
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.wait([writing])
            raise

    async def _write_on(self) -> None:
        while True:
            write_s = self._write_due_s()
            free = self._spares or self._disk.refusal  # rows do not wait for the disk
            due_s = -math.inf if (self._pending or self._after) and free else write_s
            now_s = self._loop.time() + _ROUNDING_S
            if due_s <= now_s:
                await self._commit_whole(write=write_s <= now_s)
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(None if due_s == math.inf else due_s):
                    await self._work.wait()
            self._work.clear()

    def _write_due_s(self) -> float:
        """Return when the disk is to be written next."""
        if self._disk.refusal:
            return self._disk.try_again_s
        if self._record or self._after or (len(self._pending) >= _GROUP and not self._spares):
            return -math.inf
        due_s = self._committed_s + _IDLE_S if self._acknowledged else math.inf
        if self._spares:
            since_s = self._ring.at_risk_since_s
            return due_s if since_s is None else min(due_s, since_s + _SPARED_S)
        return min(due_s, self._committed_s + _EARLY * self._commit_s) if self._pending else due_s

    async def _commit(self, *, write: bool) -> None:
        """Make all rows that wait safe, then hand the new ones to the link."""
        async with self._committing:
            write = write and (not self._disk.refusal or await self._reopen())
            reserved = await self._reserve()
            self._writing, self._pending = list(self._pending), {}
            after, self._after = self._after, []
            since_s = self._pending_since_s
            new = [row for n in self._writing if (row := self._ring.get(n)) is not None]
            try:
                if write and reserved:
                    await self._write()
            except Exception:  # a bug: all is as it was before
                self._pending = dict.fromkeys([*self._writing, *self._pending])
                self._after[:0], self._pending_since_s = after, since_s
                self._record |= any(row.record for row in new)
                raise
            finally:
                self._writing = []
            if self._up:
                for row in new:
                    if row.n not in self._undelivered:
                        continue  # it had to make room meanwhile
                    if row.record and self._records_from is not None:
                        self._withheld.append(row)
                    else:
                        self._hand_over(row)
            for message in after:
                self._outbox.send(message)

    def _hand_over(self, row: Row) -> None:
        self._live[row.n] = None
        self._outbox.send(Message(topic=row.topic, payload=row.payload, n=row.n, record=row.record))

    async def _reopen(self) -> bool:
        """Open the journal again; what one that could not be opened at the start has for the broker is late."""
        unknown = bool(self._journal.refusal)
        if not await self._disk.reopen():
            return False
        if unknown:
            for first, last in self._journal.undelivered:
                self._undelivered.add(first, last)
            self._late_from = 0
            self._records_from = 0 if self._up else self._records_from
            self._late_work.set()
            if self._journal.skipped is not None and self.tell_skipped is not None:
                self.tell_skipped(*self._journal.skipped)
        return True

    async def _reserve(self) -> bool:
        return await self._disk.reserve(self._outbox.newest_n, loose=self._spares)

    async def _write(self) -> None:
        """Write what is not on disk."""
        self._committed_s, self._acknowledged, self._record = self._loop.time(), False, False
        rows = self._ring.at_risk() if self._spares else list(self._ring)
        trimmed = await self._disk.write(
            rows, self._undelivered.lists(), now_ms=self.age_ms(), last_n=self._outbox.newest_n
        )
        if trimmed is None:
            await self._reserve()
            return
        self._ring.discard([row.n for row in rows])
        self._count_dropped(trimmed)
        if self._unread_from < math.inf:
            self._late_from, self._unread_from = int(min(self._late_from, self._unread_from)), math.inf
            self._late_work.set()
        while self._restamps and self._restamps[0][1] <= self._journal.last_n:
            if not await self._disk.restamp(*self._restamps[0]):
                break
            self._restamps.pop(0)

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
            await self._send_records()
            while self._up and self._records_from is None and self._outbox.room_for_late > 0:
                rows = await self._next_late(self._outbox.room_for_late)
                if not rows or not self._up:
                    break
                self._late.update(row.n for row in rows)
                self._outbox.send_late(
                    Message(topic=late_topic(row.topic), payload=row.payload, n=row.n, record=row.record)
                    for row in rows
                )

    async def _send_records(self) -> None:
        """Hand over records that have waited, before any newer one, some at a time."""
        while self._up and (begin := self._records_from) is not None and len(self._records_out) < _GROUP:
            connection = self._connections
            rows, whole = await self._read(begin, self._safe_upto(), limit=_GROUP, records=True)
            if self._connections != connection or not self._up:
                continue
            if not whole:
                self._unread_from = min(self._unread_from, begin)
            for row in rows:
                if row.n in self._undelivered and row.n not in self._live:
                    self._records_out.add(row.n)
                    self._hand_over(row)
                self._records_from = row.n + 1
            if not rows:
                self._records_from = None
                for row in self._withheld:
                    if row.n not in self._live and row.n in self._undelivered:
                        self._hand_over(row)
                self._withheld.clear()

    def _safe_upto(self) -> int:
        """Return the highest number that does not wait to be made safe."""
        return min([*self._writing[:1], *islice(self._pending, 1)], default=self._outbox.newest_n + 1) - 1

    async def _read(self, first: int, last: int, *, limit: int, records: bool = False) -> tuple[list[Row], bool]:
        """Return rows, or only records, from memory and disk, in order, and whether the disk could be read."""
        found = {row.n: row for row in self._ring.between(first, last, limit=limit, records=records)}
        on_disk, whole = await self._disk.read(first, last, limit=limit, records=records)
        found |= {row.n: row for row in on_disk}
        return [found[n] for n in sorted(found)[:limit]], whole

    async def _next_late(self, limit: int) -> list[Row]:
        """Return the next rows that the broker has not got and that are not on their way to it."""
        while True:
            begin, old_upto = self._late_from, min(next(iter(self._live), math.inf) - 1, self._safe_upto())
            span = self._undelivered.span_from(begin)
            if span is None or span[0] > old_upto:
                return []
            first, last = span[0], int(min(span[1], old_upto))
            connection = self._connections
            rows, whole = await self._read(first, last, limit=limit)
            if self._connections != connection:
                return []  # records go first on the new one
            if self._late_from != begin:
                continue  # something older has come up
            upto = rows[-1].n if len(rows) == limit else last
            if whole:
                self._miss(first, upto, rows)
            else:
                self._unread_from = min(self._unread_from, first)
            self._late_from = upto + 1
            if waiting := [row for row in rows if self._waits_for_link(row.n)]:
                return waiting

    def _waits_for_link(self, n: int) -> bool:
        return n in self._undelivered and n not in self._live and n not in self._late

    def _miss(self, first: int, last: int, rows: list[Row]) -> None:
        """Count numbers that should have been there."""
        missing = Spans([(first, last)]).without((row.n, row.n) for row in rows)
        if len(missing):
            for low, high in missing:
                self._undelivered.discard_span(low, high)
            if lost := len(missing.without(self._replayed)):
                self._outbox.lose(Loss.JOURNAL_DAMAGED, lost)
        self._replayed.discard_span(first, last)
