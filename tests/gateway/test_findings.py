"""What the gateway finds gets onto its topics, and what people tell it gets in; an emulated rig in virtual time."""

import asyncio
import json
from contextlib import suppress
from dataclasses import replace

import jsonschema
import pytest

from drivers.rig import Rig
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.testing import emulated
from gateway.alarms import Condition, Observation, Priority
from gateway.app import Gateway
from gateway.leak.event import Event
from gateway.leak.told import body_in_words
from gateway.mqtt import commands, schemas
from gateway.mqtt.memory import MemoryLink

BASE = "manovac/v1/s"
RIG = Rig.model_validate(
    {
        "station": {"id": "s", "gateway": "g"},
        "segment": {"lab": {"volume": "12 m3"}, "hall": {"volume": "30 m3"}, "attic": {"volume": "1 m3"}},
        "hatch": [{"between": ["lab", "hall"], "state": "closed"}],
        "leak": {"depress_rate": "10 mmHg/min"},
        "bus": {"b": {"kind": "serial", "port": "-", "baud": 19200}},
        "transducer": {
            f"p{unit}": {"model": "keller-33x", "bus": "b", "unit": unit, "segment": "lab" if unit < 4 else "hall"}
            for unit in range(1, 6)
        },
    }
)


def command(kind, command_id, /, **words):
    """Build a command as of now, virtual time."""
    not_after = round((1e9 + asyncio.get_running_loop().time() + 30) * 1000)
    return commands.build(kind, id=command_id, not_after=not_after, by="anna", **words)


class Station:
    """A gateway on an emulated rig, and what was published."""

    def __init__(self):
        self.messages = []

    def run(self, seconds, acts=(), leak_pa_per_s=0.0, faults=(), begin_s=0.0):
        async def main():
            await asyncio.sleep(begin_s)
            async with emulated(RIG, memory=True, faults=list(faults)) as fleet:
                loop = asyncio.get_running_loop()
                if leak_pa_per_s:
                    fleet.world.leak("lab", leak_pa_per_s, 60_000_000_000)
                links = []

                def make(outbox, **words):
                    links.append(MemoryLink(outbox, self.take, **words))
                    return links[0]

                self.gateway = Gateway(
                    RIG,
                    rig_hash="0",
                    boot="0001",
                    make_carrier=make,
                    make_transport=lambda bus: MemoryTransport(fleet.memory["b"].connect),
                    wall=lambda: 1e9 + loop.time(),
                    sync=lambda: "ntp",
                )
                for at_s, act in acts:
                    loop.call_later(at_s, act, self.gateway, links[0])
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self.gateway.run()

        run_virtual(main(), limit_s=begin_s + 10 * seconds)
        return self

    def take(self, message):
        self.messages.append(message)
        kind = message.topic.removeprefix(f"{BASE}/").split("/")[0]
        kind = "state" if message.topic.endswith("/state") else {"rsp": "response"}.get(kind, kind)
        if kind in schemas.KINDS and message.payload:
            jsonschema.validate(json.loads(message.payload), schemas.schema(kind))

    def on(self, topic):
        return [
            json.loads(each.payload) if each.payload else None
            for each in self.messages
            if each.topic == f"{BASE}/{topic}"
        ]


def test_states_are_published_once_a_second_and_hatches_as_the_rig_file_has_them():
    station = Station().run(30.0)
    states = station.on("seg/lab/state")
    assert 26 <= len(states) <= 30
    assert len({state["t"] for state in states}) == len(states)
    assert states[-1]["used"] == ["p1", "p2", "p3"]
    assert states[-1]["quality"] == "good"
    assert states[-1]["pressure"] == pytest.approx(101325.0, abs=30)
    assert [state["n"] for state in states] == sorted(state["n"] for state in states)
    assert station.on("seg/attic/state") == [], "nothing measures there"
    assert [(hatch["state"], hatch["source"]) for hatch in station.on("hatch/lab--hall")] == [("closed", "rig")]
    assert station.on("leak")[-1]["bodies"][0]["class"] == "none"
    assert all(each.retain for each in station.messages if each.topic.endswith(("/state", "/leak")))


def test_a_gateway_that_starts_late_has_not_been_without_data_since_the_clock_began():
    station = Station().run(20.0, begin_s=5000.0)
    assert [hatch["t"] for hatch in station.on("hatch/lab--hall")] == [1e12 + 5_000_000]
    assert {body["class"] for leak in station.on("leak") for body in leak["bodies"]} <= {"collecting", "none"}


def test_a_silent_transducer_is_named_and_a_dead_bus_is_said():
    station = Station().run(40.0, faults=["silence:p2@15s"])
    assert station.on("seg/lab/state")[-1]["rejected"] == {"p2": "timeout"}
    dead = Station().run(40.0, faults=["unplug:b@15s"])
    last = dead.on("seg/lab/state")[-1]
    assert (last["quality"], last["used"], last["u95"]) == ("bad", [], None)
    assert set(last["rejected"].values()) == {"bus_down"}


