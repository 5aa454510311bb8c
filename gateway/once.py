"""One poll of each unit of a rig, normalised: for `manovac run --once`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from drivers.bus import Bus
from drivers.reader import reader
from drivers.reading import RawPoll, Readings, Reason
from drivers.rig import Rig
from gateway.normalise import Normaliser
from gateway.stamps import Stamps


async def poll_once(rig: Rig) -> AsyncIterator[Readings]:
    """Poll all buses side by side, each unit once, and yield bus by bus; a bus that cannot be opened yields bad readings."""
    stamps = Stamps()
    async with AsyncExitStack() as stack:
        tasks = [asyncio.create_task(_poll_bus(rig, name, stamps), name=f"once {name}") for name in rig.buses]
        stack.push_async_callback(_settle, tasks)
        for task in tasks:
            for readings in await task:
                yield readings


async def _settle(tasks: list[asyncio.Task[list[Readings]]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _poll_bus(rig: Rig, name: str, stamps: Stamps) -> list[Readings]:
    bus = Bus(name, rig.buses[name])
    units = [(reader(bus, unit, words), words) for unit, words in rig.units(name).items()]
    polls: list[RawPoll] = []
    try:
        async with bus.opened():
            polls = [await each.poll() for each, _ in units]
    except ConnectionError:
        now_s = bus.now_s()
        polls = [RawPoll.nothing(each.driver.channels, Reason.BUS_DOWN, now_s) for each, _ in units]
    return [
        Normaliser(poll.channels, words)(poll, now_ms=stamps.utc_ms(poll.time_s))
        for poll, (_, words) in zip(polls, units, strict=True)
    ]
