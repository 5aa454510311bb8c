"""Promise 1 when the wall clock is wrong: order, rates, expiry and numbers do not bend, and stamps are corrected."""

import asyncio
import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from drivers.rig import Rig
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from firmware_sim.testing import emulated
from gateway.alarms import Condition, Observation, Priority
from gateway.app import Gateway
from gateway.clock_watch import free_starts
from gateway.handover import Handover
from gateway.mqtt.journal import Journal
from gateway.mqtt.memory import MemoryLink
from gateway.mqtt.row import Row
from gateway.mqtt.schemas import schema
from gateway.mqtt.topics import Topics
from gateway.operations import NewRig
from gateway.received import Received
from gateway.recorded_readings import rows
from gateway.store import store
from tests.gateway.test_app import RIG

if TYPE_CHECKING:
    from gateway.mqtt.outbox import Message


NOW_S = 1_750_000_000.0
WRONG_S = 86_400.0  # a Raspberry Pi wakes up a day after 1970
HOUR_S = 3600.0


class Wall:
    """A wall clock and its state, which stories change."""

    def __init__(self, offset_s: float, sync: str) -> None:
        self.offset_s = offset_s
        self.state = sync

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.offset_s

    def sync(self) -> str:
        return self.state


class Story:
    """A gateway over some time, with what it said; the wall clock is set at moments of the story.

    Args:
        boot: of the gateway.
        begins_s: when, by the machine's monotonic clock.
    """

    def __init__(
        self, wall: Wall, journal: Journal | None = None, rig: Rig = RIG, *, boot: str = "0001", begins_s: float = 0.0
    ) -> None:
        self.wall = wall
        self.boot = boot
        self.begins_s = begins_s
        self.journal = journal
        self.rig = rig
        self.gateway: Gateway
        self.messages: list[Message] = []
        self.times_s: list[float] = []

    def run(self, seconds: float, *acts: tuple[float, Callable[[], None]]) -> "Story":
        async def main() -> None:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self.begins_s)
            names = {id(bus): name for name, bus in self.rig.buses.items()}
            for at_s, act in acts:
                loop.call_later(at_s, act)
            async with emulated(self.rig, memory=True) as fleet:
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        handover = await self.gateway_on(fleet, names, None).run()
                        if self.journal is not None:
                            self.journal.open()
                        await self.gateway_on(fleet, names, handover).run()

        run_virtual(main(), limit_s=self.begins_s + 10 * seconds)
        return self

    def gateway_on(self, fleet: Fleet, names: dict[int, str], handover: Handover | None) -> Gateway:
        self.gateway = Gateway(
            self.rig,
            rig_hash="0",
            boot=self.boot,
            wall=self.wall,
            sync=self.wall.sync,
            journal=self.journal,
            handover=handover,
            make_carrier=lambda outbox, **words: MemoryLink(outbox, self.messages.append, **words),
            make_transport=lambda bus: MemoryTransport(fleet.memory[names[id(bus)]].connect),
        )
        self.gateway.listeners.append(lambda readings: self.times_s.append(readings.time_s))
        return self.gateway

    def reload(self) -> None:
        """Let a gateway with the same rig take over; once a story."""
        self.gateway._operations.successor.set_result(NewRig(rig=self.rig, rig_hash="0"))

    def set(self, offset_s: float, sync: str) -> Callable[[], None]:
        """Return an act that sets the clock."""

        def act() -> None:
            self.wall.offset_s, self.wall.state = offset_s, sync

        return act

    def payloads(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(message.payload) for message in self.messages if message.topic.endswith(topic)]

    @property
    def clock_events(self) -> list[dict[str, Any]]:
        events = self.payloads("event/clock")
        for event in events:
            jsonschema.validate(event, schema("event"))
        return events

    def record(self, path: Path) -> Received:
        """Return what a consumer makes of it."""
        received = Received(store(path))
        for message in self.messages:
            if message.topic.endswith(("/batch", "/late")) or "/event/" in message.topic:
                received.take(message.topic, message.payload)
        received.store.close()
        return received


STEPS = {
    "forwards by hours": 5 * HOUR_S,
    "backwards by hours": -5 * HOUR_S,
    "leap second": -1.0,
}


