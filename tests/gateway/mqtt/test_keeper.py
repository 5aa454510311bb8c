"""The keeper, in virtual time, with a real journal and a link that comes and goes."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.clock import run_virtual
from gateway.mqtt.journal import Journal, JournalError
from gateway.mqtt.keeper import Keeper
from gateway.mqtt.outbox import Entry, Loss, Message, Outbox
from gateway.mqtt.ring import Ring
from gateway.mqtt.row import Row, Trimmed

BATCH, LATE, EVENT = "m/seg/a/batch", "m/seg/a/late", "m/event/x"
WALL_MS = 1_700_000_000_000


def digits(n: int, size: int) -> bytes:
    """Return the payload of a number."""
    return b'"%b"' % (b"%d" % n * size)


class Broker:
    """A link that takes what waits while it is up, and what it took before it goes down may not have arrived."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.got: list[tuple[float, Message]] = []
        self.up = False
        self._flight: list[Entry] = []

    def connect(self) -> None:
        self.up = True
        self.outbox.renew_state(first="")

    def cut(self, *, arrived: int = 10**9) -> None:
        """Break the connection; of what is in flight the first so many have arrived, though nobody knows it."""
        self.up = False
        self.got += [(self._now_s(), entry.message) for entry in self._flight[:arrived]]
        self.outbox.give_back(self._flight)
        self._flight = []

    async def run(self, *, ack_s: float = 0.01) -> None:
        while True:
            while self.up and len(self._flight) < 50 and (entry := self.outbox.take()) is not None:
                self._flight.append(entry)
            if not self.up or not self._flight:
                await self.outbox.wait()
                continue
            await asyncio.sleep(ack_s)
            if self.up and self._flight:
                entry = self._flight.pop(0)
                self.got.append((self._now_s(), entry.message))
                self.outbox.delivered(entry)

    def numbers(self, topic: str) -> list[int]:
        return [message.n for _, message in self.got if message.topic == topic and message.n is not None]

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


class Rig:
    """Outbox, journal, keeper and broker, running."""

    def __init__(
        self, folder: Path, *, max_bytes: int = 2**26, commit_s: float = 1.0, spares: bool = False, **outbox: int
    ) -> None:
        loop = asyncio.get_running_loop()
        self.outbox = Outbox(**outbox)
        self.journal = Journal(folder / "journal.sqlite", max_bytes=max_bytes, max_age_ms=10**12)
        with contextlib.suppress(JournalError):
            self.journal.open()
        self.keeper = Keeper(
            self.journal,
            self.outbox,
            commit_s=commit_s,
            utc_ms=lambda: WALL_MS + round(loop.time() * 1000),
            spares=spares,
        )
        self.skipped: list[tuple[int, int]] = []
        self.keeper.tell_skipped = lambda first, last: self.skipped.append((first, last))
        self.broker = Broker(self.outbox)
        self._tasks = [loop.create_task(self.keeper.run()), loop.create_task(self.broker.run())]

    def say(self, topic: str = BATCH, *, size: int = 20, content: bytes = b"") -> int:
        n = self.outbox.number()
        self.outbox.put(Message(topic=topic, payload=content or digits(n, size), n=n, record=topic == EVENT))
        return n

    def rows(self) -> list[int]:
        """Return the numbers that are on disk."""
        return [row.n for row in self.journal.read(1, 10**15, limit=10**6)]

    def failure(self) -> BaseException | None:
        """Return what has ended the keeper."""
        return self._tasks[0].exception()

    def begin_again(self) -> None:
        self._tasks[0] = asyncio.get_running_loop().create_task(self.keeper.run())

    async def kill(self) -> None:
        """Lose all that is in memory; what is being written may be on disk or not."""
        with contextlib.suppress(OSError):
            self.journal.close()
        self.keeper._commit_whole = lambda **_: asyncio.sleep(0)  # type: ignore[method-assign]
        await self._end()

    async def stop(self) -> None:
        await self._end()
        await self.keeper.close()

    async def _end(self) -> None:
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()


