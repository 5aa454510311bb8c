"""A bus as a UDP port of this machine."""

import asyncio
from typing import Final

from firmware_sim.ports import Receive, Session

_ADDRESS: Final = "127.0.0.1"
_PEERS: Final = 64
"""Peers that are remembered; a datagram says where it came from, but nobody says when he goes."""

_Peer = tuple[str, int]


class UdpPort:
    """Listens on 127.0.0.1 only; each peer has a session of its own.

    Args:
        session: begins a peer's session on the bus.
        port: number to listen on, 0 for any free one; the number stays when the port is closed and opened again.
    """

    def __init__(self, session: Session, *, port: int = 0) -> None:
        self._session = session
        self._port = port
        self._datagrams: asyncio.DatagramTransport | None = None
        self._peers: dict[_Peer, Receive] = {}

    @property
    def address(self) -> str:
        """Host and port, once opened."""
        return f"{_ADDRESS}:{self._port}"

    async def open(self) -> None:
        """Listen.

        Raises:
            OSError: the number is in use.
        """
        loop = asyncio.get_running_loop()
        self._datagrams, _ = await loop.create_datagram_endpoint(
            lambda: _Listening(self), local_addr=(_ADDRESS, self._port)
        )
        self._port = self._datagrams.get_extra_info("sockname")[1]

    def close(self) -> None:
        """Stop listening, and forget all peers."""
        if self._datagrams is not None:
            self._datagrams.abort()
            self._datagrams = None
        self._peers.clear()

    def hear(self, peer: _Peer, data: bytes) -> None:
        """Take a datagram; of too many peers the one that began first is forgotten."""
        if peer not in self._peers:
            if len(self._peers) == _PEERS:
                del self._peers[next(iter(self._peers))]
            self._peers[peer] = self._session(lambda answer: self._send(peer, answer))
        self._peers[peer](data)

    def _send(self, peer: _Peer, data: bytes) -> None:
        if self._datagrams is not None:
            self._datagrams.sendto(data, peer)


class _Listening(asyncio.DatagramProtocol):
    def __init__(self, port: UdpPort) -> None:
        self._port = port

    def datagram_received(self, data: bytes, addr: _Peer) -> None:
        self._port.hear(addr, data)
