"""The same gateway and emulator in real time, over the ports of the operating system."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import pytest

from drivers.bus import Bus
from drivers.exchange import Outcome
from drivers.precise_loop import precise_event_loop
from drivers.reading import Quality, Reading, Readings, Reason
from drivers.rig import Rig
from drivers.rig_source import load_rig
from firmware_sim.fleet import Fleet
from firmware_sim.physics.world import World
from firmware_sim.testing import emulated
from gateway.app import Gateway
from gateway.mqtt.memory import MemoryLink
from tests.end_to_end.virtual_station import FALLING, RISING, keller, observe, rig

PATIENCE_S = 20.0


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run in a loop whose timers keep microseconds, as `manovac run` does."""
    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        runner.run(asyncio.wait_for(coroutine, PATIENCE_S))


Until = Callable[[Callable[[list[Reading]], bool]], Awaitable[None]]


@asynccontextmanager
async def running(rig: Rig, fleet: Fleet) -> AsyncIterator[tuple[list[Reading], Until, Gateway]]:
    """Run the gateway of an emulated rig over its real ports; yield (readings so far, wait until they are such, it)."""
    got: list[Reading] = []
    gateway = Gateway(
        rig.with_ports(fleet.ports),
        rig_hash="0" * 64,
        make_carrier=lambda outbox, **words: MemoryLink(outbox, lambda message: None, **words),
    )

    def take(readings: Readings) -> None:
        got.extend(each for each in readings if each.channel.quantity == "pressure")

    gateway.listeners.append(take)
    task = asyncio.create_task(gateway.run())

    async def until(condition: Callable[[list[Reading]], bool]) -> None:
        while not condition(got):
            assert not task.done()
            await asyncio.sleep(0.01)

    try:
        yield got, until, gateway
    finally:
        task.cancel()
        await asyncio.wait([task])


def failures(bus: Bus) -> int:
    """How many questions of a bus got no answer in time."""
    units = bus.statistics().units.values()
    return sum(number for unit in units for outcome, number in unit.outcomes.items() if outcome != Outcome.REPLY)


def test_silence_of_3_5_characters_is_kept_on_real_pseudo_terminals() -> None:
    """At 115200 baud for a thousand requests; the slower lines run beside it as long as that takes.

    Gateway and devices share this process. When a busy machine lets it stand still for longer than the gateway waits,
    the answer is on the wire when it is given up: no real device would be so late. Only then may the next question
    meet it.
    """
    bauds = {"fast": 115200, "middle": 19200, "slow": 9600}
    three = Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi1"},
            "segment": {FALLING: {}, RISING: {}},
            "bus": {name: {"kind": "serial", "port": "-", "baud": baud} for name, baud in bauds.items()},
            "transducer": {
                f"{name}{unit}": {**keller(unit, RISING, "5 ms"), "bus": name} for name in bauds for unit in (1, 2)
            },
        }
    )

    async def main() -> None:
        async with emulated(three) as fleet, running(three, fleet) as (_, until, gateway):
            await until(lambda _: fleet.lines["fast"].statistics.requests >= 1000)
            statistics = {name: line.statistics for name, line in fleet.lines.items()}
            given_up = {poller.bus.name: failures(poller.bus) for poller in gateway.pollers}
        assert {name for name, each in statistics.items() if each.violations > given_up[name]} == set()
        assert {name for name, each in statistics.items() if each.collisions > given_up[name]} == set()
        assert min(each.answers for each in statistics.values()) >= 80

    run(main())


def device(link: Path) -> Path | None:
    """The device behind a link; None when it is unplugged."""
    return link.readlink() if link.is_symlink() else None


def test_an_adapter_unplugged_and_back_under_another_name_is_polled_again_by_itself() -> None:
    two = rig({"kind": "serial", "baud": 115200}, {"p1": keller(1, FALLING, "50 ms"), "p2": keller(2, RISING, "50 ms")})

    def both(got: list[Reading], *, quality: Quality, reason: Reason = Reason.NONE) -> bool:
        such = {each.channel.transducer for each in got if (each.quality, each.reason) == (quality, reason)}
        return such == {"p1", "p2"}

    async def main() -> None:
        async with emulated(two) as fleet, running(two, fleet) as (got, until, _):
            link = Path(fleet.ports["b"])
            await until(lambda got: both(got, quality=Quality.GOOD))
            before = device(link)
            unplugged = fleet.faults.inject("unplug:b")
            got.clear()
            await until(lambda got: both(got, quality=Quality.BAD, reason=Reason.BUS_DOWN))
            assert device(link) is None
            fleet.faults.clear(unplugged)
            got.clear()
            await until(lambda got: both(got, quality=Quality.GOOD))
            assert device(link) not in {None, before}, "the device has another name, its link the same"

    run(main())


def test_a_tcp_converter_that_goes_away_and_comes_back_is_polled_again_by_itself() -> None:
    two = rig({"kind": "rtu-over-tcp", "baud": 115200}, {"p1": keller(1, FALLING, "50 ms")})

    async def main() -> None:
        async with emulated(two) as fleet, running(two, fleet) as (got, until, _):
            for _ in range(2):
                await until(lambda got: any(each.quality is Quality.GOOD for each in got))
                unplugged = fleet.faults.inject("unplug:b")
                got.clear()
                await until(lambda got: any(each.reason is Reason.BUS_DOWN for each in got))
                fleet.faults.clear(unplugged)
                got.clear()

    run(main())


def test_the_same_rig_file_runs_in_memory_on_ports_and_would_on_copper() -> None:
    """Only the ports differ: the rig file's words, the channels and what is read of them are the same."""
    with as_file(files("hil") / "rigs" / "bench.toml") as path:
        bench = load_rig(path)
    in_memory: dict[str, float] = {}

    async def main() -> None:
        async with emulated(bench) as fleet, running(bench, fleet) as (got, until, _):
            await until(lambda got: {each.channel.transducer for each in got} == set(bench.transducers))
            ported = bench.with_ports(fleet.ports)
            on_ports = {each.channel.id: each.value for each in got if each.quality is Quality.GOOD}
        assert on_ports.keys() == in_memory.keys()
        for channel, value in on_ports.items():
            assert value == pytest.approx(in_memory[channel], abs=60.0), channel
        assert [name for name in type(bench).model_fields if getattr(ported, name) != getattr(bench, name)] == ["buses"]
        (ours,), (theirs,) = ported.buses.values(), bench.buses.values()
        assert ours.model_copy(update={"port": theirs.port}) == theirs

    seen = observe(bench, 1.5, make_world=World)
    in_memory.update(
        {each.channel.id: each.value or 0.0 for _, each in seen.readings if each.channel.quantity == "pressure"}
    )
    run(main())
