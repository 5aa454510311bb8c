"""Twin of KELLER Series 30 / 33X / 35X / 36X transmitters: KELLER bus and Modbus on one line.

The CRC's byte order tells the protocols apart. After power-up everything but F48 and the Modbus echo is refused with
exception 32, so that a broken supply shows. Sources: KELLER, Communication protocol Series 30, as reprinted in the
Xylem Expert 7060/7070 manual (pages 7 to 25); the identity registers as two independent public clients read them.
"""

import math
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from typing import Final

from drivers.rig import Bus, Transducer
from drivers.units import unit as unit_of
from firmware_sim.firmware.firmware import Reply, Sensor
from firmware_sim.firmware.settings import Settings
from firmware_sim.wire import keller_bus, modbus
from firmware_sim.wire.numbers import float32, integer


class State(Enum):
    """What the transmitter is doing; it counts as just powered up when it is made."""

    BOOT = auto()
    UNINITIALISED = auto()
    RUN = auto()


class Channel(IntEnum):
    """Channels of a standard transmitter by their number on the KELLER bus; its bit in STAT is `1 << channel`."""

    P1 = 1
    TOB1 = 4


class IntegerMap(IntEnum):
    """Where 32-bit integers (Pa, 0.01 C) begin: two manuals disagree, and both kinds of firmware exist.

    The 16-bit values that the younger firmware has at 0x0010 are left out: their scale is not confirmed.
    """

    SERIES_30 = 0x0010
    X_LINE = 0x0020


BOOT_NS: Final = 100_000_000
"""Silence after power-up; our choice, the manual's figure was not at hand."""
WARM_UP_NS: Final = 200_000_000
"""How long STAT says power-up mode after that; our choice too."""

_MODBUS: Final = frozenset(
    {
        modbus.Function.READ_HOLDING,
        modbus.Function.WRITE_ONE,
        modbus.Function.DIAGNOSTICS,
        modbus.Function.WRITE_MANY,
    }
)
_FIRMWARE: Final = bytes((5, 20, 12, 28))  # class, group, year, week: new enough for NaN and infinities (page 25)
_BUFFER_LENGTH: Final = 10
_POWER_UP: Final = 0x80  # in STAT
_USUAL_RANGE_PA: Final = (0.0, 1e6)

_BAR: Final = unit_of("bar", "pressure")
_CELSIUS: Final = unit_of("C", "temperature")

_FLOATS_AT: Final = {0x0002: Channel.P1, 0x0008: Channel.TOB1, 0x0100: Channel.P1, 0x0102: Channel.TOB1}
_IDENTITY: Final = range(0x0200, 0x0210)
_IDENTITY_LIMIT: Final = 4
_ADDRESS_AT: Final = 0x020D
_COEFFICIENTS: Final = range(0x0300, 0x0500)  # two registers each
_OFFSET, _GAIN, _MINIMUM, _MAXIMUM = _KNOWN = 64, 65, 80, 81
_ADDRESS: Final = -1  # no coefficient has that number


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """Value of each channel (bar, C; NaN failed, infinite out of range) and STAT."""

    values: Mapping[Channel, float]
    status: int

    def integer(self, channel: Channel) -> float:
        """Value in Pa or 0.01 C; infinities stay."""
        return self.values[channel] * (1e5 if channel is Channel.P1 else 100.0)


