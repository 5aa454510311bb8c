"""A whole station in virtual time, gateway and emulator together, beside a witness that knows the truth.

The air of two segments moves fast and in opposite ways, far from each other: a value of another segment, of another
quantity or from another moment than its reading says is then far from everything that its segment went through in that
moment.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from drivers.reading import Quality, Reading, Readings
from drivers.rig import Rig
from drivers.trace.records import Trace
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.firmware.firmware import Sensor
from firmware_sim.fleet import Fleet, Sensors
from firmware_sim.line_time import LineStatistics
from gateway.app import Gateway
from gateway.mqtt.journal import Journal
from gateway.mqtt.memory import MemoryLink
from gateway.mqtt.outbox import Message

WALL_S: Final = 1_700_000_000.0
FALLING, RISING = "falling", "rising"
_TOLERANCE: Final = {"pressure": 0.2, "temperature": 0.002}  # Pa and K: the digits that instruments round to
_BEFORE_S: Final = {"vaisala-ptb330": 1.0}  # it measures once a second: what it sends can be that old
_AFTER_S: Final = {"paroscientific-6000": 2.0}  # its temperature is asked for after its pressure, and stamped like it
_SEGMENTS: Final = {FALLING: {"volume": "10 m3"}, RISING: {"volume": "10 m3"}}


def rig(bus: dict[str, Any], transducers: dict[str, dict[str, Any]], **more: Any) -> Rig:
    """Build a rig of one bus "b"."""
    return Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi1"},
            "segment": _SEGMENTS,
            "bus": {"b": {"port": "-", **bus}},
            "transducer": {name: {"bus": "b", **words} for name, words in transducers.items()},
            "emulator": {"seed": 1},
            **more,
        }
    )


def keller(unit: int, segment: str, poll: str = "250 ms", **more: Any) -> dict[str, Any]:
    """Describe one KELLER transmitter."""
    return {"model": "keller-33x", "unit": unit, "segment": segment, "poll": poll, **more}


class MovingAir:
    """Air that falls in one segment and rises in the other, and gets warmer or colder; felt without noise."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig

    def sensor(self, transducer_id: str) -> Sensor:
        """Return what feels a transducer's segment."""
        return _Felt(self._rig.transducers[transducer_id].segment)


@dataclass(frozen=True)
class _Felt:
    segment: str

    def read(self, at_ns: int) -> tuple[float, float]:
        """Return pressure and temperature; within a millisecond both move by more than instruments round to."""
        at_s = at_ns * 1e-9
        if self.segment == FALLING:
            return 80_000.0 - 500.0 * at_s, 290.0 + 0.2 * at_s
        return 89_000.0 + 300.0 * at_s, 330.0 - 0.1 * at_s


@dataclass(kw_only=True)
class Observed:
    """What came of a run.

    Attributes:
        readings: as the gateway gave them to its listeners, with the time at which they came.
        untrue: each good reading that its segment never supported within the reading's time and uncertainty.
        lines: statistics of the emulated lines at the end.
    """

    readings: list[tuple[float, Reading]] = field(default_factory=list)
    messages: list[tuple[float, Message]] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)
    lines: dict[str, LineStatistics] = field(default_factory=dict)
    trace: Trace = field(default_factory=Trace)

    def of(self, transducer: str, *, start_s: float = 0.0, end_s: float = float("inf")) -> list[Reading]:
        """Return the pressure readings of one transducer that came in that time."""
        return [
            reading
            for came_s, reading in self.readings
            if reading.channel.id == f"{transducer}.pressure" and start_s <= came_s < end_s
        ]

    def good(self, transducer: str, *, start_s: float = 0.0, end_s: float = float("inf")) -> list[Reading]:
        """Return the good ones of them."""
        return [each for each in self.of(transducer, start_s=start_s, end_s=end_s) if each.quality is Quality.GOOD]

    def on(self, topic: str) -> list[tuple[float, dict[str, Any]]]:
        """Return (when, payload) of the messages on a topic below the station's."""
        return [
            (at_s, orjson.loads(message.payload))
            for at_s, message in self.messages
            if message.topic == f"manovac/v1/iss/{topic}"
        ]

    def health(self) -> dict[str, Any]:
        """Return the last health."""
        return self.on("gw/pi1/health")[-1][1]

    def struck(self) -> set[str]:
        """Return the kinds of faults that struck a request."""
        notes = (record.note for record in self.trace.records if not record.data)
        return {kind for note in notes for kind in note.split(", ")}


