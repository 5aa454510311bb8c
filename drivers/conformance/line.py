"""The line of a conformance check: one device, and what can happen to its answers on their way."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final, Protocol

from drivers.exchange import Attempt, Outcome, Request
from drivers.rig import Bus as BusWords
from drivers.wire.ascii_line import LineRequest

TROUBLE_S: Final = (5.0, 15.0)
_ROUND_TRIP_S: Final = 0.02
_FIFO: Final = 16  # characters that a UART hands over at once


class Reply(Protocol):
    """What a twin sends, and how long after what it heard."""

    @property
    def data(self) -> bytes: ...
    @property
    def delay_ns(self) -> int: ...


class Device(Protocol):
    """A twin, as `firmware_sim.firmware.firmware.Firmware` describes it; times are ns."""

    @property
    def silence_framed(self) -> bool: ...
    @property
    def wakes_at_ns(self) -> int | None: ...
    def hear(self, at_ns: int, data: bytes, /) -> Sequence[Reply]:
        """Take what came over the line; return what to send."""
        ...

    def wake(self, at_ns: int, /) -> Sequence[Reply]:
        """Do what was due."""
        ...

    def reboot(self, at_ns: int, /) -> None:
        """Lose power and come back."""
        ...

    def refuse(self, code: int | None, /) -> None:
        """Refuse everything until called with None."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One answer that something happens to."""

    question: bytes
    answer: bytes
    random: Random


Pieces = list[tuple[float, bytes]]
"""What comes of an answer: seconds after it was due, and bytes."""


def _late(delay_s: float, strike: Strike) -> Pieces:
    return [(delay_s, strike.answer)]


def _twice(delay_s: float, strike: Strike) -> Pieces:
    return [(0.0, strike.answer), (delay_s, strike.answer)]


def _cut(strike: Strike) -> Pieces:
    return [(0.0, strike.answer[: strike.random.randrange(len(strike.answer))])]


def _headless(strike: Strike) -> Pieces:
    return [(0.0, strike.answer[strike.random.randrange(1, 4) :])]


def _flipped(strike: Strike) -> Pieces:
    broken = bytearray(strike.answer)
    broken[strike.random.randrange(len(broken))] ^= 1 << strike.random.randrange(7)
    return [(0.0, bytes(broken))]


def _noisy(strike: Strike) -> Pieces:
    noise = strike.random.randbytes
    return [(0.0, noise(3) + strike.answer + noise(2))]


def _garbled(strike: Strike) -> Pieces:
    return [(0.0, strike.random.randbytes(len(strike.answer)))]


def _in_pieces(strike: Strike) -> Pieces:
    middle = len(strike.answer) // 2
    return [(0.0, strike.answer[:middle]), (0.02, strike.answer[middle:])]


def _echoed(strike: Strike) -> Pieces:
    return [(0.0, strike.question), (0.0, strike.answer)]


WIRE_FAULTS: Final[Mapping[str, Callable[[Strike], Pieces]]] = {
    "silence": lambda _: [],
    **{f"late by {delay_s:g} s": partial(_late, delay_s) for delay_s in (0.02, 0.06, 0.18, 0.4, 1.5, 6.0)},
    **{f"said again after {delay_s:g} s": partial(_twice, delay_s) for delay_s in (0.02, 0.4, 3.0)},
    "cut short": _cut,
    "without its head": _headless,
    "flipped bit": _flipped,
    "noise around it": _noisy,
    "garbled": _garbled,
    "in two pieces": _in_pieces,
    "question echoed": _echoed,
}
"""What can happen to an answer on its way."""


@dataclass(slots=True)
class Direct:
    """Asks a device with no line between; one second passes with each question. A `drivers.exchange.Ask`."""

    device: Device
    now_s: float = 0.0

    async def __call__(self, request: Request) -> Attempt:
        """Ask, and give the device its `follow` where it wants one."""
        self.now_s += 1.0
        heard = self._say(request.frame)
        if isinstance(request, LineRequest) and request.follow and request.prompt in heard:
            heard += self._say(request.follow)
        return found(request, heard, self.now_s)

    def _say(self, data: bytes) -> bytes:
        return b"".join(reply.data for reply in self.device.hear(round(self.now_s * 1e9), data))


def found(request: Request, heard: bytes, now_s: float) -> Attempt:
    """Find the answer in what was heard, as a bus does, and return how the attempt ended; it took 20 ms."""
    frame, outcome, code = b"", Outcome.CRC if heard else Outcome.TIMEOUT, None
    for start in range(len(heard)):
        length = request.measure(heard, start)
        if length > 0:
            frame = heard[start : start + length]
            code = request.refusal(frame)
            outcome = Outcome.REPLY if code is None else Outcome.EXCEPTION
            break
    return Attempt(
        request=request,
        outcome=outcome,
        frame=frame,
        code=code,
        heard=heard,
        sent_s=now_s,
        answered_s=now_s + _ROUND_TRIP_S,
    )


class Line:
    """A line with one device on it; its time begins at 0 when it is connected.

    Devices answer in order: what is late holds up what comes after it.
    """

    def __init__(self, device: Device, words: BusWords, seed: str) -> None:
        self.device = device
        self.fault: Callable[[Strike], Pieces] | None = None
        self._words = words
        self._random = Random(seed)
        self._loop = asyncio.get_running_loop()
        self.start_s = self._loop.time()
        self._free_s = self.start_s
        self._receive: Callable[[bytes], None] | None = None
        self._waking: asyncio.TimerHandle | None = None

    def connect(self, receive: Callable[[bytes], None], _: Callable[[], None]) -> Callable[[bytes], None]:
        """Be a port for `MemoryTransport`."""
        self._receive = receive
        self._set_alarm()
        return self._question

    def now_ns(self) -> int:
        """Return the time since the beginning."""
        return round((self._loop.time() - self.start_s) * 1e9)

    def struck(self) -> bool:
        """Say whether trouble has its turn now."""
        begin_s, end_s = TROUBLE_S
        return begin_s <= self.now_ns() / 1e9 < end_s

    def _question(self, data: bytes) -> None:
        over_s = self._loop.time() + len(data) * self._words.character_s
        self._loop.call_at(over_s + self.device.silence_framed * self._words.silence_s, self._hear, data)

    def _hear(self, data: bytes) -> None:
        self._say(data, self.device.hear(self.now_ns(), data))

    def _wake(self) -> None:
        self._say(b"", self.device.wake(self.now_ns()))

    def _say(self, question: bytes, replies: Sequence[Reply]) -> None:
        for reply in replies:
            pieces: Pieces = [(0.0, reply.data)]
            if self.fault is not None and reply.data and self.struck() and self._random.random() < 0.5:
                pieces = self.fault(Strike(question=question, answer=reply.data, random=self._random))
            due_s = self._loop.time() + reply.delay_ns / 1e9
            for after_s, data in pieces:
                self._free_s = max(due_s + after_s, self._free_s)
                size = _FIFO if self._words.kind.has_line else max(len(data), 1)  # a datagram comes whole
                for place in range(0, len(data), size):
                    piece = data[place : place + size]
                    self._free_s += len(piece) * self._words.character_s
                    self._loop.call_at(self._free_s, self._deliver, piece)
        self._set_alarm()

    def _deliver(self, data: bytes) -> None:
        if self._receive is not None:
            self._receive(data)

    def _set_alarm(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
        due_ns = self.device.wakes_at_ns
        self._waking = None if due_ns is None else self._loop.call_at(self.start_s + due_ns / 1e9, self._wake)
