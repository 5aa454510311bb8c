"""A fake broker with faults to choose from, and a link that ends with its test."""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from drivers.rig_gateway import Mqtt
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Message, Outbox

WILL = Message(topic="manovac/v1/iss/gw/pi1/status", payload=b"offline", retain=True)


@dataclass
class Session:
    """One connection as the fake broker saw it."""

    version: int
    keepalive_s: int
    client_id: str = ""
    username: str | None = None
    password: str | None = None
    will: tuple[str, bytes] | None = None
    published: list[Message] = field(default_factory=list)
    acknowledged: list[tuple[Message, int]] = field(default_factory=list)
    clean_end: bool = False


@dataclass
class FakeBroker:
    """Speaks enough of MQTT 3.1.1 and 5 to take publishes, and has faults.

    Attributes:
        refuse_5: None, "return code" (as a 3.1.1 broker), "reason code" (as a 5 broker) or "hang up".
        ack: topic -> reason code of the PUBACK, None for no PUBACK at all.
        cuts: whether to cut the connection upon that message (before acknowledging it); gets its number in the session.
        ack_s: how long each PUBACK takes.
        noise: what else it writes after so many messages of a session.
        reads: whether it reads anything after CONNECT.
        stalls: whether it reads no more after so many messages of a session.
        properties: of CONNACK in MQTT 5.
        farewell: sent before it cuts.
        grants: whether to grant a subscription; gets its number.
    """

    refuse_5: str | None = None
    ack: Callable[[str], int | None] = lambda topic: 0
    cuts: Callable[[int, Message], bool] = lambda number, message: False
    ack_s: Callable[[], float] = lambda: 0.0
    noise: Callable[[int], bytes] = lambda number: b""
    reads: bool = True
    stalls: Callable[[int], bool] = lambda number: False
    properties: bytes = b""
    farewell: bytes = b""
    grants: Callable[[int], bool] = lambda number: True
    subscribed: int = 0
    port: int = 0
    sessions: list[Session] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    @property
    def published(self) -> list[Message]:
        return [message for session in self.sessions for message in session.published]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, body = await _packet(reader)
        session = _connect(body)
        self.sessions.append(session)
        five = session.version == 5
        if five and self.refuse_5 is not None:
            if self.refuse_5 != "hang up":
                writer.write(b"\x20\x02\x00\x01" if self.refuse_5 == "return code" else b"\x20\x03\x00\x84\x00")
            return
        tail = bytes([len(self.properties)]) + self.properties if five else b""
        writer.write(bytes([0x20, 2 + len(tail), 0, 0]) + tail)
        while self.reads:
            head, body = await _packet(reader)
            if head >> 4 == 3:
                mid, message = _publish(head, body, five=five)
                session.published.append(message)
                if self.cuts(len(session.published), message):
                    writer.write(self.farewell)
                    return
                if noise := self.noise(len(session.published)):
                    writer.write(noise)
                if self.stalls(len(session.published)):
                    break
                code = self.ack(message.topic) if message.qos else None
                if code is not None:
                    if (delay_s := self.ack_s()) > 0:
                        await asyncio.sleep(delay_s)
                    session.acknowledged.append((message, code))
                    reason = bytes([code, 0]) if five and code else b""
                    writer.write(bytes([0x40, 2 + len(reason)]) + struct.pack("!H", mid) + reason)
            elif head >> 4 == 8:
                self.subscribed += 1
                code = b"\0\1" if self.grants(self.subscribed) else b"\0\x80"
                writer.write(b"\x90" + bytes([2 + len(code[not five :])]) + body[:2] + code[not five :])
            elif head >> 4 == 14:
                session.clean_end = True
                return
        await asyncio.Event().wait()


async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readexactly(1))[0]
    length = shift = 0
    while True:
        byte = (await reader.readexactly(1))[0]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return head, await reader.readexactly(length)


def _text(body: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int.from_bytes(body[at : at + 2])
    return body[at + 2 : end], end


def _connect(body: bytes) -> Session:
    version, flags = body[6], body[7]
    five = version == 5
    at = 10 + (1 + body[10] if five else 0)
    client_id, at = _text(body, at)
    session = Session(version=version, keepalive_s=int.from_bytes(body[8:10]), client_id=client_id.decode())
    if flags & 0x04:
        at += 1 + body[at] if five else 0
        topic, at = _text(body, at)
        payload, at = _text(body, at)
        session.will = (topic.decode(), payload)
    if flags & 0x80:
        username, at = _text(body, at)
        session.username = username.decode()
    if flags & 0x40:
        session.password = _text(body, at)[0].decode()
    return session


def _publish(head: int, body: bytes, *, five: bool) -> tuple[int, Message]:
    topic, at = _text(body, 0)
    qos = head >> 1 & 3
    mid = int.from_bytes(body[at : at + 2]) if qos else 0
    at += 2 if qos else 0
    at += 1 + body[at] if five else 0
    return mid, Message(topic=topic.decode(), payload=body[at:], qos=qos, retain=bool(head & 1))


@contextlib.asynccontextmanager
async def serving(broker: FakeBroker, port: int = 0) -> AsyncIterator[FakeBroker]:
    """Let a broker listen on that port, or a free one, for a `with` block."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await broker.serve(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    broker.port = server.sockets[0].getsockname()[1]
    yield broker
    server.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def fake_broker() -> AsyncIterator[FakeBroker]:
    async with serving(FakeBroker()) as broker:
        yield broker


@pytest.fixture
async def start_link(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[..., tuple[Link, asyncio.Task[None]]]]:
    """Makes running links that reconnect at once: `start_link(url, outbox, **words of [mqtt])`."""
    tasks: list[asyncio.Task[None]] = []
    monkeypatch.setattr("gateway.mqtt.link._STOP_S", 0.3)

    def start(
        url: str, outbox: Outbox, farewell: Callable[[], Message] | None = None, **words: object
    ) -> tuple[Link, asyncio.Task[None]]:
        mqtt = Mqtt.model_validate({"url": url, **words})
        link = Link(mqtt, outbox, client_id="pi1", will=WILL, farewell=farewell, uniform=lambda low, high: 0.01)
        task = asyncio.create_task(link.run())
        tasks.append(task)
        return link, task

    yield start
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    failed = [result for result in results if not isinstance(result, asyncio.CancelledError)]
    assert failed == []


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Waits for a condition; the test's own timeout is the limit."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110 - conditions are of another party, over a socket
                await asyncio.sleep(0.003)

    return wait


@pytest.fixture
def will() -> Message:
    return WILL


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
