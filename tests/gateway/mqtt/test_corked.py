"""The socket beneath paho: what is sent in a turn goes out at once and whole, and paho gets all but PUBACKs."""

import asyncio
import socket
from collections.abc import Iterator

import paho.mqtt.client as paho
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.mqtt.corked import LARGEST_PACKET, CorkedSocket, TooLargeError, packet_size, publish_packet, refusal

PINGRESP = b"\xd0\x00"


class Line:
    """A corked socket, its other end, and what it told."""

    def __init__(self, loop: asyncio.AbstractEventLoop, near: socket.socket, far: socket.socket) -> None:
        self.near = near
        self.far = far
        self.settled: list[tuple[int, int]] = []
        self.corked = CorkedSocket(
            near, loop, version_5=False, settled=lambda mid, code: self.settled.append((mid, code))
        )

    def publish(self, payload: bytes, qos: int) -> bytes:
        """Send, and return the packet as it will come."""
        mid = self.corked.publish("t", payload, qos, retain=False)
        return publish_packet(b"t", payload, qos=qos, retain=False, mid=mid, version_5=False)

    def read(self, size: int) -> bytes:
        """Return what paho would get."""
        try:
            return self.corked.recv(size)
        except BlockingIOError:
            return b""


@pytest.fixture
async def line() -> Iterator[Line]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    yield Line(asyncio.get_running_loop(), near, far)
    near.close()
    far.close()


class _Catcher(paho.Client):
    """paho without a connection: its packets are kept."""

    def __init__(self, version: int) -> None:
        super().__init__(paho.CallbackAPIVersion.VERSION2, protocol=version)
        self.packets: list[bytes] = []
        self._sock = object()

    def _packet_queue(self, command, packet, mid, qos, info=None):
        self.packets.append(bytes(packet))
        return paho.MQTT_ERR_SUCCESS


@given(
    topic=st.text("abz/_-é", min_size=1, max_size=200),
    payload=st.binary(max_size=300) | st.sampled_from([b"x" * 16_383, b"x" * 20_000]),
    qos=st.integers(0, 1),
    retain=st.booleans(),
    mid=st.integers(1, 0xFFFF),
    version=st.sampled_from([paho.MQTTv311, paho.MQTTv5]),
)
def test_a_packet_is_byte_for_byte_what_paho_would_send(topic, payload, qos, retain, mid, version) -> None:
    client = _Catcher(version)
    client._last_mid = mid - 1
    client.publish(topic, payload, qos, retain, Properties(PacketTypes.PUBLISH) if version == paho.MQTTv5 else None)
    client._sock = None
    packet = publish_packet(topic.encode(), payload, qos=qos, retain=retain, mid=mid, version_5=version == paho.MQTTv5)
    assert [packet] == client.packets
    assert packet_size(packet, 0) == len(packet)
    assert packet_size(packet[:-1], 0) == 0


async def test_packets_of_a_turn_are_one_write_and_a_message_at_qos_0_is_settled_once_it_is_out(line: Line) -> None:
    packets = line.publish(b"one", 1) + line.publish(b"two", 0)
    line.corked.send(b"ping")
    assert line.settled == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert line.far.recv(100) == packets + b"ping"
    assert line.settled == [(0x101, 0)]


class _SlowSocket:
    """Takes little at a time, and says how much it was shown."""

    def __init__(self, near: socket.socket) -> None:
        self._near = near
        self.shown: list[int] = []

    def fileno(self) -> int:
        return self._near.fileno()

    def send(self, data: bytes) -> int:
        self.shown.append(len(data))
        return min(len(data), 20_000)


async def test_a_long_queue_is_not_copied_again_for_each_write(line: Line) -> None:
    slow = _SlowSocket(line.near)
    corked = CorkedSocket(slow, asyncio.get_running_loop(), version_5=False, settled=lambda mid, code: None)
    for _ in range(30):
        corked.publish("t", bytes(100_000), 0, retain=False)
    await asyncio.sleep(0.05)
    assert len(slow.shown) > 30
    assert max(slow.shown) < 2 * 100_100


async def test_what_the_system_does_not_take_waits_whole_and_in_order(line: Line) -> None:
    packets = b"".join(line.publish(bytes((number,)) * 100_000, 0) for number in range(20))
    await asyncio.sleep(0.01)
    assert line.settled == []
    packets += line.publish(b"last", 0)
    came = b""
    while len(came) < len(packets):
        await asyncio.sleep(0)
        try:
            came += line.far.recv(65_536)
        except BlockingIOError:
            continue
    await asyncio.sleep(0.01)
    assert came == packets
    assert line.settled == [(mid, 0) for mid in range(0x100, 0x115)]


