"""The seam between a bus and what carries its bytes."""

from collections.abc import Callable
from typing import Protocol

from drivers.rig import Bus


class Receiver(Protocol):
    """Who wants the bytes; called from the event loop."""

    def received(self, data: bytes) -> None:
        """Take bytes as they come, in pieces of any size."""
        ...

    def lost(self, why: str) -> None:
        """Learn that the connection is gone; nothing more is received until the next `connect`."""
        ...


class Transport(Protocol):
    """One way to carry bytes. Construction touches nothing; a transport can be connected again after it was lost."""

    async def connect(self, receiver: Receiver) -> None:
        """Open it.

        Raises:
            OSError: cannot be opened; the message says what and why.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send bytes; ignored when not connected."""
        ...

    def close(self) -> None:
        """Close it; `lost` is not called for this."""
        ...


MakeTransport = Callable[[Bus], Transport]
