"""A half-duplex RS-485 pair, exact to the character: who hears what, when, and what happens when two talk at once.

Pure: no clock, no I/O. Whoever owns a `Line` tells it what the host (the gateway's adapter) sends and when, and asks
what the host hears. Times are integer ns and never fall. Work is done on runs of characters, not on single ones.
"""

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from operator import attrgetter
from random import Random
from typing import Any, Final

from drivers.rig import Bus
from firmware_sim.firmware.firmware import Firmware, Reply
from firmware_sim.line_run import LONG_AGO_NS, OwnBaud, Run, Station, fifo_cuts
from firmware_sim.line_time import LineStatistics, Speed, silence_ns

HOST: Final = "host"

_INBOX: Final = 256
"""What a busy station keeps for later, in frames or pieces; more is lost, as in a full receive buffer."""
_GAPS: Final = 4096
_RUNS: Final = 256
"""Runs kept while a line is never silent; older ones are lost to silence-framed stations."""

Listener = Callable[[int, str, bytes, str], None]
"""Is told of each finished run: (start ns, talker, bytes as sent, note)."""

Wear = Callable[[int, bytes], bytes]
"""What the wires make of characters that set out at a time (ns)."""

_Event = tuple[int, int, Callable[[int, Any], None], Any]  # when, in which order, what is done, and to what


