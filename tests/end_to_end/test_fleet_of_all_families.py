"""Every family at once: 64 transducers on 8 lines and a network, one gateway, and each second something goes wrong.

The emulator knows the truth of each moment, so each good reading is compared with it.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import pytest

from drivers import registry
from drivers.reading import Quality, Reading, Readings, Reason
from drivers.rig import Rig
from firmware_sim.clock import run_virtual
from firmware_sim.fleet import Fleet
from tests.end_to_end.virtual_station import memory_gateway

PSI: Final = 6894.757
MAP: Final = {
    "pressure": {"address": 4, "type": "float32", "order": "CDAB", "unit": "Pa"},
    "temperature": {"address": 7, "type": "float32", "unit": "K"},
}
LASTS_S: Final = 600.0
QUIET_S: Final = (20.0, 560.0)  # nothing goes wrong before and after
HEALED_S: Final = 590.0
SLACK_S: Final = 30.0  # until a unit is believed again


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Transducers of one family on one line.

    Attributes:
        channels: inputs of one unit, in place of `units`.
        step_pa, step_k: the last digits that it sends.
        old_s, later_s: by so much its values may be older, or newer, than their stamp says.
        checked: its answers have a checksum.
    """

    model: str
    units: tuple[int, ...] = (1,)
    channels: tuple[int, ...] = ()
    words: dict[str, Any] = field(default_factory=dict)
    step_pa: float = 1.0
    step_k: float = 0.02
    old_s: float = 0.0
    later_s: float = 0.0
    checked: bool = False

    def transducers(self) -> Iterator[dict[str, Any]]:
        for channel in self.channels:
            yield {"model": self.model, "unit": self.units[0], "channel": channel, **self.words}
        for unit in () if self.channels else self.units:
            yield {"model": self.model, "unit": unit, **self.words}


EIGHT: Final = tuple(range(1, 9))
RANGE: Final = {"range": "0..160 kPa"}
SERIAL: Final = {"kind": "serial", "port": "-"}
LINES: Final[dict[str, tuple[dict[str, Any], tuple[Group, ...]]]] = {
    "keller": (
        {**SERIAL, "baud": 19200},
        (Group(model="keller-33x", units=EIGHT, checked=True),),
    ),
    "modbus": (
        {**SERIAL, "baud": 38400},
        (
            Group(model="keller-bus", units=(1, 2, 3, 4), checked=True),
            Group(model="modbus-map", units=(5, 6, 7, 8), words={"map": MAP}, checked=True),
            Group(model="generic-int", units=(11, 12, 13), step_pa=100.0, checked=True),
            Group(model="generic-float", units=(14, 15, 16), checked=True),
            Group(model="waveshare-8ch", units=(21,), channels=EIGHT, words=RANGE, step_pa=62.0, checked=True),
        ),
    ),
    "flow": (
        {**SERIAL, "baud": 19200},
        (
            Group(model="alicat", units=(1, 2, 3), step_pa=0.001 * PSI, step_k=0.01),
            Group(model="honeywell-hpb", units=(11, 12, 13), step_pa=0.001 * PSI, step_k=0.1, later_s=2.5),
        ),
    ),
    "vacuum": (
        {**SERIAL, "baud": 9600},
        (
            Group(model="pfeiffer-telegram", units=(1, 2, 3, 4), step_pa=100.0, checked=True),
            Group(model="mks-900", units=(101, 102, 103), step_pa=13.4, step_k=0.1, later_s=2.5),
            Group(model="vaisala-ptb210", units=(7,)),
        ),
    ),
    "fine": (
        {**SERIAL, "baud": 9600},
        (
            Group(model="paroscientific-6000", units=(1, 2), later_s=2.5),
            Group(model="mensor-cpt", units=(4, 5), words={"options": {"unit": "psi"}}),
            Group(model="druck-terps", units=(7, 8)),
            Group(model="adam-4117", units=(33,), channels=EIGHT, words=RANGE, step_pa=10.0),
        ),
    ),
    "weather": (
        {**SERIAL, "baud": 9600, "format": "7E1"},
        (Group(model="vaisala-ptb330", units=(0,), old_s=1.2, checked=True),),
    ),
    "gauge": ({**SERIAL, "baud": 9600}, (Group(model="pfeiffer-tpg26x", channels=(1, 2), step_pa=10.0),)),
    "old": ({**SERIAL, "baud": 2400}, (Group(model="setra-470"),)),
    "network": (
        {"kind": "line-over-udp", "port": "127.0.0.1:1025"},
        (Group(model="adam-6017", channels=(1, 2), words=RANGE, step_pa=10.0),),
    ),
}
SLOW: Final = ("flow", "vacuum")  # lines with instruments that measure first: polled every other second