async def test_a_packet_id_is_not_given_out_again_before_it_is_acknowledged(line: Line) -> None:
    line.publish(b"", 1)
    line.far.send(b"\x40\x02\x01\x00" * 2)  # the second one acknowledges nothing
    line.read(100)
    assert line.settled == [(0x100, 0)]
    kept = line.corked.publish("t", b"", 1, retain=False)
    line.corked._mid = 0xFFFF
    assert [line.corked.publish("t", b"", 1, retain=False) for _ in range(2)] == [0x100, 0x102]
    assert kept == 0x101


def test_a_refusal_has_the_standards_words_or_its_number() -> None:
    assert [refusal(code) for code in (0, 0x10, 0x87, 0xFE)] == [None, None, "Not authorized", "reason code 0xfe"]


@given(
    packets=st.lists(
        st.one_of(
            st.integers(1, 0xFFFF).map(lambda mid: b"\x40\x02" + mid.to_bytes(2, "big")),
            st.integers(1, 0xFFFF).map(lambda mid: b"\x40\x03" + mid.to_bytes(2, "big") + b"\x87"),
            st.just(PINGRESP),
            st.binary(min_size=128, max_size=200).map(lambda body: b"\x30" + bytes((len(body) | 0x80, 1)) + body),
        )
    ),
    cuts=st.lists(st.integers(1, 40)),
)
def test_pubacks_are_told_and_all_else_is_pahos_wherever_the_stream_is_cut(
    packets: list[bytes], cuts: list[int]
) -> None:
    packets = [
        each if each[0] != 0x30 else each[:1] + bytes(((len(each) - 3) & 0x7F | 0x80, 1)) + each[3:] for each in packets
    ]
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        loop = asyncio.new_event_loop()
        line = Line(loop, near, far)
        line.corked._unsettled = {*range(0x10000)}
        stream, others = b"".join(packets), b""
        for cut in [*cuts, len(stream)]:
            far.sendall(stream[:cut])
            stream = stream[cut:]
            while data := line.read(3):
                others += data
            assert line.corked.pending() == 0
        loop.close()
    assert others == b"".join(each for each in packets if each[0] != 0x40)
    settled: dict[int, int] = {}
    for mid, code in [
        (int.from_bytes(each[2:4], "big"), each[4] if len(each) > 4 else 0) for each in packets if each[0] == 0x40
    ]:
        settled.setdefault(mid, code)
    assert line.settled == [*settled.items()]


async def test_what_paho_has_not_read_yet_is_pending(line: Line) -> None:
    line.far.send(PINGRESP + PINGRESP)
    assert line.read(1) == b"\xd0"
    assert line.corked.pending() == 3  # aiomqtt reads on while this says so: the system's own end of it is empty


async def test_the_end_of_the_connection_is_told_as_a_socket_tells_it(line: Line) -> None:
    line.publish(b"", 1)
    line.far.send(b"\x40\x02\x01\x00")
    line.far.close()
    assert line.read(1) == b""
    assert line.settled == [(0x100, 0)]
    assert line.corked.recv(1) == b""


@pytest.mark.parametrize("nonsense", [b"\x40\xff\xff\xff\xff\xff", b"\x40\x01\x00"])
async def test_nonsense_is_left_to_paho(line: Line, nonsense: bytes) -> None:
    line.far.send(nonsense)
    assert line.read(100) == nonsense
    assert line.settled == []


async def test_what_is_to_be_larger_than_we_take_is_not_waited_for(line: Line) -> None:
    assert packet_size(b"\x30" + remaining_length(LARGEST_PACKET - 4) + bytes(1000), 0) == 0, "the rest may come"
    line.far.send(PINGRESP + b"\x30" + remaining_length(LARGEST_PACKET - 3))
    with pytest.raises(TooLargeError):
        line.corked.hear()


def remaining_length(size: int) -> bytes:
    return bytes((size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14))


async def test_closing_hands_over_what_was_sent_in_the_same_turn(line: Line) -> None:
    line.corked.send(b"\xe0\x00")
    line.corked.close()
    await asyncio.sleep(0)
    assert line.far.recv(10) == b"\xe0\x00"
    assert line.near.fileno() == -1
