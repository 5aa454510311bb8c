"""A whole emulated rig from its rig file: devices, lines, faults, and a port for each bus."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol, Self

from drivers.rig import BusKind, Rig, Transducer
from firmware_sim import EmulatorError
from firmware_sim.clock import Alarm, EmulatorClock
from firmware_sim.events import Events
from firmware_sim.faults import EVERYTHING, ArmedFault, Fault, Faults
from firmware_sim.faulty import FaultyFirmware, FaultySensor
from firmware_sim.firmware.firmware import Firmware, ModbusFirmware, Sensor, Twin
from firmware_sim.line import Line
from firmware_sim.line_bus import LineBus
from firmware_sim.modbus_tcp import ModbusTcpUnits
from firmware_sim.ports import Port, Receive, Session
from firmware_sim.ports.memory import MemoryPort
from firmware_sim.ports.pty import PtyPort
from firmware_sim.ports.tcp import TcpPort
from firmware_sim.snapshot import Snapshot
from firmware_sim.trace import Record, Trace

GROUP: Final = "manovac.twins"
MARK: Final = "mark"
"""The talker of a record that is somebody's remark, or says that time went back ("restored")."""
_WAITING: Final = 4096
"""Bytes that a client may send while time stands still; more is lost, for nobody is there to hear it."""


class FleetError(EmulatorError, ValueError):
    """The rig file describes something that cannot be emulated; the message names transducer and model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A moment of a fleet's life, to which it can return.

    Attributes:
        at_ns: when it was, on the emulator's clock.
        kept: all that follows from it.
    """

    at_ns: int
    kept: Snapshot


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


