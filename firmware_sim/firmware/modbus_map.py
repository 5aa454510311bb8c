"""Twin of any Modbus transmitter that the rig file describes by a register map (`modbus-map`).

Registers hold what the map says and nothing else: a read that touches another address is refused as a whole.
"""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from drivers.rig import Bus, Register, Transducer
from drivers.units import unit_for
from firmware_sim.firmware.firmware import Reply, Sensor, WideSensor
from firmware_sim.wire import modbus
from firmware_sim.wire.numbers import registers

BOOT_NS: Final = 100_000_000
"""Silence after power-up; our choice for a family without a manual."""

_QUANTITIES: Final = ("pressure", "temperature")


class _Cell:
    """One quantity of one transducer as the registers from its address on."""

    def __init__(self, name: str, quantity: str, register: Register, words: Transducer, sensor: Sensor) -> None:
        if quantity not in _QUANTITIES and not hasattr(sensor, "feel"):
            raise ValueError(f"transducer {name}: its sensor feels no '{quantity}', only {' and '.join(_QUANTITIES)}")
        self.register = register
        self._quantity = quantity
        self._unit = unit_for(register.unit, quantity)
        self._range_pa = words.range
        self._sensor = sensor

    def read(self, at_ns: int) -> bytes:
        """Return the registers; a pressure beyond the transducer's range stays at its end. Of a bit, its register."""
        number = (self._unit.from_si(self._value(at_ns)) - self.register.offset) / self.register.scale
        if self.register.of_bits or self.register.bit is not None:
            return (round(number) << (self.register.bit or 0)).to_bytes(2, "big")
        return registers(number, self.register.type, self.register.order)

    def _value(self, at_ns: int) -> float:
        if self._quantity not in _QUANTITIES:
            return cast("WideSensor", self._sensor).feel(self._quantity, at_ns)
        value = self._sensor.read(at_ns)[_QUANTITIES.index(self._quantity)]
        if self._quantity == "pressure" and self._range_pa is not None:
            low, high = self._range_pa
            value = min(max(value, low), high)
        return value


class ModbusMap:
    """One unit with the registers and bits of all its transducers; each function has its own."""

    silence_framed = True
    wakes_at_ns: int | None = None
    functions = frozenset(
        {
            modbus.Function.READ_COILS,
            modbus.Function.READ_DISCRETE,
            modbus.Function.READ_HOLDING,
            modbus.Function.READ_INPUT,
        }
    )

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; a map is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        self.readdress(unit)
        self._cells: dict[tuple[int, int], list[tuple[_Cell, int]]] = {}
        self._held: dict[tuple[int, int], int] = {}
        self._unreadable: set[tuple[int, int]] = set()
        self._refusal: int | None = None
        self._ready_ns = 0
        self.remap(transducers, sensors)

    def readdress(self, unit: int) -> None:
        """Answer at another address; an answer under way still has the old one."""
        self._unit = unit
        self.addresses = frozenset((unit, modbus.BROADCAST))

    def remap(self, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]) -> None:
        """Put the values where these transducers' maps say, and nowhere else."""
        self._cells.clear()
        for name, words in transducers.items():
            for quantity, register in (words.map or {}).items():
                self._place(name, _Cell(name, quantity, register, words, sensors[name]))

    def _place(self, name: str, cell: _Cell) -> None:
        for word in range(cell.register.count):
            at = (cell.register.function, cell.register.address + word)
            there = self._cells.setdefault(at, [])
            bits = [each.register.bit for each, _ in there]
            if there and (cell.register.bit is None or None in bits or cell.register.bit in bits):
                raise ValueError(
                    f"transducer {name}: register {at[1]} (function {at[0]}) is in use on unit {self._unit}"
                )
            there.append((cell, word))

    def hold(self, function: int, address: int, *values: int) -> None:
        """Put constants beside the measured values: a unit code, a number of decimals."""
        self._held |= {(function, address + at): value for at, value in enumerate(values)}

    def block(self, function: int, address: int, *, unreadable: bool = True) -> None:
        """Make a single register answer exception 2, or mend it."""
        if unreadable:
            self._unreadable.add((function, address))
        else:
            self._unreadable.discard((function, address))

    def refuse(self, code: int | None) -> None:
        """Answer every question with that exception code."""
        self._refusal = code

    def reboot(self, at_ns: int) -> None:
        """Lose power and come back: all it knows is kept without power."""
        self._ready_ns = at_ns + BOOT_NS

    def wake(self, at_ns: int) -> Sequence[Reply]:  # noqa: ARG002
        """Do nothing: it never talks on its own."""
        return ()

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Answer one RTU frame."""
        answer = modbus.exchange(data, self._unit, lambda pdu: self.serve(at_ns, pdu))
        return () if answer is None else (Reply(data=answer),)

    def serve(self, at_ns: int, pdu: bytes) -> bytes | None:
        """Answer one PDU."""
        if at_ns < self._ready_ns or not modbus.is_question(pdu):
            return None
        if self._refusal is not None:
            return modbus.exception(pdu[0], self._refusal)

        def do(request: modbus.Request) -> bytes | None:
            match request:
                case modbus.Read():
                    registers = self._registers(at_ns, request)
                    return request.answer(_packed(registers) if request.of_bits else registers)
                case modbus.Write():
                    self.store(request)
                    return request.answer()
            return None

        return modbus.serve(pdu, self.functions, do)

    def store(self, request: modbus.Write) -> None:  # noqa: ARG002 - what devices with settings override
        """Take a write; a map alone has nothing that can be written."""
        raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)

    def _registers(self, at_ns: int, request: modbus.Read) -> bytes:
        values: dict[_Cell, bytes] = {}  # a value of several registers is measured once
        data = b""
        for address in range(request.address, request.address + request.count):
            at = (int(request.function), address)
            if at in self._unreadable:
                raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
            if at in self._held:
                data += self._held[at].to_bytes(2, "big")
                continue
            if at not in self._cells:
                raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
            there = self._cells[at]
            for cell, _ in there:
                if cell not in values:
                    values[cell] = cell.read(at_ns)
            words = [int.from_bytes(values[cell][2 * word : 2 * word + 2], "big") for cell, word in there]
            data += sum(words).to_bytes(2, "big")  # several only where each has a bit of its own
        return data


def _packed(registers: bytes) -> bytes:
    """Return bits, one from each register: eight in a byte, the first one lowest."""
    bits = registers[1::2]
    return bytes(sum(bit << place for place, bit in enumerate(bits[at : at + 8])) for at in range(0, len(bits), 8))
