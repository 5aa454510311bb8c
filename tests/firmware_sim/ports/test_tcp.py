import asyncio
import socket

import pytest

from drivers.precise_loop import precise_event_loop
from firmware_sim.ports.tcp import TcpPort
from tests.firmware_sim.devices import fleet, mbap, rig, rtu, until


def over_tcp(words, act, **more):
    """Serve a rig on TCP ports in real time; run the blocking `act(address)` in a thread beside it."""

    async def main():
        async with fleet(words, **more).serve() as served:
            host, _, port = served.ports["b"].partition(":")
            return await asyncio.to_thread(act, (host, int(port)))

    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        return runner.run(main())


def connect(address):
    return socket.create_connection(address, timeout=2)


def receive(client, size):
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


@pytest.mark.parametrize("kind", ["rtu-over-tcp", "line-over-tcp"])
def test_a_line_behind_tcp_carries_its_bytes(kind):
    def act(address):
        with connect(address) as client:
            client.sendall(rtu(1)[:3])
            client.sendall(rtu(1)[3:])
            return receive(client, 9)

    answer = over_tcp(rig(kind=kind, baud=9600), act)
    assert (len(answer), answer[0]) == (9, 1)


def test_a_text_device_behind_tcp():
    def act(address):
        with connect(address) as client:
            client.sendall(b"*0100P3\r\n")
            return receive(client, 5)

    words = rig(kind="line-over-tcp", model="paroscientific-6000", baud=9600)
    assert over_tcp(words, act) == b"*0001"


def test_a_line_has_one_client_at_a_time():
    def act(address):
        with connect(address) as first:
            first.sendall(rtu(1))
            receive(first, 9)
            with connect(address) as second:
                try:
                    turned_away = second.recv(1)
                except ConnectionError:
                    turned_away = b""
            first.sendall(rtu(1))
            still = receive(first, 9)
        for _ in range(100):
            with connect(address) as third:
                try:
                    third.sendall(rtu(1))
                    if answer := receive(third, 9):
                        return turned_away, len(still), len(answer)
                except ConnectionError:
                    continue
        return None

    assert over_tcp(rig(kind="rtu-over-tcp"), act) == (b"", 9, 9)


def test_a_fault_on_a_line_behind_tcp_is_that_of_the_byte_stream():
    def act(address):
        with connect(address) as client:
            client.sendall(rtu(1))
            return receive(client, 12)

    answer = over_tcp(rig(kind="rtu-over-tcp", faults=["noise:p1,before=3"]), act)
    assert answer[3] == 1


def test_modbus_tcp_with_several_clients_and_requests_in_flight():
    def act(address):
        with connect(address) as first, connect(address) as second:
            first.sendall(b"".join(mbap(1 + number % 2, number) for number in range(8)))
            second.sendall(mbap(2, 99))
            return receive(first, 8 * 13), receive(second, 13)

    many, one = over_tcp(rig(kind="modbus-tcp", units=(1, 2)), act)
    assert [many[at + 1] for at in range(0, len(many), 13)] == list(range(8))
    assert one[:2] == b"\0\x63"


async def test_small_answers_are_sent_at_once():
    seen = []

    def session(send):
        return lambda data: seen.append(client._transport.get_extra_info("socket"))

    port = TcpPort(session)
    await port.open()
    host, _, number = port.address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(number))
    writer.write(b"x")
    await until(lambda: port._clients)
    (client,) = port._clients
    await until(lambda: seen)
    assert seen[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    port.close()
    assert await reader.read() == b""
    writer.close()


async def test_the_number_stays_when_the_port_comes_back():
    port = TcpPort(lambda send: send)
    await port.open()
    address = port.address
    host, _, number = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(number))
    writer.write(b"x")
    assert await reader.read(1) == b"x"
    port.close()
    assert await reader.read(1) == b""
    writer.close()
    with pytest.raises(ConnectionError):
        await asyncio.open_connection(host, int(number))
    await port.open()
    assert port.address == address
    reader, writer = await asyncio.open_connection(host, int(number))
    writer.write(b"y")
    assert await reader.read(1) == b"y"
    port.close()
    writer.close()
    await asyncio.sleep(0)


async def test_an_asked_number_that_is_in_use_is_an_error():
    port = TcpPort(lambda send: send)
    await port.open()
    other = TcpPort(lambda send: send, port=int(port.address.partition(":")[2]))
    with pytest.raises(OSError, match="address already in use"):
        await other.open()
    port.close()