@pytest.mark.parametrize("step_s", STEPS.values(), ids=STEPS.keys())
def test_a_step_bends_neither_order_nor_rates_nor_numbers_nor_expiry(step_s: float) -> None:
    steady = Story(Wall(NOW_S, "ntp")).run(60.0)
    story = Story(Wall(NOW_S, "ntp"))
    story.run(60.0, (30.2, story.set(NOW_S + step_s, "ntp")))
    assert story.times_s == steady.times_s
    numbers = [json.loads(message.payload)["n"] for message in story.messages if message.n is not None]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    for each, same in zip(story.payloads("seg/lab/batch"), steady.payloads("seg/lab/batch"), strict=True):
        assert each["channels"] == same["channels"], "values, and times within the batch"
    said, expected = ([payload["t"] for payload in each.payloads("pressure/p1")] for each in (story, steady))
    assert all({on_time, on_time + round(step_s * 1000)} & set(said) for on_time in expected)
    assert len(said) in {len(expected), len(expected) + 1}, "one is said again with its new time"
    assert {payload["quality"] for payload in story.payloads("pressure/p1")} == {"good"}, "nothing expired"
    (event,) = story.clock_events
    told = event["clock"]
    assert (told["before"], told["after"], told["step_ms"]) == ("ntp", "ntp", round(step_s * 1000))
    assert (told["correction_ms"], told["since"]) == (0, event["n"]), "what was said before was right"


def test_a_start_without_time_is_corrected_once_it_comes(tmp_path: Path) -> None:
    story = Story(Wall(WRONG_S, "free"))
    story.run(60.0, (30.2, story.set(NOW_S, "ntp")))
    (event,) = story.clock_events
    words = event["clock"]
    assert (event["boot"], words["before"], words["after"], words["since"]) == ("0001", "free", "ntp", 1)
    assert words["step_ms"] == words["correction_ms"] == round((NOW_S - WRONG_S) * 1000)
    for batch in story.payloads("seg/lab/batch"):
        assert (batch["sync"] == "free") is (batch["n"] < event["n"]) is (batch["t0"] < 1e12)
    received = story.record(tmp_path / "record.sqlite")
    assert received.verdict().endswith(" readings, 0 gaps (g 1 to 61)")
    times = [time_s for time_s, _ in rows(tmp_path / "record.sqlite")]
    assert times[0] == pytest.approx(NOW_S, abs=2.0)
    assert max(later - sooner for sooner, later in pairwise(times)) < 1.5, "no hole where the clock was set"
    assert times[-1] == pytest.approx(NOW_S + 60.0, abs=2.0)


def test_what_stands_retained_has_the_new_time_at_once() -> None:
    slow = {**RIG.transducers, "p3": RIG.transducers["p3"].model_copy(update={"poll": 100.0})}
    story = Story(Wall(WRONG_S, "free"), rig=RIG.model_copy(update={"transducers": slow}))
    condition = Condition(id="hot", priority=Priority.WARNING, cause="hot")

    def alarm() -> None:
        findings = story.gateway.findings
        for each in findings._alarms.take(Observation(condition=condition, there=True), 10.0):
            findings._tell_alarm(each, 10.0)

    story.run(40.0, (10.0, alarm), (30.2, story.set(NOW_S, "ntp")))
    last = {message.topic: json.loads(message.payload) for message in story.messages if message.retain}
    assert last.pop("manovac/v1/s/gw/g/status")["state"] == "offline"
    assert last["manovac/v1/s/gw/g/meta"]["t"] == pytest.approx(NOW_S * 1000, abs=1000), "the moment of the start"
    assert last["manovac/v1/s/alarm/hot"]["t_on"] == round((NOW_S + 10.0) * 1000)
    assert last["manovac/v1/s/seg/lab/pressure/p3"]["t"] == pytest.approx(NOW_S * 1000, abs=3000)
    assert all(payload["t"] >= NOW_S * 1000 for payload in last.values())
    assert len(story.payloads("event/alarm")) == 1, "it was no transition"


def test_time_that_comes_in_two_steps_adds_up(tmp_path: Path) -> None:
    story = Story(Wall(WRONG_S, "free"))
    story.run(
        90.0,
        (30.2, story.set(NOW_S - 100.0, "free")),
        (60.2, story.set(NOW_S, "ntp")),
        (75.2, story.set(NOW_S, "free")),
        (80.2, story.set(NOW_S + 2.0, "ntp")),
    )
    told = [(event["clock"]["since"], event["clock"]["correction_ms"]) for event in story.clock_events]
    assert told[:2] == [(1, round((NOW_S - 100.0 - WRONG_S) * 1000)), (1, 100_000)]
    assert told[2] == (story.clock_events[2]["n"], 0), "it was right once: how it went astray nobody knows"
    story.record(tmp_path / "record.sqlite")
    times = [time_s for time_s, _ in rows(tmp_path / "record.sqlite")]
    assert max(later - sooner for sooner, later in pairwise(times)) < 3.5


