"""The broker's socket as a fleet of readings needs it: one write and one read a turn of the loop.

paho writes each packet by itself, reads each PUBACK in three pieces, and keeps an object for each message in flight:
0.06 ms of CPU a message. `CorkedSocket` takes the socket's place inside paho once the connection stands. PUBLISH goes
past paho, and PUBACK is taken out of what comes in; all else (pings, DISCONNECT, whatever the broker says) is paho's.
"""

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final

_PUBLISH: Final = 0x30
_PUBACK: Final = 0x40
_FIRST_MID: Final = 0x100  # packet ids below are paho's, for SUBSCRIBE
_LAST_MID: Final = 0xFFFF
_CHUNK: Final = 65_536
LARGEST_PACKET: Final = 256 * 2**10
"""Bytes that are taken from a broker, and sent to one that states no limit of its own."""
TOO_LARGE_END: Final = f"it sent a packet of more than {LARGEST_PACKET} bytes"
_FIRST_REFUSAL: Final = 0x80
_REFUSALS: Final = {
    0x80: "Unspecified error",
    0x83: "Implementation specific error",
    0x87: "Not authorized",
    0x90: "Topic Name invalid",
    0x91: "Packet Identifier in use",
    0x97: "Quota exceeded",
    0x99: "Payload format invalid",
}
_BLOCKED: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TooLargeError(ValueError):
    """A broker sends more in one packet than is taken; no OSError, which paho would keep to itself."""


def refusal(code: int) -> str | None:
    """Return why a broker refuses a message, None when it takes it; reason codes of PUBACK (MQTT 5, 3.4.2.1)."""
    return None if code < _FIRST_REFUSAL else _REFUSALS.get(code, f"reason code {code:#04x}")


def publish_packet(topic: bytes, payload: bytes, *, qos: int, retain: bool, mid: int, version_5: bool) -> bytes:
    """Return a PUBLISH packet without properties (MQTT 3.1.1 and MQTT 5, section 3.3).

    Args:
        topic: UTF-8, without wildcards.
        payload: with the rest below 256 MiB.
        qos: 0 or 1.
        retain: whether the broker keeps it.
        mid: packet id, 1 to 65535; not sent at QoS 0.
        version_5: whether the connection speaks MQTT 5.
    """
    head = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"") + b"\0" * version_5
    size = len(head) + len(payload)
    first = bytearray((_PUBLISH | qos << 1 | retain,))
    while size > 0x7F:
        first.append(size & 0x7F | 0x80)
        size >>= 7
    first.append(size)
    return b"".join((first, head, payload))


def packet_size(heard: bytes, at: int) -> int:
    """Return the size of the packet that begins at `heard[at]`, 0 while it is not all there.

    What has no proper length (MQTT 5, 1.5.5: four bytes at most) is one packet to the end: its reader will complain.

    Raises:
        TooLargeError: it is to be larger than `LARGEST_PACKET`.
    """
    size = shift = 0
    for place in range(at + 1, min(at + 5, len(heard))):
        size |= (heard[place] & 0x7F) << shift
        shift += 7
        if not heard[place] & 0x80:
            size += place + 1 - at
            if size > LARGEST_PACKET:
                raise TooLargeError(TOO_LARGE_END)
            return size if at + size <= len(heard) else 0
    return len(heard) - at if len(heard) >= at + 5 else 0


class CorkedSocket:
    """A connected non-blocking socket, in the place of which it stands; its other methods are the socket's own.

    Args:
        sock: plain or TLS.
        loop: on which it is used.
        version_5: whether the connection speaks MQTT 5.
        settled: called with packet id and reason code (0 in MQTT 3.1.1) for each message that was acknowledged, and
            with 0 for each QoS 0 message once it is handed to the system.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        *,
        version_5: bool,
        settled: Callable[[int, int], None],
    ) -> None:
        self._sock = sock
        self._loop = loop
        self._version_5 = version_5
        self._settled = settled
        self._mid = _FIRST_MID - 1
        self._unsettled: set[int] = set()
        self._unsent: deque[bytes] = deque()
        self._unwritten: list[int] = []
        self._flushing = False
        self._heard = b""
        self._others = bytearray()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> int:
        """Send a message with others of this turn of the loop; return its packet id."""
        mid = self._next_mid()
        self._unsettled.add(mid)
        if not qos:
            self._unwritten.append(mid)
        self.send(publish_packet(topic.encode(), payload, qos=qos, retain=retain, mid=mid, version_5=self._version_5))
        return mid

    def _next_mid(self) -> int:
        while True:
            self._mid = self._mid + 1 if self._mid < _LAST_MID else _FIRST_MID
            if self._mid not in self._unsettled:
                return self._mid

    def _settle(self, mid: int, code: int) -> None:
        if mid in self._unsettled:  # a broker may acknowledge what was never sent
            self._unsettled.discard(mid)
            self._settled(mid, code)

    def send(self, data: bytes | bytearray) -> int:
        """Send with others of this turn of the loop; takes all."""
        self._unsent.append(bytes(data))
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)
        return len(data)

    def _flush(self) -> None:
        """Write what waits; what the system does not take yet waits on, and so does all that comes after it."""
        if self._sock.fileno() < 0:
            return
        while self._unsent:
            data = self._gathered()
            try:
                sent = self._sock.send(data)
            except _BLOCKED:
                sent = 0
            except OSError:
                return  # reading finds the same, and paho takes the connection for lost then
            if sent < len(data):
                self._unsent.appendleft(data[sent:])
                self._loop.add_writer(self._sock.fileno(), self._flush)
                return
        self._loop.remove_writer(self._sock.fileno())
        self._flushing = False
        unwritten, self._unwritten = self._unwritten, []
        for mid in unwritten:
            self._settle(mid, 0)

    def _gathered(self) -> bytes:
        """Take what is to be written next: small packets together, but not a long queue again and again."""
        size, pieces = 0, []
        while self._unsent and size < _CHUNK:
            pieces.append(self._unsent.popleft())
            size += len(pieces[-1])
        return b"".join(pieces)

    def hear(self) -> bool:
        """Read what has come; return whether paho has to look: at a packet that is no PUBACK, or at the end.

        Raises:
            TooLargeError: of a packet whose begin has come.
        """
        if not self._others:
            try:
                chunk = self._sock.recv(_CHUNK)
            except _BLOCKED:
                return False
            except OSError:
                return True  # paho will meet it too
            if not chunk:
                return True
            self._sort(self._heard + chunk)
        return bool(self._others)

    def recv(self, size: int) -> bytes:
        """Return at most `size` bytes of packets that are no PUBACK; raises as the socket does when there are none."""
        if not self.hear():
            raise BlockingIOError
        if not self._others:
            return self._sock.recv(size)
        data = bytes(self._others[:size])
        del self._others[:size]
        return data

    def pending(self) -> int:
        """Return how many bytes can be read although the system has none."""
        return len(self._others) + (self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0)

    def _sort(self, heard: bytes) -> None:
        at = 0
        while size := packet_size(heard, at):
            if heard[at] == _PUBACK and 4 <= size == heard[at + 1] + 2:
                self._settle(heard[at + 2] << 8 | heard[at + 3], heard[at + 4] if size > 4 else 0)
            else:
                self._others += heard[at : at + size]
            at += size
        self._heard = heard[at:]

    def close(self) -> None:
        """Hand over what the system takes at once, as a DISCONNECT, and close."""
        if self._sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._sock.send(b"".join(self._unsent))
            self._loop.remove_writer(self._sock.fileno())
        self._unsent.clear()
        self._sock.close()
