"""A Modbus TCP port with any number of emulated units behind it (Modbus Messaging on TCP/IP V1.0b)."""

import heapq
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Final

from firmware_sim.clock import Alarm, EmulatorClock
from firmware_sim.fault_kinds import kinds_of
from firmware_sim.faulty import FaultyFirmware
from firmware_sim.faulty_answer import next_function
from firmware_sim.firmware.firmware import ModbusFirmware, Reply
from firmware_sim.line import HOST
from firmware_sim.ports import Receive

_HEADER: Final = 6
"""Transaction, protocol and length; the unit and the PDU follow."""
_LONGEST: Final = 254
_UNREACHABLE: Final = 0x0B
"""Exception "gateway target device failed to respond" (Modbus application protocol V1.1b3, section 7)."""
TURNAROUND_NS: Final = 200_000
"""A device takes a moment. Without it virtual time would stand still under a client that asks as fast as it can."""

Listener = Callable[[int, str, bytes], None]
"""Is told of each message: (ns, talker, bytes)."""


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
        self._listener = listener
        self._free_ns: dict[int, int] = {}
        self._outbox: list[tuple[int, int, str, Receive, bytes]] = []
        self._order = count()
        self._alarm = Alarm(clock, self._send_due)

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
        self._alarm.set(self._outbox[0][0] if self._outbox else None)

    def close(self) -> None:
        """Send nothing more."""
        self._outbox.clear()
        self._alarm.set(None)

    def _serve(self, message: bytes, send: Receive) -> None:
        at_ns = self._clock.now_ns()
        number = message[_HEADER]
        self._listen(at_ns, HOST, message)
        replies = self._answers(at_ns, number, message)
        for reply in replies:
            due_ns = max(at_ns + TURNAROUND_NS + reply.delay_ns, self._free_ns.get(number, 0))
            self._free_ns[number] = due_ns
            heapq.heappush(self._outbox, (due_ns, next(self._order), f"unit {number}", send, reply.data))
        self.set_alarm()

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

    def _send_due(self, now_ns: int) -> None:
        while self._outbox and self._outbox[0][0] <= now_ns:
            due_ns, _, talker, send, data = heapq.heappop(self._outbox)
            self._listen(due_ns, talker, data)
            send(data)
        self.set_alarm()

    def _listen(self, at_ns: int, talker: str, data: bytes) -> None:
        if self._listener is not None:
            self._listener(at_ns, talker, data)


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

    kinds = kinds_of("answer") - {"crc", "head", "split", "noise", "echo"}

    def readdress(self, frame: bytes, old: int, unit: int) -> bytes:  # noqa: ARG002 - the seam's; its place is fixed
        """Return the same message of another unit."""
        return frame[:_HEADER] + bytes([unit]) + frame[_HEADER + 1 :]

    def refunction(self, frame: bytes, code: int) -> bytes:
        """Return the same message under another function code."""
        at = _HEADER + 1
        return frame[:at] + bytes([code or next_function(frame[at])]) + frame[at + 1 :]


FRAMING: Final = TcpFraming()
