"""A whole emulated rig from its rig file: devices, lines, faults, and a port for each bus."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol, Self

from drivers.rig import BusKind, Rig, Transducer
from firmware_sim import EmulatorError
from firmware_sim.clock import Alarm, EmulatorClock
from firmware_sim.datagrams import DatagramUnits
from firmware_sim.faults import EVERYTHING, Fault, Faults
from firmware_sim.faulty import FaultyFirmware, FaultySensor
from firmware_sim.firmware.firmware import Firmware, ModbusFirmware, Sensor, Twin
from firmware_sim.line import Line
from firmware_sim.modbus_tcp import ModbusTcpUnits
from firmware_sim.ports import Port, Receive, Session
from firmware_sim.ports.memory import MemoryPort
from firmware_sim.ports.pty import PtyPort
from firmware_sim.ports.tcp import TcpPort
from firmware_sim.ports.udp import UdpPort
from firmware_sim.trace import Record, Trace

GROUP: Final = "manovac.twins"


class FleetError(EmulatorError, ValueError):
    """The rig file describes something that cannot be emulated; the message names transducer and model."""


class Sensors(Protocol):
    """The world around the transducers; `firmware_sim.physics.world.World` is one."""

    def sensor(self, transducer_id: str, /) -> Sensor:
        """Return the sensing element of one transducer."""
        ...


@cache
def _twins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _twin(name: str, transducer: str) -> Twin:
    entry = _twins().get(name)
    if entry is None:
        known = ", ".join(sorted(_twins()))
        raise FleetError(
            f"transducer {transducer}: no twin emulates the model '{name}' (entry points {GROUP}: {known})"
        )
    twin: Twin = entry.load()
    return twin


class _LineBus:
    """A line on the running loop's clock."""

    def __init__(self, line: Line, clock: EmulatorClock) -> None:
        self._line = line
        self._clock = clock
        self._alarm = Alarm(clock, self._ring)
        self._send: Receive | None = None

    def session(self, send: Receive) -> Receive:
        self._send = send
        return self._receive

    def start(self) -> None:
        """Let devices talk that do so on their own."""
        self._alarm.set(self._line.next_event_ns)

    def close(self) -> None:
        self._send = None
        self._alarm.set(None)

    def _receive(self, data: bytes) -> None:
        now_ns = self._clock.now_ns()
        heard = self._line.advance(now_ns)
        self._line.host_sends(now_ns, data)
        self._alarm.set(self._line.next_event_ns)
        self._deliver(heard)

    def _ring(self, now_ns: int) -> None:
        heard = self._line.advance(now_ns)
        self._alarm.set(self._line.next_event_ns)
        self._deliver(heard)

    def _deliver(self, heard: list[tuple[int, bytes]]) -> None:
        for _, data in heard:
            if self._send is not None:
                self._send(data)


