"""The small file beside a journal: which gateway owns it, and how far its numbers may have got.

A number that somebody has seen must not mean another message, whatever becomes of the journal. So numbers are reserved
here in blocks before they are given out, by writing over the same 128 bytes: that works on a full disk too, though not
on one that has turned read-only.
"""

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import orjson

_BYTES: Final = 128


class ClaimedError(OSError):
    """Another gateway has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """What is known of the numbers.

    Attributes:
        upto: none above it has been given out; after an orderly end the last that was.
        loose: numbers up to it may have been seen although the journal does not have them.
        closed_ms: when the gateway ended in an orderly way, ms UTC; None while it runs, and after a kill.
        machine: id of the machine's start. Rows that a process had written survive its kill, but not always a power
            cut: many a card says that it has written what it has not.
    """

    upto: int = 0
    loose: bool = False
    closed_ms: int | None = None
    machine: str = ""

    @property
    def unsure(self) -> bool:
        """Whether numbers up to `upto` may have been seen, though the journal does not have them."""
        return self.loose or (self.closed_ms is None and self.machine != machine())


def machine() -> str:
    """Return the id of the machine's start, empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return ""


def identity(found: os.stat_result) -> tuple[int, int]:
    """Return what tells a file from another one at the same place."""
    return found.st_dev, found.st_ino


class Claim:
    """One such file. Blocking; construction touches nothing.

    Attributes:
        reserved: as last read or written.
    """

    def __init__(self, path: Path) -> None:
        self.reserved = Reserved()
        self._path = path
        self._file: int | None = None
        self._writable = False

    @property
    def taken(self) -> bool:
        """Whether it is ours."""
        return self._file is not None

    def take(self) -> None:
        """Be the only one who has it, and read it, also on a read-only disk; a content that is none is a new one's.

        Raises:
            ClaimedError: another gateway has it.
            OSError: it cannot be opened.
        """
        file, self._writable = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(file)
            raise ClaimedError(f"{self._path}: another gateway has it") from None
        self._file = file
        try:
            words = orjson.loads(os.pread(file, _BYTES, 0))
            self.reserved = Reserved(**{name: words[name] for name in Reserved.__slots__})
        except (KeyError, TypeError, ValueError):
            self.reserved = Reserved()

    def _open(self) -> tuple[int, bool]:
        """Open it; return it, and whether it can be written."""
        try:
            return os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), True
        except OSError:
            with suppress(OSError):
                return os.open(self._path, os.O_RDONLY | os.O_CLOEXEC), False
            raise

    def renew(self) -> None:
        """Take the file that is there now, if we have another one, as on a new disk, or none, or could not write it.

        Raises:
            OSError: as `take`.
        """
        with suppress(FileNotFoundError):
            if (
                self._file is not None
                and self._writable
                and identity(os.fstat(self._file)) == identity(self._path.stat())
            ):
                return
        known = self.reserved
        self.release()
        self.take()
        self.write(replace(known, upto=max(known.upto, self.reserved.upto)))

    def write(self, reserved: Reserved) -> None:
        """Have it on disk.

        Raises:
            OSError: it cannot be written, or is not ours.
        """
        if self._file is None:
            raise OSError(f"{self._path}: not ours")
        if not self._writable:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        os.pwrite(self._file, orjson.dumps(reserved).ljust(_BYTES - 1) + b"\n", 0)
        os.fdatasync(self._file)
        self.reserved = reserved

    def release(self) -> None:
        """Let another one have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
