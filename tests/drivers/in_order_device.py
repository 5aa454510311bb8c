"""A device for tests of the bus: answers strictly in order, with whatever the line does to its answers.

Every frame that reaches the bus carries, beside its bytes, the number of the question that caused it: so a test knows
whether an accepted answer belongs to the question it was accepted for, even when the bytes are equal.
"""

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from drivers.wire.modbus import rtu_frame


@dataclass(frozen=True, kw_only=True)
class Mishap:
    """What happens to one question and its answer."""

    kind: str = "none"
    delay_s: float = 0.0
    place: int = 0


@dataclass(kw_only=True)
class InOrderDevice:
    """Units behind one line. `mishaps` are used up question by question; afterwards the line is healthy."""

    mishaps: list[Mishap]
    static: bool = False
    split_s: float = 0.0
    latency_s: float = 0.003
    character_s: float = 10 / 19200
    questions: int = 0
    delivered: list[int] = field(default_factory=list)  # question numbers of frames as they reached the bus
    asked: list[tuple[int, bytes]] = field(default_factory=list)
    _receive: Callable[[bytes], None] | None = None
    _free_s: float = 0.0

    def connect(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> Callable[[bytes], None]:
        """Be a port for `MemoryTransport`."""
        self._receive = receive
        return self.question

    def question(self, frame: bytes) -> None:
        """Take a question from the bus."""
        loop = asyncio.get_running_loop()
        self.questions += 1
        number = self.questions
        self.asked.append((number, frame))
        mishap = self.mishaps.pop(0) if self.mishaps else Mishap()
        if mishap.kind == "request lost":
            return
        if mishap.kind == "echo":
            self._send(number, frame, loop.time())
        heard_s = loop.time() + len(frame) * self.character_s
        start_s = heard_s + self.latency_s + (mishap.delay_s if mishap.kind == "late" else 0.0)
        answer = self._answer(frame, number)
        if mishap.kind == "answer lost":
            return
        if mishap.kind == "corrupt":
            answer = _flip(answer, mishap.place)
        elif mishap.kind == "truncate":
            answer = answer[: 1 + mishap.place % (len(answer) - 1)]
        elif mishap.kind == "foreign":
            answer = rtu_frame(77, answer[1:-2])
        elif mishap.kind == "noise":
            answer = bytes([0x00, 0xFF, 0x01, 0x03][: 1 + mishap.place % 4]) + answer
        self._send(number, answer, start_s)
        if mishap.kind == "duplicate":
            self._send(number, answer, self._free_s + mishap.delay_s)

    def _answer(self, frame: bytes, number: int) -> bytes:
        unit, function, address, count = struct.unpack(">BBHH", frame[:6])
        seed = address if self.static else number * 40503 + address
        registers = [(seed + index * 977) & 0xFFFF for index in range(count)]
        return rtu_frame(unit, bytes((function, 2 * count)) + struct.pack(f">{count}H", *registers))

    def _send(self, number: int, data: bytes, start_s: float) -> None:
        """Put bytes on the line in order, after all that was sent before."""
        loop = asyncio.get_running_loop()
        end_s = max(start_s, self._free_s) + len(data) * self.character_s
        self._free_s = end_s
        half = len(data) // 2
        if self.split_s and half:
            loop.call_at(end_s - self.split_s, self._deliver, 0, data[:half])
            data = data[half:]
        loop.call_at(end_s, self._deliver, number, data)

    def _deliver(self, number: int, data: bytes) -> None:
        if number:
            self.delivered.append(number)
        assert self._receive is not None
        self._receive(data)


def _flip(frame: bytes, place: int) -> bytes:
    place %= len(frame)
    return frame[:place] + bytes((frame[place] ^ (1 << (place % 8)),)) + frame[place + 1 :]