ANY: Final = {Reason.TIMEOUT, Reason.CRC, Reason.LATE, Reason.FOREIGN}
"""What a line in trouble may say of any of its units while proof is sought."""
TEXT_TOO: Final[dict[str, set[Reason]]] = {
    "silence": {Reason.TIMEOUT},
    "late,delay=400ms": {Reason.TIMEOUT, Reason.LATE},
    "late,delay=1500ms": {Reason.TIMEOUT, Reason.LATE},
    "truncate,bytes=2": {Reason.CRC, Reason.TIMEOUT},
    "noise,before=3,after=2": set(),
    "duplicate,delay=400ms": set(),
    "echo,answer=0": {Reason.TIMEOUT},
    "exception": {Reason.EXCEPTION},
    "reboot": {Reason.TIMEOUT, Reason.RESTARTED},
    "brownout": {Reason.TIMEOUT, Reason.CRC},
    "babble": {Reason.CRC, Reason.FOREIGN},
    "cut": {Reason.TIMEOUT},
    "address,unit=99": {Reason.TIMEOUT},
    "baud": {Reason.TIMEOUT},
    "skew,speed=90%": set(),
}
CHECKED_TOO: Final[dict[str, set[Reason]]] = {
    "crc": {Reason.CRC},
    "head,within=20ms": {Reason.CRC},
    "foreign,unit=90": {Reason.FOREIGN},
    "function": {Reason.FOREIGN},
}
LINES_TOO: Final[dict[str, set[Reason]]] = {
    "unplug": {Reason.BUS_DOWN},
    "rename": {Reason.BUS_DOWN},
    "traffic,every=300ms": {Reason.FOREIGN, Reason.CRC},
}
SILENT_FAMILIES: Final = {
    "exception": ("honeywell-hpb", "paroscientific-6000", "setra-470", "vaisala-ptb210", "mensor-cpt", "druck-terps"),
    "echo,answer=0": (),
    "address,unit=99": ("waveshare-8ch", "adam-4117", "adam-6017", "pfeiffer-tpg26x"),
}
NETWORK_NOT: Final = ("noise", "echo", "babble", "cut", "baud", "address", "brownout", "skew", "duplicate")
"""What a network does not do to datagrams, or what is not said of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """One fault of the run, and the reasons that may be given for it."""

    kind: str
    target: str
    bus: str
    begin_s: float
    end_s: float
    causes: frozenset[Reason]

    def spec(self) -> str:
        """Return it as a fault that begins now."""
        kind, comma, numbers = self.kind.partition(",")
        when = "" if kind == "reboot" else f"@+{self.end_s - self.begin_s:g}s"
        return f"{kind}:{self.target}{when}{comma}{numbers}"


def station() -> tuple[Rig, dict[str, Group]]:
    """Return the rig, and the group of each transducer."""
    transducers, groups = {}, {}
    for bus, (_, members) in LINES.items():
        for group in members:
            for number, words in enumerate(group.transducers(), 1):
                name = f"{bus}_{group.model}_{number}"
                poll = "2 s" if bus in SLOW else "1 s"
                transducers[name] = {"bus": bus, "segment": "cabin", "poll": poll, **words}
                groups[name] = group
    rig = Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi1"},
            "segment": {"cabin": {"volume": "10 m3"}},
            "bus": {bus: words for bus, (words, _) in LINES.items()},
            "transducer": transducers,
        }
    )
    return rig, groups


RIG, GROUPS = station()


def plan(rig: Rig, groups: dict[str, Group], seed: int) -> list[Struck]:
    """Draw a fault for each second."""
    draw, faults = Random(seed), []
    for second in range(int(QUIET_S[0]), int(QUIET_S[1])):
        begin_s, lasts_s = second + round(draw.random(), 3), draw.choice((0.5, 1.0, 2.0, 3.0))
        name = draw.choice(list(rig.transducers))
        words, group = rig.transducers[name], groups[name]
        kinds = TEXT_TOO | (CHECKED_TOO if group.checked else {})
        kinds = {kind: why for kind, why in kinds.items() if group.model not in SILENT_FAMILIES.get(kind, ())}
        if not registry.model(group.model).name.startswith(("keller", "modbus", "generic", "waveshare")):
            kinds.pop("function", None)
        if words.bus == "network":
            kinds = {kind: why for kind, why in kinds.items() if not kind.startswith(NETWORK_NOT)}
        on_line = draw.random() < 0.03 and words.bus != "network"
        kind = draw.choice(list(LINES_TOO if on_line else kinds))
        causes = (LINES_TOO if on_line else kinds)[kind]
        target = words.bus if on_line else name
        faults.append(
            Struck(
                kind=kind,
                target=target,
                bus=words.bus,
                begin_s=begin_s,
                end_s=begin_s + lasts_s,
                causes=frozenset(causes),
            )
        )
    return faults


class Air:
    """A pressure that falls by 50 Pa/s and a temperature that rises by 10 mK/s, so that yesterday's values show."""

    def sensor(self, _: str) -> "Air":
        return self

    def read(self, at_ns: int) -> tuple[float, float]:
        at_s = at_ns * 1e-9
        return 110_000.0 - 50.0 * at_s, 290.0 + 0.01 * at_s


