"""A TCP connection to a Modbus TCP device or a serial converter."""

import asyncio
import socket
from typing import cast

from drivers.transport.stream import Stream, abandon
from drivers.transport.transport import Receiver

_CONNECT_S = 3.0
_GATHERED_MOST = 65_536  # bytes; more is no question
_KEEPALIVE_IDLE_S = 10
_KEEPALIVE_INTERVAL_S = 5
_KEEPALIVE_PROBES = 3


def _explain(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nothing listens there, or it has its one client already"
    if isinstance(error, socket.gaierror):
        return f"no such host ({error.strerror})"
    return error.strerror or str(error)


class TcpTransport:
    """Bytes over TCP; a peer that vanished without a word is noticed by keepalive within half a minute.

    What is written in one turn of the event loop goes out at once: a system call takes as long as all the rest of a
    question.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._stream: asyncio.Transport | None = None
        self._unsent = bytearray()

    async def connect(self, receiver: Receiver) -> None:
        """Connect; see `Transport`."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                stream, _ = await loop.create_connection(lambda: Stream(receiver), self._host, self._port)
        except TimeoutError:
            raise OSError(
                f"{self._host}:{self._port} did not answer within {_CONNECT_S:g} s: is it on this network?"
            ) from None
        except (OverflowError, UnicodeError) as error:
            raise OSError(f"{self._host}:{self._port} is no address: {error}") from error
        except OSError as error:
            raise OSError(f"{self._host}:{self._port}: {_explain(error)}") from error
        self._stream = stream
        connection = cast("socket.socket", stream.get_extra_info("socket"))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, seconds in (
            ("TCP_KEEPIDLE", _KEEPALIVE_IDLE_S),
            ("TCP_KEEPINTVL", _KEEPALIVE_INTERVAL_S),
            ("TCP_KEEPCNT", _KEEPALIVE_PROBES),
        ):
            if hasattr(socket, option):  # Linux has them; elsewhere the system's own pace must do
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)

    def write(self, data: bytes) -> None:
        """Send bytes; see `Transport`."""
        if self._stream is not None:
            if not self._unsent:
                asyncio.get_running_loop().call_soon(self._flush)
            self._unsent += data
            if len(self._unsent) > _GATHERED_MOST:
                self._flush()

    def _flush(self) -> None:
        data, self._unsent = bytes(self._unsent), bytearray()
        if self._stream is not None and data:
            self._stream.write(data)

    def close(self) -> None:
        """Close at once; see `Transport`."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            self._unsent.clear()
            abandon(stream)
