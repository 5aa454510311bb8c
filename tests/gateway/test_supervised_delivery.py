"""Link and journal as parts of the gateway: one that fails or stands still is noticed; polls never do."""

import asyncio
import json
import random
import resource
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from drivers.rig_gateway import Mqtt
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from gateway.alarms import Alarm, AlarmState, Condition, Priority
from gateway.app import Gateway
from gateway.mqtt import finding_payloads
from gateway.mqtt import link as link_module
from gateway.mqtt.journal import Journal
from gateway.mqtt.link import Link
from gateway.mqtt.memory import MemoryLink
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.row import Row
from gateway.supervision import Supervision
from tests.gateway.test_app import Station

ALARM = "alarm/journal-down-g"


def journal(folder: Path) -> Journal:
    found = Journal(folder / "journal.sqlite", max_bytes=2**26, max_age_ms=10**12)
    found.open()
    return found


def numbers(station: Station) -> list[int]:
    """Return the numbers of all messages of record that came."""
    return sorted({message.n for message in station.messages if message.n is not None})


def states(station: Station) -> list[str]:
    return [
        json.loads(each.payload)["state"] for each in station.messages if each.topic.endswith(ALARM) and each.payload
    ]


def test_a_link_that_fails_is_begun_again_and_nothing_is_lost(tmp_path: Path) -> None:
    class Failing(MemoryLink):
        begun = 0

        async def run(self) -> None:
            self.begun += 1
            carrying = asyncio.ensure_future(super().run())
            try:
                await asyncio.sleep(5.3 if self.begun < 3 else 1e9)
                raise ArithmeticError("a bug in the link")
            finally:
                carrying.cancel()
                await asyncio.wait([carrying])

    station = Station()
    station.run(
        60.0,
        journal=journal(tmp_path),
        make_carrier=lambda outbox, **more: Failing(outbox, station.messages.append, **more),
    )
    assert max(later - sooner for sooner, later in pairwise(station.times("p1"))) < 1.1
    assert numbers(station) == list(range(1, numbers(station)[-1] + 1))
    told = [(each["state"], each["reason"]) for each in station.payloads("gw/g/status")]
    assert told == [("online", None), ("offline", "connection lost")] * 2 + [("online", None), ("offline", "stopped")]
    assert station.payloads("gw/g/health")[-1]["failures"]["link"] == {
        "failures": 2, "problem": "ArithmeticError: a bug in the link",
    }  # fmt: skip


class DeadDisk:
    """Threads of a loop that hang from `die` to `revive`."""

    def __init__(self) -> None:
        self._loop: Any = asyncio.get_running_loop()
        self._hanging: list[tuple[asyncio.Future[Any], Callable[[], Any]]] = []

    def die(self) -> None:
        def hang(_executor: object, work: Callable[[], Any]) -> asyncio.Future[Any]:
            self._hanging.append((self._loop.create_future(), work))
            return self._hanging[-1][0]

        self._loop.run_in_executor = hang

    def revive(self) -> None:
        del self._loop.run_in_executor
        for future, work in self._hanging:
            future.set_result(work())


def test_a_disk_that_hangs_is_told_is_stuck_in_the_end_and_made_up_for_when_it_is_back(tmp_path: Path) -> None:
    stuck: dict[int, list[str]] = {}
    problems: dict[int, str] = {}

    def act(_: Fleet, gateway: Gateway) -> None:
        loop, disk = asyncio.get_running_loop(), DeadDisk()
        disk.die()
        for after_s in (5, 60, 290, 320):
            loop.call_later(after_s, lambda after_s=after_s: stuck.update({after_s: gateway.stuck()}))
            loop.call_later(
                after_s,
                lambda after_s=after_s: problems.update({after_s: gateway.carrier.statistics().outbox.journal_problem}),
            )
        loop.call_later(330.0, disk.revive)

    station = Station().run(800.0, act, journal=journal(tmp_path))
    assert stuck == {5: [], 60: [], 290: [], 320: ["journal"]}
    assert problems[5] == ""
    assert problems[60].endswith(("journal.sqlite: the disk has not answered for 60 s", "for 59 s"))
    assert states(station) == ["unacknowledged", "returned"]
    failures = station.payloads("gw/g/health")[-1]["failures"]
    assert {name: each["failures"] for name, each in failures.items()} == {"journal": 1}
    assert max(later - sooner for sooner, later in pairwise(station.times("p1"))) < 1.1
    assert numbers(station) == list(range(1, numbers(station)[-1] + 1))


