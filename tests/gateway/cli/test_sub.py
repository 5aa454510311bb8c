"""`manovac sub` asks for what is missing by the gateway's clock, and not for everything at once."""

import asyncio
import json
import time

from drivers.rig import Rig
from firmware_sim.clock import run_virtual
from gateway.cli.sub import _keep_record, _note_clock
from gateway.received import Received
from gateway.store import NoStore

RIG = Rig.model_validate({"station": {"id": "iss", "gateway": "pi1"}})
AHEAD_MS = 5 * 3_600_000


class Broker:
    """Takes what is published."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []

    def publish(self, message) -> None:
        if message.topic.endswith("/replay"):
            self.asked.append(json.loads(message.payload) | {"topic": message.topic})


def with_gaps(*numbers: int) -> Received:
    received = Received(NoStore())
    for gateway in ("pi1", "pi2"):
        for n in numbers:
            batch = {"v": 1, "gw": gateway, "boot": "a", "n": n, "t0": 0, "sync": "ntp", "channels": {}}
            received.take("m/seg/a/batch", json.dumps(batch).encode())
    return received


def test_gaps_are_asked_for_one_at_a_time_by_the_clock_of_their_gateway():
    at_broker, ahead_ms = Broker(), {"pi1": AHEAD_MS}

    async def main():
        task = asyncio.create_task(_keep_record(RIG, at_broker, with_gaps(1, 3, 5, 7), "store", ahead_ms))
        await asyncio.sleep(2.5)
        first = len(at_broker.asked)
        await asyncio.sleep(2.0)
        task.cancel()
        return first

    assert run_virtual(main()) == 2, "one of each gateway"
    of_first = [each for each in at_broker.asked if "/pi1/" in each["topic"]]
    assert [(each["first"], each["last"]) for each in of_first] == [(2, 2), (4, 4), (6, 6)]
    now_ms = time.time() * 1000
    for each in at_broker.asked:
        ahead = AHEAD_MS if each in of_first else 0
        assert 0 < each["not_after"] - ahead - now_ms < 60_000


def test_the_clock_of_a_gateway_is_that_of_its_health_and_nothing_else_is_taken_for_it():
    ahead_ms: dict[str, int] = {}
    now_ms = round(time.time() * 1000)
    _note_clock("m/gw/pi1/health", json.dumps({"gw": "pi1", "t": now_ms + AHEAD_MS}).encode(), ahead_ms)
    assert abs(ahead_ms["pi1"] - AHEAD_MS) < 10_000
    for topic, payload in (
        ("m/seg/a/late", b'{"gw": "pi1", "t": 5}'),
        ("m/gw/pi1/health", b"no"),
        ("m/gw/x/health", b"[]"),
    ):
        _note_clock(topic, payload, ahead_ms)
    assert set(ahead_ms) == {"pi1"}
