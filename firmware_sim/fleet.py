"""A whole emulated rig from its rig file: devices, lines, faults, and a port for each bus."""

import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final, Protocol, Self

from drivers.rig import BusKind, Rig, Transducer
from drivers.trace.records import Record, Trace
from firmware_sim import EmulatorError
from firmware_sim.clock import EmulatorClock
from firmware_sim.datagrams import DatagramUnits
from firmware_sim.device_clock import DeviceClock
from firmware_sim.events import Events
from firmware_sim.fault_kinds import Medium
from firmware_sim.faults import EVERYTHING, ArmedFault, Fault, Faults
from firmware_sim.faulty import FaultyFirmware
from firmware_sim.faulty_line import Strangers, WornWires
from firmware_sim.faulty_sensor import FaultySensor
from firmware_sim.firmware.firmware import Firmware, ModbusFirmware, Sensor, Twin
from firmware_sim.line import Line
from firmware_sim.line_bus import LineBus
from firmware_sim.line_time import span_ns
from firmware_sim.modbus_tcp import ModbusTcpUnits
from firmware_sim.plugs import Plugs
from firmware_sim.ports import Receive, Session
from firmware_sim.snapshot import Snapshot

GROUP: Final = "manovac.twins"
MARK: Final = "mark"
"""The talker of a record that is somebody's remark, or says that time went back ("restored")."""
_WAITING: Final = 4096
"""Bytes that a client may send while time stands still; more is lost, for nobody is there to hear it."""
_FORMAT: Final = re.compile(r"[78][NEO][12]")


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


def _medium(kind: BusKind, device: Firmware) -> Medium:
    if kind is BusKind.MODBUS_TCP:
        return "modbus-tcp"
    if kind is BusKind.LINE_OVER_UDP:
        return "line-over-udp"
    return "frames" if device.silence_framed else "lines of text"


