"""A device and a sensor with faults between them and the line: what `firmware_sim.faults` describes is done here."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Final

from firmware_sim.faults import KINDS, ArmedFault, Faults
from firmware_sim.firmware.firmware import Firmware, Reply, Sensor
from firmware_sim.wire.crc import crc16

Readdress = Callable[[bytes, int], bytes]
"""Turns an answer into the same answer of another unit, checksum included."""

Note = Callable[[int, str], None]
"""Is told when faults struck, and which."""

ANSWER_KINDS: Final = frozenset(name for name, kind in KINDS.items() if kind.strikes != "times")
MESSAGE_KINDS: Final = ANSWER_KINDS - {"crc", "noise", "echo"}
"""What can happen to a message inside TCP, whose bytes no line disturbs."""


class FaultySensor:
    """A sensor that can be stuck."""

    def __init__(self, sensor: Sensor, *, names: Collection[str], faults: Faults) -> None:
        self._sensor = sensor
        self._names = names
        self._faults = faults
        self._held: tuple[ArmedFault, tuple[float, float]] | None = None

    def read(self, at_ns: int) -> tuple[float, float]:
        """Return (pressure in Pa, temperature in K), the same again and again while stuck."""
        for armed in self._faults.on(self._names, {"stuck"}) if self._faults.armed else ():
            if armed.lasts(at_ns):
                if self._held is None or self._held[0] is not armed:
                    self._held = armed, self._sensor.read(at_ns)
                return self._held[1]
        return self._sensor.read(at_ns)


class FaultyFirmware:
    """A device on a line whose answers can go wrong; `exchange` does the same for another medium.

    Args:
        firmware: the device.
        unit: its address.
        names: the targets that mean it: its transducers, its bus, "*".
        faults: those in force.
        note: told which faults struck, for a trace.
    """

    def __init__(
        self, firmware: Firmware, *, unit: int, names: Collection[str], faults: Faults, note: Note | None = None
    ) -> None:
        self.firmware = firmware
        self.silence_framed = firmware.silence_framed
        self._unit = unit
        self._names = names
        self._faults = faults
        self._note = note
        self._deaf_until = 0
        self._reboots_done: list[ArmedFault] = []

    @property
    def addresses(self) -> frozenset[int] | None:
        """What the device listens to."""
        return self.firmware.addresses

    @property
    def wakes_at_ns(self) -> int | None:
        """When the device wants to talk on its own; not before it hears again."""
        due = self.firmware.wakes_at_ns
        return due if due is None or due >= self._deaf_until else self._deaf_until

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:
        """Let the device hear; return what becomes of its answers."""
        if not self._faults.armed and at_ns >= self._deaf_until:
            return self.firmware.hear(at_ns, data)
        return self.exchange(at_ns, data, lambda: self.firmware.hear(at_ns, data), readdress=self._readdress)

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """Let the device talk on its own."""
        return self.exchange(at_ns, b"", lambda: self.firmware.wake(at_ns), readdress=self._readdress)

    def reboot(self, at_ns: int) -> None:
        """Restart the device."""
        self.firmware.reboot(at_ns)

    def refuse(self, code: int | None) -> None:
        """Let the device refuse everything."""
        self.firmware.refuse(code)

    def exchange(
        self,
        at_ns: int,
        request: bytes,
        ask: Callable[[], Sequence[Reply]],
        *,
        readdress: Readdress,
        kinds: Collection[str] = ANSWER_KINDS,
    ) -> Sequence[Reply]:
        """Let `ask` ask the device, and return what the faults of these kinds make of its answers."""
        due = [armed for armed in self._faults.on(self._names, kinds) if armed.lasts(at_ns)]
        self._restart_in_time(due)
        if at_ns < self._deaf_until:
            return ()
        due = [armed for armed in due if armed.fault.kind != "reboot" or armed.fault.on_requests]
        striking = [armed for armed in due if armed.would_strike()]
        refusals = [armed.fault.value("code") for armed in striking if armed.fault.kind == "exception"]
        if refusals:
            self.firmware.refuse(refusals[-1])
        replies = ask()
        if refusals:
            self.firmware.refuse(None)
        if not replies:
            return replies
        for armed in due:
            armed.count_request()
        if striking and self._note is not None:
            self._note(at_ns, ", ".join(armed.fault.kind for armed in striking))
        return self._changed(at_ns, request, list(replies), striking, readdress)

    def _restart_in_time(self, due: list[ArmedFault]) -> None:
        # Nobody notices a restart before the next contact, so it is made up for then, at its own time.
        for armed in due:
            if armed.fault.kind == "reboot" and not armed.fault.on_requests and armed not in self._reboots_done:
                self._reboots_done.append(armed)
                self._restart(armed, armed.begin_ns)

    def _restart(self, armed: ArmedFault, at_ns: int) -> None:
        self._deaf_until = at_ns + armed.fault.value("deaf")
        self.firmware.reboot(self._deaf_until)

    def _changed(
        self, at_ns: int, request: bytes, replies: list[Reply], striking: list[ArmedFault], readdress: Readdress
    ) -> list[Reply]:
        by_kind = {armed.fault.kind: armed for armed in striking}
        if (reboot := by_kind.get("reboot")) is not None:
            self._restart(reboot, at_ns)
            return []
        if "silence" in by_kind:
            return []
        if (foreign := by_kind.get("foreign")) is not None:
            other = foreign.fault.value("unit") or self._unit % 247 + 1
            replies = [replace(reply, data=readdress(reply.data, other)) for reply in replies]
        for kind, change in _CHANGES.items():
            if kind in by_kind:
                replies = [replace(reply, data=change(by_kind[kind], reply.data)) for reply in replies]
        if (echo := by_kind.get("echo")) is not None:
            returned = Reply(data=request, delay_ns=replies[0].delay_ns)
            replies = [returned, *replies] if echo.fault.value("answer") else [returned]
        if (again := by_kind.get("duplicate")) is not None:
            delay_ns = again.fault.value("delay")
            replies += [replace(reply, delay_ns=reply.delay_ns + delay_ns) for reply in replies]
        if (late := by_kind.get("late")) is not None:
            delay_ns = late.fault.value("delay")
            replies = [replace(reply, delay_ns=reply.delay_ns + delay_ns) for reply in replies]
        return replies

    def _readdress(self, frame: bytes, unit: int) -> bytes:
        if self.silence_framed:
            return readdress_frame(frame, unit)
        return readdress_text(frame, self._unit, unit)


def _flip(armed: ArmedFault, data: bytes) -> bytes:
    # A flipped CR or LF would be a missing end, which is another fault: truncate.
    places = [place for place, byte in enumerate(data) if byte not in b"\r\n"] or range(len(data))
    place = armed.random.choice(places)
    return data[:place] + bytes([data[place] ^ 1 << armed.random.randrange(7)]) + data[place + 1 :]


def _truncate(armed: ArmedFault, data: bytes) -> bytes:
    return data[: armed.fault.value("bytes")]


def _noise(armed: ArmedFault, data: bytes) -> bytes:
    before = armed.random.randbytes(armed.fault.value("before"))
    return before + data + armed.random.randbytes(armed.fault.value("after"))


_CHANGES: Final = {"crc": _flip, "truncate": _truncate, "noise": _noise}


def readdress_frame(frame: bytes, unit: int) -> bytes:
    """Return a silence-framed answer under another address, its CRC-16 in the byte order that it had.

    Modbus RTU sends the low byte first, the KELLER bus the high one.
    """
    if len(frame) < 3:
        return frame
    body = bytes([unit]) + frame[1:-2]
    order: Final = "big" if crc16(frame[:-2]) == int.from_bytes(frame[-2:], "big") else "little"
    return body + crc16(body).to_bytes(2, order)


def readdress_text(frame: bytes, old: int, unit: int) -> bytes:
    """Return a text answer under another address.

    Of the text families only Paroscientific's answers carry an address ("*0001": to 00, from 01; Digiquartz programs);
    others are foreign as they are, for nobody can tell.
    """
    return frame.replace(b"*00%02d" % old, b"*00%02d" % (unit % 100), 1)
