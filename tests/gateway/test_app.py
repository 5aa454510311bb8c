"""The whole gateway in virtual time: starts, survives what buses and drivers do, and stops cleanly."""

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

from drivers.reading import Readings, Reason
from drivers.rig import Rig
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from firmware_sim.testing import emulated
from gateway.alarms import Alarm, AlarmState, Condition, Priority
from gateway.app import Gateway
from gateway.mqtt.memory import MemoryLink
from gateway.mqtt.outbox import LinkStatistics, Message, Outbox
from gateway.silence_watch import CAUSE

RIG = Rig.model_validate(
    {
        "station": {"id": "s", "gateway": "g"},
        "segment": {"lab": {}},
        "bus": {
            "near": {"kind": "serial", "port": "-", "baud": 19200},
            "far": {"kind": "modbus-tcp", "port": "x:502"},
            "spare": {"kind": "serial", "port": "-"},
        },
        "transducer": {
            "p1": {"model": "keller-33x", "bus": "near", "unit": 1, "segment": "lab", "poll": "1 s"},
            "p2": {"model": "keller-33x", "bus": "near", "unit": 2, "segment": "lab", "poll": "1 s"},
            "p3": {
                "model": "modbus-map",
                "bus": "far",
                "unit": 1,
                "segment": "lab",
                "poll": "1 s",
                "map": {"pressure": {"address": 0, "unit": "Pa"}},
            },
        },
    }
)


