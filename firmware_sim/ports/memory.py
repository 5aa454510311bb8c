"""A port inside the process: for virtual time, and for tests that need no operating system."""

from collections.abc import Callable
from dataclasses import dataclass

from firmware_sim.ports import Receive, Session


@dataclass(slots=True, eq=False)
class _Client:
    receive: Receive
    lost: Callable[[], None]
    there: bool = True

    def send(self, data: bytes) -> None:
        if self.there:
            self.receive(data)


class MemoryPort:
    """Hands bytes to callbacks, at once and in the loop of the fleet.

    Args:
        name: of the bus.
        session: begins a client's session on the bus.
        several: whether clients share the bus (modbus-tcp); on a line a new client takes the place of the former one.
    """

    def __init__(self, name: str, session: Session, *, several: bool = False) -> None:
        self._name = name
        self._session = session
        self._several = several
        self._plugged = False
        self._clients: list[_Client] = []

    @property
    def address(self) -> str:
        """`memory:<bus>`; no operating system knows it."""
        return f"memory:{self._name}"

    def connect(self, receive: Receive, lost: Callable[[], None]) -> Receive:
        """Connect a client and return what it writes with.

        Args:
            receive: takes what the bus brings.
            lost: is called when the port vanishes; afterwards nothing is received any more.

        Raises:
            ConnectionError: the port is unplugged; the returned function raises it too.
        """
        self._check(there=True)
        client = _Client(receive, lost)
        if not self._several:
            for former in self._clients:
                former.there = False
            self._clients.clear()
        self._clients.append(client)
        take = self._session(client.send)

        def write(data: bytes) -> None:
            self._check(there=client.there)
            take(data)

        return write

    async def open(self) -> None:
        """Let clients connect."""
        self._plugged = True

    def close(self) -> None:
        """Cut all clients off."""
        self._plugged = False
        clients, self._clients = self._clients, []
        for client in clients:
            client.there = False
        for client in clients:
            client.lost()

    def _check(self, *, there: bool) -> None:
        if not (self._plugged and there):
            raise ConnectionError(f"{self.address} is unplugged: connect again later")
