"""A bus as a pseudo-terminal: what pyserial opens like any serial port, under a name that stays (Linux).

A pty carries bytes, not a line: it has no speed, echo or parity. So the emulator keeps the time, and looks up the speed
that the client has set whenever it writes, to garble what would be garbage on copper. Data bits and parity cannot be
looked up: the kernel forces 8 and none on every pty. Whoever starts the emulator can say what they are.
"""

import asyncio
import fcntl
import os
import struct
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Final

from drivers.rig import Bus
from firmware_sim.ports import Receive, Session

# struct termios2 (asm-generic/termbits.h; x86 and arm64 agree): the only interface with speeds as plain numbers.
_TCGETS2: Final = 0x802C542A
_TCSETS2: Final = 0x402C542B
_TERMIOS2: Final = struct.Struct("=4I20s2I")
_CBAUD: Final = 0o10017
_BOTHER: Final = 0o10000
_CIBAUD: Final = _CBAUD << 16

_CHUNK: Final = 4096


class PtyPort:
    """A pty behind a symlink, which is the port's name.

    Args:
        link: where the symlink is put; its folder must exist.
        bus: the line's speed, which a new pty has until its client sets another.
        session: begins the client's session; one for the port's whole life, as nobody can tell clients of a pty apart.
        set_host: takes the client's baud and format whenever they change.
        form: the client's format, None for the line's.
    """

    def __init__(
        self,
        link: Path,
        bus: Bus,
        session: Session,
        set_host: Callable[[int, str], None],
        form: str | None = None,
    ) -> None:
        self._link = link
        self._bus = bus
        self._set_host = set_host
        self._session = session
        self._form = form or bus.format
        self._take: Receive
        self._fds: tuple[int, int] | None = None
        self._device = ""
        self._settings = (bus.baud, self._form)
        self.overruns = 0

    @property
    def address(self) -> str:
        """The symlink's path."""
        return str(self._link)

    async def open(self) -> None:
        """Make the pty and point the link at it; never the same device as before."""
        self._take = self._session(self._send)
        former, terminal, other = self._device, *os.openpty()
        self._device = os.ttyname(other)
        if self._device == former:
            # The kernel gives the lowest free number; hold this one while taking the next.
            held, (terminal, other) = (terminal, other), os.openpty()
            self._device = os.ttyname(other)
            for fd in held:
                os.close(fd)
        # Our own hold on the client's side: with none open, reads here would fail and the reader callback would spin.
        self._fds = (terminal, other)
        os.set_blocking(terminal, False)
        self._make_raw(other)
        self._link.unlink(missing_ok=True)
        self._link.symlink_to(self._device)
        asyncio.get_running_loop().add_reader(terminal, self._readable, terminal)

    def close(self) -> None:
        """Let the device vanish, and the link with it; a client that has it open gets an I/O error."""
        if self._fds is None:
            return
        fds, self._fds = self._fds, None
        # A reader that is left behind would serve whoever gets the same descriptor number next.
        asyncio.get_running_loop().remove_reader(fds[0])
        self._link.unlink(missing_ok=True)
        for fd in fds:
            os.close(fd)

    def _make_raw(self, fd: int) -> None:
        _, _, control, _, rest, _, _ = _termios2(fd)
        control = control & ~(_CBAUD | _CIBAUD) | _BOTHER
        baud = self._bus.baud
        fcntl.ioctl(fd, _TCSETS2, _TERMIOS2.pack(0, 0, control, 0, rest, baud, baud))

    def _readable(self, terminal: int) -> None:
        try:
            data = os.read(terminal, _CHUNK)
        except BlockingIOError:
            return
        self._look_at_settings(terminal)
        self._take(data)

    def _look_at_settings(self, terminal: int) -> None:
        _, _, control, _, _, _, baud = _termios2(terminal)
        # One stop bit says nothing: clients set it on a pty whatever the line has.
        form = self._form[:2] + ("2" if control & termios.CSTOPB else self._form[2])
        settings = (baud or self._bus.baud, form)
        if settings != self._settings:
            self._settings = settings
            self._set_host(*settings)

    def _send(self, data: bytes) -> None:
        if self._fds is None:
            return
        try:
            sent = os.write(self._fds[0], data)
        except BlockingIOError:
            sent = 0
        # Nobody reads and the kernel's buffer is full: the rest is lost, as in an overrun UART.
        self.overruns += len(data) - sent


def _termios2(fd: int) -> tuple[int, int, int, int, bytes, int, int]:
    return _TERMIOS2.unpack(fcntl.ioctl(fd, _TCGETS2, bytes(_TERMIOS2.size)))