def on(folder: Path, body: Callable[[Rig], Awaitable[None]], *, ends: bool = False, **words: int) -> None:
    """Run a body with everything around it; it may end that itself."""

    async def main() -> None:
        rig = Rig(folder, **words)
        await body(rig)
        if not ends:
            await rig.stop()

    run_virtual(main(), limit_s=10 * 86_400.0)


def test_what_the_link_gets_is_on_disk_already(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        for _ in range(30):
            rig.say()
            await asyncio.sleep(0.2)
            on_disk = {row.n for row in rig.journal.read(1, 99, limit=99)}
            assert set(rig.broker.numbers(BATCH)) <= on_disk
        await asyncio.sleep(2)
        assert rig.broker.numbers(BATCH) == list(range(1, 31))
        assert rig.outbox.statistics().messages == 0

    on(tmp_path, body)


def test_telemetry_is_written_once_a_second_and_a_record_at_once(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        writes: list[float] = []
        write = rig.journal.write
        rig.journal.write = lambda *a, **k: (writes.append(len(a[0])), write(*a, **k))[1]  # type: ignore[method-assign]
        for _ in range(100):
            rig.say()
            await asyncio.sleep(0.1)
        assert 9 <= len(writes) <= 13
        await asyncio.sleep(1.5)
        rig.say()
        await asyncio.sleep(0.5)
        rig.say(EVENT)
        before_s = asyncio.get_running_loop().time()
        await asyncio.sleep(0.3)
        came_s = next(at_s for at_s, message in rig.broker.got if message.topic == EVENT)
        assert came_s - before_s < 0.05

    on(tmp_path, body)


def test_after_an_outage_what_is_new_goes_first_and_the_rest_follows_late_and_in_order(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        for _ in range(10):
            rig.say()
            await asyncio.sleep(1)
        rig.broker.cut()
        for _ in range(300):
            rig.say()
            await asyncio.sleep(1)
        assert rig.outbox.statistics().messages == 300
        assert 298 < rig.outbox.statistics().oldest_s < 302
        rig.broker.connect()
        back_s = asyncio.get_running_loop().time()
        waits = []
        for _ in range(6):
            n = rig.say()
            put_s = asyncio.get_running_loop().time()
            await asyncio.sleep(1)
            waits.append(next(at_s for at_s, message in rig.broker.got if message.n == n) - put_s)
        await asyncio.sleep(10)
        assert max(waits) < 1.3, "a second of commit interval and a little"
        live = [n for n in rig.broker.numbers(BATCH) if n > 10]
        assert live == list(range(311, 317))
        assert rig.broker.numbers(LATE) == list(range(11, 311))
        assert min(at_s for at_s, message in rig.broker.got if message.n and message.n > 10) - back_s < 2
        assert rig.outbox.statistics().losses == {}

    on(tmp_path, body)


def test_a_broker_that_is_away_for_a_day_misses_nothing_of_it(tmp_path: Path) -> None:
    day = 8640  # batches of 10 s

    async def body(rig: Rig) -> None:
        for _ in range(day):
            rig.say()
            await asyncio.sleep(10)
        assert rig.outbox.statistics().messages == day
        await rig.keeper.flush()
        rig.broker.connect()
        rig.keeper._commit_s = 1.0
        put_s: dict[int, float] = {}
        while rig.outbox.statistics().messages > 1:
            put_s[rig.say()] = asyncio.get_running_loop().time()
            await asyncio.sleep(1)
        assert rig.broker.numbers(LATE) == list(range(1, day + 1))
        assert rig.broker.numbers(BATCH) == list(put_s)[: len(rig.broker.numbers(BATCH))]
        waits = [at_s - put_s[message.n] for at_s, message in rig.broker.got if message.n in put_s]
        assert len(waits) > 80
        assert max(waits) < 2.0, "live goes first through the whole backlog"
        assert rig.outbox.statistics().losses == {}

    on(tmp_path, body, commit_s=60)


def test_after_an_outage_events_come_first_and_in_order_whatever_is_new(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        for _ in range(150):
            rig.say(EVENT)
            rig.say()
        await asyncio.sleep(2)
        rig.broker.connect()
        for _ in range(20):
            rig.say(EVENT)
            rig.say()
            await asyncio.sleep(0.05)
        await asyncio.sleep(10)
        events = rig.broker.numbers(EVENT)
        assert len(events) == 170
        assert events == sorted(events)
        came = [message.topic for _, message in rig.broker.got]
        assert came.index(LATE) > 150
        assert rig.outbox.statistics().messages == 0

    on(tmp_path, body)


@pytest.mark.parametrize("events", [99, 150, 300])
def test_events_come_once_and_in_order_though_a_batch_is_written_as_the_broker_comes_back(
    tmp_path: Path, events: int
) -> None:
    async def body(rig: Rig) -> None:
        for _ in range(events):
            rig.say(EVENT)
        await asyncio.sleep(2)
        rig.say()
        for _ in range(3):
            await asyncio.sleep(0)  # it is being written
        rig.broker.connect()
        await asyncio.sleep(60)
        assert rig.broker.numbers(EVENT) == list(range(1, events + 1))

    on(tmp_path, body)


def test_what_was_in_flight_when_the_line_broke_comes_again_under_its_number(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        for _ in range(40):
            rig.say()
        await asyncio.sleep(1.05)
        rig.broker.cut(arrived=20)
        rig.broker.connect()
        await asyncio.sleep(3)
        numbers = sorted(rig.broker.numbers(BATCH) + rig.broker.numbers(LATE))
        assert set(numbers) == set(range(1, 41))
        payloads = {message.n: message.payload for _, message in rig.broker.got}
        assert all((message.n, message.payload) in payloads.items() for _, message in rig.broker.got)

    on(tmp_path, body)


def test_after_a_restart_numbers_go_on_and_what_nobody_has_is_delivered(tmp_path: Path) -> None:
    async def first(rig: Rig) -> None:
        for _ in range(25):
            rig.say()
        await asyncio.sleep(0)

    async def second(rig: Rig) -> None:
        assert rig.say() == 26
        rig.broker.connect()
        await asyncio.sleep(5)
        assert sorted(rig.broker.numbers(LATE) + rig.broker.numbers(BATCH)) == list(range(1, 27))

    async def third(rig: Rig) -> None:
        rig.broker.connect()
        await asyncio.sleep(5)
        assert rig.broker.got == []

    for body in (first, second, third):
        on(tmp_path, body)


def test_what_had_to_make_room_before_anybody_got_it_is_counted(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        for _ in range(60):
            for _ in range(50):
                rig.say(size=100)
            await asyncio.sleep(1)
        statistics = rig.outbox.statistics()
        lost = statistics.losses[Loss.JOURNAL_SIZE]
        assert lost > 500
        assert statistics.messages == 3000 - lost
        rig.broker.connect()
        await asyncio.sleep(60)
        assert await rig.keeper.again(1, lost) == 0
        assert await rig.keeper.again(1, 3000) == 3000 - lost
        await asyncio.sleep(1)
        assert rig.broker.numbers(LATE)[: 3000 - lost] == list(range(lost + 1, 3001))
        assert rig.outbox.statistics().losses == {Loss.JOURNAL_SIZE: lost}

    on(tmp_path, body, max_bytes=2**20)


def test_a_record_arrives_though_the_telemetry_around_it_had_to_make_room(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        for count in range(3000):
            rig.say(EVENT if count == 100 else BATCH, size=100)
            await asyncio.sleep(0.02)
        lost = rig.outbox.statistics().losses[Loss.JOURNAL_SIZE]
        rig.broker.connect()
        await asyncio.sleep(60)
        assert rig.broker.numbers(EVENT) == [101]
        assert rig.broker.numbers(LATE) + rig.broker.numbers(BATCH) == list(range(lost + 2, 3001))

    on(tmp_path, body, max_bytes=2**20)


def test_a_hundred_rows_do_not_wait_for_the_next_commit(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.say()
        await asyncio.sleep(0.05)
        for _ in range(99):
            rig.say()
        await asyncio.sleep(0.05)
        assert rig.rows() == [1]
        rig.say()
        await asyncio.sleep(0.05)
        assert rig.rows() == list(range(1, 102))

    on(tmp_path, body)


def test_more_live_messages_than_may_wait_come_late_and_none_is_lost(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        for _ in range(200):
            rig.say()
        await asyncio.sleep(10)
        assert sorted(rig.broker.numbers(BATCH) + rig.broker.numbers(LATE)) == list(range(1, 201))
        assert rig.outbox.statistics().losses == {}

    on(tmp_path, body, max_messages=20)


def test_what_made_room_while_others_were_in_flight_comes_late_though_nothing_new_is_said(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        for _ in range(99):
            rig.say()
        await rig.keeper.flush()
        await asyncio.sleep(20)
        assert rig.outbox.statistics().messages == 0

    on(tmp_path, body, max_messages=20)


def test_numbers_asked_for_again_are_delivered_again(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        for _ in range(20):
            rig.say()
        await asyncio.sleep(3)
        assert await rig.keeper.again(5, 9) == 5
        assert await rig.keeper.again(21, 30) == 0
        await asyncio.sleep(3)
        assert rig.broker.numbers(LATE) == [5, 6, 7, 8, 9]
        assert rig.outbox.statistics().losses == {}

    on(tmp_path, body)


def test_who_asks_again_while_a_backlog_is_under_way_gets_nothing_twice_but_that(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        for _ in range(300):
            rig.say()
        await asyncio.sleep(2)
        rig.broker.connect()
        for asked in (10, 20, 30, 40):
            while asked + 50 not in rig.broker.numbers(LATE):  # noqa: ASYNC110 - virtual time
                await asyncio.sleep(0.01)
            await rig.keeper.again(asked, asked)
        await asyncio.sleep(10)
        late = rig.broker.numbers(LATE)
        assert {n for n in late if late.count(n) > 1} == {10, 20, 30, 40}
        assert set(late) == set(range(1, 301))

    on(tmp_path, body)


def test_what_waits_for_a_disk_that_hangs_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(rig: Rig) -> None:
        answers = asyncio.Event()

        async def hang(*_args: object, **_words: object) -> None:
            await answers.wait()

        rig.keeper._ring = Ring(max_rows=100, max_bytes=2**20)
        monkeypatch.setattr(rig.keeper._disk, "write", hang)
        for _ in range(3000):
            rig.say(EVENT)
            await asyncio.sleep(0)
            rig.outbox.put(Message(topic="rsp", payload=b"done", record=True))
        assert len(rig.keeper._pending) <= 100
        assert len(rig.keeper._after) <= 1000
        lost = rig.outbox.statistics().losses
        assert lost[Loss.JOURNAL_DOWN] > 1000
        assert lost[Loss.QUEUE_FULL] > 1000
        answers.set()

    on(tmp_path, body)


@pytest.mark.parametrize("spares", [False, True])
def test_an_answer_is_not_kept_and_goes_out_once_the_record_before_it_is_safe(tmp_path: Path, *, spares: bool) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        loop, write = asyncio.get_running_loop(), rig.journal.write

        def write_slowly(*args: Any, **words: Any) -> Trimmed:
            rig.journal.write = write  # type: ignore[method-assign]
            another = Message(topic="m/rsp/3", payload=b"3", record=True)
            loop.call_soon_threadsafe(rig.outbox.put, another)  # while it is being written
            assert rig.broker.got == []
            return write(*args, **words)

        rig.outbox.put(Message(topic="m/rsp/1", payload=b"1", record=True))
        await asyncio.sleep(0.1)
        assert [message.topic for _, message in rig.broker.got] == ["m/rsp/1"], "nothing to wait for"
        rig.broker.got.clear()
        rig.journal.write = write_slowly  # type: ignore[method-assign]
        event = rig.say(EVENT)
        rig.outbox.put(Message(topic="m/rsp/2", payload=b"2", record=True))
        await asyncio.sleep(0.1)
        assert [message.topic for _, message in rig.broker.got][:3] == [EVENT, "m/rsp/2", "m/rsp/3"]
        assert rig.rows() == [event]

    on(tmp_path, body, spares=spares)


def test_a_bug_in_a_commit_loses_nothing_and_begun_again_it_goes_on(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        rig.say()
        await asyncio.sleep(2)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(rig.journal, "write", lambda *_, **__: 1 // 0)
            rig.say(EVENT)
            rig.outbox.put(Message(topic="m/rsp/1", payload=b"1", record=True))
            rig.say()
            await asyncio.sleep(2)
            assert isinstance(rig.failure(), ExceptionGroup)
            assert rig.broker.numbers(EVENT) == []
            assert rig.keeper.overdue_s() == pytest.approx(1.0, abs=0.1)
        rig.outbox.put(Message(topic="m/rsp/2", payload=b"2", record=True))  # behind a record that is not safe
        await asyncio.sleep(0.1)
        assert "m/rsp/2" not in [message.topic for _, message in rig.broker.got]
        rig.begin_again()
        await asyncio.sleep(2)
        assert (rig.broker.numbers(BATCH), rig.broker.numbers(EVENT)) == ([1, 3], [2])
        assert [message.topic for _, message in rig.broker.got].count("m/rsp/1") == 1
        assert rig.rows() == [1, 2, 3]
        assert rig.keeper.overdue_s() == 0.0

    on(tmp_path, body)


moves = st.lists(st.sampled_from(["say", "say", "event", "wait", "cut", "connect", "restart"]), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves, seed=st.integers(0, 99))
def test_whatever_link_and_process_do_each_number_arrives_with_its_own_content(
    moves: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    draw = Random(seed)

    async def main() -> None:
        got: list[Message] = []
        said: dict[int, bytes] = {}
        rig = Rig(folder)
        for move in [*moves, "connect"]:
            if move in {"say", "event"}:
                n = rig.say(EVENT if move == "event" else BATCH)
                said[n] = digits(n, 20)
            elif move == "wait":
                await asyncio.sleep(draw.random() * 3)
            elif move == "cut" and rig.broker.up:
                rig.broker.cut(arrived=draw.randrange(5))
            elif move == "connect" and not rig.broker.up:
                rig.broker.connect()
            elif move == "restart":
                await asyncio.sleep(0)
                await rig.stop()
                got += [message for _, message in rig.broker.got]
                rig = Rig(folder)
        await asyncio.sleep(30)
        got += [message for _, message in rig.broker.got]
        assert rig.outbox.statistics().messages == 0
        assert rig.outbox.statistics().losses == {}
        await rig.stop()
        assert {message.n for message in got} == set(said)
        assert all(message.payload == said[message.n] for message in got if message.n)
        assert all((message.topic == EVENT) == (message.topic not in {BATCH, LATE}) for message in got)

    run_virtual(main())


def test_records_that_wait_for_a_new_connection_are_not_read_as_late_ones_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(rig: Rig) -> None:
        read, over = rig.keeper._read, list[bool]()

        async def slowly(first: int, last: int, *, limit: int, records: bool = False) -> tuple[list[Row], bool]:
            found = await read(first, last, limit=limit, records=records)
            if first == 9 and not records and not over:
                over.append(True)
                rig.broker.up = False  # it stands still
                for _ in range(4):
                    rig.say(EVENT)
                await asyncio.sleep(2)
                rig.broker.cut(arrived=0)
                rig.broker.connect()
            return found

        monkeypatch.setattr(rig.keeper, "_read", slowly)
        for topic in [BATCH] * 3 + [EVENT] * 5 + [BATCH]:
            rig.say(topic)
        await asyncio.sleep(2)
        rig.broker.connect()
        await asyncio.sleep(5)
        assert over == [True]
        assert rig.broker.numbers(EVENT) == [*range(4, 9), *range(10, 14)]
        assert rig.broker.numbers(LATE) == [1, 2, 3, 9]

    on(tmp_path, body)
