"""What waits for the broker: the seam between whoever publishes and whatever carries (`link`, `memory`).

It lives in memory. With a keeper (`gateway.mqtt.keeper`) what has a number is on disk before it waits here, and again
and again until the broker has it; without one, what waits here dies with the process.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import Final, Protocol

_LATE_WINDOW: Final = 10  # of the link's 50: what is live goes first


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing to publish.

    Attributes:
        n: the gateway's running number; each is given out once, and what has one is journalled.
        record: it goes before telemetry and is kept when telemetry has to make room (events). One without a number
            (an answer) is not kept itself, but waits until the records before it are safe.
    """

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    n: int | None = None
    record: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """What a link listens to: topic filters, and who takes each message (topic, payload, whether it was retained).

    `take` must not fail.
    """

    topics: tuple[str, ...]
    take: Callable[[str, bytes, bool], None]


class Loss(StrEnum):
    """Why a message was not delivered."""

    QUEUE_FULL = "queue_full"
    TOPICS_FULL = "topics_full"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    CUTS_CONNECTION = "cuts_connection"
    JOURNAL_SIZE = "journal_size"
    JOURNAL_AGE = "journal_age"
    JOURNAL_DOWN = "journal_down"
    JOURNAL_DAMAGED = "journal_damaged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message with the time since which it waits, s on the outbox's clock; late when it was journalled long ago."""

    message: Message
    since_s: float
    late: bool = False

    @property
    def size(self) -> int:
        """Bytes of topic and payload."""
        return len(self.message.topic) + len(self.message.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperStatistics:
    """A snapshot of what is kept.

    Attributes:
        messages: not delivered yet.
        oldest_s: how long the oldest of them has waited.
        rows: in the journal.
        problem: why new ones are not on disk now; empty while they are.
    """

    messages: int = 0
    oldest_s: float = 0.0
    rows: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatistics:
    """A snapshot of what waits, and of what was lost since the start.

    Attributes:
        losses: messages that were not and will not be delivered, by cause.
        superseded: retained messages that gave way to a newer one of their topic; they explain gaps of `n`.
        messages, size: telemetry that waits, and its bytes.
        oldest_s: how long its oldest has waited.
        journal_rows, journal_problem: as `KeeperStatistics` has them.
    """

    losses: Mapping[str, int]
    superseded: int
    messages: int
    size: int
    oldest_s: float
    journal_rows: int = 0
    journal_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkStatistics:
    """A snapshot of how delivery goes, counted since the start.

    Attributes:
        protocol: of the present or last connection ("5", "3.1.1"), None before the first.
        published: messages handed to the broker, again after a broken connection included.
        acknowledged: QoS 1 messages that the broker has taken.
        refused: QoS 1 messages that the broker has turned down.
        reconnects: connections after the first.
        in_flight: handed over, not yet acknowledged (QoS 0: not yet written).
        taken_over: connections that ended because somebody else took our client id (only MQTT 5 can say so).
    """

    connected: bool
    protocol: str | None
    published: int
    acknowledged: int
    refused: int
    reconnects: int
    in_flight: int
    outbox: OutboxStatistics
    taken_over: int = 0


class Keeps(Protocol):
    """What keeps numbered messages until the broker has them; `gateway.mqtt.keeper.Keeper` is one."""

    def take(self, message: Message) -> None:
        """Take a message that was put; it comes back by `Outbox.send` once it, and what was put before it, is safe."""
        ...

    def up(self) -> None:
        """Learn that there is a broker."""
        ...

    def down(self) -> None:
        """Learn that there is none: whatever was not settled has not been delivered."""
        ...

    def settled(self, n: int, cause: "Loss | None") -> None:
        """Learn that a message was delivered, or will never be and why."""
        ...

    def passed_over(self, n: int) -> None:
        """Learn that a message no longer waits, as others do; it is to come again as a late one."""
        ...

    def wants_late(self) -> None:
        """Learn that there is room for late ones."""
        ...

    def statistics(self) -> "KeeperStatistics":
        """Return a snapshot."""
        ...


def _loop_time_s() -> float:
    return asyncio.get_running_loop().time()


class Outbox:
    """Messages on their way to the broker; bounded, never blocks, wakes the link.

    Telemetry (not retained) waits in a queue. When it is full, the oldest goes: who looks at a station after an outage
    needs the present first. 20,000 messages are an hour of six segments with a batch each second; 64 MiB is what the
    smallest Raspberry Pi can spare.

    State (retained) waits as the newest message of each topic, and is remembered after delivery, because a broker that
    restarts may have forgotten it. 10,000 topics are a hundred stations' worth; topics beyond are refused and counted.

    A link takes from both in turn, so that neither holds up the other; after `renew_state`, all state comes first.
    Records go before telemetry, and late messages fill what is left of the link's time, ten in flight.

    Attributes:
        keeper: where numbered messages go before they wait here; None keeps them in memory alone.
        newest_n: the number given out last.
    """

    def __init__(
        self,
        *,
        max_messages: int = 20_000,
        max_bytes: int = 64 * 2**20,
        max_topics: int = 10_000,
        clock: Callable[[], float] = _loop_time_s,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._max_topics = max_topics
        self._clock = clock
        self._queue: deque[Entry] = deque()
        self._queue_bytes = 0
        self._records: deque[Entry] = deque()
        self._late: deque[Entry] = deque()
        self._late_out = 0
        self.keeper: Keeps | None = None
        self.newest_n = 0
        self._state: dict[str, Message] = {}
        self._due: dict[str, Entry] = {}
        self._head_start = 0
        self._state_next = True
        self._losses: Counter[str] = Counter()
        self._superseded = 0
        self._changed = asyncio.Event()

    def number(self) -> int:
        """Return the next running number; each is given out once."""
        self.newest_n += 1
        return self.newest_n

    def put(self, message: Message) -> None:
        """Take a message for delivery."""
        if (message.n is not None or message.record) and not message.retain and self.keeper is not None:
            self.keeper.take(message)
        else:
            self.send(message)

    def send(self, message: Message) -> None:
        """Let a message wait for the link, as the keeper does once it is safe."""
        entry = Entry(message=message, since_s=self._clock())
        if message.retain:
            self._put_state(entry)
        elif message.record:
            if message.n is None and len(self._records) >= self._max_messages:
                self.lose(Loss.QUEUE_FULL)  # an answer: whoever still wants it asks again
            else:
                self._records.append(entry)
        else:
            self._queue.append(entry)
            self._queue_bytes += entry.size
            self._shrink()
        self.wake()

    def send_late(self, messages: Iterable[Message]) -> None:
        """Let messages of the past wait, to be sent when nothing newer does."""
        now_s = self._clock()
        self._late.extend(Entry(message=message, since_s=now_s, late=True) for message in messages)
        self.wake()

    @property
    def room_for_late(self) -> int:
        """How many late messages may be added."""
        return 2 * _LATE_WINDOW - len(self._late)

    def _put_state(self, entry: Entry) -> None:
        topic = entry.message.topic
        if topic not in self._state and len(self._state) >= self._max_topics:
            self.lose(Loss.TOPICS_FULL)
            return
        self._state[topic] = entry.message
        self._superseded += topic in self._due
        self._due[topic] = entry

    def _shrink(self) -> None:
        while len(self._queue) > self._max_messages or self._queue_bytes > self._max_bytes:
            oldest = self._queue.popleft()
            self._queue_bytes -= oldest.size
            if self.keeper is not None and oldest.message.n is not None:
                self.keeper.passed_over(oldest.message.n)
            else:
                self.lose(Loss.QUEUE_FULL)

    def take(self) -> Entry | None:
        """Return what is to be delivered next, None when nothing waits that may go now."""
        if self._records and not self._head_start:
            return self._records.popleft()
        if self._due and (self._head_start > 0 or self._state_next or not self._queue):
            self._head_start -= self._head_start > 0
            self._state_next = False
            return self._due.pop(next(iter(self._due)))
        self._state_next = True
        if self._queue:
            entry = self._queue.popleft()
            self._queue_bytes -= entry.size
            return entry
        if self._late and self._late_out < _LATE_WINDOW:
            self._late_out += 1
            return self._late.popleft()
        return None

    def give_back(self, entries: Iterable[Entry]) -> None:
        """Take back what was not delivered when a connection broke.

        Telemetry and records go to the head of their queues, in order; with a keeper they come again as late ones.
        State comes back by `renew_state`.
        """
        entries = list(entries)
        self._late_out = 0
        if self.keeper is not None:
            self._forget_numbered()
            self.keeper.down()
            entries = [entry for entry in entries if entry.message.n is None]
        self._records.extendleft(entry for entry in reversed(entries) if entry.message.record)
        telemetry = [entry for entry in entries if not entry.message.retain and not entry.message.record]
        self._queue.extendleft(reversed(telemetry))
        self._queue_bytes += sum(entry.size for entry in telemetry)
        self._shrink()

    def _forget_numbered(self) -> None:
        self._late.clear()
        self._records = deque(entry for entry in self._records if entry.message.n is None)
        self._queue = deque(entry for entry in self._queue if entry.message.n is None)
        self._queue_bytes = sum(entry.size for entry in self._queue)

    def delivered(self, entry: Entry) -> None:
        """Note that the broker has taken it."""
        self._settled(entry, None)

    def given_up(self, entry: Entry, cause: Loss) -> None:
        """Count a message that was taken and will not be delivered."""
        self.lose(cause)
        self._settled(entry, cause)

    def _settled(self, entry: Entry, cause: Loss | None) -> None:
        if entry.late:
            self._late_out = max(self._late_out - 1, 0)
            if self.keeper is not None:
                self.keeper.wants_late()
        if self.keeper is not None and entry.message.n is not None and not entry.message.retain:
            self.keeper.settled(entry.message.n, cause)

    def renew_state(self, *, first: str) -> None:
        """Make all state due again, that of topic `first` foremost, all of it before telemetry."""
        topics = sorted(self._state, key=lambda topic: topic != first)
        now_s, due = self._clock(), self._due
        self._due = {topic: due.get(topic) or Entry(message=self._state[topic], since_s=now_s) for topic in topics}
        self._head_start = len(self._due)
        if self.keeper is not None:
            self.keeper.up()
        self.wake()

    def forget(self, message: Message) -> None:
        """Remember that state no longer, unless a newer one has taken its place."""
        if self._state.get(message.topic) is message:
            del self._state[message.topic]
            self._due.pop(message.topic, None)

    def lose(self, cause: Loss, number: int = 1) -> None:
        """Count messages that will not be delivered."""
        self._losses[cause.value] += number

    @property
    def retained(self) -> frozenset[str]:
        """Topics on which the broker has something of ours, or is to get it."""
        return frozenset(topic for topic, message in self._state.items() if message.payload)

    @property
    def empty(self) -> bool:
        """Whether nothing waits, late or not."""
        return not (self._due or self._queue or self._records or self._late)

    @property
    def waits_since_s(self) -> float | None:
        """Since when the first of what waits and is not late has waited, on the outbox's clock; None: nothing does."""
        first = (*islice(self._records, 1), *islice(self._due.values(), 1), *islice(self._queue, 1))
        return min((entry.since_s for entry in first), default=None)

    def wake(self) -> None:
        """Make `wait` return."""
        self._changed.set()

    async def wait(self) -> None:
        """Wait until something was put or `wake` was called since the last time."""
        await self._changed.wait()
        self._changed.clear()

    def statistics(self) -> OutboxStatistics:
        """Return a snapshot."""
        kept = KeeperStatistics(
            messages=len(self._queue) + len(self._records),
            oldest_s=self._clock() - self._queue[0].since_s if self._queue else 0.0,
        )
        if self.keeper is not None:
            kept = self.keeper.statistics()
        return OutboxStatistics(
            losses=dict(self._losses),
            superseded=self._superseded,
            messages=kept.messages,
            size=self._queue_bytes,
            oldest_s=kept.oldest_s,
            journal_rows=kept.rows,
            journal_problem=kept.problem,
        )
