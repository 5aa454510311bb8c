"""What is done to the station, at random but from a seed: to its lines, broker, disk, clock and processes."""

import asyncio
import random
import resource
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Final

from firmware_sim import EmulatorError
from firmware_sim.fault_kinds import KINDS
from tests.soak.station import Station

_HOUR_S: Final = 3600.0
_NO_LIMIT: Final = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
_SHARES: Final = ("", "", "@50%", "@10%", "@/3")  # of requests, where a fault strikes those
PAUSES_S: Final = {"line": 5.0, "line too": 10.0, "broker": 30.0, "disk": 45.0, "clock": 30.0, "process": 60.0}
"""Mean pause between two deeds, for each kind of them."""


def faults(dice: random.Random, targets: list[str]) -> Iterator[str]:
    """Yield faults without end, some of which cannot happen to their target."""
    while True:
        kind = dice.choice(list(KINDS))
        share = dice.choice(_SHARES) if KINDS[kind].when == "requests" else ""
        yield f"{kind}:{dice.choice(targets)}{share}"


class Deeds:
    """Does them.

    Attributes:
        done: how often, by kind.
        failed: kinds that could not go on to the end, and why.
    """

    def __init__(self, station: Station, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.failed: dict[str, str] = {}
        self._station = station
        self._seed = seed

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator[None]:
        """Do them all, each kind at its own pace, for a `with` block; afterwards everything is as it was."""
        lanes: dict[str, Callable[[random.Random], Awaitable[None]]] = {
            "line": self._line,
            "line too": self._line,
            "broker": self._broker,
            "disk": self._disk,
            "clock": self._clock,
            "process": self._process,
        }
        tasks = [asyncio.create_task(self._lane(name, deed), name=name) for name, deed in lanes.items()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            self.failed = {
                name: repr(error)
                for name, error in zip(lanes, ended, strict=True)
                if not isinstance(error, asyncio.CancelledError)
            }

    async def _lane(self, name: str, deed: Callable[[random.Random], Awaitable[None]]) -> None:
        dice = random.Random(f"{self._seed} {name}")
        while True:
            await asyncio.sleep(dice.expovariate(1 / PAUSES_S[name]))
            await deed(dice)

    async def _line(self, dice: random.Random) -> None:
        targets = [*self._station.rig.transducers, *self._station.rig.buses]
        for fault in faults(dice, targets):
            try:
                number = self._station.control.call("inject", fault=fault)["number"]
            except EmulatorError:
                continue  # it cannot happen to that one
            break
        self.done[f"line: {fault.partition(':')[0]}"] += 1
        try:
            await asyncio.sleep(dice.uniform(1.0, 25.0))
        finally:
            self._station.control.call("clear", number=number)

    async def _broker(self, dice: random.Random) -> None:
        broker = self._station.broker
        end = dice.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP))
        self.done[f"broker: {end.name}"] += 1
        broker.signal(end)
        try:
            await asyncio.sleep(dice.choice((0.5, 5.0, 20.0, 60.0)) * dice.uniform(0.5, 1.0))
        finally:
            if end is signal.SIGSTOP:
                broker.signal(signal.SIGCONT)
            else:
                broker.kill()
                broker.start()

    async def _disk(self, dice: random.Random) -> None:
        """Let no file of the gateway's grow, or be written, beyond a length: from there on its disk is full."""
        limit = dice.choice((0, 4096, 100_000, 1_000_000))
        self.done["disk: full"] += 1
        resource.prlimit(self._station.gateway.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            await asyncio.sleep(dice.uniform(2.0, 60.0))
        finally:
            resource.prlimit(self._station.gateway.pid, resource.RLIMIT_FSIZE, _NO_LIMIT)

    async def _clock(self, dice: random.Random) -> None:
        """Step the gateway's wall clock, forwards or backwards, and let it be synchronised or not."""
        clock = self._station.clock
        step_s = dice.choice((-1, 1)) * dice.choice((0.1, 1.0, 60.0, 12 * _HOUR_S)) * dice.uniform(0.2, 1.0)
        self.done["clock: step"] += 1
        clock.set(clock.offset_s + step_s, synchronised=dice.random() < 0.7)

    async def _process(self, dice: random.Random) -> None:
        """Let the gateway stand still for a while, so that it misses polls, or kill the consumer and start another."""
        if dice.random() < 0.5:
            self.done["process: gateway SIGSTOP"] += 1
            self._station.gateway.signal(signal.SIGSTOP)
            try:
                await asyncio.sleep(dice.uniform(0.5, 8.0))
            finally:
                self._station.gateway.signal(signal.SIGCONT)
            return
        self.done["process: consumer SIGKILL"] += 1
        self._station.consumer.signal(signal.SIGKILL)
        try:
            await asyncio.sleep(dice.uniform(0.5, 20.0))
        finally:
            await self._station.start_consumer()
