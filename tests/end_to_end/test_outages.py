"""Promise 2 in virtual time: whole gateways, emulated lines, and a broker that comes and goes.

What was due is what came to a consumer and what was counted as lost, reading by reading.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from drivers.reading import Readings
from drivers.rig import Rig
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from gateway.app import Gateway
from gateway.mqtt.journal import Journal
from gateway.mqtt.memory import MemoryLink
from gateway.mqtt.outbox import Message
from gateway.received import Received, readings_of
from gateway.store import NoStore
from tests.end_to_end.virtual_station import FALLING, RISING, WALL_S, MovingAir, keller, memory_gateway, rig


class CutLink(MemoryLink):
    """A link that can be cut; what it has taken then has arrived."""

    _up = True

    def cut(self) -> None:
        self._up = False
        self._outbox.give_back([])

    def connect(self) -> None:
        self._up = True
        self._outbox.renew_state(first="")

    def _drain(self) -> None:
        if self._up:
            super()._drain()


@dataclass
class Seen:
    """One run: what came to the consumer and when, and what the gateway had polled."""

    gateway: Gateway
    messages: list[tuple[float, Message]] = field(default_factory=list)
    polled: list[Readings] = field(default_factory=list)
    numbered: dict[int, int] = field(default_factory=dict)  # number -> readings in it
    received: Received = field(default_factory=lambda: Received(NoStore()))

    @property
    def link(self) -> CutLink:
        assert isinstance(self.gateway.carrier, CutLink)
        return self.gateway.carrier

    def of_record(self) -> list[tuple[float, str, dict[str, Any]]]:
        """Return (when it came, kind, payload) of the batches."""
        kinds = [(at_s, each.topic.rpartition("/")[2], each.payload) for at_s, each in self.messages]
        return [(at_s, kind, orjson.loads(said)) for at_s, kind, said in kinds if kind in {"batch", "late"}]

    def losses(self) -> Counter[str]:
        return Counter(self.link.statistics().outbox.losses)

    def missed(self) -> int:
        return sum(sum(poller.schedule.missed.values()) for poller in self.gateway.pollers if poller.schedule)


def station(
    rig: Rig, folder: Path, body: Callable[[Seen], Awaitable[None]], *, faults: tuple[str, ...] = (), size: int = 2**28
) -> Seen:
    """Run gateway and emulator until a body is over, then stop in good order."""

    async def main() -> Seen:
        loop = asyncio.get_running_loop()
        journal = Journal(folder / "journal.sqlite", max_bytes=size, max_age_ms=10**12)
        journal.open()
        fleet = Fleet(rig, world=MovingAir(rig), faults=faults)
        async with fleet.serve(memory=True):

            def deliver(message: Message) -> None:
                seen.messages.append((loop.time(), message))
                seen.received.take(message.topic, message.payload)

            gateway = memory_gateway(rig, fleet, deliver, make_link=CutLink, journal=journal)
            seen = Seen(gateway)
            gateway.listeners.append(seen.polled.append)
            keeper = gateway._keeper
            assert keeper is not None
            take = keeper.take

            def noted(message: Message) -> None:
                document = orjson.loads(message.payload)
                seen.numbered[document["n"]] = 0 if "kind" in document else len(list(readings_of(document)))
                take(message)

            keeper.take = noted  # type: ignore[method-assign]
            running = asyncio.create_task(gateway.run())
            await body(seen)
            running.cancel()
            await asyncio.wait([running])
            assert running.cancelled()
        return seen

    return run_virtual(main())


POLL_S: Final = 0.25
FAULTS: Final = ("silence:p1@20%", "crc:p2@10%", "silence:p3@20s+20s", "unplug:b@50s+5s", "truncate:p4@5%")


@pytest.mark.parametrize("size", [2**28, 80_000])
def test_what_was_due_is_what_came_and_what_was_counted(tmp_path: Path, size: int) -> None:
    back_s: list[float] = []

    async def body(seen: Seen) -> None:
        await asyncio.sleep(15)
        seen.link.cut()
        await asyncio.sleep(60)
        seen.link.connect()
        back_s.append(asyncio.get_running_loop().time())
        await asyncio.sleep(15)

    transducers = {f"p{unit}": keller(unit, FALLING if unit % 2 else RISING, "250 ms") for unit in range(1, 5)}
    busy = rig({"kind": "serial", "baud": 2400}, transducers, journal={"commit": "5 s"})
    seen = station(busy, tmp_path, body, faults=FAULTS, size=size)

    (poller,) = seen.gateway.pollers
    assert poller.schedule is not None
    next_s = [due.due_s for due in (*poller.schedule._waiting, *poller.schedule._polling.values())]
    first_s = min(each_s % POLL_S for each_s in next_s)
    due = sum(math.floor((each_s - first_s) / POLL_S + 1e-6) for each_s in next_s)
    assert due == len(seen.polled) + seen.missed()
    assert seen.missed() > 100, "the line was too slow for all that it was asked for"

    given_out = sum(seen.numbered.values())
    assert given_out == sum(len(poll.channels) for poll in seen.polled), "every reading is in one message"
    gaps = [n for first, last in seen.received.gaps().get("pi1", []) for n in range(first, last + 1)]
    assert seen.received.readings + sum(seen.numbered[n] for n in gaps) == given_out
    assert seen.losses() == ({"journal_size": len(gaps)} if gaps else {})
    assert bool(gaps) is (size < 2**20)
    health = [orjson.loads(each.payload) for _, each in seen.messages if each.topic.endswith("/health")][-1]
    assert health["losses"].get("journal_size", 0) == len(gaps)
    assert 0 <= seen.missed() - health["losses"]["missed_polls"] < 200

    after = [(at_s - back_s[0], payload, kind) for at_s, kind, payload in seen.of_record() if at_s >= back_s[0]]
    assert min(passed_s for passed_s, _, kind in after if kind == "batch") < 2.0, "live within 2 s"
    polls_ms = {round((WALL_S + poll.time_s) * 1000) for poll in seen.polled}
    for _, payload, _ in after:
        for _, _, _, t_ms, *_ in readings_of(payload):
            assert polls_ms & {t_ms - 1, t_ms, t_ms + 1}, "original times"


def test_topics_keep_their_order_through_many_short_outages(tmp_path: Path) -> None:
    async def body(seen: Seen) -> None:
        for number in range(20):
            await asyncio.sleep(3 + number % 4)
            seen.link.cut()
            await asyncio.sleep(1 + number % 3)
            seen.link.connect()
        await asyncio.sleep(20)

    two = rig({"kind": "serial", "baud": 19200}, {"p1": keller(1, FALLING), "p2": keller(2, RISING)})
    seen = station(two, tmp_path, body)
    assert (seen.received.gaps(), seen.losses()) == ({}, {})
    assert seen.received.readings == sum(seen.numbered.values())
    for kind in ("batch", "late"):
        numbers = [payload["n"] for _, each, payload in seen.of_record() if each == kind]
        assert numbers, kind
        assert all(first < second for first, second in pairwise(numbers)), kind
