"""What goes wrong on the wires themselves: bits that flip, and talkers that no rig file knows."""

from collections.abc import Collection, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from firmware_sim.faults import ArmedFault, Faults
from firmware_sim.firmware.firmware import Reply
from firmware_sim.wire.crc import crc16

_ANSWER_NS: Final = 5_000_000
"""From somebody else's question to its answer."""


class WornWires:
    """Wires on which bits flip.

    Args:
        names: the targets that mean the line: its bus, "*".
        faults: those in force.
    """

    def __init__(self, *, names: Collection[str], faults: Faults) -> None:
        self._names = names
        self._faults = faults

    def __call__(self, at_ns: int, data: bytes) -> bytes:
        """Return what becomes of characters that set out at that time."""
        for armed in self._faults.on(self._names, {"bits"}) if self._faults.armed else ():
            if armed.lasts(at_ns):
                data = bytes([byte ^ _flips(armed) for byte in data])
        return data


def _flips(armed: ArmedFault) -> int:
    rate = armed.fault.quantity("rate")
    if armed.random.random() >= 1 - (1 - rate) ** 8:
        return 0
    return 1 << armed.random.randrange(8)  # a second one in the same character changes no hearer's mind


class Strangers:
    """Those who talk on a line and stand in no rig file: another client, and a unit that somebody else asks.

    A station of its own; it listens to nobody.

    Args:
        names: the targets that mean the line: its bus, "*".
        faults: those in force.
        silence_framed: how frames end on the line.
        unit: an address that nobody has.
    """

    addresses: frozenset[int] | None = frozenset()

    def __init__(self, *, names: Collection[str], faults: Faults, silence_framed: bool, unit: int) -> None:
        self.silence_framed = silence_framed
        self._names = names
        self._faults = faults
        self._unit = unit
        self._asked = b""
        self._talked: WeakKeyDictionary[ArmedFault, int] = WeakKeyDictionary()

    def overhear(self, request: bytes) -> None:
        """Take note of what the client has asked."""
        self._asked = request

    @property
    def wakes_at_ns(self) -> int | None:
        """When somebody talks next."""
        dues = (armed.due_after(self._talked.get(armed)) for armed in self._armed())
        return min((due for due in dues if due is not None), default=None)

    def wake(self, at_ns: int) -> Sequence[Reply]:
        """Say what is due."""
        replies: list[Reply] = []
        for armed in self._armed():
            due = armed.due_after(self._talked.get(armed))
            if due is None or due > at_ns:
                continue
            self._talked[armed] = at_ns
            if not armed.lasts(at_ns):
                continue
            if armed.fault.kind == "intruder":
                replies.append(Reply(data=armed.fault.data("request") or self._asked))
            else:
                question, answer = self._talk(armed)
                replies += [Reply(data=question), Reply(data=answer, delay_ns=_ANSWER_NS)]
        return replies

    def hear(self, at_ns: int, data: bytes) -> Sequence[Reply]:  # noqa: ARG002
        """Listen to nobody."""
        return ()

    def reboot(self, at_ns: int) -> None:
        """Stay as they are."""

    def refuse(self, code: int | None) -> None:
        """Stay as they are."""

    def _armed(self) -> list[ArmedFault]:
        return list(self._faults.on(self._names, {"intruder", "traffic"})) if self._faults.armed else []

    def _talk(self, armed: ArmedFault) -> tuple[bytes, bytes]:
        """Return a question to a unit that the rig lacks, and its answer: two registers, or the form of an ADAM."""
        if self.silence_framed:
            head = bytes([self._unit, 3])
            return _framed(head + bytes([0, 0, 0, 2])), _framed(head + b"\x04" + armed.random.randbytes(4))
        value = armed.random.randrange(100_000)
        return b"#%02X\r" % self._unit, b">+%02d.%03d\r" % divmod(value, 1000)


def _framed(body: bytes) -> bytes:
    return body + crc16(body).to_bytes(2, "little")