def observe(
    rig: Rig,
    seconds: float,
    *,
    faults: Iterable[str] = (),
    echo: Collection[str] = (),
    emulate: Rig | None = None,
    make_world: Callable[[Rig], Sensors] = MovingAir,
) -> Observed:
    """Run gateway and emulator for that long.

    Args:
        emulate: another rig than the gateway's.
        make_world: what its air does.
    """
    observed = Observed()
    run_virtual(_run(rig, emulate or rig, seconds, observed, faults=faults, echo=echo, make_world=make_world))
    return observed


async def _run(
    rig: Rig,
    emulate: Rig,
    seconds: float,
    observed: Observed,
    *,
    faults: Iterable[str],
    echo: Collection[str],
    make_world: Callable[[Rig], Sensors],
) -> None:
    loop = asyncio.get_running_loop()
    world = make_world(emulate)
    fleet = Fleet(emulate, world=world, faults=faults, trace=observed.trace, echo=echo)
    async with fleet.serve(memory=True):
        gateway = memory_gateway(rig, fleet, lambda message: observed.messages.append((loop.time(), message)))

        def take(readings: Readings) -> None:
            for reading in readings:
                observed.readings.append((loop.time(), reading))
                if reading.quality is Quality.GOOD and (lie := _lie(world, rig, reading)):
                    observed.untrue.append(lie)

        gateway.listeners.append(take)
        try:
            async with asyncio.timeout(seconds):
                await gateway.run()
        except TimeoutError:
            pass
        observed.lines = {name: line.statistics for name, line in fleet.lines.items()}


def memory_gateway(
    rig: Rig,
    fleet: Fleet,
    deliver: Callable[[Message], None],
    *,
    make_link: type[MemoryLink] = MemoryLink,
    journal: Journal | None = None,
) -> Gateway:
    """Make the gateway of a rig that is served in memory; everything about it is the same at each run."""
    loop = asyncio.get_running_loop()
    names = {id(bus): name for name, bus in rig.buses.items()}
    return Gateway(
        rig,
        rig_hash="0" * 64,
        make_carrier=lambda outbox, **words: make_link(outbox, deliver, **words),
        make_transport=lambda bus: MemoryTransport(fleet.memory[names[id(bus)]].connect),
        journal=journal,
        boot="0001",
        wall=lambda: WALL_S + loop.time(),
        sync=lambda: "ntp",
    )


def _lie(world: Sensors, rig: Rig, reading: Reading) -> str:
    """Say what is wrong with a good reading; nothing if its segment was like that. The fleet begins at loop time 0."""
    channel = reading.channel
    place = ("pressure", "temperature").index(channel.quantity)
    model = rig.transducers[channel.transducer].model
    earliest_s = reading.time_s - reading.uncertainty_s - _BEFORE_S.get(model, 0.0)
    latest_s = reading.time_s + reading.uncertainty_s + place * _AFTER_S.get(model, 0.0)
    felt = [world.sensor(channel.transducer).read(round(moment_s * 1e9))[place] for moment_s in (earliest_s, latest_s)]
    tolerance = _TOLERANCE[channel.quantity]
    if reading.value is not None and min(felt) - tolerance <= reading.value <= max(felt) + tolerance:
        return ""
    return f"{channel.id} at {reading.time_s:.3f} s is {reading.value}, in truth {min(felt):.3f} to {max(felt):.3f}"
