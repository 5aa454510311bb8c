"""`manovac sub` asks for what is missing by the gateway's clock, acknowledges what is stored, says what it knows."""

import asyncio
import json
import time
from contextlib import asynccontextmanager

import pytest

from drivers.rig import Rig
from firmware_sim.clock import run_virtual
from gateway.cli.sub import Beside, _keep_record, _note
from gateway.mqtt import visit as visit_module
from gateway.mqtt.visit import Heard
from gateway.received import Received
from gateway.store import NoStore, ReceiveError, SqliteStore, store
from tests.commands import BENCH, call

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
    beside, received = Beside(), Received(NoStore())
    now_ms = round(time.time() * 1000)

    def note(topic, payload):
        _note(topic, payload, "store", received, beside)

    note("m/gw/pi1/health", json.dumps({"gw": "pi1", "t": now_ms + AHEAD_MS}).encode())
    assert abs(beside.ahead_ms["pi1"] - AHEAD_MS) < 10_000
    for topic, payload in (
        ("m/seg/a/late", b'{"gw": "pi1", "t": 5}'),
        ("m/gw/pi1/health", b"no"),
        ("m/gw/x/health", b"[]"),
        ("m/rsp/pi1/x", b"[]"),
        ("m/rsp/pi1/x", b'{"name": "replay"}'),
        ("m/ack/pi1/store", b""),
        ("m/ack/pi1/store", b'{"n": "5"}'),
    ):
        note(topic, payload)
    assert set(beside.ahead_ms) == {"pi1"}
    assert beside.refusals == {}


class Visited:
    """A visit at a broker that says some messages and then nothing more.

    Attributes:
        published: what was published, (topic, payload).
    """

    def __init__(self, *said, away_s=0.0, why=""):
        self.published = []
        self.connected = not why
        self.away_s, self.why = away_s, why
        self._said = [Heard(topic=f"manovac/v1/bench/{topic}", payload=payload) for topic, payload in said]

    def publish(self, message):
        self.published.append((message.topic.removeprefix("manovac/v1/bench/"), json.loads(message.payload)))

    async def next(self):
        if not self._said:
            await asyncio.Event().wait()
        return self._said.pop(0)

    def acknowledged(self, topic="ack/pi1/store"):
        return [payload["n"] for to, payload in self.published if to == topic]


@pytest.fixture
def sub(monkeypatch, capsys):
    def run(visited, *words, duration="0.05 s"):
        @asynccontextmanager
        async def visit(mqtt, topic):
            yield visited

        monkeypatch.setattr(visit_module, "visit", visit)
        return call(capsys, "sub", BENCH, "--duration", duration, *words)

    return run


def batch(n, gateway="pi1"):
    column = {"dt": [0], "value": [1.0], "quality": "good", "reason": None}
    words = {"v": 1, "gw": gateway, "boot": "a", "n": n, "t0": 5000, "sync": "ntp", "channels": {"p.pressure": column}}
    return "seg/a/batch", json.dumps(words).encode()


def ack(n, gateway="pi1"):
    return f"ack/{gateway}/store", json.dumps({"v": 1, "n": n}).encode()


def test_a_record_without_a_doubt_names_its_ends(sub):
    assert sub(Visited(batch(3), batch(4), batch(8, "pi2"))) == (0, "3 readings, 0 gaps (pi1 3 to 4, pi2 8)\n", "")


def test_nothing_of_record_is_no_complete_record(sub, tmp_path):
    file = tmp_path / "x.sqlite"
    words = ("--to", file, "--ack", "store")
    assert sub(Visited(batch(1)), *words).code == 0
    code, out, _ = sub(Visited(("gw/pi1/status", b"{}"), ack(1)), *words)
    assert (code, out) == (3, "0 readings, 0 gaps (pi1 1); nothing of record was heard\n")


def test_who_is_not_connected_at_the_end_cannot_know_what_is_missing(sub):
    code, out, _ = sub(Visited(batch(1), away_s=6.2, why="127.0.0.1:1883: gone"))
    assert (code, out) == (3, "1 readings, 0 gaps (pi1 1); not connected for the last 6 s (127.0.0.1:1883: gone)\n")
    code, out, err = sub(Visited(away_s=6.2, why="127.0.0.1:1883: Not authorized"))
    assert (code, out) == (1, "")
    assert err == "manovac: no connection to the broker: 127.0.0.1:1883: Not authorized\n"


def test_why_a_gap_stays_is_said(sub, tmp_path):
    answer = {"gw": "pi1", "name": "replay", "by": "store", "status": "rejected", "code": "not_allowed"}
    answer |= {"text": "store may not"}
    done = answer | {"gw": "pi2", "status": "done", "code": "ok", "text": ""}
    of_others = answer | {"by": "other", "text": "other may not"}
    said = [(f"rsp/{gw}/x", json.dumps(each).encode()) for gw in ("pi1", "pi2") for each in (answer, of_others)]
    said.append(("rsp/pi2/y", json.dumps(done).encode()))
    missing = [batch(n, gateway) for n in (1, 3) for gateway in ("pi1", "pi2")]
    code, out, _ = sub(Visited(*missing, *said), "--to", tmp_path / "x.sqlite", "--ack", "store")
    assert code == 3
    assert out == (
        "4 readings, 2 gaps (pi1 1 to 3, pi2 1 to 3): pi1: 2; pi2: 2;"
        " pi1 does not replay: store may not (not_allowed)\n"
    )


def test_nothing_is_acknowledged_that_a_failing_disk_has_not(sub, tmp_path, monkeypatch):
    file, visited = tmp_path / "x.sqlite", Visited(*(batch(n) for n in range(1, 10)))
    add = SqliteStore.add

    def fail(self, document, readings, *, add_ms):
        if document["n"] == 5:
            self._database.rollback()
            raise ReceiveError("disk I/O error")
        add(self, document, readings, add_ms=add_ms)

    monkeypatch.setattr(SqliteStore, "add", fail)
    code, out, err = sub(visited, "--to", file, "--ack", "store")
    assert (code, out, err) == (1, "", "manovac: disk I/O error\n")
    assert visited.acknowledged() == []
    monkeypatch.undo()
    kept = store(file)
    assert list(kept.known()) == []
    kept.close()


def test_a_new_file_begins_where_the_old_one_of_that_name_ended(sub, tmp_path):
    said = (ack(400), ack(77, "pi2"), batch(688), batch(689))
    visited = Visited(*said)
    code, out, _ = sub(visited, "--to", tmp_path / "new.csv", "--ack", "store", duration="2.5 s")
    assert (code, out) == (3, "2 readings, 1 gap (pi1 688 to 689): pi1: 401 to 687\n")
    assert set(visited.acknowledged()) == {400}
    asked = [payload for topic, payload in visited.published if topic == "cmd/pi1/replay"]
    assert {(each["first"], each["last"]) for each in asked} == {(401, 687)}
    assert sub(Visited(*said)).out == "2 readings, 0 gaps (pi1 688 to 689)\n", "who acknowledges nothing has no past"
