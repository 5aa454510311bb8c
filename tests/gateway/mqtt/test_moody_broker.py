"""Link, keeper and journal against a broker that changes its moods: nothing is lost, whatever it does."""

import asyncio
import contextlib
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.rig_gateway import Mqtt
from gateway.mqtt import link as link_module
from gateway.mqtt.journal import Journal
from gateway.mqtt.keeper import Keeper
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Message, Outbox
from tests.gateway.mqtt.conftest import WILL, FakeBroker, Session, serving

TOPICS: Final = ("m/seg/a/batch", "m/seg/b/batch")
EVENT: Final = "m/event/x"
WINDOW: Final = 50
PATIENCE_S: Final = 0.1  # of the link, with a broker that acknowledges nothing
WAITING: Final = 40  # live messages that may wait; more come late
KINDS: Final = ("good", "never acknowledges", "acknowledges late", "refuses", "cuts", "stalls", "talks nonsense")


@dataclass(frozen=True)
class Mood:
    """What a broker does in one connection: so many messages taken, then this."""

    kind: str
    after: int


class MoodyBroker(FakeBroker):
    """Has one mood for each connection, and is good after the last."""

    def __init__(self, moods: list[Mood], *, old: bool) -> None:
        super().__init__(refuse_5="return code" if old else None)
        self._moods = moods
        self.cuts = lambda number, message: self._now("cuts", number)
        self.stalls = lambda number: self._now("stalls", number)
        self.noise = lambda number: b"\xff\x00\x81\x32" * 8 if self._now("talks nonsense", number) else b""
        self.ack_s = lambda: 0.002 if self._now("acknowledges late") else 0.0
        self.ack = self._code
        self.most_open = 0

    @property
    def accepted(self) -> list[Session]:
        """The connections that it has accepted."""
        return [each for each in self.sessions if self.refuse_5 is None or each.version == 4]

    def _now(self, kind: str, number: int = 10**9) -> bool:
        place = len(self.accepted) - 1
        return place < len(self._moods) and self._moods[place].kind == kind and number > self._moods[place].after

    def _code(self, topic: str) -> int | None:
        session = self.sessions[-1]
        self.most_open = max(self.most_open, len(session.published) - len(session.acknowledged))
        number = len(session.published)
        if self._now("never acknowledges", number):
            return None
        return 0x97 if self._now("refuses", number) and session.version == 5 and topic != WILL.topic else 0


moods = st.lists(st.builds(Mood, st.sampled_from(KINDS), st.integers(0, 70)), max_size=4)
speech = st.lists(st.tuples(st.sampled_from([*TOPICS, EVENT]), st.integers(1, 60)), min_size=1, max_size=6)


@settings(max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moods=moods, speech=speech, old=st.booleans())
def test_each_message_is_delivered_or_counted_in_order_within_window_and_memory(
    moods: list[Mood],
    speech: list[tuple[str, int]],
    *,
    old: bool,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link_module, "_ACK_S", PATIENCE_S)
    monkeypatch.setattr(link_module, "_STOP_S", 0.2)
    folder = tmp_path_factory.mktemp("journal")
    broker = MoodyBroker(moods, old=old)
    said: dict[int, Message] = {}

    async def main() -> dict[str, int]:
        outbox = Outbox(max_messages=WAITING)
        journal = Journal(folder / "journal.sqlite", max_bytes=2**26, max_age_ms=10**12)
        journal.open()
        keeper = Keeper(journal, outbox, commit_s=0.01, utc_ms=lambda: 0)
        link = Link(
            Mqtt.model_validate({"url": broker.url}), outbox, client_id="x", will=WILL, uniform=lambda low, high: 0.002
        )
        tasks = [asyncio.create_task(keeper.run()), asyncio.create_task(link.run())]
        for topic, count in speech:
            for _ in range(count):
                n = outbox.number()
                said[n] = Message(topic=topic, payload=b"%d" % n, n=n, record=topic == EVENT)
                outbox.put(said[n])
            await asyncio.sleep(0.01)
            assert outbox.statistics().size <= WAITING * 40
        async with asyncio.timeout(20):
            while outbox.statistics().messages:  # noqa: ASYNC110 - the other party is behind a socket
                await asyncio.sleep(0.003)
        losses = outbox.statistics().losses
        for task in reversed(tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        return dict(losses)

    async def with_broker() -> dict[str, int]:
        async with serving(broker):
            return await main()

    losses = asyncio.run(with_broker())
    verdicts: dict[int, set[int]] = {}
    for session in broker.accepted:
        for message, code in session.acknowledged:
            if message.topic != WILL.topic:
                verdicts.setdefault(int(message.payload), set()).add(code)
    assert set(verdicts) == set(said), "the broker has had each of them and said so"
    refused = [n for n, codes in verdicts.items() if 0 not in codes]
    assert set(losses) <= {"refused"}
    assert len(refused) <= losses.get("refused", 0) <= sum(0x97 in codes for codes in verdicts.values())
    assert broker.most_open <= WINDOW
    for session in broker.accepted:
        for topic in {message.topic for message in session.published} - {WILL.topic}:
            numbers = [int(message.payload) for message in session.published if message.topic == topic]
            assert all(first < second for first, second in pairwise(numbers)), f"{topic}: {numbers}"
    for message in broker.published:
        if message.topic != WILL.topic:
            original = said[int(message.payload)].topic
            assert message.topic in {original, original.replace("/batch", "/late")}