class Line:
    """One pair of wires with a host and any number of stations.

    Silence-framed stations hear a frame T3.5 after its last character; what follows sooner is glued to it. Terminator
    stations hear characters as they come. Everybody hears everybody but himself. A station answers one thing after
    another: while it is busy, what it hears waits. Characters that overlap reach all hearers as garbage, and so do
    those of another baud or format than the hearer's.

    Attributes:
        host: baud and format that the host has set.

    Args:
        bus: baud and format of the stations, and of the host until `set_host` says otherwise.
        seed: of the garbage.
        echo: the host's adapter hears what it sends.
        copper: a real line carries the characters: the host's come when they are over, its answers go out at once.
        wear: what the wires do to characters.
        listener: told of each run, for a trace.
    """

    def __init__(
        self,
        bus: Bus,
        seed: int | str,
        *,
        echo: bool = False,
        copper: bool = False,
        wear: Wear | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.host = (bus.baud, bus.format)
        self._bus = bus
        self._speed = self._host_speed = Speed(bus)
        self._echo = echo
        self._copper = copper
        self._wear = wear
        self._listener = listener
        self._random = Random(f"line:{seed}")
        self._silence = silence_ns(bus)
        self._framed: list[Station] = []
        self._terminated: list[Station] = []
        self._runs: list[Run] = []  # all that can still matter, also those that begin later
        self._events: list[_Event] = []
        self._idle_events: list[_Event] = []  # can wait: nobody acts on them
        self._order = count()
        self._to_host: list[tuple[int, bytes]] = []
        self._host_free = self._quiet_since = LONG_AGO_NS
        self._gaps: deque[int] = deque(maxlen=_GAPS)
        self._requests = self._answers = self._violations = self._collisions = 0
        self._busy_ns = self._host_bytes = self._station_bytes = 0

    def add(self, name: str, firmware: Firmware, own_baud: OwnBaud | None = None) -> None:
        """Put a device on the line, switched on at time 0."""
        station = Station(
            name=name,
            firmware=firmware,
            framed=firmware.silence_framed,
            addresses=firmware.addresses,
            own_baud=own_baud,
        )
        (self._framed if station.framed else self._terminated).append(station)
        self._watch(0, station)

    def restart(self, name: str, at_ns: int) -> None:
        """Let a station lose its power and come back; what it has begun to answer still goes out."""
        self._process(at_ns)
        for station in (*self._framed, *self._terminated):
            if station.name == name:
                station.inbox.clear()
                station.firmware.reboot(at_ns)
                self._watch(at_ns, station)

    @property
    def silence_framed(self) -> bool:
        """Whether frames end by silence on it: all but text devices are heard so."""
        return bool(self._framed) or not self._terminated

    def set_host(self, baud: int, form: str) -> None:
        """Take the host's own baud and format from its next character on.

        Where baud, data bits or parity differ from a station's, both hear garbage of each other.
        """
        self._host_speed = Speed(self._bus.model_copy(update={"baud": baud, "format": form}))
        self.host = (baud, form)

    def look_again(self, at_ns: int) -> None:
        """Ask every station anew what it listens to and when it wants to talk: something has changed."""
        self._process(at_ns)
        for station in (*self._framed, *self._terminated):
            station.addresses = station.firmware.addresses
            self._watch(at_ns, station)

    @property
    def statistics(self) -> LineStatistics:
        """What happened so far."""
        return LineStatistics(
            requests=self._requests,
            answers=self._answers,
            violations=self._violations,
            gaps_ns=tuple(self._gaps),
            collisions=self._collisions,
            busy_ns=self._busy_ns,
            host_bytes=self._host_bytes,
            station_bytes=self._station_bytes,
        )

    @property
    def next_event_ns(self) -> int | None:
        """When `advance` has something to do, None while nothing is under way."""
        if self._to_host:
            return self._to_host[0][0]
        return self._events[0][0] if self._events else None

    def host_sends(self, at_ns: int, data: bytes) -> None:
        """Send bytes from the host, behind those that it is still sending."""
        self._process(at_ns)
        if not data:
            return
        start = at_ns - self._host_speed.span_ns(len(data)) if self._copper else at_ns
        if at_ns <= self._host_free and not self._copper:
            start = self._host_free
        else:
            self._requests += 1
            self._check_silence(start)
        self._host_free = start + self._host_speed.span_ns(len(data))
        run = Run(None, self._host_speed, start, self._host_free, data, data, self._host_cuts(data))
        self._host_bytes += len(data)
        self._begin(at_ns, run)

    def advance(self, to_ns: int) -> list[tuple[int, bytes]]:
        """Let time pass up to and including `to_ns`; return what the host heard: (its last character's time, bytes)."""
        self._process(to_ns)
        heard, self._to_host = self._to_host, []
        return heard

    def _process(self, to_ns: int) -> None:
        while True:
            idle_first = bool(self._idle_events) and (not self._events or self._idle_events[0] < self._events[0])
            events = self._idle_events if idle_first else self._events
            if not events or events[0][0] > to_ns:
                return
            at, _, act, subject = heapq.heappop(events)
            act(at, subject)

    def _at(self, at: int, act: Callable[[int, Any], None], subject: Any) -> None:
        heapq.heappush(self._events, (at, next(self._order), act, subject))

    def _check_silence(self, start: int) -> None:
        if self._framed:
            ends = [run.end for run in self._runs if run.start < start]
            gap = start - max(ends, default=self._quiet_since)
            if gap < self._silence:
                self._violations += 1
                self._gaps.append(gap)

    def _host_cuts(self, data: bytes) -> list[int]:
        if self._terminated:
            # Such a device acts on its CR, LF or both, not on the end of what the host wrote in one go.
            ends = [place for place in range(1, len(data)) if data[place - 1] < 0x20 <= data[place]]
            return [len(data), *reversed(ends)]
        return fifo_cuts(len(data)) if self._echo or not self._framed else []

    def _begin(self, at: int, run: Run) -> None:
        if self._wear is not None:
            run.heard = self._wear(run.start, run.data)
        self._runs.append(run)
        if len(self._runs) > _RUNS:
            self._overflow(at)
        if run.cuts:
            self._at(self._over(run, run.cuts[-1]), self._hand_over, run)
        if self._framed:
            event: _Event = (run.end + self._silence, next(self._order), self._fall_silent, None)
            heapq.heappush(self._events if self._concerns_somebody(run) else self._idle_events, event)

    def _over(self, run: Run, characters: int) -> int:
        """Return when so many characters of a run are handed over."""
        if not self._copper:
            return run.start + run.speed.span_ns(characters)
        return run.end if run.talker is None else run.start

    def _concerns_somebody(self, run: Run) -> bool:
        """Say whether a framed station may act on these characters: most answers concern the host alone."""
        if run.talker is None or len(self._runs) > 2 or run.speed is not self._speed:
            return True  # a request, or a heap of characters of which nobody knows what they add up to
        others = (station.addresses for station in self._framed if station is not run.talker)
        return any(addresses is None or run.heard[0] in addresses for addresses in others)

    def _hand_over(self, at: int, run: Run) -> None:
        first, upto = run.settled, run.cuts.pop()
        self._settle(run, upto)
        piece = run.heard[first:upto]
        if run.talker is not None or self._echo:
            self._to_host.append((at, self._understood(piece, run.speed, self._host_speed)))
        for station in self._terminated:
            if station is not run.talker:
                self._offer(at, station, self._understood(piece, run.speed, self._speed_of(station, at)))
        if run.cuts:
            self._at(self._over(run, run.cuts[-1]), self._hand_over, run)
        else:
            self._finish(run)
            if not self._framed and all(each.finished or each.start >= at for each in self._runs):
                self._forget([each for each in self._runs if each.finished])

    def _fall_silent(self, at: int, _: None) -> None:
        since = at - self._silence
        heard = [run for run in self._runs if run.start < at]
        if not heard or any(run.end > since for run in heard):
            return  # somebody has talked meanwhile, and his end has its own event
        for run in heard:
            if not run.finished:
                self._settle(run, len(run.data))
                self._finish(run)
        self._forget(heard)
        heard.sort(key=attrgetter("start"))
        whole = heard[0].heard if len(heard) == 1 else b"".join([run.heard for run in heard])
        talkers = {run.talker for run in heard}
        alike = {run.speed.key for run in heard} == {self._speed.key}
        for station in self._framed:
            if station in talkers or not alike:
                self._offer(at, station, self._frame(at, station, heard))
            elif station.addresses is None or whole[0] in station.addresses:
                speed = self._speed_of(station, at)
                self._offer(at, station, whole if speed is self._speed else self._frame(at, station, heard))

    def _frame(self, at: int, station: Station, runs: list[Run]) -> bytes:
        """Return what a station makes of these runs; nothing of its own and of what is not for it."""
        speed = self._speed_of(station, at)
        others = [run for run in runs if run.talker is not station]
        frame = b"".join([self._understood(run.heard, run.speed, speed) for run in others])
        return frame if frame and (station.addresses is None or frame[0] in station.addresses) else b""

    def _speed_of(self, station: Station, at: int) -> Speed:
        baud = None if station.own_baud is None else station.own_baud(at)
        return self._speed if baud in {None, self._bus.baud} else Speed(self._bus.model_copy(update={"baud": baud}))

    def _understood(self, data: bytes, sent: Speed, heard: Speed) -> bytes:
        return data if sent is heard or sent.key == heard.key else self._garbage(data)

    def _offer(self, at: int, station: Station, data: bytes) -> None:
        if not data:
            return
        if station.busy_until <= at and not station.inbox:
            replies = station.firmware.hear(at, data)
            self._act(at, station, replies)
        elif len(station.inbox) < _INBOX:
            if not station.inbox:
                self._at(max(at, station.busy_until), self._resume, station)
            station.inbox.append(data)

    def _resume(self, at: int, station: Station) -> None:
        while station.inbox and station.busy_until <= at:
            self._act(at, station, station.firmware.hear(at, station.inbox.popleft()))
        if station.inbox:
            self._at(station.busy_until, self._resume, station)

    def _wake(self, at: int, station: Station) -> None:
        if station.wake_due != at:
            return  # it has changed its mind
        station.wake_due = None
        if station.busy_until > at:
            self._watch(station.busy_until, station)
            return
        replies = station.firmware.wake(at)
        due = station.firmware.wakes_at_ns
        if due is not None and due <= at:
            raise RuntimeError(
                f"firmware of {station.name} was woken at {at} ns and wants to be woken at {due} ns again"
            )
        self._act(at, station, replies)

    def _act(self, at: int, station: Station, replies: Sequence[Reply]) -> None:
        for reply in replies:
            if reply.data:
                start = max(at + reply.delay_ns, station.busy_until)
                size, speed = len(reply.data), self._speed_of(station, at)
                cuts = [size] if self._copper else fifo_cuts(size)
                over = start + speed.span_ns(size)
                run = Run(station, speed, start, start if self._copper else over, reply.data, reply.data, cuts)
                station.busy_until = over + (self._silence if station.framed else 0)  # to tell its frames apart
                self._answers += 1
                self._station_bytes += size
                self._begin(at, run)
        station.addresses = station.firmware.addresses
        self._watch(at, station)

    def _watch(self, at: int, station: Station) -> None:
        due = station.firmware.wakes_at_ns
        if due is not None:
            due = max(due, at)
            if due != station.wake_due:
                self._at(due, self._wake, station)
        station.wake_due = due

    def _settle(self, run: Run, upto: int) -> None:
        """Decide what was heard of a run's characters that are over by now: all who disturbed them are known."""
        first, run.settled = run.settled, upto
        if len(self._runs) == 1 or self._copper:  # on copper those who talk at once meet out there
            return
        begin, end = run.start + run.speed.span_ns(first), run.start + run.speed.span_ns(upto)
        for other in self._runs:
            if other is not run and other.end > begin and other.start < end:
                self._clash(run, other, first, upto)

    def _clash(self, run: Run, other: Run, first: int, upto: int) -> None:
        low, high = run.under(other)
        low, high = max(first, low), min(upto, high)
        run.heard = run.heard[:low] + self._garbage(run.heard[low:high]) + run.heard[high:]
        if not (run.clashed or other.clashed):
            self._collisions += 1
        run.clashed = other.clashed = True

    def _garbage(self, data: bytes) -> bytes:
        return bytes([byte ^ self._random.randrange(1, 256) for byte in data])

    def _finish(self, run: Run) -> None:
        run.finished = True
        self._busy_ns += run.speed.span_ns(len(run.data))
        if self._listener is not None:
            other = self._speed if run.talker is None else self._host_speed
            garbled = run.clashed or run.heard != run.data or run.speed.key != other.key
            talker = HOST if run.talker is None else run.talker.name
            self._listener(run.start, talker, run.data, "garbled" if garbled else "")

    def _forget(self, runs: list[Run]) -> None:
        self._quiet_since = max(self._quiet_since, max((run.end for run in runs), default=self._quiet_since))
        self._runs = [run for run in self._runs if run not in runs]

    def _overflow(self, now: int) -> None:
        over = [run for run in self._runs if run.end <= now]
        for run in over:
            if not run.finished:
                self._settle(run, len(run.data))
                self._finish(run)
        self._forget(over)
