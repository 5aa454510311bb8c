"""Each family through its real bus in virtual time: true values, named faults, nothing wrong called good."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pytest

from drivers.bus import Bus
from drivers.reader import reader
from drivers.reading import RawPoll, Reason
from drivers.rig import Rig
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from firmware_sim.testing import emulated

TEMPERATURE_K: Final = 295.15
TRUTH: Final = {"p1": (80_000.0, -500.0), "p2": (95_000.0, 300.0)}  # Pa at the start, Pa/s: far from each other
TROUBLE_S: Final = (5.0, 20.0)
HEALED_S: Final = 32.0
END_S: Final = 40.0
TEXT: Final = {"kind": "line-over-tcp"}


@dataclass(frozen=True, kw_only=True)
class Family:
    """Two transducers of a family on one line, or one where the line has room for one only.

    Attributes:
        resolution_pa: of what the twin sends.
        checked: its answers have a checksum, so that a flipped bit shows.
        deaf_ms: how long it is out of reach in a restart that is noticed, and
        restart: what is said of it.
    """

    name: str
    bus: dict[str, Any] = field(default_factory=lambda: {"kind": "serial", "baud": 19200})
    resolution_pa: float = 1.0
    checked: bool = True
    units: tuple[int, ...] = (1, 2)
    words: dict[str, Any] = field(default_factory=dict)
    deaf_ms: int = 2000
    restart: Reason = Reason.TIMEOUT

    def rig(self) -> Rig:
        transducers = {
            f"p{at + 1}": {"model": self.name, "bus": "b", "unit": unit, "segment": "s", **self.words}
            for at, unit in enumerate(self.units)
        }
        return Rig.model_validate(
            {
                "station": {"id": "iss", "gateway": "pi1"},
                "segment": {"s": {}},
                "bus": {"b": {"port": "-", **self.bus}},
                "transducer": transducers,
            }
        )


@dataclass(frozen=True)
class Element:
    """What one transducer feels."""

    start_pa: float
    pa_per_s: float

    def read(self, at_ns: int) -> tuple[float, float]:
        return self.start_pa + self.pa_per_s * at_ns / 1e9, TEMPERATURE_K


class MovingAir:
    """A pressure that never stands still for each transducer."""

    def sensor(self, transducer_id: str) -> Element:
        return Element(*TRUTH[transducer_id])


FAMILIES: Final = {
    family.name: family
    for family in (
        Family(name="keller-bus", deaf_ms=10, restart=Reason.RESTARTED),
        Family(name="generic-int", resolution_pa=100.0),
        Family(name="generic-float"),
        Family(name="druck-terps", bus=TEXT, checked=False),
        Family(name="mensor-cpt", bus=TEXT, checked=False, words={"options": {"unit": "psi"}}),
        Family(name="vaisala-ptb210", bus=TEXT, checked=False, units=(0,)),
    )
}
FAULTS: Final = (
    "silence",
    "late,delay=20ms",
    "late,delay=60ms",
    "late,delay=180ms",
    "late,delay=400ms",
    "late,delay=1500ms",
    "late,delay=6s",
    "crc",
    "truncate,bytes=2",
    "truncate,bytes=7",
    "noise,before=3,after=2",
    "duplicate,delay=20ms",
    "duplicate,delay=400ms",
    "duplicate,delay=3s",
    "echo",
    "exception",
    "reboot,deaf=700ms",
)


@dataclass
class Seen:
    """What the polls of a run brought: (transducer, when the poll ended, poll), and each good value that is untrue."""

    polls: list[tuple[str, float, RawPoll]] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)

    def reasons(self, start_s: float = 0.0, end_s: float = np.inf, transducer: str = "") -> list[Reason]:
        return [
            Reason(code)
            for name, came_s, poll in self.polls
            if start_s <= came_s < end_s and name.startswith(transducer)
            for code in poll.reasons.tolist()
        ]


def lies(poll: RawPoll, resolution_pa: float) -> Iterable[str]:
    """Say what is wrong with the good values of a poll; virtual time begins with the fleet."""
    for channel, value, reason in zip(poll.channels, poll.values.tolist(), poll.reasons.tolist(), strict=True):
        if reason != Reason.NONE:
            continue
        low = high = TEMPERATURE_K
        tolerance = 0.01
        if channel.quantity == "pressure":
            element = Element(*TRUTH[channel.transducer])
            moments_s = (poll.time_s - poll.uncertainty_s, poll.time_s + poll.uncertainty_s)
            low, high = sorted(element.read(round(moment_s * 1e9))[0] for moment_s in moments_s)
            tolerance = resolution_pa
        if not low - tolerance <= channel.unit.to_si(value) <= high + tolerance:
            yield f"{channel.id} at {poll.time_s:.3f} s: {value} {channel.unit.symbol}, truly {low:.1f} to {high:.1f}"


def transport(fleet: Fleet) -> MemoryTransport:
    return MemoryTransport(fleet.memory["b"].connect)


async def polled(family: Family, seconds: float, faults: Iterable[str]) -> Seen:
    seen, station, loop = Seen(), family.rig(), asyncio.get_running_loop()

    async with (
        emulated(station, memory=True, faults=faults, world=MovingAir()) as fleet,
        Bus(
            "b", station.buses["b"], make_transport=lambda _: MemoryTransport(fleet.memory["b"].connect)
        ).opened() as bus,
    ):
        readers = [(reader(bus, unit, transducers), *transducers) for unit, transducers in station.units("b").items()]
        while loop.time() < seconds:
            for each, name in readers:
                poll = await each.poll()
                seen.polls.append((name, loop.time(), poll))
                seen.untrue += lies(poll, family.resolution_pa)
            await asyncio.sleep(0.25)
    return seen


def run(family: Family, seconds: float = END_S, faults: Iterable[str] = ()) -> Seen:
    return run_virtual(polled(family, seconds, faults))


def spec(fault: str, condition: str) -> str:
    kind, comma, parameters = fault.partition(",")
    start_s, end_s = TROUBLE_S
    return f"{kind}:p1@{start_s:g}s+{end_s - start_s:g}s{condition}{comma}{parameters}"


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_reads_true_values(name: str) -> None:
    seen = run(FAMILIES[name], 20.0)
    assert seen.untrue == []
    assert set(seen.reasons()) == {Reason.NONE}
    assert len(seen.reasons()) >= 40


CASES: Final = [
    pytest.param(family, fault, id=f"{family.name}-{fault}")
    for family in FAMILIES.values()
    for fault in FAULTS
    if family.checked or fault != "crc"
]


@pytest.mark.parametrize(("family", "fault"), CASES)
def test_each_family_recovers_and_calls_nothing_wrong_good(family: Family, fault: str) -> None:
    seen = run(family, faults=[spec(fault, "@40%")])
    assert seen.untrue == []
    assert set(seen.reasons(end_s=TROUBLE_S[0])) == {Reason.NONE}
    healed = seen.reasons(HEALED_S, transducer="p1")
    assert len(healed) >= 12
    assert set(healed) == {Reason.NONE}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_restart_is_noticed(name: str) -> None:
    family = FAMILIES[name]
    seen = run(family, faults=[f"reboot:p1@{at_s}s,deaf={family.deaf_ms}ms" for at_s in (9.8, 11.9, 14.05, 16.15)])
    assert seen.untrue == []
    assert family.restart in seen.reasons(9.8, 22.0, "p1")
    assert set(seen.reasons(HEALED_S)) == {Reason.NONE}


@pytest.mark.parametrize("fault", ["", "silence", "late,delay=400ms", "duplicate,delay=400ms", "reboot,deaf=700ms"])
def test_a_sensor_that_streams_on_its_own_is_stopped_and_read(fault: str) -> None:
    family = Family(name="druck-terps", bus=TEXT, units=(0,))
    seen = run(family, faults=[spec(fault, "@40%")] if fault else [])
    assert seen.untrue == []
    assert Reason.NONE in seen.reasons(end_s=TROUBLE_S[0])
    assert set(seen.reasons(HEALED_S)) == {Reason.NONE}
    assert len(seen.reasons(HEALED_S)) >= 12
