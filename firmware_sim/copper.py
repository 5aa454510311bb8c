"""What an adapter on a real line hands over, put together again: frames without our own echo. Pure.

An adapter passes on what it hears in pieces, when it likes (FTDI: up to 16 ms late), so a pause between two pieces is
no end of a frame. A frame is over when its checksum fits, or when nothing has come for longer than any adapter holds
bytes back.
"""

from typing import Final

from firmware_sim.wire.crc import crc16

PATIENCE_NS: Final = 25_000_000
"""Longer than an adapter with its usual latency timer of 16 ms holds bytes back."""
_SHORTEST: Final = 4  # address, function, CRC


class CopperInbox:
    """Bytes of the line in, frames out.

    Half-duplex adapters often hear what they send. Whether this one does shows at the first answer: its bytes come back
    whole, or something else does.

    Args:
        framed: devices hear whole frames, which end by silence; else characters as they come.
        character_ns: time of a character.
    """

    def __init__(self, *, framed: bool, character_ns: int) -> None:
        self._framed = framed
        self._character_ns = character_ns
        self._echo = b""  # what may still come back
        self._matched = b""  # what has come back of it
        self._echo_ends_ns = 0
        self._frame = b""
        self._heard_ns = 0
        self.echoes: bool | None = None

    @property
    def due_ns(self) -> int | None:
        """When `flush` has something to do."""
        return self._heard_ns + PATIENCE_NS if self._frame or self._matched else None

    def sent(self, at_ns: int, data: bytes) -> None:
        """Take note of what the fleet sends."""
        if self.echoes is False:
            return
        if at_ns > self._echo_ends_ns:
            self._echo = b""
        self._echo += data
        self._echo_ends_ns = max(at_ns, self._echo_ends_ns) + len(data) * self._character_ns + PATIENCE_NS

    def heard(self, at_ns: int, data: bytes) -> bytes:
        """Take what the adapter hands over; return the frame or the characters that devices hear, or nothing yet."""
        self._heard_ns = at_ns
        self._frame += self._without_echo(at_ns, data)
        if self._framed and not _is_whole(self._frame):
            return b""
        return self._taken()

    def flush(self, at_ns: int) -> bytes:
        """Return what is over because nothing follows: a frame that somebody garbled or cut."""
        due = self.due_ns
        if due is None or at_ns < due:
            return b""
        self._frame += self._no_echo()
        return self._taken()

    def forget(self) -> None:
        """Begin anew: the adapter was unplugged, another may come."""
        self._echo = self._matched = self._frame = b""
        self.echoes = None

    def _taken(self) -> bytes:
        frame, self._frame = self._frame, b""
        return frame

    def _without_echo(self, at_ns: int, data: bytes) -> bytes:
        if not self._echo:
            return data
        if at_ns > self._echo_ends_ns:
            return self._no_echo() + data
        size = min(len(self._echo), len(data))
        if data[:size] != self._echo[:size]:
            return self._no_echo() + data  # an adapter without echo, or two who talked at once
        self._echo = self._echo[size:]
        self._matched = self._matched + data[:size] if self._echo else b""
        if not self._echo:
            self.echoes = True
        return data[size:]

    def _no_echo(self) -> bytes:
        """Return what had looked like the beginning of an echo and was none."""
        matched, self._matched, self._echo = self._matched, b"", b""
        self.echoes = self.echoes or False
        return matched


def _is_whole(frame: bytes) -> bool:
    checksum = crc16(frame[:-2])
    return len(frame) >= _SHORTEST and frame[-2:] in {checksum.to_bytes(2, "little"), checksum.to_bytes(2, "big")}