def test_a_clock_that_was_right_though_free_is_told_without_a_correction() -> None:
    story = Story(Wall(NOW_S, "free"))
    story.run(60.0, (30.2, story.set(NOW_S + 0.1, "ntp")))
    (event,) = story.clock_events
    assert (event["clock"]["step_ms"], event["clock"]["correction_ms"], event["clock"]["since"]) == (0, 0, 1)


@pytest.mark.parametrize("sync", ["ntp", "free", "unknown"])
def test_a_clock_that_steps_all_the_time_fills_no_journal(sync: str) -> None:
    story = Story(Wall(NOW_S, sync))
    steps = [(5.2 + second, story.set(NOW_S + second % 2, sync)) for second in range(300)]
    story.run(400.0, *steps)
    events = story.clock_events
    assert 5 <= len(events) <= 7
    assert sum(event["clock"]["step_ms"] for event in events) == 1000, "what was not told at once is told together"


@pytest.mark.parametrize("seed", range(6))
def test_a_consumer_knows_each_reading_in_time_however_a_clock_behaved_before_it_was_right(
    tmp_path: Path, seed: int
) -> None:
    dice = random.Random(seed)
    story = Story(Wall(WRONG_S, "free"))
    moments = sorted(dice.uniform(1.0, 200.0) for _ in range(dice.choice((1, 5, 40))))
    steps = [(at_s, story.set(NOW_S + dice.uniform(-1e6, 1e6), "free")) for at_s in moments]
    later = [
        (at_s, story.set(NOW_S + dice.uniform(-0.1, 0.1), dice.choice(("free", "ntp"))))
        for at_s in sorted(dice.uniform(211.0, 400.0) for _ in range(5))
    ]
    story.run(420.0, *steps, (210.2, story.set(NOW_S, "ntp")), *later)
    events = story.clock_events
    assert len(events) <= 2 + 210 // 60 + len(later)
    story.record(tmp_path / "record.sqlite")
    times = [time_s for time_s, _ in rows(tmp_path / "record.sqlite")]
    assert times == pytest.approx([NOW_S + time_s for time_s in sorted(story.times_s)], abs=0.25)


def test_the_journal_ages_by_the_right_time_and_analysis_reads_it_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path, max_bytes=2**30, max_age_ms=round(HOUR_S * 1000))
    journal.open()
    story = Story(Wall(WRONG_S, "free"), journal)
    story.run(60.0, (30.2, story.set(NOW_S, "ntp")))
    journal.open()
    found = journal.read(1, 10**6, limit=10**6)
    journal.close()
    assert [row.n for row in found] == list(range(1, len(found) + 1)), "nothing was too old"
    assert all(abs(row.t_ms - NOW_S * 1000) < 100_000 for row in found)
    times = [time_s for time_s, _ in rows(path)]
    assert times[0] == pytest.approx(NOW_S, abs=2.0)
    assert max(later - sooner for sooner, later in pairwise(times)) < 1.5


def journal_at(path: Path) -> Journal:
    journal = Journal(path, max_bytes=2**30, max_age_ms=round(30 * 86_400e3))
    journal.open()
    return journal


LATE_CLOCKS = {
    "right": 0.0,
    "lags by the outage, as with fake-hwclock": 3 * HOUR_S,
    "begins in 1970": NOW_S + 3 * HOUR_S - WRONG_S,
    "ahead": -HOUR_S,
}


@pytest.mark.parametrize("behind_s", LATE_CLOCKS.values(), ids=LATE_CLOCKS.keys())
@pytest.mark.parametrize(("shelved_s", "state"), [(1 * HOUR_S, "unacknowledged"), (8 * HOUR_S, "shelved")])
def test_an_alarm_from_before_a_power_cut_keeps_its_times_whatever_the_clock_says_at_first(
    tmp_path: Path, behind_s: float, shelved_s: float, state: str
) -> None:
    condition = Condition(id="leak-lab", priority=Priority.CRITICAL, cause="leak")
    first = Story(Wall(NOW_S, "ntp"), journal_at(tmp_path / "journal.sqlite"))

    def come() -> None:
        now_s = asyncio.get_running_loop().time()
        first.gateway.findings.observe(Observation(condition=condition, there=True), now_s)
        first.gateway.findings.shelve("leak-lab", shelved_s)

    first.run(20.0, (10.0, come))
    back_s = NOW_S + 3 * HOUR_S
    second = Story(Wall(back_s - behind_s, "free"), journal_at(tmp_path / "journal.sqlite"))

    def there() -> None:
        second.gateway.findings.observe(Observation(condition=condition, there=True), 2.0)

    second.run(60.0, (2.0, there), (30.2, second.set(back_s, "ntp")))
    said = [message.payload for message in second.messages if message.topic.endswith("alarm/leak-lab")]
    last = json.loads(said[-1])
    assert (last["state"], last["t_on"]) == (state, pytest.approx((NOW_S + 10.0) * 1000, abs=2))
    assert last["shelved_until"] == (
        None if state == "unacknowledged" else pytest.approx((NOW_S + 10.0 + shelved_s) * 1000, abs=2)
    )


