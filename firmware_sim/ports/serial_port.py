"""A bus as a real RS-485 adapter: the fleet answers on copper, in place of the transducers."""

import asyncio
import contextlib
import os
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import serial

from drivers.rig import Bus
from firmware_sim.copper import CopperInbox
from firmware_sim.ports import Receive, Session

_CHUNK: Final = 4096
_TRY_AGAIN_S: Final = 0.5
_NS: Final = 1_000_000_000


class SerialPort:
    """An adapter that this process alone has open, at the line's baud and format.

    Its UART keeps the time of the characters, so the line behind it must not (`Line(copper=True)`). An adapter that
    goes away is told and opened again when it is back; a path below /dev/serial/by-id finds it under any number.

    Args:
        name: of the bus, for messages.
        path: of the adapter.
        bus: the line's baud and format.
        session: begins the client's session.
        framed: the devices hear whole frames, which end by silence.
        tell: is told when the adapter goes and comes.
    """

    def __init__(
        self, name: str, path: str, bus: Bus, session: Session, *, framed: bool, tell: Callable[[str], None]
    ) -> None:
        self._name = name
        self._path = path
        self._bus = bus
        self._take: Receive = session(self._send)
        self._tell = tell
        self._inbox = CopperInbox(framed=framed, character_ns=round(bus.character_s * _NS))
        self._port: Any = None
        self._timer: asyncio.TimerHandle | None = None
        self.overruns = 0

    @property
    def address(self) -> str:
        """The adapter's path."""
        return self._path

    async def open(self) -> None:
        """Open the adapter.

        Raises:
            OSError: there is none, another program has it, or it cannot do the line's baud and format.
        """
        self._open()

    def close(self) -> None:
        """Let go of the adapter."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._let_go()

    def _open(self) -> None:
        # A pseudo-terminal, with which this is tried without an adapter, refuses other formats.
        form = "8N1" if Path(self._path).resolve().is_relative_to("/dev/pts") else self._bus.format
        try:
            self._port = serial.Serial(
                self._path,
                self._bus.baud,
                bytesize=int(form[0]),
                parity=form[1],
                stopbits=int(form[2]),
                timeout=0,
                exclusive=True,
            )
        except serial.SerialException as error:
            raise OSError(f"bus {self._name}: {_explain(self._path, error)}") from error
        except (termios.error, ValueError) as error:
            wanted = f"{self._bus.baud} {self._bus.format}"
            raise OSError(f"bus {self._name}: {self._path} cannot do {wanted} ({error})") from error
        # FTDI adapters hold bytes back for 16 ms otherwise; others, and pseudo-terminals, know no such mode
        with contextlib.suppress(OSError, ValueError, NotImplementedError, AttributeError):
            self._port.set_low_latency_mode(True)
        os.set_blocking(self._port.fileno(), False)
        self._inbox.forget()
        asyncio.get_running_loop().add_reader(self._port.fileno(), self._readable)

    def _let_go(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            # A reader that is left behind would serve whoever gets the same descriptor number next.
            asyncio.get_running_loop().remove_reader(port.fileno())
            port.close()

    def _readable(self) -> None:
        try:
            data = os.read(self._port.fileno(), _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        if not data:
            self._lose("end of file")
            return
        self._hand_over(self._inbox.heard(_now_ns(), data))

    def _hand_over(self, heard: bytes) -> None:
        if heard:
            self._take(heard)
        self._wait_until(self._inbox.due_ns)

    def _wait_until(self, due_ns: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if due_ns is not None and self._port is not None:
            self._timer = asyncio.get_running_loop().call_at(due_ns / _NS, self._flush)

    def _flush(self) -> None:
        # asyncio fires up to its clock's resolution early; what was due then is due all the same.
        self._hand_over(self._inbox.flush(max(_now_ns(), self._inbox.due_ns or 0)))

    def _send(self, data: bytes) -> None:
        if self._port is None:
            return
        try:
            sent = os.write(self._port.fileno(), data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        # The adapter takes no more: the rest is lost, as in an overrun UART.
        self.overruns += len(data) - sent
        self._inbox.sent(_now_ns(), data[:sent])

    def _lose(self, why: str) -> None:
        self._let_go()
        self._tell(f"bus {self._name}: {self._path} has gone ({why}); waiting for it")
        self._try_later()

    def _try_later(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(_TRY_AGAIN_S, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        try:
            self._open()
        except OSError:
            self._try_later()
            return
        self._tell(f"bus {self._name}: {self._path} is back")


def _now_ns() -> int:
    return round(asyncio.get_running_loop().time() * _NS)


def _explain(path: str, error: serial.SerialException) -> str:
    text = str(error)
    if "ermission denied" in text:
        return f"{path}: permission denied; add this user to the port's group (Debian: dialout) and log in again"
    if "exclusively lock" in text:
        return f"{path}: another program holds this port"
    if "Could not configure port" in text:
        return f"{path}: this is no serial port"
    if "No such file" in text or "Not a directory" in text:
        return f"{path}: no such port; `manovac ports` lists those that exist"
    return f"{path}: {text}"
