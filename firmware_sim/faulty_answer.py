"""What faults make of a device's answers: bytes lost, flipped, added, repeated, late, or of somebody else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from firmware_sim.fault_kinds import kinds_of
from firmware_sim.faults import ArmedFault
from firmware_sim.firmware.firmware import Reply
from firmware_sim.wire.crc import crc16


class Framing(Protocol):
    """How a medium wraps what devices say; it can be wrapped anew, checksum included.

    Attributes:
        kinds: what can happen to an answer there.
    """

    kinds: frozenset[str]

    def readdress(self, frame: bytes, old: int, unit: int) -> bytes:
        """Return the same frame of another unit."""
        ...

    def refunction(self, frame: bytes, code: int) -> bytes:
        """Return the same frame under another function code, 0 the next one."""
        ...


class SilenceFraming:
    """Modbus RTU and the KELLER bus: address, function, data, CRC-16."""

    kinds = kinds_of("answer", medium="frames")

    def readdress(self, frame: bytes, old: int, unit: int) -> bytes:  # noqa: ARG002 - the seam's; it stands in front
        """Return the same frame of another unit."""
        return _rewrapped(frame, lambda body: bytes([unit]) + body[1:])

    def refunction(self, frame: bytes, code: int) -> bytes:
        """Return the same frame under another function code."""
        return _rewrapped(frame, lambda body: body[:1] + bytes([code or next_function(body[1])]) + body[2:])


def next_function(code: int) -> int:
    """Return the function code after this one; the bit that makes an exception of it stays."""
    return code & 0x80 | (code + 1) & 0x7F


def _rewrapped(frame: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Return a frame with another body, its CRC in the byte order that it had.

    Modbus RTU sends the low byte first, the KELLER bus the high one. What is no whole frame stays as it is.
    """
    checksum = crc16(frame[:-2])
    for order in ("little", "big"):
        if len(frame) > 3 and frame[-2:] == checksum.to_bytes(2, order):
            body = change(frame[:-2])
            return body + crc16(body).to_bytes(2, order)
    return frame


class TextFraming:
    """Lines of text.

    Only the addresses of Digiquartz answers ("*0001": to 00, from 01) can be changed here. Answers of other families
    stay as they are: some carry no address, others each in a grammar of their own.
    """

    kinds = kinds_of("answer", medium="lines of text")

    def readdress(self, frame: bytes, old: int, unit: int) -> bytes:
        """Return the same line of another unit."""
        return frame.replace(b"*00%02d" % old, b"*00%02d" % (unit % 100), 1)

    def refunction(self, frame: bytes, code: int) -> bytes:  # noqa: ARG002 - the seam's
        """Return the line: it names no function."""
        return frame


SILENCE: Final = SilenceFraming()
TEXT: Final = TextFraming()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One question and where it was put.

    Attributes:
        request: as the device heard it.
        unit: the device's address.
        framing: of the medium.
        character_ns: time of a character there.
    """

    request: bytes
    unit: int
    framing: Framing
    character_ns: int


def change_answer(exchange: Exchange, replies: list[Reply], striking: list[ArmedFault]) -> list[Reply]:
    """Return what these faults make of the answers to a question, in the order of `_CHANGES`."""
    by_kind = {armed.fault.kind: armed for armed in striking}
    for kind, change in _CHANGES.items():
        if kind in by_kind and replies:
            replies = change(exchange, replies, by_kind[kind])
    return replies


def _silence(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:  # noqa: ARG001
    return []


def _foreign(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:
    other = armed.fault.value("unit") or exchange.unit % 247 + 1
    return _each(replies, lambda data: exchange.framing.readdress(data, exchange.unit, other))


def _function(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:
    return _each(replies, lambda data: exchange.framing.refunction(data, armed.fault.value("code")))


def _crc(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:  # noqa: ARG001
    return _each(replies, lambda data: _flip(armed, data))


def _flip(armed: ArmedFault, data: bytes) -> bytes:
    # A flipped CR or LF would be a missing end, which is another fault: truncate.
    places = [place for place, byte in enumerate(data) if byte not in b"\r\n"] or range(len(data))
    place = armed.random.choice(places)
    return data[:place] + bytes([data[place] ^ 1 << armed.random.randrange(7)]) + data[place + 1 :]


def _truncate(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:  # noqa: ARG001
    return _each(replies, lambda data: data[: armed.fault.value("bytes")])


def _head(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:  # noqa: ARG001
    first, *others = replies
    if first.delay_ns >= armed.fault.value("within"):
        return replies
    return [replace(first, data=first.data[armed.fault.value("bytes") :]), *others]


def _noise(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:  # noqa: ARG001
    fault = armed.fault
    return _each(
        replies,
        lambda data: (
            armed.random.randbytes(fault.value("before")) + data + armed.random.randbytes(fault.value("after"))
        ),
    )


def _echo(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:
    returned = Reply(data=exchange.request, delay_ns=replies[0].delay_ns)
    return [returned, *replies] if armed.fault.value("answer") else [returned]


def _split(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:
    *others, last = replies
    size = armed.fault.value("bytes")
    pause_ns = size * exchange.character_ns + armed.fault.value("pause")
    rest = replace(last, data=last.data[size:], delay_ns=last.delay_ns + pause_ns)
    return [*others, replace(last, data=last.data[:size]), rest] if rest.data else replies


def _duplicate(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:
    return [*replies, *_late(exchange, replies, armed)]


def _late(exchange: Exchange, replies: list[Reply], armed: ArmedFault) -> list[Reply]:  # noqa: ARG001
    delay_ns = armed.fault.value("delay")
    return [replace(reply, delay_ns=reply.delay_ns + delay_ns) for reply in replies]


def _each(replies: list[Reply], change: Callable[[bytes], bytes]) -> list[Reply]:
    return [replace(reply, data=change(reply.data)) for reply in replies]


_CHANGES: Final[Mapping[str, Callable[[Exchange, list[Reply], ArmedFault], list[Reply]]]] = {
    "silence": _silence,
    "foreign": _foreign,
    "function": _function,
    "crc": _crc,
    "truncate": _truncate,
    "head": _head,
    "noise": _noise,
    "echo": _echo,
    "split": _split,
    "duplicate": _duplicate,
    "late": _late,
}
