"""A hatch with a contact and a gas sensor in virtual time: emulated air, devices, lines, drivers, gateway, topics."""

import asyncio
import json
from contextlib import suppress

import jsonschema
import pytest

from drivers.rig import HatchState, Rig
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from firmware_sim.physics.setting import Passage
from firmware_sim.physics.world import World
from gateway.mqtt import schemas
from tests.end_to_end.virtual_station import WALL_S, memory_gateway

S = 1_000_000_000
BASE = "manovac/v1/iss"
HATCH = "lock--cabin"


def keller(unit, segment):
    return {"model": "keller-33x", "bus": "b", "unit": unit, "segment": segment, "range": "0..160 kPa"}


def mapped(unit, segment, poll="1 s", **words):
    return {"model": "modbus-map", "bus": "b", "unit": unit, "segment": segment, "poll": poll, "map": words}


RIG = Rig.model_validate(
    {
        "station": {"id": "iss", "gateway": "pi1"},
        "segment": {"lock": {"volume": "4 m3"}, "cabin": {"volume": "60 m3"}},
        "hatch": [{"between": ["lock", "cabin"], "state": "closed", "contact": "switch"}],
        "bus": {"b": {"kind": "serial", "port": "-", "baud": 19200}},
        "transducer": {
            "l1": keller(1, "lock"),
            "l2": keller(2, "lock"),
            "c1": keller(3, "cabin"),
            "c2": keller(4, "cabin"),
            "switch": mapped(5, "lock", "2 s", contact={"function": 2, "address": 3}),
            "gas": mapped(6, "cabin", "2 s", partial_o2={"address": 0, "unit": "mmHg"}),
        },
    }
)


class Run:
    """A station in which things happen: `acts` are (s, what to do with fleet and gateway)."""

    def __init__(self, seconds, *acts, lock_pa=101_325.0):
        self.messages = []

        async def main():
            loop = asyncio.get_running_loop()
            fleet = Fleet(RIG, world=World(RIG, pressures_pa={"lock": lock_pa}))
            async with fleet.serve(memory=True):
                gateway = memory_gateway(RIG, fleet, lambda message: self.messages.append((loop.time(), message)))
                for at_s, act in acts:
                    loop.call_at(at_s, act, fleet, gateway)
                with suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await gateway.run()

        run_virtual(main())

    def on(self, topic):
        told = [(at_s, each.payload) for at_s, each in self.messages if each.topic == f"{BASE}/{topic}"]
        return [(at_s, json.loads(payload)) for at_s, payload in told if payload]

    @property
    def hatch(self):
        return [(each["state"], each["source"], each["quality"]) for _, each in self.on(f"hatch/{HATCH}")]

    @property
    def alarms(self):
        return {each.topic.rpartition("/")[2] for _, each in self.messages if each.topic.startswith(f"{BASE}/alarm/")}


def moves(passage):
    return lambda fleet, _: fleet.world.move_hatch(HATCH, passage, fleet.now_ns())


def test_gas_and_contact_have_topics_of_their_own_and_no_vote_on_pressure():
    run = Run(75)
    _, gas = run.on("seg/cabin/partial_o2/gas")[-1]
    assert (gas["unit"], gas["quality"]) == ("Pa", "good")
    assert gas["value"] == pytest.approx(0.209 * 101_325, abs=40)
    _, contact = run.on("seg/lock/contact/switch")[-1]
    assert (contact["value"], contact["unit"]) == (0.0, "1")
    _, state = run.on("seg/cabin/state")[-1]
    assert (state["used"], state["rejected"]) == (["c1", "c2"], {})
    _, leak = run.on("leak")[-1]
    (cabin,) = (each for each in leak["bodies"] if each["segments"] == ["cabin"])
    assert "nitrogen is watched: o2 taken off, co2, h2o not measured" in cabin["notes"]
    for topic, kind in (("seg/cabin/partial_o2/gas", "reading"), (f"hatch/{HATCH}", "hatch"), ("gw/pi1/meta", "meta")):
        for _, payload in run.on(topic):
            jsonschema.validate(payload, schemas.schema(kind))


