"""A serial port: a USB adapter, a UART of the board, or a pseudo-terminal of the emulator."""

import asyncio
import contextlib
import os
import termios
from functools import partial
from pathlib import Path
from typing import Final, cast

import serial
import serial_asyncio_fast

from drivers.transport.own_thread import in_own_thread
from drivers.transport.stream import Stream, abandon
from drivers.transport.transport import Receiver

_OPEN_S: Final = 5.0


class _Port(serial.Serial):  # type: ignore[misc] # pyserial has no types
    """pyserial's, whose own `write` spins for ever, and the whole event loop with it, when the port takes nothing."""

    def write(self, data: bytes) -> int:
        """Write what the port takes.

        Raises:
            BlockingIOError: it takes nothing now.
            SerialException: it is gone.
        """
        try:
            return os.write(self.fd, data)
        except BlockingIOError:
            raise
        except OSError as error:
            raise serial.SerialException(error.strerror) from error


class SerialTransport:
    """Bytes over a serial port, opened by its path for this process alone.

    A path below /dev/serial/by-id names the adapter, whatever /dev/ttyUSB number it comes back under: it is resolved
    anew at each `connect`.
    """

    def __init__(self, path: str, *, baud: int, data_format: str) -> None:
        self._path = path
        self._baud = baud
        self._format = data_format
        self._stream: asyncio.Transport | None = None
        self._opening: asyncio.Future[_Port] | None = None

    async def connect(self, receiver: Receiver) -> None:
        """Open the port; see `Transport`."""
        loop = asyncio.get_running_loop()
        try:
            port = await self._open()
            stream, _ = await serial_asyncio_fast.connection_for_serial(
                loop, lambda: Stream(receiver, self._gone), port
            )
        except serial.SerialException as error:
            raise OSError(_explain(self._path, error)) from error
        except (termios.error, ValueError) as error:
            raise OSError(f"{self._path}: this port cannot do {self._baud} {self._format} ({error})") from error
        # FTDI adapters hold bytes back for 16 ms otherwise; others, and pseudo-terminals, know no such mode
        with contextlib.suppress(OSError, ValueError, NotImplementedError, AttributeError):
            port.set_low_latency_mode(True)
        self._stream = cast("asyncio.Transport", stream)

    async def _open(self) -> _Port:
        """Open the port; while the driver of an adapter hangs, there is one such try, and it is waited for again."""
        if self._opening is None:
            bytesize, parity, stopbits = self._frame()
            words = {"baudrate": self._baud, "bytesize": bytesize, "parity": parity, "stopbits": stopbits}
            self._opening = in_own_thread(
                partial(_Port, self._path, exclusive=True, **words), name=f"open {self._path}"
            )
        try:
            async with asyncio.timeout(_OPEN_S):
                return await asyncio.shield(self._opening)
        except TimeoutError:
            raise OSError(
                f"{self._path}: does not open within {_OPEN_S:g} s: its driver hangs; unplug the adapter and plug it "
                "in again"
            ) from None
        finally:
            if self._opening.done():
                self._opening = None

    def _gone(self, error: Exception) -> str:
        gone = isinstance(error, OSError)  # as pyserial's are
        return f"{self._path}: {'unplugged, or another program reads it too' if gone else error}"

    def _frame(self) -> tuple[int, str, int]:
        """Return data bits, parity and stop bits; a pseudo-terminal carries bytes and refuses everything but 8N1."""
        data_format = "8N1" if Path(self._path).resolve().is_relative_to("/dev/pts") else self._format
        return int(data_format[0]), data_format[1], int(data_format[2])

    def write(self, data: bytes) -> None:
        """Send bytes; see `Transport`."""
        if self._stream is not None:
            self._stream.write(data)

    def close(self) -> None:
        """Close at once; see `Transport`."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            abandon(stream)


def _explain(path: str, error: serial.SerialException) -> str:
    text = str(error)
    if "ermission denied" in text:
        return f"{path}: permission denied; add this user to the port's group (Debian: dialout) and log in again"
    if "exclusively lock" in text:
        return f"{path}: another program holds this port; `manovac ports` shows which"
    if "Could not configure port" in text:
        return f"{path}: this is no serial port"
    if "No such file" in text or "Not a directory" in text:
        return f"{path}: no such port; `manovac ports` lists those that exist"
    return f"{path}: {text}"
