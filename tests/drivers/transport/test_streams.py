"""Real ports: a pseudo-terminal, TCP; bytes both ways, loss, and opening again."""

import asyncio
import gc
import os
import socket
import tty
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from drivers.rig import Bus
from drivers.transport.choose import transport_for
from drivers.transport.memory import MemoryTransport
from drivers.transport.serial_port import SerialTransport
from drivers.transport.tcp import TcpTransport
from drivers.transport.udp import UdpTransport


class Heard:
    """Who gets the bytes; what a test waits for is an event."""

    def __init__(self) -> None:
        self.data = b""
        self.losses: list[str] = []
        self._changed = asyncio.Event()

    def received(self, data: bytes) -> None:
        self.data += data
        self._changed.set()

    def lost(self, why: str) -> None:
        self.losses.append(why)
        self._changed.set()

    async def until(self, *, data: bytes = b"", losses: int = 0) -> None:
        async with asyncio.timeout(20):
            while self.data != data or len(self.losses) != losses:
                self._changed.clear()
                await self._changed.wait()


class Terminal:
    """A pseudo-terminal under a name of its own, as udev gives adapters."""

    def __init__(self, link: Path) -> None:
        self.host, self._device = os.openpty()
        tty.setraw(self._device)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(self._device))

    def unplug(self) -> None:
        os.close(self._device)
        os.close(self.host)


async def read(descriptor: int, size: int) -> bytes:
    return await asyncio.to_thread(os.read, descriptor, size)


async def test_a_serial_port_carries_bytes_and_is_opened_again_under_another_device_name(tmp_path: Path) -> None:
    link = tmp_path / "by-id"
    transport = SerialTransport(str(link), baud=19200, data_format="8N1")
    for turn in range(1, 4):
        terminal, heard = Terminal(link), Heard()
        await transport.connect(heard)
        transport.write(b"ask\x00\xff")
        assert await read(terminal.host, 5) == b"ask\x00\xff"
        os.write(terminal.host, b"\x11\x13\r\n")
        await heard.until(data=b"\x11\x13\r\n")
        terminal.unplug()
        await heard.until(data=b"\x11\x13\r\n", losses=1)
        transport.write(b"nobody listens")
        transport.close()
        transport.close()
        assert len(heard.losses) == 1, turn


@pytest.mark.parametrize("waits", [True, False])
async def test_closing_a_serial_port_that_was_pulled_out_leaves_no_error_behind(tmp_path: Path, *, waits: bool) -> None:
    loop, failed = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: failed.append(context))
    transport = SerialTransport(str(tmp_path / "port"), baud=19200, data_format="8N1")
    terminal, heard = Terminal(tmp_path / "port"), Heard()
    await transport.connect(heard)
    before = asyncio.all_tasks()
    terminal.unplug()
    if waits:
        await heard.until(losses=1)
    else:
        await asyncio.sleep(0)  # it is found, and on its way
    transport.close()
    while closing := asyncio.all_tasks() - before:
        await asyncio.wait(closing)
    del closing
    await asyncio.sleep(0)
    gc.collect()
    assert failed == []


async def test_a_serial_port_has_one_owner(tmp_path: Path) -> None:
    terminal = Terminal(tmp_path / "port")
    first, second = (SerialTransport(str(tmp_path / "port"), baud=9600, data_format="8N1") for _ in range(2))
    await first.connect(Heard())
    with pytest.raises(OSError, match="another program holds this port"):
        await second.connect(Heard())
    first.close()
    await asyncio.sleep(0.05)  # the port is closed in a task
    await second.connect(Heard())
    second.close()
    terminal.unplug()


async def test_closing_is_not_told_as_a_loss(tmp_path: Path) -> None:
    terminal, heard = Terminal(tmp_path / "port"), Heard()
    transport = SerialTransport(str(tmp_path / "port"), baud=9600, data_format="8N1")
    await transport.connect(heard)
    transport.close()
    await asyncio.sleep(0.05)
    assert heard.losses == []
    terminal.unplug()


