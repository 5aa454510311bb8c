"""What waits for a broker takes bounded memory, however long the outage and whatever its kind."""

import asyncio
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.clock import run_virtual
from gateway.mqtt.journal import Journal
from gateway.mqtt.keeper import Keeper
from gateway.mqtt.outbox import Entry, Message, Outbox

HOUR_S = 3600.0
MESSAGE_S = 30.0
PAYLOAD_BYTES = 1000
WAITING = 200


def never_back(outbox: Outbox) -> Callable[[], list[Entry]]:
    """No connection at all."""
    return list


def silent(outbox: Outbox) -> Callable[[], list[Entry]]:
    """One that takes a window full of messages and acknowledges none, as long as it lasts."""
    flight: list[Entry] = []

    def go_on() -> list[Entry]:
        if not flight:
            outbox.renew_state(first="")
        while len(flight) < 50 and (entry := outbox.take()) is not None:
            flight.append(entry)
        return flight

    return go_on


def cutting(outbox: Outbox) -> Callable[[], list[Entry]]:
    """One that comes and goes, and acknowledges none."""
    go_on = silent(outbox)

    def once() -> list[Entry]:
        flight = go_on()
        outbox.give_back(flight)
        flight.clear()
        return []

    return once


def deep_bytes(*roots: object) -> int:
    """Return how many bytes of messages and containers hang on objects of ours."""
    seen: set[int] = set()
    waiting: list[Any] = [*roots]
    total = 0
    while waiting:
        each = waiting.pop()
        ours = type(each).__module__.startswith("gateway.mqtt")
        if id(each) in seen or not (ours or type(each).__module__ in {"builtins", "collections"}) or callable(each):
            continue
        seen.add(id(each))
        total += sys.getsizeof(each)
        if not isinstance(each, type):
            waiting += gc.get_referents(each)
    return total


@pytest.mark.parametrize("broker", [never_back, silent, cutting])
@pytest.mark.parametrize("journalled", [True, False])
def test_an_outage_of_a_day_takes_no_more_memory_than_one_of_hours(
    tmp_path: Path, broker: Callable[[Outbox], Callable[[], list[Entry]]], *, journalled: bool
) -> None:
    bytes_at: dict[int, int] = {}

    async def main() -> None:
        loop = asyncio.get_running_loop()
        outbox = Outbox(max_messages=WAITING)
        keeping = None
        if journalled:
            journal = Journal(tmp_path / "journal.sqlite", max_bytes=2**30, max_age_ms=10**12)
            journal.open()
            keeper = Keeper(journal, outbox, commit_s=HOUR_S, utc_ms=lambda: round(loop.time() * 1000))
            keeping = loop.create_task(keeper.run())
        at_broker = broker(outbox)
        for number in range(round(24 * HOUR_S / MESSAGE_S) + 1):
            now_s = number * MESSAGE_S
            outbox.put(Message(topic="m/seg/a/batch", payload=bytes(PAYLOAD_BYTES), n=outbox.number()))
            outbox.put(Message(topic="m/seg/a/state", payload=bytes(PAYLOAD_BYTES), retain=True))
            flight = at_broker()
            statistics = outbox.statistics()
            assert statistics.size <= WAITING * (PAYLOAD_BYTES + 20)
            if now_s % HOUR_S == 0:
                bytes_at[round(now_s / HOUR_S)] = deep_bytes(outbox, *flight)
            await asyncio.sleep(MESSAGE_S)
        lost = sum(outbox.statistics().losses.values())
        on_the_way = 0 if journalled else sum(entry.message.n is not None for entry in flight)
        assert lost + outbox.statistics().messages + on_the_way == outbox.newest_n
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait([keeping])
            await keeper.close()

    run_virtual(main(), limit_s=25 * HOUR_S)
    first, second = (max(size for hour, size in bytes_at.items() if (hour > 12) is late) for late in (False, True))
    assert second <= 1.3 * first < 1000 * PAYLOAD_BYTES
