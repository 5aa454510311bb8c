"""The ports of a fleet: one for each bus, plugged in except while a fault unplugs it or lets it go by another name."""

import asyncio
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from drivers.rig import Bus, BusKind
from firmware_sim.clock import Alarm, EmulatorClock
from firmware_sim.events import Events
from firmware_sim.fault_kinds import kinds_of
from firmware_sim.faults import EVERYTHING, Faults
from firmware_sim.line import Line
from firmware_sim.ports import Port, Session
from firmware_sim.ports.memory import MemoryPort
from firmware_sim.ports.pty import PtyPort
from firmware_sim.ports.tcp import TcpPort
from firmware_sim.ports.udp import UdpPort

_KINDS: Final = kinds_of("port")


class Plugs:
    """The ports of the buses of a rig.

    Attributes:
        addresses: bus -> address, while they are open.
        memory: name -> memory port, when they are opened in memory.

    Args:
        buses: their words.
        session: returns what begins a client's session on a bus.
        lines: bus -> line, where it has one.
        formats: bus -> format that its client uses, where a pty cannot carry it.
        serial: bus -> path of the adapter on whose real line it is served.
        faults: those in force; `look_again` must be called when they change.
        clock: the emulator's.
        events: is told when a port comes or goes.
        tell: is told in words when one goes by another name, and what befalls an adapter.
    """

    def __init__(
        self,
        buses: Mapping[str, Bus],
        session: Callable[[str], Session],
        *,
        lines: Mapping[str, Line],
        formats: Mapping[str, str],
        serial: Mapping[str, str],
        faults: Faults,
        clock: EmulatorClock,
        events: Events,
        tell: Callable[[str], None],
    ) -> None:
        self.addresses: dict[str, str] = {}
        self.memory: dict[str, MemoryPort] = {}
        self._buses = buses
        self._session = session
        self._lines = lines
        self._formats = formats
        self._serial = serial
        self._faults = faults
        self._clock = clock
        self._events = events
        self._tell = tell
        self._made: dict[tuple[str, bool], Port] = {}  # by bus and whether it goes by another name
        self._open: dict[str, tuple[Port, bool]] = {}
        self._changed = asyncio.Event()
        self._alarm = Alarm(clock, lambda _: self._changed.set())
        self._minder: asyncio.Task[None] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def plugged(self) -> Collection[str]:
        """The buses whose port is there now."""
        return self._open.keys()

    @property
    def minded(self) -> bool:
        """Whether faults move the plugs by now."""
        return self._minder is not None

    async def open(self, *, memory: bool) -> None:
        """Plug all of them in.

        Args:
            memory: inside the process instead of ptys and TCP ports.

        Raises:
            OSError: a port cannot be opened; `close` closes the others.
        """
        if not memory:
            self._folder = tempfile.TemporaryDirectory(prefix="manovac-")
        for name in self._buses:
            await self._plug_in(name, renamed=False)

    def mind(self, name: str) -> None:
        """Let faults move them, in a task of that name."""
        self._minder = asyncio.create_task(self._mind(), name=name)

    def look_again(self) -> None:
        """Look which faults are in force: they have changed, or the time has."""
        self._changed.set()

    async def close(self) -> None:
        """Close all of them and leave nothing behind."""
        minder, self._minder = self._minder, None
        if minder is not None:
            minder.cancel()
            await asyncio.wait({minder})
        self._alarm.set(None)
        for port, _ in self._open.values():
            port.close()
        self._open.clear()
        self.addresses.clear()
        await asyncio.sleep(0)  # asyncio closes its sockets one turn later
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        if minder is not None and not minder.cancelled():
            minder.result()

    async def _plug_in(self, name: str, *, renamed: bool) -> None:
        if (name, renamed) not in self._made:
            self._made[name, renamed] = self._make(name, renamed=renamed)
        port = self._made[name, renamed]
        await port.open()
        self._open[name] = port, renamed
        self.addresses[name] = port.address
        if renamed:
            self._tell(f"bus {name}: its port goes by {port.address} now")

    def _make(self, name: str, *, renamed: bool) -> Port:
        """Make a bus' port, or the one that it has while it goes by another name."""
        words, session = self._buses[name], self._session(name)
        several = not words.kind.has_line
        called = f"{name}-renamed" if renamed else name
        if self._folder is None:
            self.memory[called] = port = MemoryPort(called, session, several=several)
            return port
        if name in self._serial and not renamed:
            from firmware_sim.ports.serial_port import SerialPort  # noqa: PLC0415 - the emulator alone needs no pyserial

            line, path = self._lines[name], self._serial[name]
            return SerialPort(name, path, words, session, framed=line.silence_framed, tell=self._tell)
        if words.kind is BusKind.SERIAL:
            form = self._formats.get(name)
            return PtyPort(Path(self._folder.name) / called, words, session, self._lines[name].set_host, form)
        if words.kind is BusKind.LINE_OVER_UDP:
            return UdpPort(session)
        return TcpPort(session, several=several)

    async def _mind(self) -> None:
        while True:
            self._changed.clear()
            now_ns = self._clock.now_ns()
            changes_ns: list[int] = []
            for name in self._buses:
                faults = list(self._faults.on({name, EVERYTHING}, _KINDS))
                changes_ns += [
                    t for each in faults for t in (each.begin_ns, each.end_ns) if t is not None and t > now_ns
                ]
                lasting = {each.fault.kind for each in faults if each.lasts(now_ns)}
                wanted = None if "unplug" in lasting else "rename" in lasting
                if name in self._open and self._open[name][1] is not wanted:
                    self._open.pop(name)[0].close()
                    self._events.tell("unplugged", bus=name)
                if wanted is not None and name not in self._open:
                    await self._plug_in(name, renamed=wanted)
                    self._events.tell("plugged", bus=name, port=self.addresses[name])
            self._alarm.set(min(changes_ns, default=None))
            await self._changed.wait()