CALM = RIG.model_copy(
    update={"transducers": {name: each.model_copy(update={"poll": 20.0}) for name, each in RIG.transducers.items()}}
)


def left_in(path: Path) -> list[Row]:
    journal = journal_at(path)
    found = journal.read(1, 10**6, limit=10**6)
    journal.close()
    return found


@pytest.mark.parametrize("stepped_s", [0.0, 1000.0], ids=["", "a step while no gateway ran"])
@pytest.mark.parametrize("came_s", [-100.0, 30.2], ids=["while no gateway ran", "later"])
def test_what_earlier_gateways_of_this_start_of_the_machine_said_is_corrected_when_the_time_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stepped_s: float, came_s: float
) -> None:
    monkeypatch.setattr("gateway.stamps._SETTLED_S", 60.0)
    path, begins_s = tmp_path / "journal.sqlite", (0.0, 150.0, 4000.0)
    wall = Wall(WRONG_S, "free")
    first = Story(wall, journal_at(path), CALM, boot="0001").run(100.0)
    second = Story(wall, journal_at(path), CALM, boot="0002", begins_s=begins_s[1])
    second.run(100.0, (20.2, second.set(WRONG_S + 500.0, "free")))
    last_n = left_in(path)[-1].n
    wall.offset_s += stepped_s
    third = Story(wall, journal_at(path), CALM, boot="0003", begins_s=begins_s[2])
    if came_s < 0.0:
        third.set(NOW_S, "ntp")()
    third.run(200.0, (max(came_s, 0.0), third.set(NOW_S, "ntp")))

    found = left_in(path)
    assert [row.n for row in found[:last_n]] == list(range(1, last_n + 1)), "nothing was too old"
    assert [row for row in found if not NOW_S - 1.0 < row.t_ms / 1000 < NOW_S + 4300.0] == []
    stories = (first, second, third)
    corrected = [each["clock"].get("boot") for each in third.clock_events if each["clock"]["after"] == "ntp"]
    assert corrected == ([] if came_s < 0.0 else [None]) + ["0001", "0002"]
    for story in stories[1:]:
        first.messages += story.messages
    first.record(tmp_path / "record.sqlite")
    expected = [NOW_S + time_s for story in stories for time_s in sorted(story.times_s)]
    for file in (tmp_path / "record.sqlite", path):
        assert [time_s for time_s, _ in rows(file)] == pytest.approx(expected, abs=0.01)

    again = Story(wall, journal_at(path), CALM, boot="0004", begins_s=20_000.0).run(20.0)
    assert again.clock_events == [], "it is told once"


def test_what_was_said_before_the_machine_lost_power_cannot_be_corrected_and_is_kept_as_if_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    Story(Wall(WRONG_S, "free"), journal_at(path), CALM, boot="0001").run(100.0)
    last_n = left_in(path)[-1].n
    monkeypatch.setattr("gateway.stamps._SETTLED_S", 60.0)
    monkeypatch.setattr("gateway.clock_watch.machine", lambda: "after the power cut")
    second = Story(Wall(WRONG_S, "free"), journal_at(path), CALM, boot="0002")
    second.run(200.0, (30.2, second.set(NOW_S, "ntp")))
    told = [event["clock"] for event in second.clock_events]
    assert [(each.get("boot"), each["after"], each["correction_ms"]) for each in told] == [
        (None, "free", 0),
        (None, "ntp", round((NOW_S - WRONG_S) * 1000)),
        ("0001", "ntp", 0),
    ]
    found = left_in(path)
    assert [row.n for row in found[:last_n]] == list(range(1, last_n + 1))
    assert all(abs(row.t_ms / 1000 - NOW_S) < 200.0 for row in found[:last_n])