class Peer:
    """A TCP server with the writers of who came."""

    def __init__(self) -> None:
        self.port = 0
        self.came: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.came.put((reader, writer))

    async def next(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(20):
            return await self.came.get()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    server = await asyncio.start_server(peer.accept, "127.0.0.1", 0)
    async with server:
        peer.port = server.sockets[0].getsockname()[1]
        yield peer


async def test_tcp_carries_bytes_and_connects_again(peer: Peer) -> None:
    transport = TcpTransport("127.0.0.1", peer.port)
    for _ in range(3):
        heard = Heard()
        await transport.connect(heard)
        reader, writer = await peer.next()
        transport.write(b"ask")
        assert await reader.readexactly(3) == b"ask"
        writer.write(b"answer")
        await heard.until(data=b"answer")
        writer.close()
        await heard.until(data=b"answer", losses=1)
        assert heard.losses == ["closed by the other side"]
        transport.write(b"nobody listens")
        transport.close()


async def test_a_reset_connection_is_told_with_its_reason(peer: Peer) -> None:
    transport, heard = TcpTransport("127.0.0.1", peer.port), Heard()
    await transport.connect(heard)
    _, writer = await peer.next()
    transport.write(b"left unread")
    await asyncio.sleep(0.05)
    writer.transport.abort()
    await heard.until(losses=1)
    transport.close()


async def test_tcp_closed_here_is_closed_there_and_no_loss(peer: Peer) -> None:
    transport, heard = TcpTransport("127.0.0.1", peer.port), Heard()
    await transport.connect(heard)
    reader, writer = await peer.next()
    transport.close()
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    assert heard.losses == []
    writer.close()


async def test_memory_carries_bytes_until_it_is_lost() -> None:
    sent: list[bytes] = []
    ends: list[object] = []

    def connect(receive: object, lost: object) -> object:
        ends[:] = [receive, lost]
        return sent.append

    transport, heard = MemoryTransport(connect), Heard()  # type: ignore[arg-type]
    transport.write(b"not yet connected")
    await transport.connect(heard)
    transport.write(b"ask")
    receive, lost = ends
    receive(b"answer")  # type: ignore[operator]
    lost()  # type: ignore[operator]
    receive(b"too late")  # type: ignore[operator]
    transport.write(b"too late")
    assert (sent, heard.data, heard.losses) == ([b"ask"], b"answer", ["unplugged"])


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ({"kind": "serial", "port": "/dev/ttyUSB0"}, SerialTransport),
        ({"kind": "rtu-over-tcp", "port": "converter:4001"}, TcpTransport),
        ({"kind": "line-over-tcp", "port": "10.0.0.9:4002"}, TcpTransport),
        ({"kind": "modbus-tcp", "port": "[fe80::1]:502"}, TcpTransport),
        ({"kind": "line-over-udp", "port": "10.0.0.9:1025"}, UdpTransport),
    ],
)
def test_each_kind_of_bus_has_its_transport(words: dict[str, str], kind: type) -> None:
    assert isinstance(transport_for(Bus.model_validate(words)), kind)


@pytest.mark.parametrize("port", ["converter", "converter:", "converter:modbus", ":"])
def test_a_tcp_port_without_a_number_is_refused(port: str) -> None:
    with pytest.raises(ValueError, match='wants port = "host:port"'):
        transport_for(Bus.model_construct(kind="modbus-tcp", port=port))


async def test_a_serial_port_that_takes_nothing_is_lost_before_memory_fills_and_holds_up_nobody(tmp_path: Path) -> None:
    terminal, heard = Terminal(tmp_path / "port"), Heard()
    transport = SerialTransport(str(tmp_path / "port"), baud=9600, data_format="8N1")
    await transport.connect(heard)
    for _ in range(1000):
        transport.write(bytes(1024))
    assert heard.losses == ["it takes nothing any more"]
    transport.close()
    await asyncio.sleep(0.05)
    assert heard.losses == ["it takes nothing any more"]
    terminal.unplug()


async def test_a_tcp_peer_that_reads_nothing_is_lost_before_memory_fills() -> None:
    heard = Heard()
    with socket.create_server(("127.0.0.1", 0)) as server:  # the system accepts for it, and nobody reads
        transport = TcpTransport("127.0.0.1", server.getsockname()[1])
        await transport.connect(heard)
        for _ in range(1000):
            transport.write(bytes(65_536))
            await asyncio.sleep(0)
        assert heard.losses == ["it takes nothing any more"]
        transport.close()


async def test_what_is_written_in_one_turn_of_the_loop_goes_out_over_tcp_at_once(
    peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what was not sent when a connection was closed is not sent on the next one."""
    transport = TcpTransport("127.0.0.1", peer.port)
    sent: list[bytes] = []
    for question in (b"one", b"two"):
        await transport.connect(Heard())
        _, writer = await peer.next()
        assert transport._stream is not None
        monkeypatch.setattr(transport._stream, "write", sent.append)
        transport.write(b"ask")
        transport.write(question)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        transport.write(b"never sent")
        transport.close()
        writer.close()
    assert sent == [b"askone", b"asktwo"]
