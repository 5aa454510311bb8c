"""Several questions in flight on a Modbus TCP connection, each answer told apart by its transaction id.

The id is the proof that a serial line lacks: no silence, no fence, and a late answer is known for what it is.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from drivers.exchange import Attempt, Outcome, Request
from drivers.unit_record import UnitRecord
from drivers.wire.modbus import ModbusRequest, ProtocolError, split_tcp, tcp_frame

_UNASKED_MOST: Final = 1000  # frames that nobody asked for, beyond those that somebody did
_GIVEN_UP_MOST: Final = 0x4000  # of the 65,536 ids; none of them is used again on the same connection


class Pipelined:
    """The connection of a Modbus TCP bus.

    Attributes:
        foreign: answers with an id that was never asked.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write: Callable[[bytes], None],
        records: Callable[[], Iterable[UnitRecord]],
        reopen: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._write = write
        self._records = records
        self._reopen = reopen
        self._buffer = b""
        self._transaction = 0
        self._in_flight: dict[int, _InFlight] = {}
        self._given_up: dict[int, UnitRecord] = {}
        self._unasked = 0
        self._patience: asyncio.TimerHandle | None = None
        self.foreign = 0
        self.echo = False

    async def exchange(self, record: UnitRecord, request: Request) -> Attempt:
        """Ask one question and wait for how it ends."""
        if not isinstance(request, ModbusRequest):
            raise TypeError(f"unit {record.unit}: {type(request).__name__} cannot be asked over Modbus TCP")
        transaction = self._next_transaction()
        flight = _InFlight(self._loop, record, request)
        self._in_flight[transaction] = flight
        self._write(tcp_frame(request, transaction))
        if self._patience is None or flight.until_s < self._patience.when():
            self._lose_patience_at(flight.until_s)
        try:
            return await flight.attempt
        finally:
            asked = self._in_flight.pop(transaction, None) is not None
            if not self._in_flight and self._patience is not None:
                self._patience.cancel()  # or the loop would wake up for nothing
                self._patience = None
            if asked and not flight.answered:
                self._given_up[transaction] = record
                if len(self._given_up) > _GIVEN_UP_MOST:
                    self._reopen(f"{_GIVEN_UP_MOST} questions without an answer")

    def _lose_patience_at(self, until_s: float) -> None:
        """Set the one timer of all questions in flight: most are answered long before theirs would ring."""
        if self._patience is not None:
            self._patience.cancel()
        self._patience = self._loop.call_at(until_s, self._lose_patience)

    def _lose_patience(self) -> None:
        now_s = self._patience.when() if self._patience is not None else self._loop.time()
        self._patience = None
        for flight in self._in_flight.values():
            if flight.until_s <= now_s:
                flight.end(Outcome.TIMEOUT, b"")
        waiting = [flight.until_s for flight in self._in_flight.values() if flight.until_s > now_s]
        if waiting:
            self._lose_patience_at(min(waiting))

    def _next_transaction(self) -> int:
        """Return an id that no answer still on its way can carry."""
        while True:
            self._transaction = (self._transaction + 1) & 0xFFFF
            if self._transaction not in self._in_flight and self._transaction not in self._given_up:
                return self._transaction

    def received(self, data: bytes) -> None:
        """Take bytes from the transport."""
        data = self._buffer + data
        while data:
            try:
                answers, consumed = split_tcp(data)
            except ProtocolError as error:  # no way to find the next header, and no checksum to tell what is one
                self._buffer = b""
                self.foreign += 1
                self._reopen(str(error))
                return
            if not consumed:
                break
            data = data[consumed:]
            for transaction, answer in answers:
                self._answer(transaction, answer)
            if self._unasked > _UNASKED_MOST:  # or reading them would take the other buses' time
                self._reopen(f"it sends frames that nobody asked for, {_UNASKED_MOST} by now")
                return
        self._buffer = data

    def _answer(self, transaction: int, answer: bytes) -> None:
        """Take one answer: unit and PDU."""
        flight = self._in_flight.get(transaction)
        if flight is None or flight.answered:
            record = self._given_up.pop(transaction, None)
            if record is not None:
                record.unused["late"] += 1
                return
            self._unasked += 1
            if flight is not None:
                flight.record.unused["repeat"] += 1
            else:
                self._count_unasked(answer[0])
            return
        self._unasked = max(self._unasked - 1, 0)
        flight.answered = True
        if not flight.request.fits(answer):
            flight.end(Outcome.FOREIGN, answer)
            return
        code = flight.request.refusal(answer)
        flight.end(Outcome.REPLY if code is None else Outcome.EXCEPTION, answer, code)

    def _count_unasked(self, unit: int) -> None:
        for record in self._records():
            if record.unit == unit:
                record.unused["repeat"] += 1
                return
        self.foreign += 1

    def lost(self, why: str) -> None:  # noqa: ARG002 - the connection keeps it for people
        """End all attempts under way; ids of the old connection mean nothing on the next one."""
        self._buffer = b""
        self._unasked = 0
        for flight in self._in_flight.values():
            flight.answered = True
            flight.end(Outcome.BUS_DOWN, b"")
        self._in_flight.clear()
        self._given_up.clear()


class _InFlight:
    """A question under way; given up at `until_s`."""

    __slots__ = ("answered", "attempt", "loop", "record", "request", "sent_s", "until_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, record: UnitRecord, request: ModbusRequest) -> None:
        self.loop = loop
        self.record = record
        self.request = request
        self.sent_s = loop.time()
        self.until_s = self.sent_s + record.patience.wait_s() + request.processing_s
        self.answered = False
        self.attempt: asyncio.Future[Attempt] = loop.create_future()

    def end(self, outcome: Outcome, heard: bytes, code: int | None = None) -> None:
        """Give the attempt its one outcome."""
        if not self.attempt.done():
            accepted = outcome in (Outcome.REPLY, Outcome.EXCEPTION)
            self.attempt.set_result(
                Attempt(
                    request=self.request,
                    outcome=outcome,
                    frame=heard if accepted else b"",
                    code=code,
                    heard=heard,
                    sent_s=self.sent_s,
                    answered_s=self.loop.time(),
                )
            )
