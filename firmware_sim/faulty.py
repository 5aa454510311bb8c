"""A device with faults between it and the line: what `firmware_sim.fault_kinds` says of devices is done here."""

from collections.abc import Callable, Collection, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from firmware_sim.device_clock import DeviceClock
from firmware_sim.fault_kinds import kinds_of
from firmware_sim.faults import ArmedFault, Faults
from firmware_sim.faulty_answer import SILENCE, TEXT, Exchange, Framing, change_answer
from firmware_sim.firmware.firmware import Firmware, Reply

Note = Callable[[int, str], None]
"""Is told when faults struck, and which."""

Ask = Callable[[int, bytes], Sequence[Reply]]
"""Lets a device hear a request at a time on its own clock."""

_ANSWER: Final = kinds_of("answer")


class FaultyFirmware:
    """A device on a line that can go wrong; `exchange` does the same for another medium.

    Args:
        firmware: the device.
        unit: its address.
        names: the targets that mean it: its transducers, its bus, "*".
        faults: those in force.
        note: told which faults struck, for a trace.
        clock: of the device.
        before: its own transducers and those between it and the host: where a cut cable takes it off the line.
        character_ns: time of a character on the line.
    """

    def __init__(
        self,
        firmware: Firmware,
        *,
        unit: int,
        names: Collection[str],
        faults: Faults,
        note: Note | None = None,
        clock: DeviceClock | None = None,
        before: Collection[str] = (),
        character_ns: int = 0,
    ) -> None:
        self.firmware = firmware
        self.silence_framed = firmware.silence_framed
        self._framing: Framing = SILENCE if firmware.silence_framed else TEXT
        self._unit = unit
        self._names = names
        self._faults = faults
        self._note = note
        self._clock = clock or DeviceClock(names=names, faults=faults)
        self._before = before or names
        self._character_ns = character_ns
        self._deaf_until = 0
        self._restarted: WeakKeyDictionary[ArmedFault, int] = WeakKeyDictionary()
        self._babbled: WeakKeyDictionary[ArmedFault, int] = WeakKeyDictionary()
        self._said = b""

    @property
    def addresses(self) -> frozenset[int] | None:
        """What the device listens to; anything while it may have another address."""
        return None if self._faults.armed and self._armed("address") else self.firmware.addresses

    @property
    def wakes_at_ns(self) -> int | None:
        """When the device wants to talk on its own; not before it hears again."""
        due = self.firmware.wakes_at_ns
        if due is None and not self._faults.armed:
            return None
        dues = [] if due is None else [max(self._clock.true_ns(due), self._deaf_until)]
        if self._faults.armed:
            babbles = [each.due_after(self._babbled.get(each)) for each in self._armed("babble")]
            dues += [due for due in babbles if due is not None]
        return min(dues, default=None)

    def baud(self, at_ns: int) -> int | None:
        """Return the speed at which it talks and listens; None is the line's."""
        own: int | None = getattr(self.firmware, "baud", None)
        if not self._faults.armed:
            return own
        bauds = [each.fault.value("baud") for each in self._armed("baud") if each.lasts(at_ns)]
        return bauds[-1] if bauds else own

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Let the device hear; return what becomes of its answers."""
        return self.exchange(at_ns, data, self.firmware.hear, self._framing)

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """Let the device talk on its own."""
        replies: Sequence[Reply] = ()
        due = self.firmware.wakes_at_ns
        if due is not None and max(self._clock.true_ns(due), self._deaf_until) <= at_ns:
            replies = self.exchange(at_ns, b"", lambda own_ns, _: self.firmware.wake(own_ns), self._framing)
        return [*replies, *self._babble(at_ns)] if self._armed("babble") else replies

    def reboot(self, at_ns: int) -> None:
        """Restart the device."""
        self.firmware.reboot(self._clock.own_ns(at_ns))

    def refuse(self, code: int | None) -> None:
        """Let the device refuse everything."""
        self.firmware.refuse(code)

    def exchange(self, at_ns: int, request: bytes, ask: Ask, framing: Framing) -> Sequence[Reply]:
        """Let `ask` ask the device, and return what the faults make of its answers.

        Args:
            at_ns: when it heard the request.
            request: nothing when it talks on its own.
            ask: lets the device hear.
            framing: of the medium.
        """
        if not self._faults.armed and at_ns >= self._deaf_until and not self._clock.skewed:
            return ask(at_ns, request)
        self._clock.keep_up(at_ns)
        self._restart_in_time(at_ns)
        if at_ns < self._deaf_until:
            return ()
        unit = self._address(at_ns)
        heard = request if unit == self._unit else self._translated(request, unit, framing)
        if self._gone(at_ns, framing) or (request and not heard):
            if not request:
                ask(self._clock.own_ns(at_ns), request)  # it talks all the same, and nobody hears it
            return ()
        due = [
            armed
            for armed in self._faults.on(self._names, framing.kinds | {"reboot"})
            if armed.lasts(at_ns) and (armed.fault.kind in _ANSWER or armed.fault.on_requests)
        ]
        striking = [armed for armed in due if armed.would_strike(request)]
        replies = self._refusing(striking, lambda: ask(self._clock.own_ns(at_ns), heard))
        if not replies:
            return ()
        for armed in due:
            armed.count_request(request)
        replies = self._as_it_is_now(at_ns, replies, unit, framing)
        for armed in striking:
            if armed.fault.kind == "reboot":
                self._restart(armed, at_ns)
                replies = []
        self._tell(at_ns, striking)
        exchange = Exchange(request=request, unit=unit, framing=framing, character_ns=self._character_ns)
        return change_answer(exchange, replies, striking)

    def _armed(self, *kinds: str) -> list[ArmedFault]:
        return list(self._faults.on(self._names, kinds)) if self._faults.armed else []

    def _tell(self, at_ns: int, striking: list[ArmedFault]) -> None:
        if striking and self._note is not None:
            self._note(at_ns, ", ".join(armed.fault.kind for armed in striking))

    def _refusing(self, striking: list[ArmedFault], ask: Callable[[], Sequence[Reply]]) -> list[Reply]:
        refusals = [armed.fault.value("code") for armed in striking if armed.fault.kind == "exception"]
        if not refusals:
            return list(ask())
        self.firmware.refuse(refusals[-1])
        replies = ask()
        self.firmware.refuse(None)
        return list(replies)

    # Where the device is: its address, its piece of cable

    def _address(self, at_ns: int) -> int:
        for armed in self._armed("address"):
            if armed.lasts(at_ns):
                return armed.fault.value("unit") or self._unit % 247 + 1
        return self._unit

    def _translated(self, request: bytes, unit: int, framing: Framing) -> bytes:
        """Return a request to the address that the device has now as one to its former; nothing if it is for others."""
        return framing.readdress(request, unit, self._unit) if request[:1] == bytes([unit]) else b""

    def _gone(self, at_ns: int, framing: Framing) -> bool:
        moved = framing is not SILENCE and self._address(at_ns) != self._unit
        return moved or any(armed.lasts(at_ns) for armed in self._faults.on(self._before, {"cut"}))

    # What the device says: at the speed of its clock, under its address, with the power that it has

    def _as_it_is_now(self, at_ns: int, replies: list[Reply], unit: int, framing: Framing) -> list[Reply]:
        weak = [armed for armed in self._armed("brownout") if armed.lasts(at_ns)]
        changed: list[Reply] = []
        for reply in replies:
            data = reply.data if unit == self._unit else framing.readdress(reply.data, self._unit, unit)
            self._said = data
            for armed in weak:
                if armed.random.random() < armed.fault.quantity("garbage"):
                    data = armed.random.randbytes(len(data))
                    self._tell(at_ns, [armed])
            changed.append(Reply(data=data, delay_ns=self._clock.true_span_ns(reply.delay_ns)))
        return changed

    def _babble(self, at_ns: int) -> list[Reply]:
        replies = []
        for armed in self._armed("babble"):
            due = armed.due_after(self._babbled.get(armed))
            if due is None or due > at_ns:
                continue
            self._babbled[armed] = at_ns
            size = armed.fault.value("bytes")
            data = armed.random.randbytes(size) if size else self._said
            if armed.lasts(at_ns) and not self._gone(at_ns, self._framing) and data:
                self._tell(at_ns, [armed])
                replies.append(Reply(data=data))
        return replies

    # Restarts

    def _restart_in_time(self, at_ns: int) -> None:
        # Nobody notices a restart before the next contact, so it is made up for then, at its own time.
        for armed in self._armed("reboot", "brownout"):
            moment = _last_restart(armed, at_ns)
            if moment is not None and moment > self._restarted.get(armed, -1):
                self._restarted[armed] = moment
                self._restart(armed, moment)

    def _restart(self, armed: ArmedFault, at_ns: int) -> None:
        self._deaf_until = at_ns + armed.fault.value("deaf")
        self.reboot(self._deaf_until)


def _last_restart(armed: ArmedFault, at_ns: int) -> int | None:
    """Return when a fault last restarted a device without being asked."""
    if armed.fault.on_requests or at_ns < armed.begin_ns:
        return None
    if armed.fault.kind == "reboot":
        return armed.begin_ns
    if armed.end_ns is not None and at_ns >= armed.end_ns:
        return armed.end_ns
    every_ns = armed.fault.value("every")
    return armed.begin_ns + (at_ns - armed.begin_ns) // every_ns * every_ns
