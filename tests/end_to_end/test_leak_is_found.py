"""The fourth promise: a leak is found near the theoretical limit, never across a hatch change, its segment is named.

Emulated air, sensing elements, firmware and RS-485 lines, drivers, gateway and detector, all in virtual time.
"""

import asyncio
import math
from dataclasses import dataclass, field

import orjson
import pytest

from drivers.rig import HatchState, Rig
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from firmware_sim.physics.climate import Climate
from firmware_sim.physics.setting import Passage, hole
from firmware_sim.physics.world import World
from gateway.leak.limit import delay_limit
from gateway.leak.noise import Noise
from tests.end_to_end.virtual_station import memory_gateway

HOLE_S = 150.0
SEGMENTS = {  # m3, 1005 in all
    "prk": 6.0,
    "zvezda": 89.0,
    "zarya": 76.5,
    "nauka": 89.0,
    "soyuz": 9.0,
    "unity": 168.0,
    "tranquility": 170.0,
    "harmony": 75.5,
    "columbus": 128.0,
    "kibo": 194.0,
}
HATCHES = [
    ("prk", "zvezda"),
    ("zvezda", "zarya"),
    ("zvezda", "nauka"),
    ("zarya", "soyuz"),
    ("zarya", "unity"),
    ("unity", "tranquility"),
    ("unity", "harmony"),
    ("harmony", "columbus"),
    ("harmony", "kibo"),
]
LINES, UNITS = 4, 12


def station(seed):
    """48 industrial transducers on four RS-485 lines, all hatches open."""
    names = list(SEGMENTS)
    return Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi1"},
            "segment": {
                name: {"volume": f"{volume} m3", "leak_prior": 5 if name == "soyuz" else 1}
                for name, volume in SEGMENTS.items()
            },
            "hatch": [{"between": list(pair), "state": "open"} for pair in HATCHES],
            "bus": {f"line{number}": {"kind": "serial", "port": "-", "baud": 19200} for number in range(LINES)},
            "transducer": {
                f"p{line}_{unit}": {
                    "model": "keller-33x",
                    "bus": f"line{line}",
                    "unit": unit,
                    "segment": names[(line * UNITS + unit) % len(names)],
                }
                for line in range(LINES)
                for unit in range(1, UNITS + 1)
            },
            "emulator": {"seed": seed, "grade": "C"},
        }
    )


@dataclass
class Told:
    """What subscribers heard, and what the operator who follows `next_hatch` did."""

    alarms: list[tuple[float, str, dict | None]] = field(default_factory=list)
    leaks: list[tuple[float, dict]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    reopened_s: float = math.inf

    def losses(self, since_s=0.0):
        """States of leak alarms as they came."""
        return [
            (at_s, topic.rsplit("/", 1)[1], alarm["state"], alarm["segment"])
            for at_s, topic, alarm in self.alarms
            if alarm and alarm["cause"] == "leak" and at_s >= since_s
        ]


async def watched(seed, seconds, *, segment="soyuz", diameter_m=0.002, follow=True):
    rig = station(seed)
    world = World(rig, climate=Climate(error_k=0.01))
    world.open("hole", hole(segment, diameter_m), round(HOLE_S * 1e9))
    fleet = Fleet(rig, world=world)
    loop = asyncio.get_running_loop()
    told = Told()

    def move(hatch, passage, state):
        world.move_hatch(hatch, passage, fleet.now_ns())
        gateway.findings.move_hatch(hatch, state)

    def reopen():
        told.reopened_s = loop.time()
        for hatch in told.closed:
            move(hatch, Passage.OPEN, HatchState.OPEN)

    def act(leak):
        hatch = leak["next_hatch"]
        if hatch is not None and hatch not in told.closed:
            told.closed.append(hatch)
            loop.call_later(20.0, move, hatch, Passage.CLOSED, HatchState.CLOSED)
        if max(leak["where"].values(), default=0.0) > 0.99 and told.closed and told.reopened_s == math.inf:
            told.reopened_s = loop.time() + 30.0
            loop.call_later(30.0, reopen)

    def deliver(message):
        if "/alarm/" in message.topic:
            told.alarms.append((loop.time(), message.topic, orjson.loads(message.payload) if message.payload else None))
        elif message.topic.endswith("/leak"):
            leak = orjson.loads(message.payload)
            told.leaks.append((loop.time(), leak))
            if follow:
                act(leak)

    async with fleet.serve(memory=True):
        gateway = memory_gateway(rig, fleet, deliver)
        try:
            async with asyncio.timeout(seconds):
                await gateway.run()
        except TimeoutError:
            pass
    return told


def limit_s():
    """Return the least mean delay of this configuration: 48 transducers of 5 Pa, 10 mK of unknown air temperature."""
    each = math.sqrt(LINES * UNITS)
    air_k = 0.01 * math.hypot(*SEGMENTS.values()) / sum(SEGMENTS.values())  # each segment errs for itself
    noise = Noise(white_pa=5.0 / each, drift_pa=0.02 / each, air_pa=air_k * 343.3, air_s=2700.0, step_s=1.0)
    slope_pa_s = 39.5 * 84.72 / 86_400 / 1.005  # kg/day in 1005 m3
    return delay_limit(noise, slope_pa_s, 30 * 86_400.0, samples=900).mean_s


@pytest.mark.timeout(180)
def test_a_2_mm_hole_is_announced_near_the_limit_closing_hatches_names_it_and_opening_them_raises_no_alarm():
    told = run_virtual(watched(1, 600.0))
    first_s, topic, state, segment = told.losses()[0]
    assert (topic, state, segment) == ("leak-station", "unacknowledged", None)
    assert HOLE_S < first_s <= HOLE_S + 1.5 * limit_s()
    named_s = next(at_s for at_s, _, _, segment in told.losses() if segment == "soyuz")
    assert named_s < told.reopened_s
    assert told.closed, "hatches were proposed, and closed"
    alone = [leak for at_s, leak in told.leaks if named_s <= at_s < told.reopened_s][-1]
    (body,) = [body for body in alone["bodies"] if "soyuz" in body["segments"]]
    low, high = body["ci95"]
    # kg/day through a sharp hole of 2 mm; closed off in 9 m3 the air cools by 4 mK/s, and the thermometers' mean comes
    # after it, smoothed over 20 s: in the first minute the rate is some 10 % too high
    assert 0.9 * low < 39.5 < high
    assert len(told.leaks[-1][1]["bodies"]) == 1, "all hatches are open again"
    assert {topic for _, topic, _, _ in told.losses(told.reopened_s)} <= {"leak-soyuz"}
    others = [(topic.rsplit("/", 1)[1], alarm["cause"]) for _, topic, alarm in told.alarms if alarm]
    assert {each for each in others if each[1] != "leak"} == {("depress-soyuz", "depressurisation")}, (
        "4 Pa/s while it is closed off: more than 1 mmHg/min"
    )