class Station:
    """A gateway on an emulated rig, and what it published."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.readings: list[Readings] = []

    def payloads(self, topic: str) -> list[dict[str, Any]]:
        return [json.loads(message.payload) for message in self.messages if message.topic.endswith(topic)]

    def reasons(self, transducer: str) -> list[Reason]:
        return [
            reading.reason
            for readings in self.readings
            for reading in readings
            if (reading.channel.transducer, reading.channel.quantity) == (transducer, "pressure")
        ]

    def times(self, transducer: str) -> list[float]:
        return [each.time_s for each in self.readings if each.channels[0].transducer == transducer]

    def gateway(self, fleet: Fleet, **words: Any) -> Gateway:
        names = {id(bus): name for name, bus in RIG.buses.items()}
        words = {
            "sync": lambda: "ntp",
            "make_carrier": lambda outbox, **more: MemoryLink(outbox, self.messages.append, **more),
            "make_transport": lambda bus: MemoryTransport(fleet.memory[names[id(bus)]].connect),
            **words,
        }
        loop = asyncio.get_running_loop()
        gateway = Gateway(RIG, rig_hash="0", boot="0001", wall=lambda: 1e9 + loop.time(), **words)
        gateway.listeners.append(self.readings.append)
        return gateway

    def run(self, seconds: float, act: Callable[[Fleet, Gateway], None] | None = None, **words: Any) -> "Station":
        """Run for that long, with `act` at half time."""

        async def main() -> None:
            async with emulated(RIG, memory=True) as fleet:
                gateway = self.gateway(fleet, **words)
                if act is not None:
                    asyncio.get_running_loop().call_later(seconds / 2, act, fleet, gateway)
                before = asyncio.all_tasks()
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await gateway.run()
                assert asyncio.all_tasks() == before

        run_virtual(main(), limit_s=10 * seconds)
        return self


def test_all_transducers_are_read_and_the_gateway_says_hello_and_goodbye() -> None:
    station = Station().run(10.0)
    for transducer in ("p1", "p2", "p3"):
        assert len(station.reasons(transducer)) >= 9
        assert set(station.reasons(transducer)) == {Reason.NONE}
    assert [status["state"] for status in station.payloads("gw/g/status")] == ["online", "offline"]
    assert station.payloads("gw/g/status")[-1]["reason"] == "stopped"
    assert len(station.payloads("gw/g/meta")) == 1
    assert set(station.payloads("gw/g/health")[0]["buses"]) == {"near", "far"}  # nobody is on the spare one


def test_every_reading_is_published_before_it_ends() -> None:
    station = Station().run(10.3)
    batches = station.payloads("seg/lab/batch")
    published = sum(len(batch["channels"].get("p1.pressure", {"dt": []})["dt"]) for batch in batches)
    assert published == len(station.reasons("p1"))
    assert station.messages[-1].topic.endswith("gw/g/status")


def test_a_bus_that_is_lost_harms_no_other() -> None:
    def unplug(fleet: Fleet, gateway: Gateway) -> None:
        fleet.faults.inject("unplug:near")

    station = Station().run(40.0, unplug)
    assert set(station.reasons("p1")[-10:]) == {Reason.BUS_DOWN}
    assert set(station.reasons("p3")) == {Reason.NONE}


def test_a_unit_that_falls_silent_is_an_alarm_that_returns() -> None:
    def mute(fleet: Fleet, gateway: Gateway) -> None:
        fleet.faults.inject("silence:p2@+20s")

    station = Station().run(300.0, mute)
    told = [event["alarm"] for event in station.payloads("event/alarm") if event["alarm"]["cause"] == "no-reading"]
    assert [(each["id"], each["state"], each["segment"]) for each in told] == [
        ("silent-p2", "unacknowledged", "lab"),
        ("silent-p2", "returned", "lab"),
    ]
    assert told[0]["t"] - told[0]["t_on"] < 20_000


def test_an_alarm_of_a_silent_unit_from_before_a_restart_goes_within_minutes_when_it_answers() -> None:
    def restart(fleet: Fleet, gateway: Gateway) -> None:
        condition = Condition(id="silent-p2", priority=Priority.ADVICE, cause=CAUSE)
        before = Alarm(condition=condition, state=AlarmState.UNACKNOWLEDGED, on_s=0.0, changed_s=0.0, value=None)
        gateway.findings.restore([before])

    alarms = Station().run(240.0, restart).payloads("alarm/silent-p2")
    assert [each["state"] for each in alarms] == ["unacknowledged", "returned"]


def test_a_port_that_never_opens_harms_no_other() -> None:
    class Nowhere:
        async def connect(self, receiver: object) -> None:
            raise OSError("no such port")

        def write(self, data: bytes) -> None:
            raise AssertionError

        def close(self) -> None:
            pass

    async def main() -> None:
        async with emulated(RIG, memory=True) as fleet:

            def transport(bus: object) -> Any:
                return Nowhere() if bus is RIG.buses["near"] else MemoryTransport(fleet.memory["far"].connect)

            station = Station()
            gateway = station.gateway(fleet, make_transport=transport)
            with suppress(TimeoutError):
                async with asyncio.timeout(10.0):
                    await gateway.run()
            assert set(station.reasons("p1")) == {Reason.BUS_DOWN}
            assert set(station.reasons("p3")) == {Reason.NONE}

    run_virtual(main(), limit_s=100)


def test_a_driver_that_fails_harms_no_other() -> None:
    def sabotage(fleet: Fleet, gateway: Gateway) -> None:
        async def poll(ask: object) -> object:
            raise ZeroDivisionError

        (near,) = (poller for poller in gateway.pollers if poller.bus.name == "near")
        near.readers[1].driver.poll = poll  # type: ignore[method-assign,assignment]

    station = Station().run(20.0, sabotage)
    assert station.reasons("p1")[-1] is Reason.CONFIG
    assert set(station.reasons("p2")) == set(station.reasons("p3")) == {Reason.NONE}


def test_a_bus_task_that_dies_is_begun_again_and_named_and_others_never_notice() -> None:
    def sabotage(fleet: Fleet, gateway: Gateway) -> None:
        (near,) = (poller for poller in gateway.pollers if poller.bus.name == "near")
        assert near.schedule is not None
        near.schedule.done = None  # type: ignore[method-assign,assignment]
        asyncio.get_running_loop().call_later(20.0, delattr, near.schedule, "done")

    station = Station().run(120.0, sabotage)
    p1, p3 = station.times("p1"), station.times("p3")
    assert max(later - sooner for sooner, later in pairwise(p3)) < 1.1
    assert max(later - sooner for sooner, later in pairwise(p1)) > 10.0
    assert p1[-1] > 118.0
    healths = station.payloads("gw/g/health")
    told = [health["failures"].get("bus near", {"failures": 0, "problem": ""}) for health in healths]
    assert told[0]["failures"] == 0
    assert "not callable" in told[-2]["problem"]
    assert told[-1]["failures"] == 5, "after 1, 2, 4, 8 and 16 s"
    assert healths[-1]["losses"]["missed_polls"] > 10


def test_a_poll_that_never_ends_is_given_up_and_others_never_notice() -> None:
    def sabotage(fleet: Fleet, gateway: Gateway) -> None:
        async def poll(ask: object) -> object:
            await asyncio.Event().wait()

        (near,) = (poller for poller in gateway.pollers if poller.bus.name == "near")
        driver = near.readers[1].driver
        driver.poll = poll  # type: ignore[method-assign,assignment]
        asyncio.get_running_loop().call_later(20.0, delattr, driver, "poll")

    station = Station().run(120.0, sabotage)
    assert max(later - sooner for sooner, later in pairwise(station.times("p3"))) < 1.1
    assert 30.0 < max(later - sooner for sooner, later in pairwise(station.times("p2"))) < 50.0
    assert station.times("p1")[-1] > 118.0
    assert station.payloads("gw/g/health")[-1]["failures"]["bus near"]["failures"] == 1


def test_a_bug_in_the_leak_watch_or_a_listener_stops_no_reading_and_is_told() -> None:
    def sabotage(fleet: Fleet, gateway: Gateway) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError

        gateway.listeners.append(broken)
        gateway.findings.look = broken  # type: ignore[method-assign]

    station = Station().run(20.0, sabotage)
    assert len(station.reasons("p1")) >= 19
    published = sum(len(batch["channels"]["p1.pressure"]["dt"]) for batch in station.payloads("seg/lab/batch"))
    assert published == len(station.reasons("p1"))
    failures = station.payloads("gw/g/health")[-1]["failures"]
    assert failures["findings"]["problem"] == "ZeroDivisionError"
    assert any(name.startswith("listener") for name in failures)


def test_the_same_seed_brings_the_same_messages() -> None:
    first, second = (Station().run(20.0).messages for _ in range(2))
    steady = [[message for message in run if "health" not in message.topic] for run in (first, second)]
    assert steady[0] == steady[1]


def test_what_the_broker_refuses_is_an_alarm_until_it_has_stopped_for_a_minute() -> None:
    class Refusing(MemoryLink):
        def statistics(self) -> LinkStatistics:
            refused = min(int(max(asyncio.get_running_loop().time() - began_s - 25.0, 0.0)), 30)
            return replace(super().statistics(), refused=refused, taken_over=refused // 30)

    station = Station()
    began_s = 0.0

    def start(outbox: Outbox, **words: Any) -> MemoryLink:
        nonlocal began_s
        began_s = asyncio.get_running_loop().time()
        return Refusing(outbox, station.messages.append, **words)

    station.run(150.0, make_carrier=start)
    for cause in ("mqtt-refused", "mqtt-client-id-taken"):
        alarms = station.payloads(f"alarm/{cause}-g")
        assert [(alarm["state"], alarm["priority"], alarm["cause"]) for alarm in alarms] == [
            ("unacknowledged", "warning", cause),
            ("returned", "warning", cause),
        ]
        told = [event for event in station.payloads("event/alarm") if event["alarm"]["id"] == f"{cause}-g"]
        assert len(told) == 2
