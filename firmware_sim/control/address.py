"""Where live control listens: the path of a unix socket, or 127.0.0.1:PORT."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_sim.control import ControlError

LOOPBACK: Final = "127.0.0.1"
_HOST_AND_PORT: Final = re.compile(r"(?P<host>[^/]*):(?P<port>\d+)")
_LONGEST_PATH: Final = 107  # sun_path of Linux, without its final zero


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A unix socket when `path` is set, else a TCP port of this machine (0: any free one)."""

    path: Path | None = None
    port: int = 0

    def __str__(self) -> str:
        """Return what `parse_address` reads."""
        return f"{LOOPBACK}:{self.port}" if self.path is None else str(self.path)


def parse_address(text: str) -> Address:
    """Parse an address; nothing but this machine is one, for live control asks nobody for a password.

    Raises:
        ControlError: another machine's, or no address at all.
    """
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None:
        if not text or "\0" in text or len(text.encode()) > _LONGEST_PATH:
            raise ControlError(
                f"'{text}' is no address: write the path of a socket, up to {_LONGEST_PATH} bytes, or {LOOPBACK}:PORT"
            )
        return Address(path=Path(text))
    if match["host"] not in {LOOPBACK, "localhost"}:
        raise ControlError(
            f"'{text}': live control listens on this machine only, for it has no password: "
            f"write {LOOPBACK}:{match['port']} or the path of a unix socket (from elsewhere: ssh -L)"
        )
    if int(match["port"]) > 65_535:
        raise ControlError(f"'{text}': a port is a number up to 65535")
    return Address(port=int(match["port"]))