@dataclass
class Seen:
    lies: list[str] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)
    told: dict[str, Counter[Reason]] = field(default_factory=lambda: defaultdict(Counter))
    good: Counter[str] = field(default_factory=Counter)
    healed: dict[str, set[Quality]] = field(default_factory=lambda: defaultdict(set))


def lie(group: Group, reading: Reading) -> str:
    """Say what is wrong with a good reading, nothing if it was so within its stamp."""
    place = ("pressure", "temperature").index(reading.channel.quantity)
    moments_s = (
        reading.time_s - reading.uncertainty_s - group.old_s,
        reading.time_s + reading.uncertainty_s + place * group.later_s,
    )
    low, high = sorted(Air().read(round(moment_s * 1e9))[place] for moment_s in moments_s)
    step = (group.step_pa, group.step_k)[place]
    if reading.value is not None and low - step <= reading.value <= high + step:
        return ""
    return f"{reading.channel.id} at {reading.time_s:.3f} s is {reading.value}, in truth {low:.2f} to {high:.2f}"


def meant(fault: Struck, name: str) -> bool:
    """Say whether a fault is that of a transducer's bus or unit."""
    unit, other = RIG.transducers[name], RIG.transducers.get(fault.target)
    return fault.target == unit.bus or (other is not None and (other.bus, other.unit) == (unit.bus, unit.unit))


def judge(seen: Seen, faults: list[Struck], groups: dict[str, Group], reading: Reading, now_s: float) -> None:
    name = reading.channel.transducer
    bus = name.partition("_")[0]
    if reading.quality is Quality.GOOD:
        seen.good[name] += 1
        seen.lies += [wrong] if (wrong := lie(groups[name], reading)) else []
    else:
        near = [each for each in faults if each.bus == bus and each.begin_s - 0.1 <= now_s <= each.end_s + SLACK_S]
        if not any(meant(each, name) or reading.reason in ANY for each in near):
            seen.unexplained.append(f"{reading.channel.id} at {now_s:.1f} s: {reading.reason.word}")
        for each in near:
            if meant(each, name) and reading.reason in each.causes:
                seen.told[each.kind][reading.reason] += 1
    if now_s >= HEALED_S:
        seen.healed[name].add(reading.quality)


async def strike(fleet: Fleet, faults: list[Struck]) -> None:
    """Inject each fault at its time, and forget it when it is over."""
    loop = asyncio.get_running_loop()
    under_way = []
    for each in sorted(faults, key=lambda each: each.begin_s):
        await asyncio.sleep(each.begin_s - loop.time())
        for over in [fault for end_s, fault in under_way if end_s < loop.time()]:
            fleet.faults.clear(over)
        under_way = [(end_s, fault) for end_s, fault in under_way if end_s >= loop.time()]
        under_way.append((each.end_s, fleet.faults.inject(each.spec())))


async def watched(rig: Rig, groups: dict[str, Group], faults: list[Struck]) -> Seen:
    seen, loop = Seen(), asyncio.get_running_loop()
    fleet = Fleet(rig, world=Air())
    async with fleet.serve(memory=True):
        gateway = memory_gateway(rig, fleet, lambda _: None)

        def take(readings: Readings) -> None:
            for reading in readings:
                judge(seen, faults, groups, reading, loop.time())

        gateway.listeners.append(take)
        try:
            async with asyncio.timeout(LASTS_S), asyncio.TaskGroup() as tasks:
                tasks.create_task(gateway.run())
                tasks.create_task(strike(fleet, faults))
        except TimeoutError:
            pass
    return seen


@pytest.mark.timeout(300)
def test_ten_minutes_with_a_fault_every_second_bring_no_wrong_value_and_name_every_cause() -> None:
    rig, groups = RIG, GROUPS
    assert len(rig.transducers) >= 64
    assert {group.model for group in groups.values()} == set(registry.names())
    faults = plan(rig, groups, seed=1)
    seen = run_virtual(watched(rig, groups, faults))
    assert seen.lies == []
    assert seen.unexplained == []
    noticed = {each.kind for each in faults if each.causes}
    assert {kind for kind in noticed if not seen.told[kind]} == set(), "each kind is told by a cause of its own"
    assert {name for name in rig.transducers if seen.good[name] < 200} == set(), "promises are not kept by silence"
    assert {name for name, qualities in seen.healed.items() if qualities != {Quality.GOOD}} == set()
