"""Datagrams both ways on the loopback interface; a peer that is not there is silence."""

import asyncio
import socket

from drivers.transport.udp import UdpTransport
from tests.drivers.transport.test_streams import Heard


async def test_each_write_is_one_datagram_and_each_datagram_is_heard_whole() -> None:
    loop, heard = asyncio.get_running_loop(), Heard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        peer.setblocking(False)
        transport = UdpTransport("127.0.0.1", peer.getsockname()[1])
        transport.write(b"not yet connected")
        await transport.connect(heard)
        transport.write(b"$01M\r")
        data, address = await loop.sock_recvfrom(peer, 100)
        assert data == b"$01M\r"
        await loop.sock_sendto(peer, b"!016017\r", address)
        await heard.until(data=b"!016017\r")
        transport.close()
        transport.write(b"too late")
        assert heard.losses == []


async def test_nobody_there_is_silence_and_a_peer_that_comes_later_is_heard() -> None:
    loop, heard = asyncio.get_running_loop(), Heard()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        port = peer.getsockname()[1]
    transport = UdpTransport("127.0.0.1", port)
    await transport.connect(heard)
    transport.write(b"$01M\r")  # the kernel says that the port is closed
    await asyncio.sleep(0.02)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", port))
        peer.setblocking(False)
        transport.write(b"#01\r")
        data, _ = await loop.sock_recvfrom(peer, 100)
    assert (data, heard.losses) == (b"#01\r", [])
    transport.close()


async def test_datagrams_of_somebody_else_are_not_heard() -> None:
    loop, heard = asyncio.get_running_loop(), Heard()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        for each in (peer, other):
            each.bind(("127.0.0.1", 0))
            each.setblocking(False)
        transport = UdpTransport("127.0.0.1", peer.getsockname()[1])
        await transport.connect(heard)
        transport.write(b"?")
        _, address = await loop.sock_recvfrom(peer, 100)
        await loop.sock_sendto(other, b"forged", address)
        await loop.sock_sendto(peer, b"true", address)
        await heard.until(data=b"true")
        transport.close()
