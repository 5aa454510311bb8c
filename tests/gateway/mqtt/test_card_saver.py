"""A disk that is to be spared: what is written, what a power cut can lose, and that nobody is misled by it."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_sim.clock import run_virtual
from tests.gateway.mqtt.test_keeper import BATCH, EVENT, LATE, Rig, on

AT_RISK_S = 5.0  # docs/journal.md


def count_writes(rig: Rig) -> list[int]:
    """Return a list that grows by the number of rows of each write."""
    writes: list[int] = []
    write, reserve = rig.journal.write, rig.journal.reserve
    rig.journal.write = lambda rows, *a, **k: (writes.append(len(rows)), write(rows, *a, **k))[1]  # type: ignore[method-assign]
    rig.journal.reserve = lambda reserved: (writes.append(0), reserve(reserved))[1]  # type: ignore[method-assign, func-returns-value]
    return writes


def test_while_the_broker_takes_all_nothing_is_written_but_records_and_reserved_numbers(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        writes = count_writes(rig)
        for _ in range(3000):
            rig.say()
            await asyncio.sleep(0.1)
        assert sum(writes) == 0
        assert len(writes) <= 1 + 3000 // 500
        assert rig.broker.numbers(BATCH) == list(range(1, 3001))
        event = rig.say(EVENT)
        await asyncio.sleep(0.01)
        assert rig.rows() == [event]

    on(tmp_path, body, spares=True)


def test_live_messages_do_not_wait_for_a_disk(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        rig.say()
        await asyncio.sleep(0.3)
        n = rig.say()
        await asyncio.sleep(0.02)
        assert rig.broker.numbers(BATCH)[-1] == n

    on(tmp_path, body, spares=True)


def test_in_an_outage_all_gets_to_disk_within_5_s_in_few_writes_and_comes_late(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        writes = count_writes(rig)
        for _ in range(600):
            n = rig.say()
            await asyncio.sleep(0.1)
            assert set(range(1, n - round(AT_RISK_S * 10))) <= set(rig.rows() if n % 50 == 0 else range(1, n))
        assert len(writes) < 16
        rig.broker.connect()
        await asyncio.sleep(30)
        assert rig.broker.numbers(LATE) == list(range(1, 601))
        assert rig.outbox.statistics().losses == {}

    on(tmp_path, body, spares=True)


def test_what_the_broker_has_can_be_asked_for_again_while_it_is_in_memory(tmp_path: Path) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        for _ in range(50):
            rig.say()
        await asyncio.sleep(3)
        assert await rig.keeper.again(10, 12) == 3
        await asyncio.sleep(3)
        assert rig.broker.numbers(LATE) == [10, 11, 12]

    on(tmp_path, body, spares=True)


@pytest.mark.parametrize("spares", [True, False])
def test_an_orderly_stop_leaves_no_gap(tmp_path: Path, *, spares: bool) -> None:
    async def body(rig: Rig) -> None:
        rig.broker.connect()
        for _ in range(7):
            rig.say()
        await asyncio.sleep(2)

    async def again(rig: Rig) -> None:
        assert (rig.journal.skipped, rig.say()) == (None, 8)
        assert rig.journal.ended_ms is not None

    on(tmp_path, body, spares=spares)
    on(tmp_path, again, spares=spares)


move = st.sampled_from(["say", "say", "event", "wait", "wait", "cut", "connect", "kill", "stop"])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=st.lists(move, max_size=40), seed=st.integers(0, 99))
def test_whatever_happens_a_number_means_one_message_and_what_is_lost_is_young_and_named(
    moves: list[str], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    draw = Random(seed)
    got: list[tuple[int | None, bytes]] = []
    said: dict[int, tuple[bytes, float]] = {}  # content, and when
    excused: set[int] = set()
    may_be_lost: set[int] = set()

    async def main() -> None:
        rig = Rig(folder, spares=True)
        for move in [*moves, "connect"]:
            now_s = asyncio.get_running_loop().time()
            if move in {"say", "event"}:
                content = b'"%b"' % draw.randbytes(20).hex().encode()
                n = rig.say(EVENT if move == "event" else BATCH, content=content)
                assert n not in said, "no number twice"
                said[n] = (content, now_s)
            elif move == "wait":
                await asyncio.sleep(draw.random() * 12)
            elif move == "cut" and rig.broker.up:
                rig.broker.cut(arrived=draw.randrange(5))
            elif move == "connect" and not rig.broker.up:
                rig.broker.connect()
            elif move in {"kill", "stop"}:
                await asyncio.sleep(0.01)  # an event is on disk then
                if move == "kill":
                    young = {n for n, (_, since_s) in said.items() if now_s - since_s < AT_RISK_S + 0.1}
                    may_be_lost.update(young)
                await (rig.kill() if move == "kill" else rig.stop())
                got.extend((message.n, message.payload) for _, message in rig.broker.got)
                rig = Rig(folder, spares=True)
                assert move == "kill" or rig.journal.skipped is None
                if rig.journal.skipped is not None:
                    first, last = rig.journal.skipped
                    excused.update(range(first, last + 1))
        await asyncio.sleep(30)
        got.extend((message.n, message.payload) for _, message in rig.broker.got)
        assert rig.outbox.statistics().losses == {}
        await rig.stop()

    run_virtual(main())
    assert all(content == said[n or 0][0] for n, content in got)
    lost = set(said) - {n for n, _ in got}
    assert lost <= excused, "each is named"
    assert lost <= may_be_lost, "none is older than 5 s"
