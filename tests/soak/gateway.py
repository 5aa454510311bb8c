"""`manovac` with a wall clock that the soak sets: `python -m tests.soak.gateway CLOCK WORD...`."""

import mmap
import struct
import sys
import time
from pathlib import Path
from typing import Any, Final, cast

from gateway.app import Gateway
from gateway.cli import main

_WORDS: Final = struct.Struct("=dd")


class SetClock:
    """A wall clock that two processes share: how far it is off, s, and whether it is synchronised.

    It starts right and synchronised where there is no such file.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(_WORDS.pack(0.0, 1.0))
        with path.open("r+b") as file:
            self._words = mmap.mmap(file.fileno(), _WORDS.size)

    @property
    def offset_s(self) -> float:
        return cast("float", _WORDS.unpack_from(self._words)[0])

    def set(self, offset_s: float, *, synchronised: bool) -> None:
        _WORDS.pack_into(self._words, 0, offset_s, float(synchronised))

    def wall(self) -> float:
        return time.time() + self.offset_s

    def sync(self) -> str:
        return "ntp" if _WORDS.unpack_from(self._words)[1] else "free"


def _run(clock: SetClock) -> None:
    defaults: dict[str, Any] = Gateway.__init__.__kwdefaults__
    defaults |= {"wall": clock.wall, "sync": clock.sync}
    main()


if __name__ == "__main__":
    _run(SetClock(Path(sys.argv.pop(1))))