def test_a_hatch_that_opens_across_a_difference_is_known_before_air_that_moves_is_judged():
    run = Run(400, (200.3, moves(Passage.OPEN)), lock_pa=99_000.0)
    assert run.hatch == [
        ("closed", "rig", "good"),
        ("closed", "transducer", "good"),
        ("open", "transducer", "good"),
    ]
    opened_s, _ = run.on(f"hatch/{HATCH}")[-1]
    assert 203.0 < opened_s < 206.0, "two polls later; pressures wait for it"
    assert run.alarms == set(), "the cabin fell by 145 Pa within a second, and that is no puncture"
    assert [each["segments"] for each in run.on("leak")[-1][1]["bodies"]] == [["lock", "cabin"]]


def test_a_fresh_contact_counts_for_more_than_a_command_a_silent_one_for_less_and_moves_nothing():
    refused, taken = [], []

    def tells(fleet, gateway):
        try:
            gateway.findings.move_hatch(HATCH, HatchState.OPEN)
            taken.append(fleet.now_ns() / S)
        except LookupError as error:
            refused.append(str(error))

    run = Run(
        150,
        (10.0, tells),
        (20.0, lambda fleet, _: fleet.faults.inject("silence:switch")),
        (120.0, tells),
        (130.0, lambda fleet, _: fleet.faults.clear()),
    )
    assert refused == [f"{HATCH} is closed: its contact switch says so, and counts for more"]
    assert len(taken) == 1
    assert run.hatch == [
        ("closed", "rig", "good"),
        ("closed", "transducer", "good"),
        ("closed", "transducer", "stale"),
        ("open", "command", "good"),
        ("closed", "transducer", "good"),
    ]
    notes = {note for _, leak in run.on("leak") for body in leak["bodies"] for note in body["notes"]}
    assert any("switch, the contact of lock--cabin, is silent: taken as closed still" in note for note in notes)


@pytest.mark.parametrize(
    "faults", [("late:switch@20%,delay=450ms", "crc:*@10%"), ("duplicate:*@20%,delay=30ms", "foreign:*@20%")], ids=str
)
def test_a_good_reading_of_a_contact_is_never_wrong_whatever_happens_on_the_line(faults):
    turns_s = [5.0 + 3.7 * number for number in range(20)]  # open from the first on, closed from the second on, ...
    acts = [(at_s, moves((Passage.OPEN, Passage.CLOSED)[turn % 2])) for turn, at_s in enumerate(turns_s)]
    acts.append((0.0, lambda fleet, _: [fleet.faults.inject(fault) for fault in faults]))
    run = Run(80, *acts)
    good = [each for _, each in run.on("seg/lock/contact/switch") if each["quality"] == "good"]
    assert len(good) > 10
    for each in good:
        at_s, half_s = each["t"] / 1000 - WALL_S, each["u"] / 1000 + 0.002
        before, after = (sum(turn_s < at_s + sign * half_s for turn_s in turns_s) % 2 for sign in (-1, 1))
        assert each["value"] in (before, after), each


def test_a_contact_that_says_open_between_pressures_that_differ_is_named():
    def lies(fleet, _):
        fleet.world.move_hatch(HATCH, Passage.CLOSED, fleet.now_ns())
        fleet.world.sensor("switch")._others["contact"] = lambda _: 1.0

    run = Run(120, (1.0, lies), lock_pa=99_000.0)
    assert f"hatch-{HATCH}" in run.alarms
    notes = [note for body in run.on("leak")[-1][1]["bodies"] for note in body["notes"]]
    assert (
        f"{HATCH} is by its contact switch open, yet its two sides differ: is it closed, or do transducers lie?"
        in notes
    )
