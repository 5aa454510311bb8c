"""One question at a time on a line: silence before it, its answer found among whatever else is heard, one outcome.

Serves Modbus RTU and ASCII instruments on a serial port or behind a TCP converter. What it believes of a frame is the
ledger's judgement (`drivers.ledger`); which question to ask when is the bus' business (`drivers.bus`).
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from drivers.exchange import Attempt, Outcome, Request
from drivers.ledger import Verdict
from drivers.rig import Bus
from drivers.unit_record import UnitRecord
from drivers.wire.ascii_line import LineRequest
from drivers.wire.modbus import foreign_frame

_END_S: Final = 0.02  # silence that ends an answer which is not whole: USB adapters hold bytes back for up to 16 ms
_BABBLE_S: Final = 1.0  # how long a line may stay noisy before a question is given up unasked
_BABBLE_AGAIN_S: Final = 0.1  # and the next ones, while the noise goes on
_HEARD_MOST: Final = 4096
_FIFO: Final = 16  # characters that a UART collects before it hands on the first
_ECHO_SURE: Final = 3
_QUESTIONS_MOST: Final = 256  # by which another client is recognised that asks the same
_CLOCK_S: Final = 5e-6  # timers may fire a little early, and clocks are rounded


class HalfDuplex:
    """The line of a bus.

    Attributes:
        echo: whether the adapter hears itself, learned from what comes back.
        foreign: intact frames of units that nobody asked.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bus: Bus,
        write: Callable[[bytes], None],
        records: Callable[[], Iterable[UnitRecord]],
    ) -> None:
        self._loop = loop
        self._bus = bus
        self._write = write
        self._records = records
        self._silence_s = bus.silence_s + bus.guard + 2 * _CLOCK_S
        self._busy_until_s = 0.0  # when the last character known of was over
        self._noisy_since_s = 0.0  # since when there was no silence before it
        self._losses = 0
        self._gave_up = False  # the last attempt, for its time was over
        self._heard = bytearray()
        self._waiting: _Waiting | None = None
        self._echoes = 0
        self._questions: dict[bytes, int] = {}
        self.foreign = 0

    @property
    def echo(self) -> bool:
        """Whether the adapter hears itself."""
        return self._echoes > 0

    @property
    def unasked(self) -> bool:
        """Whether anything was heard since the last question was over."""
        return bool(self._heard)

    async def quiet(self, span_s: float) -> bool:
        """Wait until nothing was said for that long, and account for what was heard meanwhile; say whether it was so.

        It was not on a line that babbles, nor on one that went away: what was said then nobody knows.
        """
        loop, losses = self._loop, self._losses
        give_up_s = max(self._busy_until_s, loop.time()) + 2 * span_s + _BABBLE_S
        while (wait_s := self._busy_until_s + span_s - loop.time()) > _CLOCK_S:
            if loop.time() > give_up_s:
                return False
            await asyncio.sleep(wait_s)
            if self._losses != losses:
                return False
        self._sweep()
        return True

    async def exchange(self, record: UnitRecord, request: Request) -> Attempt | None:
        """Ask one question once the line is silent, and wait for how it ends.

        Returns:
            None when it was not put: until the line was silent, somebody else has asked the unit.
        """
        loop, losses = self._loop, self._losses
        settled = record.ledger.settled(request)
        if self._gave_up:  # perhaps because this process stood still: what came meanwhile is read in the next turn
            self._gave_up = False
            for _ in range(2):
                await asyncio.sleep(0)
        silent = await self._silent()
        if self._losses != losses:
            return _unanswered(request, Outcome.BUS_DOWN, b"", loop.time())
        if not silent:
            return _unanswered(request, Outcome.BUSY, bytes(self._heard[-64:]), loop.time())
        self._sweep()
        if settled and not record.ledger.settled(request):  # by what was heard just now
            return None
        self._note(record, request)
        self._write(request.frame)
        sent_s = loop.time() + len(request.frame) * self._bus.character_s
        self._busy_until_s = sent_s
        character_s = self._bus.character_s
        waiting = _Waiting(loop, record, request, sent_s=sent_s, character_s=character_s, overdue=self._overdue)
        self._waiting = waiting
        try:
            return await waiting.attempt
        finally:
            waiting.timer.cancel()
            self._waiting = None

    def _note(self, record: UnitRecord, request: Request) -> None:
        record.ledger.asked(request)
        if request.frame not in self._questions and len(self._questions) < _QUESTIONS_MOST:
            self._questions[request.frame] = record.unit

    async def _silent(self) -> bool:
        """Wait for T3.5 of silence; say whether it came."""
        loop = self._loop
        give_up_s = max(self._noisy_since_s + _BABBLE_S, loop.time() + _BABBLE_AGAIN_S)
        while (wait_s := self._busy_until_s + self._silence_s - loop.time()) > _CLOCK_S:
            if loop.time() > give_up_s:
                return False
            await asyncio.sleep(wait_s)
        return True

    def received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        now_s = self._loop.time()
        if now_s > self._busy_until_s + self._silence_s:
            self._noisy_since_s = now_s
        self._busy_until_s = max(self._busy_until_s, now_s)
        waiting = self._waiting
        if waiting is None:
            self._heard += data
            if len(self._heard) > _HEARD_MOST:
                del self._heard[:-_HEARD_MOST]
            return
        waiting.heard += data
        waiting.last_s = now_s
        if len(waiting.heard) > _HEARD_MOST:
            del waiting.heard[_HEARD_MOST:]
            self._overdue(waiting)
        else:
            if waiting.follow and waiting.prompt in waiting.heard:
                self._write(waiting.follow)
                waiting.follow = b""
            self._look(waiting)
            waiting.hurry()

    def lost(self, why: str) -> None:  # noqa: ARG002 - the connection keeps it for people
        """End the attempt under way: the line is gone, and who asks on it meanwhile is not known."""
        self._losses += 1
        self._busy_until_s = self._loop.time()
        self._heard.clear()
        for record in self._records():
            record.ledger.reopened()
        if self._waiting is not None:
            self._waiting.end(Outcome.BUS_DOWN)

    def _sweep(self) -> None:
        """Account for what came unasked before the next question goes out."""
        if self._heard:
            heard = bytes(self._heard)
            self._heard.clear()
            position = 0
            while position < len(heard):
                position += max(self._other(heard, position)[0], 1)

    def _look(self, waiting: "_Waiting") -> None:
        """Search what was heard; whoever brought a grammar of answers that fails hears of it, and the line goes on."""
        try:
            self._search(waiting)
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is awaited
            waiting.fail(error)

    def _search(self, waiting: "_Waiting") -> None:
        """Look for the answer in what was heard; everything intact on the way is accounted for."""
        heard, request = bytes(waiting.heard), waiting.request
        if not waiting.past_echo:
            if request.frame.startswith(heard) and heard != request.frame and not waiting.over:
                return
            self._pass_echo(waiting, heard)
        while waiting.position < len(heard):
            length = request.measure(heard, waiting.position)
            if length > 0:
                if self._judge(waiting, heard[waiting.position : waiting.position + length]):
                    return
            elif length == 0:
                length, whose = self._other(heard, waiting.position)
                waiting.late |= whose is waiting.record
                waiting.foreign |= length > 0 and whose is not waiting.record
            if length > 0:
                waiting.position += length
                waiting.accounted, waiting.accounted_s = waiting.position, waiting.last_s
            elif length < 0 and not waiting.over:
                waiting.head = True
                return
            else:
                waiting.position += 1

    def _pass_echo(self, waiting: "_Waiting", heard: bytes) -> None:
        """Skip the adapter's own echo, which comes at once or never."""
        waiting.past_echo = True
        if not heard.startswith(waiting.request.frame) or waiting.last_s > waiting.sent_s + _END_S:
            return
        mirrored = waiting.request.measure(heard, 0) > 0  # its answer repeats the question, as that to a write does
        if mirrored and self._echoes < 0:
            return
        waiting.position = waiting.accounted = len(waiting.request.frame)
        if mirrored:
            return
        if self._echoes < 0:  # so far it did not hear itself: another client may just have asked the same
            waiting.record.ledger.overheard(alike=True)
        self._echoes = min(self._echoes + 1, _ECHO_SURE)

    def _judge(self, waiting: "_Waiting", frame: bytes) -> bool:
        """Decide on an intact frame that could be the answer; say whether the attempt has ended with it."""
        record, request = waiting.record, waiting.request
        verdict = record.ledger.heard(frame, request)
        if verdict is Verdict.PROVEN:
            if waiting.position == 0:
                self._echoes = -_ECHO_SURE
            code = request.refusal(frame)
            waiting.end(Outcome.REPLY if code is None else Outcome.EXCEPTION, frame, code)
            return True
        record.unused[verdict.name.lower()] += 1
        waiting.late = True
        if verdict is Verdict.REPEAT:  # new or not, only a fence can tell: no use in waiting
            waiting.end(Outcome.LATE)
            return True
        return False

    def _other(self, heard: bytes, start: int) -> tuple[int, UnitRecord | None]:
        """Account for a frame that answers an older question to any unit, or a foreign one.

        Returns:
            What `Request.measure` would, and the unit whose answer it is, None when it answers nobody's question.
        """
        head = 0
        for record in self._records():
            for request in record.ledger.owed:
                length = request.measure(heard, start)
                if length > 0:
                    verdict = record.ledger.heard(heard[start : start + length], request)
                    name = "late" if verdict is Verdict.PROVEN else verdict.name.lower()
                    record.unused[name] += 1
                    return length, record
                head = min(head, length)
        length = self._of_others(heard, start)
        return (length or head), None

    def _of_others(self, heard: bytes, start: int) -> int:
        """Account for a frame that is none of our answers, and return its length; 0 when none begins there.

        Another client's question, or the answer to it: its unit may owe it one more, in the form of an answer to us.
        """
        length, unit = foreign_frame(heard, start), heard[start]
        if not length:
            question = next((frame for frame in self._questions if heard.startswith(frame, start)), b"")
            length, unit = len(question), self._questions.get(question, 0)
        if not length:
            return 0
        concerned = [record for record in self._records() if record.unit == unit]
        asked = b"" if self._waiting is None else self._waiting.request.frame
        for record in concerned:
            record.unused["stray"] += 1
            record.ledger.overheard(alike=heard[start : start + length] == asked)
        self.foreign += not concerned
        return length

    def _overdue(self, waiting: "_Waiting") -> None:
        """End an attempt whose time is over, by what was heard."""
        waiting.over = self._gave_up = True
        waiting.position = waiting.accounted  # a foreign frame may have come in pieces
        self._look(waiting)
        if waiting.attempt.done():
            return
        asked = waiting.request.frame
        if not waiting.heard or waiting.heard == asked:  # nothing, or only our own echo
            outcome = Outcome.TIMEOUT
        elif waiting.late:
            outcome = Outcome.LATE
        elif waiting.foreign:
            outcome = Outcome.FOREIGN
        elif self._echoes == _ECHO_SURE and not waiting.heard.startswith(asked):
            outcome = Outcome.ECHO_MISMATCH
        else:
            outcome = Outcome.SHORT if waiting.head else Outcome.CRC
        waiting.end(outcome)


