"""Gauges that are asked in lines of text, through the real bus in virtual time: right values, named faults, recovery.

A line without a checksum cannot show a flipped bit in a number, so the fault `crc` is only for families that have one.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pytest

from drivers.bus import Bus
from drivers.reader import UnitReader, reader
from drivers.reading import Quality, Reading, Reason
from drivers.rig import Rig
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.firmware import mks_900, pfeiffer_telegram
from firmware_sim.firmware.current_loop import LoopFailure
from firmware_sim.fleet import Fleet
from tests.end_to_end.virtual_station import FALLING, RISING, MovingAir, observe, rig

TROUBLE_S: Final = (8.0, 24.0)
HEALED_S: Final = 40.0
END_S: Final = 52.0
POLL: Final = "1 s"
_TEMPERATURE_AFTER_S: Final = 1.5  # it is asked for after the pressure, and stamped like it


@dataclass(frozen=True, kw_only=True)
class Family:
    """Two units of a family on one line, and how one of them is broken.

    Attributes:
        breaks: what to do to a twin.
        shows: the reason that its pressure then has.
        gauges: their channels where both are inputs of one unit.
        step_pa, step_k: the last digit that it sends, at the pressures and temperatures of these tests.
    """

    model: str
    units: tuple[int, int]
    kind: str = "serial"
    baud: int = 9600
    words: dict[str, Any] = field(default_factory=dict)
    breaks: Callable[[Any], None]
    shows: Reason = Reason.SENSOR_FAILURE
    checksum: bool = False
    refuses_aloud: bool = True
    step_pa: float
    step_k: float = 0.1
    gauges: tuple[int, int] | None = None

    def rig(self) -> Rig:
        transducers = {
            name: {"model": self.model, "unit": unit, "segment": segment, "poll": POLL, **self.words}
            for name, unit, segment in zip(("p1", "p2"), self.units, (FALLING, RISING), strict=True)
        }
        if self.gauges is not None:
            for words, gauge in zip(transducers.values(), self.gauges, strict=True):
                words["channel"] = gauge
        return rig({"kind": self.kind, "baud": self.baud}, transducers)


FAMILIES: Final = {
    "alicat": Family(
        model="alicat", units=(1, 2), baud=19200, breaks=lambda twin: twin.fail("ADC"), step_pa=6.9, step_k=0.01
    ),
    "honeywell": Family(
        model="honeywell-hpb",
        units=(1, 2),
        breaks=lambda twin: twin.fail(parity=True),
        refuses_aloud=False,
        step_pa=6.9,
    ),
    "mks": Family(
        model="mks-900",
        units=(1, 2),
        words={"options": {"unit": "Torr"}},
        breaks=lambda twin: twin.fail(mks_900.Status.PIEZO),
        step_pa=13.4,
    ),
    "pfeiffer": Family(
        model="pfeiffer-telegram",
        units=(1, 2),
        breaks=lambda twin: twin.fail(pfeiffer_telegram.Fault.TRANSMITTER),
        checksum=True,
        step_pa=100.0,
    ),
    "adam": Family(
        model="adam-4117",
        units=(1, 1),
        gauges=(1, 2),
        words={"range": "0..160 kPa"},
        breaks=lambda twin: twin.fail(1, LoopFailure.LOW),
        step_pa=10.0,
    ),
    "adam in datagrams": Family(
        model="adam-6017",
        units=(1, 1),
        kind="line-over-udp",
        gauges=(1, 2),
        words={"range": "0..160 kPa"},
        breaks=lambda twin: twin.fail(1, LoopFailure.HIGH),
        step_pa=10.0,
    ),
    "tpg26x": Family(
        model="pfeiffer-tpg26x", units=(1, 1), gauges=(1, 2), breaks=lambda twin: twin.fail(1), step_pa=10.0
    ),
}
FAULTS: Final = (
    "silence",
    "late,delay=60ms",
    "late,delay=180ms",
    "late,delay=400ms",
    "late,delay=1500ms",
    "truncate,bytes=1",
    "truncate,bytes=9",
    "noise,before=3,after=2",
    "duplicate,delay=20ms",
    "duplicate,delay=400ms",
    "duplicate,delay=3s",
    "echo",
    "exception",
    "reboot,deaf=700ms",
)
DATAGRAM_FAULTS: Final = ("silence", "late,delay=180ms", "late,delay=1500ms", "duplicate,delay=3s", "exception")
CASES: Final = [
    (name, fault)
    for name, family in FAMILIES.items()
    for fault in (*FAULTS, "crc")
    if (family.checksum or fault != "crc") and (family.refuses_aloud or fault != "exception")
    if family.kind == "serial" or fault in DATAGRAM_FAULTS
]


def twin(fleet: Fleet, unit: int) -> Any:
    """Return the device at one address."""
    if "b" not in fleet.lines:
        return fleet._buses["b"]._units[unit].firmware
    line = fleet.lines["b"]
    stations = {station.name: station for station in (*line._framed, *line._terminated)}
    return stations[f"unit {unit}"].firmware.firmware


class Witness:
    """A run beside the truth: what was good, and what of it was untrue by more than the family's last digit."""

    def __init__(self, family: Family, seconds: float, **more: Any) -> None:
        self._family = family
        self._air = MovingAir(family.rig())
        self.seen = observe(family.rig(), seconds, make_world=lambda _: self._air, **more)

    def untrue(self) -> list[Reading]:
        return [each for _, each in self.seen.readings if each.quality is Quality.GOOD and not self._is_true(each)]

    def _is_true(self, reading: Reading) -> bool:
        pressure = reading.channel.quantity == "pressure"
        step = self._family.step_pa if pressure else self._family.step_k
        after_s = 0.0 if pressure else _TEMPERATURE_AFTER_S
        moments_s = (reading.time_s - reading.uncertainty_s, reading.time_s + reading.uncertainty_s + after_s)
        sensor = self._air.sensor(reading.channel.transducer)
        low, high = sorted(sensor.read(round(moment_s * 1e9))[not pressure] for moment_s in moments_s)
        return reading.value is not None and low - 0.51 * step <= reading.value <= high + 0.51 * step