class Fleet:
    """The emulated devices of a rig.

    Attributes:
        ports: bus -> address, for `rig.with_ports`; filled while it is served.
        memory: bus -> memory port, while it is served in memory.
        lines: bus -> line, for its statistics; a modbus-tcp or line-over-udp bus has none.
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
        twins: model -> twin, besides those that entry points offer.
        formats: bus -> format that its client uses, where that is not the line's: a pty cannot carry it.
        serial: bus -> path of the adapter on whose real line it is served.
        tell: is told when a port comes or goes.

    Raises:
        FleetError: a model has no twin, a unit cannot be what the file says, or the rig has no such serial bus.
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
        twins: Mapping[str, Twin] = MappingProxyType({}),
        formats: Mapping[str, str] = MappingProxyType({}),
        serial: Mapping[str, str] = MappingProxyType({}),
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.lines: dict[str, Line] = {}
        self.unheard = dict.fromkeys(rig.buses, 0)
        self.rig = rig
        self.world = world
        self._trace = trace
        self._twins = twins
        self._serial = serial
        self.clock = EmulatorClock()
        self.events = Events(self.clock)
        self._devices: dict[tuple[str, int], FaultyFirmware] = {}
        self.faults = Faults(
            seed=rig.emulator.seed, transducers=rig.transducers, buses=rig.buses, now_ns=self.clock.now_ns
        )
        for fault in (*rig.emulator.faults, *faults):
            self.faults.inject(fault)
        self._buses = {bus: self._bus(bus, echo=bus in echo) for bus in rig.buses}
        self.faults.know_media(self._media())
        for bus, form in formats.items():
            self._serial_bus(bus)
            if _FORMAT.fullmatch(form) is None:
                raise FleetError(f"bus {bus}: '{form}' is no format: write data bits, parity, stop bits, as in 8E1")
            self.lines[bus].set_host(rig.buses[bus].baud, form)
        for bus in serial:
            self._serial_bus(bus)
        self.faults.changed = self._fault_changed
        self._plugs = Plugs(
            rig.buses,
            self._session,
            lines=self.lines,
            formats=formats,
            serial=serial,
            faults=self.faults,
            clock=self.clock,
            events=self.events,
            tell=tell,
        )
        self.ports = self._plugs.addresses
        self.memory = self._plugs.memory

    def now_ns(self) -> int:
        """Return the emulator's time: ns since `start`, on the running loop's clock."""
        return self.clock.now_ns()

    @property
    def plugged(self) -> Collection[str]:
        """The buses whose port is there now."""
        return self._plugs.plugged

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
        try:
            await self._plugs.open(memory=memory)
        except BaseException:
            await self.stop()
            raise
        self._set_alarms()
        self._plugs.mind(f"fleet[{self.rig.station.id}].plugs")

    async def stop(self) -> None:
        """Switch off and leave nothing behind."""
        self.events.close()
        for bus in self._buses.values():
            bus.close()
        await self._plugs.close()

    def _serial_bus(self, name: str) -> None:
        """Refuse a name that no serial bus has."""
        known = [bus for bus, each in self.rig.buses.items() if each.kind is BusKind.SERIAL]
        if name not in known:
            raise FleetError(f"the rig has no serial bus '{name}' (serial buses: {', '.join(known) or 'none'})")

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
        self._plugs.look_again()
        self._record("", state.at_ns, MARK, b"", "restored")

    def _set_alarms(self) -> None:
        for bus in self._buses.values():
            bus.set_alarm()
        self.events.set_alarm()

    def _fault_changed(self, what: str, armed: ArmedFault) -> None:
        self.events.tell(what, number=armed.number, fault=str(armed.fault))
        self._plugs.look_again()
        if self._plugs.minded:
            for bus in self._buses.values():
                if isinstance(bus, LineBus):
                    bus.look_again()

    def _struck(self, bus: str, unit: int, at_ns: int, kinds: str) -> None:
        self._record(bus, at_ns, f"unit {unit}", b"", kinds)
        self.events.tell("struck", bus=bus, unit=unit, kinds=kinds.split(", "))

    def _bus(self, name: str, *, echo: bool) -> LineBus | ModbusTcpUnits | DatagramUnits:
        bus = self.rig.buses[name]
        devices = {unit: self._device(name, unit, transducers) for unit, transducers in self.rig.units(name).items()}
        listener = None if self._trace is None else lambda t, who, data: self._record(name, t, who, data, "")
        if bus.kind is BusKind.LINE_OVER_UDP:
            return DatagramUnits({unit: faulty for unit, (_, faulty) in devices.items()}, self.clock, listener)
        if bus.kind is BusKind.MODBUS_TCP:
            units = {unit: (self._modbus(name, unit, device), faulty) for unit, (device, faulty) in devices.items()}
            return ModbusTcpUnits(units, self.clock, listener)
        names = {name, EVERYTHING}
        line = Line(
            bus,
            f"{self.rig.emulator.seed}:{name}",
            echo=echo,
            copper=name in self._serial,
            wear=WornWires(names=names, faults=self.faults),
            listener=None if self._trace is None else lambda t, who, data, note: self._record(name, t, who, data, note),
        )
        for unit, (_, faulty) in devices.items():
            line.add(f"unit {unit}", faulty, faulty.baud)
        self.lines[name] = line
        strangers = Strangers(
            names=names,
            faults=self.faults,
            silence_framed=line.silence_framed,
            unit=next(unit for unit in range(247, 0, -1) if unit not in devices),
        )
        line.add("stranger", strangers)
        return LineBus(line, strangers, self.clock)

    def _device(self, bus: str, unit: int, transducers: Mapping[str, Transducer]) -> tuple[Firmware, FaultyFirmware]:
        first, *others = transducers
        model = transducers[first].model
        for other in others:
            if transducers[other].model != model:
                raise FleetError(
                    f"unit {unit} of bus {bus} is a {model} for {first}, a {transducers[other].model} for {other}"
                )
        clock = DeviceClock(names={*transducers, bus, EVERYTHING}, faults=self.faults)
        sensors = {
            name: FaultySensor(self.world.sensor(name), names={name, bus, EVERYTHING}, faults=self.faults, clock=clock)
            for name in transducers
        }
        twin = self._twins[model] if model in self._twins else _twin(model, first)
        device = twin(unit=unit, bus=self.rig.buses[bus], transducers=transducers, sensors=sensors)
        faulty = FaultyFirmware(
            device,
            unit=unit,
            names={*transducers, bus, EVERYTHING},
            faults=self.faults,
            note=lambda t, kinds: self._struck(bus, unit, t, kinds),
            clock=clock,
            before=self._before(bus, unit),
            character_ns=0 if self.rig.buses[bus].kind is BusKind.MODBUS_TCP else span_ns(self.rig.buses[bus], 1),
        )
        self._devices[bus, unit] = faulty
        return device, faulty

    def _media(self) -> dict[str, set[Medium]]:
        """Return what carries the answers of each transducer, of those of each bus, and of all."""
        media: dict[str, set[Medium]] = {EVERYTHING: set()}
        for name, words in self.rig.transducers.items():
            medium = _medium(self.rig.buses[words.bus].kind, self._devices[words.bus, words.unit])
            for target in (name, words.bus, EVERYTHING):
                media.setdefault(target, set()).add(medium)
        return media

    def _before(self, bus: str, unit: int) -> set[str]:
        """Return the transducers from the host's end of a bus up to a unit, in the rig file's order."""
        before: set[str] = set()
        for number, transducers in self.rig.units(bus).items():
            before |= transducers.keys()
            if number == unit:
                break
        return before

    def _modbus(self, bus: str, unit: int, device: Firmware) -> ModbusFirmware:
        if not hasattr(device, "serve"):
            model = next(iter(self.rig.units(bus)[unit].values())).model
            raise FleetError(f"unit {unit} of bus {bus}: model '{model}' does not speak Modbus TCP")
        return device  # type: ignore[return-value] # serve is all that ModbusFirmware adds

    def _record(self, bus: str, t_ns: int, talker: str, data: bytes, note: str) -> None:
        if self._trace is not None:
            self._trace.add(Record(t_ns=t_ns, bus=bus, talker=talker, data=data, note=note))

    def _session(self, name: str) -> Session:
        """Return what begins a client's session on a bus."""

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

        return session