def test_a_disk_that_refuses_is_an_alarm_and_no_reason_to_begin_anything_again(tmp_path: Path) -> None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    looks: list[tuple[list[str], int]] = []

    def act(_: Fleet, gateway: Gateway) -> None:
        loop = asyncio.get_running_loop()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limit[1]))  # no write beyond that gets through
        loop.call_later(430.0, resource.setrlimit, resource.RLIMIT_FSIZE, limit)
        for after_s in range(15, 400, 5):
            loop.call_later(after_s, lambda: looks.append((gateway.stuck(), len(states(station)))))

    station = Station()
    try:
        station.run(1000.0, act, journal=journal(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert {tuple(stuck) for stuck, _ in looks} == {()}
    assert [alarms for _, alarms in looks][2:] == [1] * (len(looks) - 2), "within 25 s, and it stands"
    assert states(station) == ["unacknowledged", "returned"]
    healths = station.payloads("gw/g/health")
    assert any(health["journal_problem"].endswith("disk I/O error") for health in healths)
    assert healths[-1]["journal_problem"] == ""
    assert healths[-1]["failures"] == {}
    assert numbers(station) == list(range(1, numbers(station)[-1] + 1))


def test_an_alarm_of_a_journal_does_not_outlive_it_in_the_next_gateway(tmp_path: Path) -> None:
    def taken_away(station: Station) -> bool:
        return Message(topic=f"manovac/v1/s/{ALARM}", payload=b"", retain=True) in station.messages

    first = Station()
    first.run(10.0, journal=journal(tmp_path))
    assert not taken_away(first)
    second = Station()
    second.run(10.0, journal=journal(tmp_path))
    assert taken_away(second), "one that was killed with its disk could not note it"

    condition = Condition(id="journal-down-g", priority=Priority.WARNING, cause="journal-down")
    alarm = Alarm(condition=condition, state=AlarmState.UNACKNOWLEDGED, on_s=5.0, changed_s=5.0, value=None)
    noted = journal(tmp_path)
    n = noted.last_n + 1
    what = finding_payloads.alarm(alarm, t_ms=5000, utc_ms=lambda time_s: round(time_s * 1000))
    event = finding_payloads.event("alarm", what, gateway="g", boot="0001", n=n, t_ms=5000)
    noted.write([Row(n=n, t_ms=5000, topic="manovac/v1/s/event/alarm", payload=event, record=True)], [], now_ms=0)
    third = Station()
    third.run(90.0, journal=noted)
    assert states(third) == ["unacknowledged", "returned"], "as it stood, then gone: nobody sees it any more"


class Wire:
    """Stands in for connections: what the test says becomes of each."""

    def __init__(self, *, opens: Callable[[], Awaitable[None]] | None = None, acknowledges: bool = True) -> None:
        self.windows = [50]
        self.sent: list[tuple[int, Message]] = []  # connection, message
        self.finished: list[int] = []
        self.begun = 0
        self.breaks_at = -1
        self.supervision: Supervision
        self._opens = opens
        self._acknowledges = acknowledges

    def __call__(self, _at: object, *, settled: Callable[[int, int], None], **_: object) -> "Wire.Connection":
        self.begun += 1
        self.connection = Wire.Connection(self, settled)
        return self.connection

    async def open(self) -> None:
        if self._opens is not None:
            await self._opens()

    class Connection:
        largest_packet = 2**18
        lost = False
        end = "cut"

        def __init__(self, wire: "Wire", settled: Callable[[int, int], None]) -> None:
            self._wire, self._settled, self._number = wire, settled, wire.begun
            self.window = wire.windows[min(wire.begun, len(wire.windows)) - 1]
            self.open = wire.open

        def send(self, message: Message) -> int:
            if self._wire.breaks_at == len(self._wire.sent):
                self._wire.breaks_at = -1
                raise ZeroDivisionError("a bug")
            self._wire.sent.append((self._number, message))
            mid = len(self._wire.sent)
            if self._wire._acknowledges:
                asyncio.get_running_loop().call_later(0.01, self._settled, mid, 0)
            return mid

        async def finish(self) -> None:
            self._wire.finished.append(self._number)

        def close(self) -> None:
            pass


STATUS = "m/gw/g/status"


def linked(
    wire: Wire, body: Callable[[Link, Outbox], Awaitable[None]], farewell: Callable[[], Message | None] | None = None
) -> None:
    """Keep a link for a body, in virtual time."""

    async def main() -> None:
        outbox = Outbox()
        outbox.put(Message(topic=STATUS, payload=b"online", retain=True))
        will = Message(topic=STATUS, payload=b"offline", retain=True)
        words = Mqtt.model_validate({"url": "mqtt://127.0.0.1:1"})
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(link_module, "Connection", wire)
            link = Link(words, outbox, client_id="g", will=will, farewell=farewell)
            wire.supervision = Supervision()
            running = asyncio.create_task(wire.supervision.keep(link))
            await asyncio.sleep(0.1)
            await body(link, outbox)
            running.cancel()
            await asyncio.wait([running])

    run_virtual(main(), limit_s=1e6)


async def longest_overdue_s(link: Link, seconds: float) -> float:
    longest_s = 0.0
    for _ in range(round(seconds / 0.5)):
        await asyncio.sleep(0.5)
        longest_s = max(longest_s, link.overdue_s())
    return longest_s


def batch(outbox: Outbox) -> None:
    outbox.put(Message(topic="m/seg/a/batch", payload=b"1", n=outbox.number()))


def test_a_link_with_nothing_to_do_is_not_overdue_nor_one_that_is_given_something() -> None:
    async def body(link: Link, outbox: Outbox) -> None:
        assert await longest_overdue_s(link, 4000.0) == 0.0
        batch(outbox)
        assert link.overdue_s() == 0.0, "before it could even wake up"
        assert await longest_overdue_s(link, 100.0) == 0.0

    wire = Wire()
    linked(wire, body)
    assert [message.payload for _, message in wire.sent] == [b"online", b"1", b"offline"]


def test_a_broker_that_is_away_or_acknowledges_nothing_makes_no_link_overdue() -> None:
    async def refuse() -> None:
        await asyncio.sleep(5.0)
        raise aiomqtt.MqttError("nobody there")

    async def body(link: Link, outbox: Outbox) -> None:
        batch(outbox)
        assert await longest_overdue_s(link, 600.0) == 0.0

    for wire in (Wire(opens=refuse), Wire(acknowledges=False)):
        linked(wire, body)
        assert wire.begun > 20


def test_a_timer_that_rings_a_rounding_error_too_soon_rings_once() -> None:
    async def body(link: Link, outbox: Outbox) -> None:
        await asyncio.sleep(21.0 * 200)

    for seed in range(10):
        random.seed(seed)
        linked(Wire(acknowledges=False), body)


def test_a_connection_that_never_comes_about_is_noticed() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async def body(link: Link, _: Outbox) -> None:
        assert await longest_overdue_s(link, 59.0) == 0.0
        assert await longest_overdue_s(link, 20.0) == pytest.approx(19.0, abs=1.0)
        await asyncio.sleep(50.0)
        assert wire.begun > 1
        assert wire.supervision.stuck() == []
        await asyncio.sleep(240.0)
        assert wire.supervision.stuck() == ["link"], "no new beginning puts it off"

    wire = Wire(opens=hang)
    linked(wire, body)


def test_a_broker_that_never_takes_anything_gets_the_link_stuck_for_all_new_beginnings() -> None:
    async def body(link: Link, outbox: Outbox) -> None:
        batch(outbox)
        await asyncio.sleep(290.0)
        assert wire.supervision.stuck() == []
        await asyncio.sleep(80.0)
        for _ in range(100):
            await asyncio.sleep(1.0)
            assert wire.supervision.stuck() == ["link"]
        assert wire.begun > 4

    wire = Wire()
    wire.windows = [0]
    linked(wire, body, farewell=lambda: None)


def test_a_message_that_could_not_be_sent_for_a_bug_is_sent_by_the_next_beginning() -> None:
    async def body(link: Link, outbox: Outbox) -> None:
        wire.breaks_at = len(wire.sent) + 2
        for _ in range(3):
            batch(outbox)
        await asyncio.sleep(5.0)
        numbers = [message.n for _, message in wire.sent if message.n is not None]
        assert sorted({*numbers}) == [1, 2, 3]
        assert wire.begun == 2
        assert link.statistics().outbox.messages == 0

    wire = Wire()
    linked(wire, body)


def test_a_connection_that_ends_hours_later_leaves_no_link_overdue() -> None:
    async def body(link: Link, _: Outbox) -> None:
        assert await longest_overdue_s(link, 20_000.0) == 0.0
        wire.connection.lost = True
        link._outbox.wake()
        assert await longest_overdue_s(link, 500.0) == 0.0
        assert wire.begun == 2

    wire = Wire()
    linked(wire, body)


def test_a_link_that_stands_still_is_begun_again_and_says_that_it_is_online() -> None:
    async def body(link: Link, outbox: Outbox) -> None:
        batch(outbox)
        await asyncio.sleep(100.0)
        assert link.overdue_s() == 0.0

    wire = Wire()
    wire.windows = [0, 50]  # the first takes nothing at all
    linked(wire, body, farewell=lambda: None)
    assert [(number, message.payload) for number, message in wire.sent] == [(2, b"online"), (2, b"1")]
    assert wire.finished == [], "the broker is to say that it was lost"