def spec(fault: str, target: str, condition: str) -> str:
    kind, comma, parameters = fault.partition(",")
    start_s, end_s = TROUBLE_S
    return f"{kind}:{target}@{start_s:g}s+{end_s - start_s:g}s{condition}{comma}{parameters}"


@pytest.mark.parametrize(("family", "fault"), CASES)
@pytest.mark.parametrize(("target", "condition"), [("p1", "@40%"), ("b", "@/3")], ids=["one", "all"])
def test_no_wrong_value_is_good_and_all_is_well_again_after(
    family: str, fault: str, target: str, condition: str
) -> None:
    witness = Witness(FAMILIES[family], END_S, faults=[spec(fault, target, condition)])
    seen = witness.seen
    assert fault.partition(",")[0] in seen.struck()
    assert witness.untrue() == []
    for transducer in ("p1", "p2"):
        assert len(seen.good(transducer, end_s=TROUBLE_S[0])) >= 5
        healed = seen.of(transducer, start_s=HEALED_S)
        assert len(healed) >= 8
        assert {each.quality for each in healed} == {Quality.GOOD}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_broken_unit_is_named_while_the_other_one_stays_good(family: str) -> None:
    each = FAMILIES[family]
    run_virtual(_break_first(each, each.rig()))


async def _break_first(family: Family, station: Rig) -> None:
    fleet = Fleet(station, world=MovingAir(station))
    async with fleet.serve(memory=True):
        bus = Bus("b", station.buses["b"], make_transport=lambda _: MemoryTransport(fleet.memory["b"].connect))
        async with bus.opened():
            readers = {unit: reader(bus, unit, words) for unit, words in station.units("b").items()}
            assert await _reasons(readers) == {"p1": Reason.NONE, "p2": Reason.NONE}
            family.breaks(twin(fleet, family.units[0]))
            assert await _reasons(readers) == {"p1": family.shows, "p2": Reason.NONE}


async def _reasons(readers: dict[int, UnitReader]) -> dict[str, Reason]:
    """Poll each unit twice; return the reason that each transducer's pressure has then."""
    reasons = {}
    for unit in readers.values():
        for _ in range(2):
            await asyncio.sleep(1.0)
            poll = await unit.poll()
        for channel, reason, value in zip(poll.channels, poll.reasons, poll.values, strict=True):
            if channel.quantity == "pressure":
                assert np.isfinite(value) == (reason == Reason.NONE)
                reasons[channel.transducer] = Reason(int(reason))
    return reasons
