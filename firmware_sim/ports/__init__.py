"""Where an emulated bus meets the world: memory, pseudo-terminal or TCP. The only I/O of the emulator."""

from collections.abc import Callable
from typing import Protocol

Receive = Callable[[bytes], None]
"""Takes bytes, at once and without waiting."""

Session = Callable[[Receive], Receive]
"""Begins a client's session on a bus: takes what sends bytes to the client, returns what takes the client's bytes."""


class Port(Protocol):
    """One bus' way out; its address stays the same when it is closed and opened again."""

    @property
    def address(self) -> str:
        """What a rig file writes as the bus' `port`."""
        ...

    async def open(self) -> None:
        """Appear (again)."""
        ...

    def close(self) -> None:
        """Vanish; clients lose their connection."""
        ...
