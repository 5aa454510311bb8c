"""A Modbus TCP port with any number of emulated units behind it (Modbus Messaging on TCP/IP V1.0b)."""

from collections.abc import Mapping, Sequence
from typing import Final

from firmware_sim.clock import EmulatorClock
from firmware_sim.fault_kinds import kinds_of
from firmware_sim.faulty import FaultyFirmware
from firmware_sim.faulty_answer import next_function
from firmware_sim.firmware.firmware import ModbusFirmware, Reply
from firmware_sim.line import HOST
from firmware_sim.outbox import Listener, Outbox
from firmware_sim.ports import Receive

_HEADER: Final = 6
"""Transaction, protocol and length; the unit and the PDU follow."""
_LONGEST: Final = 254
_UNREACHABLE: Final = 0x0B
"""Exception "gateway target device failed to respond" (Modbus application protocol V1.1b3, section 7)."""


class ModbusTcpUnits:
    """The units of one port. Each answers in the order in which it was asked; a busy one holds up no other.

    Args:
        units: address -> device, and the same device behind its faults.
        clock: the emulator's.
        listener: told of each message, for a trace.
    """

    def __init__(
        self,
        units: Mapping[int, tuple[ModbusFirmware, FaultyFirmware]],
        clock: EmulatorClock,
        listener: Listener | None = None,
    ) -> None:
        self._units = units
        self._clock = clock
        self._outbox = Outbox(clock, listener)

    def session(self, send: Receive) -> Receive:
        """Begin a client's session."""
        buffer = bytearray()

        def receive(data: bytes) -> None:
            buffer.extend(data)
            while (size := _message_size(buffer)) and len(buffer) >= size:
                message = bytes(buffer[:size])
                del buffer[:size]
                self._serve(message, send)

        return receive

    def set_alarm(self) -> None:
        """Wait until the next answer is due."""
        self._outbox.set_alarm()

    def close(self) -> None:
        """Send nothing more."""
        self._outbox.close()

    def _serve(self, message: bytes, send: Receive) -> None:
        at_ns = self._clock.now_ns()
        number = message[_HEADER]
        self._outbox.listen(at_ns, HOST, message)
        self._outbox.post(at_ns, number, self._answers(at_ns, number, message), send)

    def _answers(self, at_ns: int, number: int, message: bytes) -> Sequence[Reply]:
        pdu = message[_HEADER + 1 :]
        unit = self._units.get(number)
        if unit is None:
            return [Reply(data=_message(message, bytes([pdu[0] | 0x80, _UNREACHABLE])))]
        device, faulty = unit

        def ask(own_ns: int, _: bytes) -> Sequence[Reply]:
            answer = device.serve(own_ns, pdu)
            if answer is None:
                return []
            if isinstance(answer, Reply):
                return [Reply(data=_message(message, answer.data), delay_ns=answer.delay_ns)]
            return [Reply(data=_message(message, answer))]

        return faulty.exchange(at_ns, message[_HEADER:], ask, FRAMING)


def _message_size(buffer: bytearray) -> int:
    """Return the size of the message that begins here, 0 when that cannot be said yet; drop what is none."""
    if len(buffer) < _HEADER:
        return 0
    length = int.from_bytes(buffer[4:6], "big")
    if buffer[2:4] != b"\0\0" or not 2 <= length <= _LONGEST:
        buffer.clear()  # out of step for good; a client notices by its timeout
        return 0
    return _HEADER + length


def _message(request: bytes, pdu: bytes) -> bytes:
    return request[:4] + (len(pdu) + 1).to_bytes(2, "big") + request[_HEADER : _HEADER + 1] + pdu


class TcpFraming:
    """Messages inside TCP, whose bytes no line disturbs. A request, to a fault, is unit and PDU."""

    kinds = kinds_of("answer", medium="modbus-tcp")

    def readdress(self, frame: bytes, old: int, unit: int) -> bytes:  # noqa: ARG002 - the seam's; its place is fixed
        """Return the same message of another unit."""
        return frame[:_HEADER] + bytes([unit]) + frame[_HEADER + 1 :]

    def refunction(self, frame: bytes, code: int) -> bytes:
        """Return the same message under another function code."""
        at = _HEADER + 1
        return frame[:at] + bytes([code or next_function(frame[at])]) + frame[at + 1 :]


FRAMING: Final = TcpFraming()
