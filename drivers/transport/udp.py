"""UDP datagrams to an instrument on the network: each question is one, each answer is one."""

import asyncio
import socket

from drivers.transport.transport import Receiver

_RESOLVE_S = 3.0


class UdpTransport:
    """Bytes over UDP, between one port of ours and one of the instrument's.

    Nothing tells whether anybody is there: a datagram is lost as silently as it is sent, and what a router says of it
    may come long after. So a dead instrument is silent, not a bus that is down.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._datagrams: asyncio.DatagramTransport | None = None

    async def connect(self, receiver: Receiver) -> None:
        """Take a port of our own; see `Transport`."""
        loop = asyncio.get_running_loop()
        where = f"{self._host}:{self._port}"
        try:
            async with asyncio.timeout(_RESOLVE_S):
                datagrams, _ = await loop.create_datagram_endpoint(
                    lambda: _Datagrams(receiver), remote_addr=(self._host, self._port)
                )
        except TimeoutError:
            raise OSError(f"{where}: no name server told this host's address within {_RESOLVE_S:g} s") from None
        except (OverflowError, UnicodeError) as error:
            raise OSError(f"{where} is no address: {error}") from error
        except OSError as error:
            known = not isinstance(error, socket.gaierror)
            raise OSError(
                f"{where}: {error.strerror or error if known else f'no such host ({error.strerror})'}"
            ) from error
        self._datagrams = datagrams

    def write(self, data: bytes) -> None:
        """Send a datagram; see `Transport`."""
        if self._datagrams is not None and not self._datagrams.is_closing():
            self._datagrams.sendto(data)

    def close(self) -> None:
        """Close at once; see `Transport`."""
        if self._datagrams is not None:
            datagrams, self._datagrams = self._datagrams, None
            protocol = datagrams.get_protocol()
            if isinstance(protocol, _Datagrams):
                protocol.receiver = None
            datagrams.abort()


class _Datagrams(asyncio.DatagramProtocol):
    """Hands what comes in to a receiver until it is let go."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver: Receiver | None = receiver

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:  # noqa: ARG002 - asyncio's signature
        if self.receiver is not None:
            self.receiver.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.receiver is not None:
            self.receiver.lost(str(exc) if exc else "closed")
