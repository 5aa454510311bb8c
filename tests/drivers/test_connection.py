"""A port that is opened, lost and opened again, for ever."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from drivers.connection import Connection
from drivers.transport.transport import Receiver
from firmware_sim.clock import run_virtual


class Port:
    """A transport whose next connections end as told: an error, or a function of its receiver; then all is well."""

    def __init__(self, *ends: OSError | Callable[[Receiver], None]) -> None:
        self.ends = list(ends)
        self.tries_s: list[float] = []
        self.is_open = False
        self.receiver: Receiver | None = None
        self.written = b""

    async def connect(self, receiver: Receiver) -> None:
        assert not self.is_open, "the one before must be closed first"
        self.tries_s.append(asyncio.get_running_loop().time())
        self.receiver = receiver
        end = self.ends.pop(0) if self.ends else None
        if isinstance(end, OSError):
            raise end
        self.is_open = True
        if end is not None:
            end(receiver)

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.is_open = False

    def lose(self, why: str = "unplugged") -> None:
        assert self.receiver is not None
        self.receiver.lost(why)


class Heard:
    """Who gets the bytes."""

    def __init__(self) -> None:
        self.data = b""
        self.losses: list[str] = []

    def received(self, data: bytes) -> None:
        self.data += data

    def lost(self, why: str) -> None:
        self.losses.append(why)


def hold(port: Port, act: Callable[[Connection, Heard], Awaitable[None]]) -> None:
    """Run a connection while `act` lasts."""

    async def main() -> None:
        heard = Heard()
        connection = Connection(port, heard)
        running = asyncio.create_task(connection.run())
        await act(connection, heard)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        assert not connection.up
        assert not port.is_open

    run_virtual(main(), limit_s=600)


def test_nothing_is_touched_before_it_runs() -> None:
    async def main() -> None:
        port = Port()
        connection = Connection(port, Heard())
        assert not connection.up
        assert connection.problem == "not opened yet"
        assert port.tries_s == []

    run_virtual(main())


def test_bytes_pass_both_ways_while_it_is_up() -> None:
    port = Port()

    async def act(connection: Connection, heard: Heard) -> None:
        await connection.came_up()
        assert (connection.up, connection.problem) == (True, "")
        connection.write(b"ask")
        connection.received(b"answer")
        assert (port.written, heard.data) == (b"ask", b"answer")

    hold(port, act)


def test_a_port_that_cannot_be_opened_is_tried_ever_more_seldom_and_says_why() -> None:
    port = Port(*[OSError(f"try {number}") for number in range(1, 8)])

    async def act(connection: Connection, heard: Heard) -> None:
        await asyncio.sleep(0.1)
        assert connection.problem == "try 1"
        await connection.came_up()
        pauses = [after - before for before, after in zip(port.tries_s, port.tries_s[1:], strict=False)]
        assert pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0])
        assert heard.losses == []

    hold(port, act)


def test_a_port_that_is_lost_is_told_and_opened_again() -> None:
    port = Port()

    async def act(connection: Connection, heard: Heard) -> None:
        for connects in range(1, 5):
            await asyncio.sleep(10.0)
            assert (connection.up, connection.connects) == (True, connects)
            port.lose()
            assert (connection.up, connection.problem, heard.losses) == (False, "unplugged", ["unplugged"] * connects)

    hold(port, act)


def test_a_peer_that_accepts_and_closes_at_once_is_never_up_and_tried_ever_more_seldom() -> None:
    ends: list[OSError | Callable[[Receiver], None]] = [
        lambda receiver: receiver.lost("has its one client already")
    ] * 6
    port = Port(*ends)

    async def act(connection: Connection, heard: Heard) -> None:
        for _ in range(29):
            await asyncio.sleep(0.1)
            assert not connection.up
            assert connection.problem == "has its one client already"
        assert len(port.tries_s) == 4
        await connection.came_up()

    hold(port, act)


def test_a_peer_that_closes_soon_after_is_tried_ever_more_seldom_too() -> None:
    def soon(receiver: Receiver) -> None:
        asyncio.get_running_loop().call_later(0.05, receiver.lost, "closed by the other side")

    port = Port(*[soon] * 20)

    async def act(connection: Connection, heard: Heard) -> None:
        await asyncio.sleep(20)
        assert 5 < len(port.tries_s) < 15

    hold(port, act)


def test_giving_it_up_closes_it_and_opens_it_again() -> None:
    port = Port()

    async def act(connection: Connection, heard: Heard) -> None:
        await connection.came_up()
        connection.give_up("nonsense")
        assert not port.is_open
        assert heard.losses == ["nonsense"]
        await asyncio.sleep(1)
        assert (connection.up, connection.connects) == (True, 2)

    hold(port, act)


def test_whoever_waits_learns_of_each_change() -> None:
    port = Port(OSError("busy"))

    async def act(connection: Connection, heard: Heard) -> None:
        told = []
        for _ in range(3):
            await connection.changed.wait()
            connection.changed.clear()
            told.append((connection.up, connection.problem))
            if connection.up:
                port.lose()
        assert told == [(False, "busy"), (True, ""), (False, "unplugged")]

    hold(port, act)


def test_a_peer_that_brings_bytes_without_end_is_given_up_and_tried_again() -> None:
    port = Port()

    async def act(connection: Connection, heard: Heard) -> None:
        for _ in range(600):
            connection.received(bytes(65_536))
            await asyncio.sleep(0.02)
        assert (connection.up, connection.connects) == (True, 1), "3 MiB a second: read by nobody, but harmless"
        for _ in range(200):
            connection.received(bytes(65_536))
            await asyncio.sleep(0.001)
        assert not connection.up
        assert connection.problem == "it sends more than 4 MiB a second"
        assert not port.is_open
        await asyncio.sleep(3)
        assert (connection.up, connection.connects) == (True, 2)

    hold(port, act)
