import asyncio
import socket

from drivers.rig import Rig
from firmware_sim.ports import udp
from firmware_sim.ports.udp import UdpPort
from tests.firmware_sim.devices import fleet


def module():
    return Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi"},
            "segment": {"s": {}},
            "bus": {"b": {"kind": "line-over-udp", "port": "-"}},
            "transducer": {
                "p1": {"model": "adam-6017", "bus": "b", "segment": "s", "channel": 1, "range": "0..160 kPa"}
            },
        }
    )


def asked(address, *questions):
    """Ask one after the other from a socket of its own; return the datagrams that came back."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(2)
        client.connect(address)
        answers = []
        for question in questions:
            client.send(question)
            answers.append(client.recv(200))
        return answers


async def test_each_peer_gets_its_own_answers_each_in_one_datagram():
    async with fleet(module()).serve() as served:
        host, _, port = served.ports["b"].partition(":")
        address = (host, int(port))
        first, second = await asyncio.gather(
            asyncio.to_thread(asked, address, b"#01\r", b"$01M\r"), asyncio.to_thread(asked, address, b"$01F\r")
        )
    assert [len(first[0]), first[1], second] == [60, b"!016017\r", [b"!01 A1.00B01\r"]]


async def test_unplugged_it_is_silent_and_comes_back_under_its_number():
    async with fleet(module()).serve() as served:
        host, _, port = served.ports["b"].partition(":")
        served.faults.inject("unplug:b")
        await asyncio.sleep(0.02)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind((host, int(port)))
        served.faults.clear()
        await asyncio.sleep(0.02)
        assert await asyncio.to_thread(asked, (host, int(port)), b"$01M\r") == [b"!016017\r"]


async def test_of_too_many_peers_the_first_is_forgotten(monkeypatch):
    monkeypatch.setattr(udp, "_PEERS", 2)
    begun = []

    def session(send):
        begun.append(send)
        return lambda data: send(data.upper())

    port = UdpPort(session)
    await port.open()
    host, _, number = port.address.partition(":")
    for _ in range(3):
        assert await asyncio.to_thread(asked, (host, int(number)), b"a", b"b") == [b"A", b"B"]
    assert (len(begun), len(port._peers)) == (3, 2)
    port.close()
    assert not port._peers
