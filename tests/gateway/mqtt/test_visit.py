"""A visit knows whether, since when and why it has no connection, and says so when that lasts."""

import asyncio
import logging

import pytest

from drivers.rig_gateway import Mqtt
from gateway.mqtt import visit as visit_module
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Message
from gateway.mqtt.visit import visit
from tests.gateway.mqtt.conftest import FakeBroker, serving


class Refusing(FakeBroker):
    """Lets nobody in."""

    async def serve(self, reader, writer):
        await reader.read(100)
        writer.write(b"\x20\x03\x00\x87\x00")  # not authorized


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr(visit_module, "_PATIENCE_S", 0.05)
    monkeypatch.setattr("gateway.mqtt.link._BACKOFF_S", (0.02, 0.05))
    level = logging.getLogger("gateway.mqtt.link").level
    yield
    logging.getLogger("gateway.mqtt.link").setLevel(level)


def warnings(caplog):
    return [each.getMessage() for each in caplog.records if each.name == "gateway.mqtt.visit"]


async def test_nobody_there_is_said_once_and_so_is_that_it_is_over(unused_port, until, caplog):
    async with visit(Mqtt(url=f"mqtt://127.0.0.1:{unused_port}"), "m/#") as at_broker:
        assert (at_broker.connected, at_broker.why) == (False, "no answer yet")
        await until(lambda: bool(warnings(caplog)))
        assert "Connection refused" in at_broker.why
        assert at_broker.why.startswith(f"127.0.0.1:{unused_port}: ")
        assert at_broker.away_s >= 0.05
        await asyncio.sleep(0.2)
        assert warnings(caplog) == [f"MQTT: {at_broker.why}; still trying"]
        async with serving(FakeBroker(), unused_port):
            await until(lambda: at_broker.connected)
            assert (at_broker.away_s, at_broker.why) == (0.0, "")
    assert warnings(caplog)[1:] == [f"MQTT: connected to 127.0.0.1:{unused_port}"]


async def test_each_address_of_a_cluster_is_named_once(unused_port, until, caplog):
    mqtt = Mqtt(url=f"mqtt://127.0.0.1:{unused_port}", more_urls=(f"mqtt://localhost:{unused_port}",))
    async with visit(mqtt, "m/#"):
        await until(lambda: len(warnings(caplog)) == 2)
        await asyncio.sleep(0.3)
    assert len(warnings(caplog)) == 2


async def test_a_broker_that_was_there_and_goes_and_one_that_refuses_are_told_apart(fake_broker, until):
    fake_broker.cuts = lambda number, message: True
    async with visit(Mqtt(url=fake_broker.url), "m/#") as at_broker:
        await until(lambda: at_broker.connected)
        at_broker.publish(Message(topic="m/x", payload=b"1"))
        await until(lambda: not at_broker.connected)
        assert "the connection broke" in at_broker.why
        assert at_broker.away_s < 5.0

    async with serving(Refusing()) as refusing, visit(Mqtt(url=refusing.url), "m/#") as at_broker:
        await until(lambda: "Not authorized" in at_broker.why)


async def test_a_mistake_of_ours_that_ends_the_link_ends_the_waiting(fake_broker, monkeypatch):
    def fail(_link):
        raise KeyError("a bug")

    monkeypatch.setattr(Link, "_begin", fail)
    async with visit(Mqtt(url=fake_broker.url), "m/#") as at_broker:
        for _ in range(2):
            with pytest.raises(KeyError, match="a bug"):
                await asyncio.wait_for(at_broker.next(), 5)
