"""A look at what passes over a transport, and a recording of it: as the line's owner sees it, or as a listener does."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final, Protocol

from drivers.rig import Bus, BusKind
from drivers.trace.overheard import Overheard
from drivers.trace.records import HOST, LINE, Record, Trace
from drivers.transport.choose import transport_for
from drivers.transport.transport import MakeTransport, Receiver, Transport

_log: Final = logging.getLogger(__name__)
_NS: Final = 1_000_000_000
_LONGEST_RUN: Final = 1024  # a line that is never silent is written in pieces
_JITTER_S: Final = 0.002  # how unevenly an adapter hands on the pieces of one frame


class Watcher(Protocol):
    """Who looks on; called before the bytes go their way."""

    def sent(self, data: bytes) -> None:
        """See bytes that go out."""
        ...

    def came(self, data: bytes) -> None:
        """See bytes that came in."""
        ...

    def lost(self, why: str) -> None:
        """See the connection go."""
        ...


class Tapped:
    """A transport that lets a watcher see its bytes."""

    def __init__(self, transport: Transport, watcher: Watcher) -> None:
        self._transport = transport
        self._watcher = watcher
        self._receiver: Receiver | None = None

    async def connect(self, receiver: Receiver) -> None:
        """Connect; see `Transport`."""
        self._receiver = receiver
        await self._transport.connect(self)

    def write(self, data: bytes) -> None:
        """Send; see `Transport`."""
        self._watcher.sent(data)
        self._transport.write(data)

    def close(self) -> None:
        """Close; see `Transport`."""
        self._transport.close()

    def received(self, data: bytes) -> None:
        """Hand bytes on; see `Receiver`."""
        self._watcher.came(data)
        if self._receiver is not None:
            self._receiver.received(data)

    def lost(self, why: str) -> None:
        """Report the loss; see `Receiver`."""
        self._watcher.lost(why)
        if self._receiver is not None:
            self._receiver.lost(why)


class Recording:
    """Records buses of a rig into a trace, as their owner sees them. Made in the event loop whose clock it takes.

    A byte's time is known only when the adapter hands it on, with others, after the last of them: what came in is dated
    back by the time that its characters took on the line. What follows without a pause is one run. A disk that is full
    ends the recording, not the gateway: `problem` says so, and it is logged.

    Attributes:
        problem: why it ended early; empty when it did not.
    """

    def __init__(self, trace: Trace, buses: Mapping[str, Bus]) -> None:
        self.problem = ""
        self._trace = trace
        self._buses = buses
        self._loop = asyncio.get_running_loop()
        self._start_s = self._loop.time()
        self._open: dict[str, _BusRecording] = {}

    def over(self, make_transport: MakeTransport = transport_for) -> MakeTransport:
        """Return what makes transports that are recorded; for the very `Bus` objects that it was given."""

        def make(bus: Bus) -> Transport:
            transport = make_transport(bus)
            name = next((name for name, each in self._buses.items() if each is bus), None)
            if name is None:
                return transport
            self._open[name] = _BusRecording(name, bus, self)
            return Tapped(transport, self._open[name])

        return make

    def listener(self, name: str) -> Receiver:
        """Return what records a line on which others talk; it is handed all that is heard there."""
        self._open[name] = heard = _Overhearing(name, self._buses[name], self)
        return heard

    def close(self) -> None:
        """Write what is still held back."""
        for each in self._open.values():
            each.flush()

    @property
    def count(self) -> int:
        """Records so far."""
        return self._trace.count

    def now_ns(self) -> int:
        """Return the time since the start, ns."""
        return round((self._loop.time() - self._start_s) * _NS)

    def add(self, record: Record) -> None:
        """Write one record."""
        if self.problem:
            return
        try:
            self._trace.add(record)
        except OSError as error:
            self.problem = f"the recording ended after {self._trace.count} records: {error.strerror or error}"
            _log.error("%s; the polls go on", self.problem)


class _BusRecording:
    """The run under way on one bus; a `Watcher`."""

    def __init__(self, name: str, bus: Bus, recording: Recording) -> None:
        self._name = name
        self._recording = recording
        self._line = bus.kind is not BusKind.MODBUS_TCP
        self._character_ns = bus.character_s * _NS if self._line else 0.0
        self._pause_ns = round((bus.silence_s + _JITTER_S) * _NS)
        self._floor_ns = 0  # what comes in next did not begin before this
        self._echo = b""  # what an adapter that hears itself would bring next
        self._begin_ns = self._came_ns = 0
        self._data = b""

    def sent(self, data: bytes) -> None:
        """Record bytes that go out: their first character begins now."""
        self.flush()
        self._floor_ns, self._echo = self._recording.now_ns(), data
        self._add(self._floor_ns, HOST, data)

    def came(self, data: bytes) -> None:
        """Record bytes that came in: their last character was over now, or somewhat earlier."""
        now_ns = self._recording.now_ns()
        begin_ns = max(now_ns - self._span_ns(data), self._floor_ns)
        follows = self._line and begin_ns - self._came_ns < self._pause_ns
        if self._data and follows and len(self._data) < _LONGEST_RUN:
            self._data += data
            # The piece that came soonest after its characters tells best when the run began.
            self._begin_ns = max(min(self._begin_ns, now_ns - self._span_ns(self._data)), self._floor_ns)
        else:
            self.flush()
            self._begin_ns, self._data = begin_ns, data
        self._came_ns = now_ns
        if self._line and self._echo and self._data.startswith(self._echo):
            # Perhaps the adapter hears itself: then the answer, which may follow closely, has a time of its own.
            rest = self._data[len(self._echo) :]
            self._data = self._echo
            self.flush()
            self._begin_ns, self._data = now_ns - self._span_ns(rest), rest

    def lost(self, why: str) -> None:
        """Note the loss of the port."""
        self.flush()
        self._add(self._recording.now_ns(), LINE, b"", f"port lost: {why}".replace(", ", "; "))

    def flush(self) -> None:
        """Write the run under way: it is over."""
        if self._data:
            data, self._data, self._echo = self._data, b"", b""
            self._floor_ns = max(self._floor_ns, self._begin_ns)
            self.whole(self._begin_ns, data)

    def whole(self, begin_ns: int, data: bytes) -> None:
        """Write a run."""
        self._add(begin_ns, LINE, data)

    def _span_ns(self, data: bytes) -> int:
        return round(len(data) * self._character_ns)

    def _add(self, t_ns: int, talker: str, data: bytes, note: str = "") -> None:
        self._recording.add(Record(t_ns=t_ns, bus=self._name, talker=talker, data=data, note=note))


class _Overhearing(_BusRecording):
    """The same of a line on which others talk; a `Receiver`."""

    def __init__(self, name: str, bus: Bus, recording: Recording) -> None:
        super().__init__(name, bus, recording)
        self._overheard = Overheard()

    def received(self, data: bytes) -> None:
        """Take what was heard."""
        self.came(data)

    def whole(self, begin_ns: int, data: bytes) -> None:
        """Write the frames of a run, each at its own time."""
        for place, talker, frame, note in self._overheard.frames(data):
            self._add(begin_ns + self._span_ns(data[:place]), talker, frame, note)