def _unanswered(request: Request, outcome: Outcome, heard: bytes, now_s: float) -> Attempt:
    return Attempt(request=request, outcome=outcome, frame=b"", code=None, heard=heard, sent_s=now_s, answered_s=now_s)


class _Waiting:
    """The attempt under way: what it has heard, and until when it waits."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        record: UnitRecord,
        request: Request,
        *,
        sent_s: float,
        character_s: float,
        overdue: Callable[["_Waiting"], None],
    ) -> None:
        self.loop = loop
        self.record = record
        self.request = request
        self.sent_s = self.last_s = self.accounted_s = sent_s
        self.character_s = character_s
        in_fifo = min(request.answer_size, _FIFO)
        self.wait_s = record.patience.wait_s() + request.processing_s + in_fifo * character_s
        self.overdue = overdue
        self.prompt, self.follow = (request.prompt, request.follow) if isinstance(request, LineRequest) else (b"", b"")
        self.heard = bytearray()
        self.position = self.accounted = 0  # how far it was searched; up to where all is accounted for
        self.past_echo = self.head = self.late = self.foreign = self.over = False
        self.attempt: asyncio.Future[Attempt] = loop.create_future()
        self.timer = loop.call_at(self._due_s(), self._tick)

    def _due_s(self) -> float:
        """When to give up: later while an answer is coming in or an older one held the device up, but not for ever."""
        first_s = min(self.accounted_s + self.wait_s, self.sent_s + 3 * self.wait_s)
        pending = len(self.heard) - self.position
        if not pending:
            return first_s
        whole_s = self.request.answer_size * self.character_s
        longest_s = first_s + 2 * whole_s + 5 * _END_S
        missing = self.request.answer_size - pending
        if missing <= 0:
            return min(self.last_s + _END_S, longest_s)
        return min(max(first_s, self.last_s + missing * self.character_s + _END_S), longest_s)

    def _tick(self) -> None:
        due_s = self._due_s()
        if due_s > self.loop.time() + _CLOCK_S:
            self.timer = self.loop.call_at(due_s, self._tick)
        else:
            self.overdue(self)

    def hurry(self) -> None:
        """Give up sooner when more has been heard than an answer can be."""
        due_s = self._due_s()
        if not self.attempt.done() and due_s < self.timer.when():
            self.timer.cancel()
            self.timer = self.loop.call_at(due_s, self._tick)

    def fail(self, error: Exception) -> None:
        """Let an error end the attempt."""
        if not self.attempt.done():
            self.attempt.set_exception(error)

    def end(self, outcome: Outcome, frame: bytes = b"", code: int | None = None) -> None:
        """Give the attempt its one outcome."""
        if self.attempt.done():
            return
        answered_s = max(self.last_s - len(frame) * self.character_s, self.sent_s) if frame else self.loop.time()
        self.attempt.set_result(
            Attempt(
                request=self.request,
                outcome=outcome,
                frame=frame,
                code=code,
                heard=bytes(self.heard),
                sent_s=self.sent_s,
                answered_s=answered_s,
            )
        )