class Keller33x:
    """One transmitter with P1 and TOB1. Address and coefficients are kept without power, initialisation is not."""

    silence_framed = True
    wakes_at_ns: int | None = None

    def __init__(
        self,
        *,
        unit: int,
        bus: Bus,  # noqa: ARG002 - the seam's; this family is the same on every line
        transducers: Mapping[str, Transducer],
        sensors: Mapping[str, Sensor],
    ) -> None:
        ((name, words),) = transducers.items()
        number = words.serial_number
        self.serial_number = (number if isinstance(number, int) else zlib.crc32(name.encode())) & 0xFFFF_FFFF
        self.state = State.UNINITIALISED
        self.integer_map = IntegerMap.SERIES_30
        self._sensor = sensors[name]
        low, high = words.range or _USUAL_RANGE_PA
        margin = (high - low) / 10
        self._limits_pa = (low - margin, high + margin)
        self.settings: Settings[int, float] = Settings(
            {
                _ADDRESS: unit,
                _OFFSET: 0.0,
                _GAIN: 1.0,
                _MINIMUM: _BAR.from_si(low),
                _MAXIMUM: _BAR.from_si(high),
            }
        )
        self._failed: set[Channel] = set()
        self._refusal: int | None = None
        self._boot_ends_ns = self._warm_ns = 0

    @property
    def unit(self) -> int:
        """Its address."""
        return int(self.settings[_ADDRESS])

    def fail(self, channel: Channel, *, failed: bool = True) -> None:
        """Break a channel (its value is NaN and its STAT bit set) or mend it."""
        if failed:
            self._failed.add(channel)
        else:
            self._failed.discard(channel)

    def refuse(self, code: int | None) -> None:
        """Answer every question, in both protocols, with that exception code."""
        self._refusal = code

    @property
    def addresses(self) -> frozenset[int]:
        """Its own, which can be changed, and the one that every transmitter answers."""
        return frozenset((self.unit, keller_bus.TRANSPARENT))

    def reboot(self, at_ns: int) -> None:
        """Lose power and come back uninitialised."""
        self.state = State.BOOT
        self.settings.restore()
        self._boot_ends_ns = at_ns + BOOT_NS
        self._warm_ns = self._boot_ends_ns + WARM_UP_NS

    def wake(self, at_ns: int) -> Sequence[Reply]:  # noqa: ARG002
        """Do nothing: it never talks on its own."""
        return ()

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Answer one frame of either protocol."""
        if not data or data[0] not in self.addresses:
            return ()
        if self.state is State.BOOT:
            if at_ns < self._boot_ends_ns:
                return ()
            self.state = State.UNINITIALISED
        answer = self._answer(at_ns, data)
        return () if answer is None else (Reply(data=answer),)

    def _answer(self, at_ns: int, data: bytes) -> bytes | None:
        native, other = keller_bus.split(data), modbus.split(data)
        # A CRC of two equal bytes fits both protocols; their function codes do not overlap.
        if native is not None and (other is None or native.function not in _MODBUS):
            if native.function & 0x80:
                return None
            return self._keller(at_ns, native)
        if other is None:
            return None
        pdu = self._modbus(at_ns, other.pdu)
        return None if pdu is None else modbus.join(other.unit, pdu)

    # KELLER bus

    def _keller(self, at_ns: int, question: keller_bus.Frame) -> bytes:
        if self._refusal is not None:
            return question.refusal(self._refusal)
        try:
            return question.answer(self._obey(at_ns, question))
        except keller_bus.Refusal as refusal:
            return question.refusal(refusal.code)

    def _obey(self, at_ns: int, question: keller_bus.Frame) -> bytes:
        function = self._allowed(question)
        match function:
            case keller_bus.Function.INITIALISE:
                return self._initialise()
            case keller_bus.Function.READ_SERIAL_NUMBER:
                return self.serial_number.to_bytes(4, "big")
            case keller_bus.Function.CHANGE_ADDRESS:
                return self._readdress(question.data[0])
            case keller_bus.Function.READ_COEFFICIENT:
                return self._coefficient(question.data[0])
            case keller_bus.Function.READ_FLOAT:
                channel, measured = _channel(question.data[0]), self._measure(at_ns)
                return keller_bus.float_value(measured.values[channel], measured.status)
            case keller_bus.Function.READ_INTEGER:
                channel, measured = _channel(question.data[0]), self._measure(at_ns)
                value = measured.integer(channel)
                if not abs(value) < 1 << 31:
                    raise keller_bus.Refusal(keller_bus.Code.OUT_OF_RANGE)
                return keller_bus.integer_value(round(value), measured.status)

    def _allowed(self, question: keller_bus.Frame) -> keller_bus.Function:
        if question.function not in list(keller_bus.Function):
            raise keller_bus.Refusal(keller_bus.Code.ILLEGAL_FUNCTION)
        function = keller_bus.Function(question.function)
        if self.state is not State.RUN and function is not keller_bus.Function.INITIALISE:
            raise keller_bus.Refusal(keller_bus.Code.NOT_INITIALISED)
        takes_number = function not in {keller_bus.Function.INITIALISE, keller_bus.Function.READ_SERIAL_NUMBER}
        if len(question.data) != takes_number:
            raise keller_bus.Refusal(keller_bus.Code.WRONG_LENGTH)
        return function

    def _initialise(self) -> bytes:
        again = self.state is State.RUN
        self.state = State.RUN
        return _FIRMWARE + bytes((_BUFFER_LENGTH, again))

    def _readdress(self, unit: int) -> bytes:
        """Take another address after this answer, and return it; 0 asks which one it has."""
        if unit >= keller_bus.TRANSPARENT:
            raise keller_bus.Refusal(keller_bus.Code.ILLEGAL_CHANNEL)
        if unit:
            self.settings.put(_ADDRESS, unit)
        return bytes((self.unit,))

    def _coefficient(self, number: int) -> bytes:
        if number not in _KNOWN:
            raise keller_bus.Refusal(keller_bus.Code.ILLEGAL_CHANNEL)
        return float32(self.settings[number])

    # Modbus

    def _modbus(self, at_ns: int, pdu: bytes) -> bytes | None:
        if not modbus.is_question(pdu):
            return None
        if self._refusal is not None:
            return modbus.exception(pdu[0], self._refusal)
        if self.state is not State.RUN and pdu[0] != modbus.Function.DIAGNOSTICS:
            return modbus.exception(pdu[0], keller_bus.Code.NOT_INITIALISED)

        def do(request: modbus.Request) -> bytes | None:
            match request:
                case modbus.Read():
                    registers = self._registers(at_ns, request.address, request.count)
                    return None if registers is None else request.answer(registers)
                case modbus.Write():
                    self._store(request)
                    return request.answer()
                case modbus.Echo():
                    return request.answer()

        return modbus.serve(pdu, _MODBUS, do)

    def _registers(self, at_ns: int, address: int, count: int) -> bytes | None:
        if address in _COEFFICIENTS:
            return self._coefficient_registers(address, count)
        if address not in _IDENTITY:
            return self._value_registers(at_ns, address, count)
        if count > _IDENTITY_LIMIT:  # longer reads stay unanswered, as two public clients found
            return None
        if address + count > _IDENTITY.stop:
            raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
        first = 2 * (address - _IDENTITY.start)
        return self._identity()[first : first + 2 * count]

    def _identity(self) -> bytes:
        """Registers 0x0200 to 0x020F: serial number in 2 and 3, address in 13, firmware in 14 and 15, the rest zero."""
        return bytes(4) + self.serial_number.to_bytes(4, "big") + bytes(18) + self.unit.to_bytes(2, "big") + _FIRMWARE

    def _coefficient_registers(self, address: int, count: int) -> bytes:
        if count % 2:
            raise modbus.Refusal(modbus.Code.ILLEGAL_VALUE)
        numbers = [_coefficient_at(address + at) for at in range(0, count, 2)]
        if not all(number in _KNOWN for number in numbers):
            raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
        return b"".join(float32(self.settings[number]) for number in numbers)

    def _value_registers(self, at_ns: int, address: int, count: int) -> bytes:
        measured = self._measure(at_ns)
        half = address % 2
        data = b"".join([self._value(measured, at) for at in range(address - half, address + count, 2)])
        return data[2 * half : 2 * (half + count)]

    def _value(self, measured: _Measured, at: int) -> bytes:
        """Return the two registers that begin there."""
        if at in _FLOATS_AT:
            return float32(measured.values[_FLOATS_AT[at]])
        for channel in Channel:
            if at == self.integer_map + 2 * channel:
                return integer(measured.integer(channel), bits=32, signed=True)
        raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)

    def _store(self, request: modbus.Write) -> None:
        if request.address == _ADDRESS_AT and len(request.values) == 1:
            if not 1 <= request.values[0] < keller_bus.TRANSPARENT:
                raise modbus.Refusal(modbus.Code.ILLEGAL_VALUE)
            self.settings.put(_ADDRESS, request.values[0])
            return
        if len(request.values) % 2:
            raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
        words = struct.pack(f">{len(request.values)}H", *request.values)
        values = struct.unpack(f">{len(request.values) // 2}f", words)
        numbers = [_coefficient_at(request.address + 2 * at) for at in range(len(values))]
        if not all(number in {_OFFSET, _GAIN} for number in numbers):
            raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
        if not all(map(math.isfinite, values)):
            raise modbus.Refusal(modbus.Code.ILLEGAL_VALUE)
        for number, value in zip(numbers, values, strict=True):
            self.settings.put(number, value)

    # The measurement

    def _measure(self, at_ns: int) -> _Measured:
        pressure_pa, temperature_k = self._sensor.read(at_ns)
        values = {Channel.P1: self._bar(pressure_pa), Channel.TOB1: _CELSIUS.from_si(temperature_k)}
        values |= dict.fromkeys(self._failed, math.nan)
        status = sum(1 << channel for channel, value in values.items() if not math.isfinite(value))
        status |= _POWER_UP if at_ns < self._warm_ns else 0
        return _Measured(values=values, status=status)

    def _bar(self, pressure_pa: float) -> float:
        low, high = self._limits_pa
        if pressure_pa < low:
            return -math.inf
        if pressure_pa > high:
            return math.inf
        return _BAR.from_si(pressure_pa) * self.settings[_GAIN] + self.settings[_OFFSET]


def _channel(number: int) -> Channel:
    if number not in list(Channel):
        raise keller_bus.Refusal(keller_bus.Code.ILLEGAL_CHANNEL)
    return Channel(number)


def _coefficient_at(address: int) -> int:
    """Number of the coefficient that begins at that register, -1 when none does."""
    number, half = divmod(address - _COEFFICIENTS.start, 2)
    return -1 if half else number
