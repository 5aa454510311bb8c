"""A line for tests of the bus: what each question brings is a function of the test."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from drivers.bus import Bus
from drivers.exchange import Request
from drivers.rig import Bus as BusWords
from drivers.transport.memory import MemoryTransport
from drivers.wire.modbus import read_registers, rtu_frame

CHARACTER_S = 10 / 19200
LATENCY_S = 0.003
LINE = BusWords.model_validate({"kind": "serial", "port": "memory", "baud": 19200})
TCP = BusWords.model_validate({"kind": "modbus-tcp", "port": "memory:502"})

Answers = Iterable[tuple[float, bytes]]
"""What a question brings: (s after its last character until the answer's last character, the answer)."""


def question(unit: int = 1, address: int = 0x100, count: int = 2, function: int = 3) -> Request:
    return read_registers(unit, function, address, count)


def fences(unit: int = 1) -> tuple[Request, ...]:
    return question(unit, count=1), question(unit, count=3)


def reply(request: Request, first: int = 0) -> bytes:
    """Answer a read with registers that count up from `first`."""
    count = (request.answer_size - 5) // 2
    registers = b"".join(((first + index) & 0xFFFF).to_bytes(2, "big") for index in range(count))
    return rtu_frame(request.unit, bytes((request.frame[1], 2 * count)) + registers)


def refuse(frame: bytes, code: int = 2) -> bytes:
    return rtu_frame(frame[0], bytes((frame[1] | 0x80, code)))


def answer(frame: bytes, first: int = 0) -> bytes:
    """Answer any read as `reply` does, from its frame alone."""
    count = int.from_bytes(frame[4:6], "big")
    return reply(question(frame[0], count=count, function=frame[1]), first)


@dataclass
class ScriptedLine:
    """The far end of a `MemoryTransport`.

    Attributes:
        respond: called with the number of a question, from 1, and its bytes.
        refusals: how often connecting fails before it succeeds.
        cut: what comes at one time is handed over in two pieces, the first of that size.
        asked: (loop time, bytes) of each question.
    """

    respond: Callable[[int, bytes], Answers]
    refusals: int = 0
    cut: int = 0
    asked: list[tuple[float, bytes]] = field(default_factory=list)
    connects: int = 0
    _receive: Callable[[bytes], None] | None = None
    _lost: Callable[[], None] | None = None

    def connect(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> Callable[[bytes], None]:
        if self.refusals:
            self.refusals -= 1
            raise OSError("memory: no such port")
        self.connects += 1
        self._receive, self._lost = receive, lost
        return self._question

    def _question(self, frame: bytes) -> None:
        loop = asyncio.get_running_loop()
        self.asked.append((loop.time(), frame))
        end_s = loop.time() + len(frame) * CHARACTER_S
        for delay_s, data in self.respond(len(self.asked), frame):
            loop.call_at(end_s + delay_s, self.say, data)

    def say(self, data: bytes) -> None:
        """Put bytes on the line now."""
        for piece in (data[: self.cut], data[self.cut :]):
            if piece and self._receive is not None:
                self._receive(piece)

    def unplug(self) -> None:
        """Take the adapter away."""
        lost, self._receive, self._lost = self._lost, None, None
        assert lost is not None
        lost()

    def bus(self, words: BusWords = LINE) -> Bus:
        return Bus("test", words, make_transport=lambda _: MemoryTransport(self.connect))

    def opened(self, words: BusWords = LINE) -> AbstractAsyncContextManager[Bus]:
        return self.bus(words).opened()


def healthy(number: int, frame: bytes) -> Answers:
    """Answer at once, each time with other registers."""
    yield LATENCY_S + CHARACTER_S * len(answer(frame)), answer(frame, number * 100)


def still(_: int, frame: bytes) -> Answers:
    """Answer at once, always with the same registers."""
    yield LATENCY_S + CHARACTER_S * len(answer(frame)), answer(frame)


def silent(_: int, frame: bytes) -> Answers:
    return ()


def outcomes(bus: Bus, unit: int = 1) -> Mapping[str, int]:
    return bus.statistics().units[unit].outcomes
