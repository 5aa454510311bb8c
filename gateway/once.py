"""One poll of each unit of a rig, normalised: for `manovac run --once`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

from drivers.bus import Bus
from drivers.reader import reader
from drivers.reading import RawPoll, Readings, Reason
from drivers.rig import Rig
from drivers.transport.choose import transport_for
from drivers.transport.transport import MakeTransport
from gateway.normalise import Normaliser
from gateway.stamps import Stamps


@dataclass(frozen=True, slots=True, kw_only=True)
class PolledBus:
    """What one poll of all units of a bus brought.

    Attributes:
        problem: why the bus is down, empty when it is not.
        polls: time (ms UTC) and readings of each unit, in the rig file's order.
    """

    name: str
    problem: str
    polls: tuple[tuple[int, Readings], ...]


async def poll_once(rig: Rig, *, make_transport: MakeTransport = transport_for) -> AsyncIterator[PolledBus]:
    """Poll all buses side by side, each unit once, and yield bus by bus; one that cannot be opened has bad readings."""
    stamps = Stamps()
    async with AsyncExitStack() as stack:
        names = [name for name in rig.buses if rig.units(name)]
        tasks = [
            asyncio.create_task(_poll_bus(rig, name, stamps, make_transport), name=f"once {name}") for name in names
        ]
        stack.push_async_callback(_settle, tasks)
        for task in tasks:
            yield await task


async def _settle(tasks: list[asyncio.Task[PolledBus]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _poll_bus(rig: Rig, name: str, stamps: Stamps, make_transport: MakeTransport) -> PolledBus:
    bus = Bus(name, rig.buses[name], make_transport=make_transport)
    units = [(reader(bus, unit, words), words) for unit, words in rig.units(name).items()]
    polls: list[RawPoll] = []
    try:
        async with bus.opened():
            polls = [await each.poll() for each, _ in units]
            problem = bus.problem
    except ConnectionError:
        problem, now_s = bus.problem, bus.now_s()
        polls = [RawPoll.nothing(each.driver.channels, Reason.BUS_DOWN, now_s) for each, _ in units]
    at_ms = [stamps.utc_ms(poll.time_s) for poll in polls]
    return PolledBus(
        name=name,
        problem=problem,
        polls=tuple(
            (t_ms, Normaliser(poll.channels, words)(poll, now_ms=t_ms))
            for t_ms, poll, (_, words) in zip(at_ms, polls, units, strict=True)
        ),
    )
