"""A bus as a TCP port of this machine: a line behind a serial device server, or a Modbus TCP device."""

import asyncio
from typing import Final

from firmware_sim.ports import Receive, Session

_ADDRESS: Final = "127.0.0.1"


class TcpPort:
    """Listens on 127.0.0.1 only.

    Args:
        session: begins a client's session on the bus.
        several: whether several clients may be connected at once (modbus-tcp); a line has one, and whoever comes while
            it is there is turned away.
        port: number to listen on, 0 for any free one; the number stays when the port is closed and opened again.
    """

    def __init__(self, session: Session, *, several: bool = False, port: int = 0) -> None:
        self._session = session
        self._several = several
        self._port = port
        self._server: asyncio.Server | None = None
        self._clients: set[_Client] = set()

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
        self._server = await loop.create_server(lambda: _Client(self), _ADDRESS, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    def close(self) -> None:
        """Stop listening and cut all clients off."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for client in list(self._clients):
            client.abort()

    def admit(self, client: "_Client") -> Receive | None:
        """Begin a client's session; None when the line has its client already."""
        if self._server is None or (self._clients and not self._several):
            return None
        self._clients.add(client)
        return self._session(client.send)

    def leave(self, client: "_Client") -> None:
        """Note that a client has gone."""
        self._clients.discard(client)


class _Client(asyncio.Protocol):
    """One connection; what is sent in one turn of the loop goes out at once.

    asyncio sets TCP_NODELAY on each, without which a reply could wait 40 ms for an ACK.
    """

    def __init__(self, port: TcpPort) -> None:
        self._port = port
        self._take: Receive | None = None
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what create_server makes
        self._transport = transport
        self._take = self._port.admit(self)
        if self._take is None:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._take is not None:
            self._take(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._transport = self._take = None
        self._port.leave(self)

    def send(self, data: bytes) -> None:
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        data, self._unsent = b"".join(self._unsent), []
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def abort(self) -> None:
        self._port.leave(self)
        self._take = None
        if self._transport is not None:
            self._transport.abort()