class Fleet:
    """The emulated devices of a rig.

    Attributes:
        ports: bus -> address, for `rig.with_ports`; filled while it is served.
        memory: bus -> memory port, while it is served in memory.
        lines: bus -> line, for its statistics; a modbus-tcp or line-over-udp bus has none.
        faults: those in force; inject and clear at any time.

    Args:
        rig: the rig file.
        world: gives each transducer its sensing element.
        trace: records what is said; None records nothing.
        faults: in force from the start, besides the rig file's own.
        echo: buses whose adapter hears what it sends.

    Raises:
        FleetError: a model has no twin, or a unit cannot be what the file says.
        FaultError: a fault of the rig file or of `faults` cannot be.
    """

    def __init__(
        self,
        rig: Rig,
        *,
        world: Sensors,
        trace: Trace | None = None,
        faults: Iterable[Fault | str] = (),
        echo: Collection[str] = (),
    ) -> None:
        self.ports: dict[str, str] = {}
        self.memory: dict[str, MemoryPort] = {}
        self.lines: dict[str, Line] = {}
        self._rig = rig
        self._world = world
        self._trace = trace
        self._clock = EmulatorClock()
        self.faults = Faults(
            seed=rig.emulator.seed, transducers=rig.transducers, buses=rig.buses, now_ns=self._clock.now_ns
        )
        for fault in (*rig.emulator.faults, *faults):
            self.faults.inject(fault)
        self._buses = {bus: self._bus(bus, echo=bus in echo) for bus in rig.buses}
        self._open: dict[str, Port] = {}
        self._changed = asyncio.Event()
        self.faults.changed = self._changed.set
        self._minder: asyncio.Task[None] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def now_ns(self) -> int:
        """Return the emulator's time: ns since `start`, on the running loop's clock."""
        return self._clock.now_ns()

    @asynccontextmanager
    async def serve(self, *, memory: bool = False) -> AsyncIterator[Self]:
        """Serve the rig while the context lasts; see `start`."""
        await self.start(memory=memory)
        try:
            yield self
        finally:
            await self.stop()

    async def start(self, *, memory: bool = False) -> None:
        """Switch all devices on and open a port for each bus; once in a fleet's life.

        Args:
            memory: inside the process instead of ptys and TCP ports; needed in virtual time.

        Raises:
            OSError: no port can be opened.
        """
        self._clock.start()
        ports: dict[str, Port] = {}
        if memory:
            self.memory = {name: self._memory_port(name) for name in self._buses}
            ports.update(self.memory)
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="manovac-")
            ports.update({name: self._real_port(name, Path(self._folder.name)) for name in self._buses})
        try:
            for name, port in ports.items():
                await port.open()
                self._open[name] = port
                self.ports[name] = port.address
        except BaseException:
            await self.stop()
            raise
        for bus in self._buses.values():
            if isinstance(bus, _LineBus):
                bus.start()
        self._minder = asyncio.create_task(self._mind_plugs(ports), name=f"fleet[{self._rig.station.id}].plugs")

    async def stop(self) -> None:
        """Switch off and leave nothing behind."""
        if self._minder is not None:
            self._minder.cancel()
            await asyncio.wait({self._minder})
        for bus in self._buses.values():
            bus.close()
        for port in self._open.values():
            port.close()
        self._open.clear()
        self.ports.clear()
        await asyncio.sleep(0)  # asyncio closes its sockets one turn later
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        minder, self._minder = self._minder, None
        if minder is not None and not minder.cancelled():
            minder.result()

    def _bus(self, name: str, *, echo: bool) -> _LineBus | ModbusTcpUnits | DatagramUnits:
        bus = self._rig.buses[name]
        devices = {unit: self._device(name, unit, transducers) for unit, transducers in self._rig.units(name).items()}
        listener = None if self._trace is None else lambda t, who, data: self._record(name, t, who, data, "")
        if bus.kind is BusKind.LINE_OVER_UDP:
            return DatagramUnits({unit: faulty for unit, (_, faulty) in devices.items()}, self._clock, listener)
        if bus.kind is BusKind.MODBUS_TCP:
            units = {unit: (self._modbus(name, unit, device), faulty) for unit, (device, faulty) in devices.items()}
            return ModbusTcpUnits(units, self._clock, listener)
        line = Line(
            bus,
            f"{self._rig.emulator.seed}:{name}",
            echo=echo,
            listener=None if self._trace is None else lambda t, who, data, note: self._record(name, t, who, data, note),
        )
        for unit, (_, faulty) in devices.items():
            line.add(f"unit {unit}", faulty)
        self.lines[name] = line
        return _LineBus(line, self._clock)

    def _device(self, bus: str, unit: int, transducers: Mapping[str, Transducer]) -> tuple[Firmware, FaultyFirmware]:
        first, *others = transducers
        model = transducers[first].model
        for other in others:
            if transducers[other].model != model:
                raise FleetError(
                    f"unit {unit} of bus {bus} is a {model} for {first}, a {transducers[other].model} for {other}"
                )
        sensors = {
            name: FaultySensor(self._world.sensor(name), names={name, bus, EVERYTHING}, faults=self.faults)
            for name in transducers
        }
        twin = _twin(model, first)
        device = twin(unit=unit, bus=self._rig.buses[bus], transducers=transducers, sensors=sensors)
        faulty = FaultyFirmware(
            device,
            unit=unit,
            names={*transducers, bus, EVERYTHING},
            faults=self.faults,
            note=None if self._trace is None else lambda t, kinds: self._record(bus, t, f"unit {unit}", b"", kinds),
        )
        return device, faulty

    def _modbus(self, bus: str, unit: int, device: Firmware) -> ModbusFirmware:
        if not hasattr(device, "serve"):
            model = next(iter(self._rig.units(bus)[unit].values())).model
            raise FleetError(f"unit {unit} of bus {bus}: model '{model}' does not speak Modbus TCP")
        return device  # type: ignore[return-value] # serve is all that ModbusFirmware adds

    def _record(self, bus: str, t_ns: int, talker: str, data: bytes, note: str) -> None:
        if self._trace is not None:
            self._trace.add(Record(t_ns=t_ns, bus=bus, talker=talker, data=data, note=note))

    def _session(self, name: str) -> tuple[Session, bool]:
        return self._buses[name].session, not self._rig.buses[name].kind.has_line

    def _memory_port(self, name: str) -> MemoryPort:
        session, several = self._session(name)
        return MemoryPort(name, session, several=several)

    def _real_port(self, name: str, folder: Path) -> Port:
        session, several = self._session(name)
        bus = self._rig.buses[name]
        if bus.kind is BusKind.SERIAL:
            return PtyPort(folder / name, bus, session, self.lines[name].set_host)
        if bus.kind is BusKind.LINE_OVER_UDP:
            return UdpPort(session)
        return TcpPort(session, several=several)

    async def _mind_plugs(self, ports: Mapping[str, Port]) -> None:
        """Close and open ports when faults unplug buses."""
        while True:
            self._changed.clear()
            now_ns = self.now_ns()
            changes_ns: list[int] = []
            for name, port in ports.items():
                unplugs = list(self.faults.on({name, EVERYTHING}, {"unplug"}))
                changes_ns += [
                    t for each in unplugs for t in (each.begin_ns, each.end_ns) if t is not None and t > now_ns
                ]
                out = any(each.lasts(now_ns) for each in unplugs)
                if out and name in self._open:
                    self._open.pop(name).close()
                elif not out and name not in self._open:
                    await port.open()
                    self._open[name] = port
            timer = self._clock.call_at(min(changes_ns), self._changed.set) if changes_ns else None
            await self._changed.wait()
            if timer is not None:
                timer.cancel()
