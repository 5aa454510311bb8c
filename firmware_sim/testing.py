"""The emulator in other people's tests: an emulated rig as a context, in the test's own loop or beside a blocking test.

async with emulated(rig) as fleet:                  # the running loop, virtual or real
    await my_gateway(rig.with_ports(fleet.ports))

def test_my_program(emulator):                      # pytest fixture; needs `from firmware_sim.testing import emulator`
    bench = emulator(rig, faults=["silence:sm_p1"])
    my_program(bench.ports["aft"])
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar

import pytest

from drivers.precise_loop import precise_event_loop
from drivers.rig import Rig
from drivers.trace.records import Trace
from firmware_sim.control.control import Control
from firmware_sim.faults import Fault
from firmware_sim.fleet import Fleet
from firmware_sim.physics.world import World

_T = TypeVar("_T")


@asynccontextmanager
async def emulated(
    rig: Rig,
    *,
    memory: bool = False,
    faults: Iterable[Fault | str] = (),
    trace: Trace | None = None,
    echo: Collection[str] = (),
    world: World | None = None,
) -> AsyncIterator[Fleet]:
    """Serve an emulated rig on the running loop while the context lasts.

    Args:
        rig: its ports do not matter; `rig.with_ports(fleet.ports)` has those of the emulator.
        memory: `fleet.memory` instead of ptys and TCP ports; needed under `run_virtual`.
        faults: in force from the start.
        trace: records what is said.
        echo: buses whose adapter hears what it sends.
        world: the station's physics, to make leaks in; its own by default.
    """
    fleet = Fleet(rig, world=world or World(rig), faults=faults, trace=trace, echo=echo)
    async with fleet.serve(memory=memory):
        yield fleet


class EmulatedRig:
    """An emulated rig that runs in a thread of its own.

    Attributes:
        rig: the rig file with the emulator's ports.
        ports: bus -> address.
    """

    def __init__(self, fleet: Fleet, rig: Rig, loop: asyncio.AbstractEventLoop) -> None:
        self.ports: Mapping[str, str] = dict(fleet.ports)
        self.rig = rig.with_ports(self.ports)
        self._fleet = fleet
        self._control = Control(fleet)
        self._loop = loop

    def call(self, action: Callable[[Fleet], _T]) -> _T:
        """Do something with the fleet, in its own thread, and return what it returned."""

        async def act() -> _T:
            return action(self._fleet)

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result()

    def control(self, verb: str, **words: Any) -> Any:
        """Do what a verb of live control does, with its words; see `firmware_sim.control.control.VERBS`."""
        return asyncio.run_coroutine_threadsafe(self._control.call(verb, words), self._loop).result()

    def inject(self, fault: Fault | str) -> Fault:
        """Put a fault in force; see `Faults.inject`."""
        return self.call(lambda fleet: fleet.faults.inject(fault))

    def clear(self, fault: Fault | None = None) -> None:
        """Take a fault back, or all of them."""
        self.call(lambda fleet: fleet.faults.clear(fault))


@contextmanager
def emulated_in_thread(rig: Rig, *, faults: Iterable[Fault | str] = ()) -> Iterator[EmulatedRig]:
    """Serve an emulated rig on ptys and TCP ports beside a test that blocks."""
    fleet = Fleet(rig, world=World(rig), faults=faults)
    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        loop = runner.get_loop()
        thread = threading.Thread(target=loop.run_forever, name=f"emulator {rig.station.id}", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(fleet.start(), loop).result()
            try:
                yield EmulatedRig(fleet, rig, loop)
            finally:
                asyncio.run_coroutine_threadsafe(fleet.stop(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()


class StartEmulator(Protocol):
    """What the fixture `emulator` gives."""

    def __call__(self, rig: Rig, *, faults: Iterable[Fault | str] = ()) -> EmulatedRig:
        """Start an emulated rig that lives until the test is over."""
        ...


@pytest.fixture
def emulator() -> Iterator[StartEmulator]:
    """Start emulated rigs beside a blocking test; each ends with the test."""
    with ExitStack() as stack:

        def start(rig: Rig, *, faults: Iterable[Fault | str] = ()) -> EmulatedRig:
            return stack.enter_context(emulated_in_thread(rig, faults=faults))

        yield start