def test_a_start_knows_which_before_it_wait_for_a_correction(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    wall = Wall(WRONG_S, "free")
    Story(wall, journal_at(path), CALM, boot="0001").run(100.0)
    second = Story(wall, journal_at(path), CALM, boot="0002", begins_s=150.0).run(100.0)
    journal = journal_at(path)
    (earlier,) = free_starts(journal, Topics(station="s", gateway="g"), boot="0002", begins=10**6)
    journal.close()
    assert (earlier.boot, earlier.since, earlier.offset_s) == ("0001", 1, pytest.approx(WRONG_S))
    assert earlier.before == second.clock_events[0]["clock"]["since"], "the first number of the second"


def down_polls(story: Story) -> list[int]:
    """Return what health counts of it, from the start on."""
    return [health["losses"].get("down_polls", 0) for health in story.payloads("gw/g/health")]


@pytest.mark.parametrize("behind_s", LATE_CLOCKS.values(), ids=LATE_CLOCKS.keys())
@pytest.mark.parametrize("reloaded", [False, True], ids=["", "after a reload"])
def test_polls_that_were_due_in_a_power_cut_are_counted_when_the_time_comes(
    tmp_path: Path, behind_s: float, reloaded: bool
) -> None:
    path, back_s = tmp_path / "journal.sqlite", NOW_S + 3 * HOUR_S
    Story(Wall(NOW_S, "ntp"), journal_at(path)).run(20.0)
    shutil.copytree(tmp_path, tmp_path / "twin")
    twin = Story(Wall(back_s, "ntp"), journal_at(tmp_path / "twin" / "journal.sqlite"), boot="0002").run(20.0)
    (event,) = twin.payloads("event/start")
    assert event["start"]["polls"] == down_polls(twin)[0] == pytest.approx(3 * 3 * HOUR_S, rel=0.01)

    story = Story(Wall(back_s - behind_s, "free"), journal_at(path), boot="0002")
    story.run(60.0, *([(10.0, story.reload)] if reloaded else []), (30.2, story.set(back_s, "ntp")))
    (event,) = story.payloads("event/start")
    assert event["start"]["polls"] is None, "nobody can know yet"
    counted = down_polls(story)
    assert (counted[0], counted[-1]) == (0, down_polls(twin)[0])


def test_polls_between_two_gateways_without_the_time_are_counted_by_the_clock_of_the_machine(tmp_path: Path) -> None:
    path, wall = tmp_path / "journal.sqlite", Wall(WRONG_S, "free")
    Story(wall, journal_at(path)).run(20.0)
    wall.offset_s += 1e6
    story = Story(wall, journal_at(path), boot="0002", begins_s=120.0).run(20.0)
    (event,) = story.payloads("event/start")
    assert event["start"]["polls"] == down_polls(story)[-1] == pytest.approx(300, abs=10)
    assert event["start"]["ended"] is None, "the one before could not say"


@pytest.mark.parametrize("came_s", [30.2, 1000.0], ids=["the time came to the first one", "to the third one"])
@pytest.mark.parametrize("behind_s", LATE_CLOCKS.values(), ids=LATE_CLOCKS.keys())
def test_an_alarm_that_was_raised_without_the_time_keeps_its_times_from_process_to_process(
    tmp_path: Path, behind_s: float, came_s: float
) -> None:
    path, wall = tmp_path / "journal.sqlite", Wall(NOW_S - behind_s, "free")
    condition = Condition(id="leak-lab", priority=Priority.CRITICAL, cause="leak")
    first = Story(wall, journal_at(path), CALM)

    def come() -> None:
        first.gateway.findings.observe(Observation(condition=condition, there=True), 10.0)
        first.gateway.findings.shelve("leak-lab", HOUR_S)

    first.run(40.0, (10.0, come), (came_s, first.set(NOW_S, "ntp")))
    Story(wall, journal_at(path), CALM, boot="0002", begins_s=100.0).run(20.0)
    third = Story(wall, journal_at(path), CALM, boot="0003", begins_s=200.0)
    third.run(40.0, (20.2, third.set(NOW_S, "ntp")))
    last = third.payloads("alarm/leak-lab")[-1]
    assert (last["t_on"], last["state"]) == (pytest.approx((NOW_S + 10.0) * 1000, abs=2), "shelved")
    assert last["shelved_until"] == pytest.approx((NOW_S + 10.0 + HOUR_S) * 1000, abs=2)