class Fleet:
    """The emulated devices of a rig.

    Attributes:
        ports: bus -> address, for `rig.with_ports`; filled while it is served.
        memory: bus -> memory port, while it is served in memory.
        lines: bus -> line, for its statistics; a modbus-tcp bus has none.
        faults: those in force; inject and clear at any time.
        clock: the emulator's time; it can be paused, stepped and sped up.
        events: what happens, for whoever listens.
        unheard: bus -> bytes that were lost because their host wrote on while time stood still.
        rig, world: as given.

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
        self.unheard = dict.fromkeys(rig.buses, 0)
        self.rig = rig
        self.world = world
        self._trace = trace
        self.clock = EmulatorClock()
        self.events = Events(self.clock)
        self._devices: dict[tuple[str, int], FaultyFirmware] = {}
        self.faults = Faults(
            seed=rig.emulator.seed, transducers=rig.transducers, buses=rig.buses, now_ns=self.clock.now_ns
        )
        for fault in (*rig.emulator.faults, *faults):
            self.faults.inject(fault)
        self._buses = {bus: self._bus(bus, echo=bus in echo) for bus in rig.buses}
        self._open: dict[str, Port] = {}
        self._changed = asyncio.Event()
        self.faults.changed = self._fault_changed
        self._plug_alarm = Alarm(self.clock, lambda _: self._changed.set())
        self._minder: asyncio.Task[None] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def now_ns(self) -> int:
        """Return the emulator's time: ns since `start`, on the running loop's clock."""
        return self.clock.now_ns()

    @property
    def plugged(self) -> Collection[str]:
        """The buses whose port is there now."""
        return self._open.keys()

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
        self.clock.start()
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
        self._set_alarms()
        self._minder = asyncio.create_task(self._mind_plugs(ports), name=f"fleet[{self.rig.station.id}].plugs")

    async def stop(self) -> None:
        """Switch off and leave nothing behind."""
        if self._minder is not None:
            self._minder.cancel()
            await asyncio.wait({self._minder})
        self._plug_alarm.set(None)
        self.events.close()
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

    def reboot(self, transducer: str) -> tuple[str, int]:
        """Cut the power of the unit that a transducer belongs to for a moment; return its bus and address.

        Raises:
            KeyError: the rig has no such transducer.
        """
        words = self.rig.transducers[transducer]
        at_ns, talker, bus = self.now_ns(), f"unit {words.unit}", self._buses[words.bus]
        if isinstance(bus, LineBus):
            self.lines[words.bus].restart(talker, at_ns)
            bus.set_alarm()
        else:
            self._devices[words.bus, words.unit].reboot(at_ns)
        self._record(words.bus, at_ns, talker, b"", "reboot")
        self.events.tell("rebooted", bus=words.bus, unit=words.unit)
        return words.bus, words.unit

    def mark(self, text: str) -> None:
        """Leave a remark in the trace and among the events."""
        self._record("", self.now_ns(), MARK, b"", text)
        self.events.tell("mark", text=text)

    def snapshot(self) -> State:
        """Keep the state of air, sensing elements, devices, lines and faults, and the time.

        Raises:
            SnapshotError: a world or a device of somebody else's holds what cannot be kept.
        """
        roots = {
            "world": self.world,
            "faults": self.faults,
            "agenda": self.events.agenda,
            **{f"bus {name}": self.lines.get(name, bus) for name, bus in self._buses.items()},
            **{f"unit {unit} of bus {bus}": device for (bus, unit), device in self._devices.items()},
        }
        return State(at_ns=self.now_ns(), kept=Snapshot(roots))

    def restore(self, state: State) -> None:
        """Let everything that a snapshot keeps be as it was, also the time; the same follows as followed then.

        Ports, connections, speed and pause stay as they are, and so do the settings of the hosts' adapters.

        Raises:
            EmulatorError: in the middle of a step.
        """
        self.clock.put(state.at_ns)
        hosts = {name: line.host for name, line in self.lines.items()}
        state.kept.put_back()
        for name, line in self.lines.items():
            line.set_host(*hosts[name])
        self._set_alarms()
        self._changed.set()
        self._record("", state.at_ns, MARK, b"", "restored")

    def _set_alarms(self) -> None:
        for bus in self._buses.values():
            bus.set_alarm()
        self.events.set_alarm()

    def _fault_changed(self, what: str, armed: ArmedFault) -> None:
        self._changed.set()
        self.events.tell(what, number=armed.number, fault=str(armed.fault))

    def _struck(self, bus: str, unit: int, at_ns: int, kinds: str) -> None:
        self._record(bus, at_ns, f"unit {unit}", b"", kinds)
        self.events.tell("struck", bus=bus, unit=unit, kinds=kinds.split(", "))

    def _bus(self, name: str, *, echo: bool) -> LineBus | ModbusTcpUnits:
        bus = self.rig.buses[name]
        devices = {unit: self._device(name, unit, transducers) for unit, transducers in self.rig.units(name).items()}
        if bus.kind is BusKind.MODBUS_TCP:
            units = {unit: (self._modbus(name, unit, device), faulty) for unit, (device, faulty) in devices.items()}
            listener = None if self._trace is None else lambda t, who, data: self._record(name, t, who, data, "")
            return ModbusTcpUnits(units, self.clock, listener)
        line = Line(
            bus,
            f"{self.rig.emulator.seed}:{name}",
            echo=echo,
            listener=None if self._trace is None else lambda t, who, data, note: self._record(name, t, who, data, note),
        )
        for unit, (_, faulty) in devices.items():
            line.add(f"unit {unit}", faulty)
        self.lines[name] = line
        return LineBus(line, self.clock)

    def _device(self, bus: str, unit: int, transducers: Mapping[str, Transducer]) -> tuple[Firmware, FaultyFirmware]:
        first, *others = transducers
        model = transducers[first].model
        for other in others:
            if transducers[other].model != model:
                raise FleetError(
                    f"unit {unit} of bus {bus} is a {model} for {first}, a {transducers[other].model} for {other}"
                )
        sensors = {
            name: FaultySensor(self.world.sensor(name), names={name, bus, EVERYTHING}, faults=self.faults)
            for name in transducers
        }
        twin = _twin(model, first)
        device = twin(unit=unit, bus=self.rig.buses[bus], transducers=transducers, sensors=sensors)
        faulty = FaultyFirmware(
            device,
            unit=unit,
            names={*transducers, bus, EVERYTHING},
            faults=self.faults,
            note=lambda t, kinds: self._struck(bus, unit, t, kinds),
        )
        self._devices[bus, unit] = faulty
        return device, faulty

    def _modbus(self, bus: str, unit: int, device: Firmware) -> ModbusFirmware:
        if not hasattr(device, "serve"):
            model = next(iter(self.rig.units(bus)[unit].values())).model
            raise FleetError(f"unit {unit} of bus {bus}: model '{model}' does not speak Modbus TCP")
        return device  # type: ignore[return-value] # serve is all that ModbusFirmware adds

    def _record(self, bus: str, t_ns: int, talker: str, data: bytes, note: str) -> None:
        if self._trace is not None:
            self._trace.add(Record(t_ns=t_ns, bus=bus, talker=talker, data=data, note=note))

    def _session(self, name: str) -> tuple[Session, bool]:
        def session(send: Receive) -> Receive:
            take = self._buses[name].session(send)
            waiting = 0

            def receive(data: bytes) -> None:
                nonlocal waiting
                waiting = waiting + len(data) if self.clock.paused else 0
                if waiting > _WAITING:
                    self.unheard[name] += len(data)
                else:
                    take(data)

            return receive

        return session, self.rig.buses[name].kind is BusKind.MODBUS_TCP

    def _memory_port(self, name: str) -> MemoryPort:
        session, several = self._session(name)
        return MemoryPort(name, session, several=several)

    def _real_port(self, name: str, folder: Path) -> Port:
        session, several = self._session(name)
        bus = self.rig.buses[name]
        if bus.kind is BusKind.SERIAL:
            return PtyPort(folder / name, bus, session, self.lines[name].set_host)
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
                    self.events.tell("unplugged", bus=name)
                elif not out and name not in self._open:
                    await port.open()
                    self._open[name] = port
                    self.events.tell("plugged", bus=name, port=port.address)
            self._plug_alarm.set(min(changes_ns, default=None))
            await self._changed.wait()
