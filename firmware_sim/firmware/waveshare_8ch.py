"""Twin of the Waveshare Modbus RTU Analog Input 8CH with 4-20 mA transmitters on its inputs.

The module knows currents only: no fault register, no temperature, no serial number. What is wrong with a transmitter
shows as a current outside 4-20 mA (NAMUR NE 43). Source: Waveshare wiki, "Modbus RTU Analog Input 8CH".
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final

from drivers.rig import Bus, Transducer
from firmware_sim.firmware.current_loop import Loop, LoopFailure
from firmware_sim.firmware.firmware import Reply, Sensor
from firmware_sim.firmware.settings import Settings
from firmware_sim.wire import modbus


class InputType(IntEnum):
    """How an input is read; its jumper is at current here."""

    V_0_5 = 0
    V_1_5 = 1
    MA_0_20 = 2
    MA_4_20 = 3
    RAW = 4


BOOT_NS: Final = 100_000_000
"""Silence after power-up; our choice, no document gives it."""

CHANNELS: Final = range(1, 9)

_FULL_SCALE_UA: Final = 20_000
_FULL_SCALE_COUNTS: Final = 4095  # 12 bit: steps of 4.9 uA
_BAUDS: Final = (4800, 9600, 19200, 38400, 57600, 115200, 128000, 256000)
_PARITIES: Final = "NEO"
_VERSION: Final = 200  # V2.00

_TYPES_AT, _SERIAL_AT, _ADDRESS_AT, _VERSION_AT = 0x1000, 0x2000, 0x4000, 0x8000
_FUNCTIONS: Final = frozenset(
    {
        modbus.Function.READ_HOLDING,
        modbus.Function.READ_INPUT,
        modbus.Function.WRITE_ONE,
        modbus.Function.WRITE_MANY,
    }
)


class Waveshare8ch:
    """One module. Address, input types and serial settings are kept without power, and count after the answer."""

    silence_framed = True
    wakes_at_ns: int | None = None

    def __init__(
        self, *, unit: int, bus: Bus, transducers: Mapping[str, Transducer], sensors: Mapping[str, Sensor]
    ) -> None:
        self._loops = {words.channel: Loop(name, words, sensors[name], CHANNELS) for name, words in transducers.items()}
        if len(self._loops) != len(transducers):
            raise ValueError(f"unit {unit}: two of {', '.join(transducers)} are on the same channel")
        baud = _BAUDS.index(bus.baud) if bus.baud in _BAUDS else _BAUDS.index(9600)
        serial = _PARITIES.index(bus.format[1]) << 8 | baud
        types = {_TYPES_AT + at: int(InputType.MA_0_20) for at in range(8)}
        self.settings = Settings({**types, _SERIAL_AT: serial, _ADDRESS_AT: unit, _VERSION_AT: _VERSION})
        self._failures: dict[int, LoopFailure] = {}
        self._refusal: int | None = None
        self._ready_ns = 0

    @property
    def unit(self) -> int:
        """Its address."""
        return self.settings[_ADDRESS_AT]

    @property
    def baud(self) -> int:
        """The speed that it is set to."""
        return _BAUDS[self.settings[_SERIAL_AT] & 0xFF]

    @property
    def addresses(self) -> frozenset[int]:
        """Its own, which can be changed, and that of everybody."""
        return frozenset((self.unit, modbus.BROADCAST))

    def fail(self, channel: int, failure: LoopFailure | None) -> None:
        """Break the loop on a channel (1 to 8), or mend it with None."""
        if failure is None:
            self._failures.pop(channel, None)
        else:
            self._failures[channel] = failure

    def refuse(self, code: int | None) -> None:
        """Answer every question with that exception code."""
        self._refusal = code

    def reboot(self, at_ns: int) -> None:
        """Lose power and come back with all settings."""
        self._ready_ns = at_ns + BOOT_NS

    def wake(self, at_ns: int) -> Sequence[Reply]:  # noqa: ARG002
        """Do nothing: it never talks on its own."""
        return ()

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Answer one RTU frame; the answer to a change of address still comes from the old one."""
        answer = modbus.exchange(data, self.unit, lambda pdu: self.serve(at_ns, pdu))
        return () if answer is None else (Reply(data=answer),)

    def serve(self, at_ns: int, pdu: bytes) -> bytes | None:
        """Answer one PDU."""
        if at_ns < self._ready_ns or not modbus.is_question(pdu):
            return None
        if self._refusal is not None:
            return modbus.exception(pdu[0], self._refusal)

        def do(request: modbus.Request) -> bytes | None:
            match request:
                case modbus.Read(function=modbus.Function.READ_INPUT):
                    return request.answer(self._inputs(at_ns, request))
                case modbus.Read():
                    return request.answer(self._stored(request))
                case modbus.Write():
                    self._store(request)
                    return request.answer()
                case modbus.Echo():
                    return None

        return modbus.serve(pdu, _FUNCTIONS, do)

    def _inputs(self, at_ns: int, request: modbus.Read) -> bytes:
        if request.address + request.count > len(CHANNELS):
            raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
        channels = range(request.address + 1, request.address + request.count + 1)
        return b"".join(self._input(at_ns, channel).to_bytes(2, "big") for channel in channels)

    def _input(self, at_ns: int, channel: int) -> int:
        """Return the register of one input: uA, or counts of the converter; unused inputs read 0.

        Currents above 20 mA are given as they are: how far the input reads is not documented.
        """
        counts = round(self._current_a(at_ns, channel) * 1e6 / _FULL_SCALE_UA * _FULL_SCALE_COUNTS)
        current_ua = round(counts * _FULL_SCALE_UA / _FULL_SCALE_COUNTS)
        match InputType(self.settings[_TYPES_AT + channel - 1]):
            case InputType.MA_0_20:
                return current_ua
            case InputType.MA_4_20:  # hides everything below 4 mA
                return max(current_ua, 4000)
            case InputType.RAW:
                return counts
            case InputType.V_0_5 | InputType.V_1_5:  # no voltage at a current loop's terminals
                return 0

    def _current_a(self, at_ns: int, channel: int) -> float:
        if channel in self._failures:
            return self._failures[channel].value
        return self._loops[channel].current_a(at_ns) if channel in self._loops else 0.0

    def _stored(self, request: modbus.Read) -> bytes:
        addresses = range(request.address, request.address + request.count)
        if not all(address in self.settings for address in addresses):
            raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
        return b"".join(self.settings[address].to_bytes(2, "big") for address in addresses)

    def _store(self, request: modbus.Write) -> None:
        stores = dict(enumerate(request.values, request.address))
        for address, value in stores.items():
            _check(address, value)
        for address, value in stores.items():
            self.settings.put(address, value)


def _check(address: int, value: int) -> None:
    """Refuse what the module would not store."""
    if address - _TYPES_AT in range(8):
        fits = value in list(InputType)
    elif address == _SERIAL_AT:
        fits = value >> 8 < len(_PARITIES) and value & 0xFF < len(_BAUDS)
    elif address == _ADDRESS_AT:
        fits = 1 <= value <= 255
    else:
        raise modbus.Refusal(modbus.Code.ILLEGAL_ADDRESS)
    if not fits:
        raise modbus.Refusal(modbus.Code.ILLEGAL_VALUE)