def test_a_leak_goes_from_readings_to_an_alarm_that_is_acknowledged_by_mqtt_and_goes_again():
    def acknowledge(gateway, link):
        link.hear(f"{BASE}/cmd/g/acknowledge", command(commands.Acknowledge, "a1", alarm="leak-lab"))

    station = Station().run(200.0, [(150.0, acknowledge)], leak_pa_per_s=2.0)
    alarms = station.on("alarm/leak-lab")
    assert [alarms[0]["state"], alarms[-1]["state"]] == ["unacknowledged", "acknowledged"]
    assert alarms[0]["segment"] == "lab"
    events = station.on("event/alarm")
    assert len(alarms) > 2, "its value is told anew"
    assert [event["alarm"]["state"] for event in events] == ["unacknowledged", "acknowledged"], "each transition once"
    assert all(event["alarm"] in alarms for event in events)
    assert {event["boot"] for event in events} == {"0001"}
    assert len({event["n"] for event in events}) == len(events)
    assert abs(alarms[0]["t_on"] - (1e12 + 60_000)) < 5_000
    assert station.on("rsp/g/a1")[0]["result"] == {"alarm": "leak-lab", "state": "acknowledged"}
    (lab, hall) = station.on("leak")[-1]["bodies"]
    assert (lab["class"], hall["class"]) == ("puncture", "none")
    low, high = lab["ci95"]
    assert low < 2.0 * 12 * 0.0289652 / (8.31446 * 295.15) * 86400 < high
    assert lab["reserve_s"]["fast"] <= lab["reserve_s"]["expected"]
    assert [topic for topic in {m.topic for m in station.messages} if "/alarm/" in topic] == [f"{BASE}/alarm/leak-lab"]
    assert "kg/day (95 %" in body_in_words(station.gateway.findings.watch.finding.bodies[0])


def test_a_hatch_command_moves_the_hatch_and_a_wrong_one_is_refused():
    def tell(gateway, link):
        link.hear(f"{BASE}/cmd/g/hatch", command(commands.Hatch, "h1", hatch="lab--hall", state="open"))
        link.hear(f"{BASE}/cmd/g/hatch", command(commands.Hatch, "h2", hatch="lab--attic", state="open"))
        link.hear(f"{BASE}/cmd/g/hatch", b"open sesame")

    station = Station().run(40.0, [(25.0, tell)])
    assert station.on("rsp/g/h1")[0]["status"] == "done"
    (refused,) = station.on("rsp/g/h2")
    assert (refused["status"], refused["code"]) == ("rejected", "not_found")
    assert "there are: lab--hall" in refused["text"]
    assert [(hatch["state"], hatch["source"]) for hatch in station.on("hatch/lab--hall")] == [
        ("closed", "rig"),
        ("open", "command"),
    ]
    last = station.on("leak")
    assert [body["segments"] for body in last[0]["bodies"]] == [["lab"], ["hall"]]
    assert [body["segments"] for body in last[-1]["bodies"]] == [["lab", "hall"]]


def test_an_event_command_makes_the_body_collect_anew_and_a_wrong_one_is_refused():
    def tell(gateway, link):
        for command_id, segment in (("e1", "lab"), ("e2", "attic")):
            words = {"kind": Event.REPRESS, "segment": segment, "lasts_s": 60.0, "mass_kg": 0.1}
            link.hear(f"{BASE}/cmd/g/event", command(commands.Happening, command_id, **words))

    station = Station().run(60.0, [(45.0, tell)])
    assert station.on("rsp/g/e1")[0]["status"] == "done"
    assert "no transducer measures the air of segment 'attic'" in station.on("rsp/g/e2")[0]["text"]
    (told,) = station.on("event/repress")
    assert (told["boot"], told["repress"]) == (
        "0001",
        {"segment": "lab", "lasts_s": 60.0, "mass_kg": 0.1, "by": "anna"},
    )
    classes = [[body["class"] for body in leak["bodies"]] for leak in station.on("leak")]
    assert classes[-2:] == [["none", "none"], ["collecting", "none"]]


def test_an_alarm_that_is_cleared_leaves_nothing_retained():
    def swap(gateway, link):
        gateway.findings.acknowledge("leak-lab")
        gateway.findings.watch.case = None
        for watch in gateway.findings.watch.watches:
            watch.found = None
        gateway.findings.watch._next_news_s = 0.0

    station = Station().run(160.0, [(150.0, swap)], leak_pa_per_s=2.0)
    of_alarm = [each for each in station.messages if each.topic.endswith("/alarm/leak-lab")]
    assert [message.payload for message in of_alarm if message.retain][-1] == b""
    assert json.loads([message.payload for message in of_alarm if not message.retain][-1])["state"] == "cleared"


def test_only_what_changes_an_alarm_is_put_on_record():
    condition = Condition(id="x-lab", priority=Priority.WARNING, cause="x", segment="lab")
    urgent = replace(condition, priority=Priority.CRITICAL)

    def act(gateway, link):
        findings, now_s = gateway.findings, asyncio.get_running_loop().time()
        for value in range(50):
            findings.observe(Observation(condition=condition, there=True, value=value), now_s)
        for value in range(50):
            findings.observe(Observation(condition=urgent, there=True, value=value), now_s)
        for _ in range(3):
            findings.acknowledge("x-lab")
        for there in (True, False, True):
            findings.observe(Observation(condition=urgent, there=there, value=7.0), now_s + 1)

    station = Station().run(10.0, [(5.0, act)])
    assert [(event["alarm"]["state"], event["alarm"]["priority"]) for event in station.on("event/alarm")] == [
        ("unacknowledged", "warning"),
        ("unacknowledged", "critical"),
        ("acknowledged", "critical"),
        ("cleared", "critical"),
        ("unacknowledged", "critical"),
    ]
    assert station.on("alarm/x-lab")[-1]["value"] == 7.0
