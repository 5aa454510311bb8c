"""What waits for the broker: the seam between whoever publishes and whatever carries (`link`, `memory`).

It lives in memory: what waits here dies with the process.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing to publish; `n` is the gateway's running number when the payload carries one."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False
    n: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbox:
    """What a link listens to: a topic filter, and who takes each message (topic, payload, whether it was retained).

    `take` must not fail.
    """

    topic: str
    take: Callable[[str, bytes, bool], None]


class Loss(StrEnum):
    """Why a message was not delivered."""

    QUEUE_FULL = "queue_full"
    TOPICS_FULL = "topics_full"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    CUTS_CONNECTION = "cuts_connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message with the time since which it waits, s on the outbox's clock."""

    message: Message
    since_s: float

    @property
    def size(self) -> int:
        """Bytes of topic and payload."""
        return len(self.message.topic) + len(self.message.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxStatistics:
    """A snapshot of what waits, and of what was lost since the start.

    Attributes:
        losses: messages that were not and will not be delivered, by cause.
        superseded: retained messages that gave way to a newer one of their topic; they explain gaps of `n`.
        messages, size: telemetry that waits, and its bytes.
        oldest_s: how long its oldest has waited.
    """

    losses: Mapping[str, int]
    superseded: int
    messages: int
    size: int
    oldest_s: float


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
    """

    connected: bool
    protocol: str | None
    published: int
    acknowledged: int
    refused: int
    reconnects: int
    in_flight: int
    outbox: OutboxStatistics


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
        self._state: dict[str, Message] = {}
        self._due: dict[str, Entry] = {}
        self._head_start = 0
        self._state_next = True
        self._losses: Counter[str] = Counter()
        self._superseded = 0
        self._last_number = 0
        self._changed = asyncio.Event()

    def number(self) -> int:
        """Return the next running number; each is given out once."""
        self._last_number += 1
        return self._last_number

    def put(self, message: Message) -> None:
        """Take a message for delivery."""
        entry = Entry(message=message, since_s=self._clock())
        if message.retain:
            self._put_state(entry)
        else:
            self._queue.append(entry)
            self._queue_bytes += entry.size
            self._shrink()
        self.wake()

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
            self._queue_bytes -= self._queue.popleft().size
            self.lose(Loss.QUEUE_FULL)

    def take(self) -> Entry | None:
        """Return what is to be delivered next, None when nothing waits."""
        if self._due and (self._head_start > 0 or self._state_next or not self._queue):
            self._head_start -= self._head_start > 0
            self._state_next = False
            return self._due.pop(next(iter(self._due)))
        self._state_next = True
        if not self._queue:
            return None
        entry = self._queue.popleft()
        self._queue_bytes -= entry.size
        return entry

    def give_back(self, entries: Iterable[Entry]) -> None:
        """Put undelivered telemetry back to the head of the queue, in order; state comes back by `renew_state`."""
        telemetry = [entry for entry in entries if not entry.message.retain]
        self._queue.extendleft(reversed(telemetry))
        self._queue_bytes += sum(entry.size for entry in telemetry)
        self._shrink()

    def renew_state(self, *, first: str) -> None:
        """Make all state due again, that of topic `first` foremost, all of it before telemetry."""
        now_s = self._clock()
        topics = sorted(self._state, key=lambda topic: topic != first)
        self._due = {topic: Entry(message=self._state[topic], since_s=now_s) for topic in topics}
        self._head_start = len(self._due)
        self.wake()

    def forget(self, message: Message) -> None:
        """Remember that state no longer, unless a newer one has taken its place."""
        if self._state.get(message.topic) is message:
            del self._state[message.topic]
            self._due.pop(message.topic, None)

    def lose(self, cause: Loss) -> None:
        """Count a message that will not be delivered."""
        self._losses[cause.value] += 1

    @property
    def waiting(self) -> bool:
        """Whether anything waits."""
        return bool(self._queue or self._due)

    def wake(self) -> None:
        """Make `wait` return."""
        self._changed.set()

    async def wait(self) -> None:
        """Wait until something was put or `wake` was called since the last time."""
        await self._changed.wait()
        self._changed.clear()

    def statistics(self) -> OutboxStatistics:
        """Return a snapshot."""
        return OutboxStatistics(
            losses=dict(self._losses),
            superseded=self._superseded,
            messages=len(self._queue),
            size=self._queue_bytes,
            oldest_s=self._clock() - self._queue[0].since_s if self._queue else 0.0,
        )
