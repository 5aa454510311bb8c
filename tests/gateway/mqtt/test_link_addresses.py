"""The link at a broker of several addresses, or one that cannot grant a subscription yet; somebody takes its id."""

import asyncio
import logging

import pytest

from drivers.rig_gateway import Mqtt
from gateway.mqtt import connection as connection_module
from gateway.mqtt.broker import broker
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Inbox, Message, Outbox

BATCH = "manovac/v1/iss/seg/prk/batch"


async def test_the_next_address_is_tried_when_one_is_away_and_when_one_goes(make_mosquitto, start_link, until, caplog):
    first, second = make_mosquitto(), make_mosquitto()
    outbox = Outbox()
    link, _ = start_link("mqtt://127.0.0.1:1", outbox, more_urls=[first.url, second.url])
    await until(lambda: link.statistics().connected)
    first.kill()
    outbox.put(Message(topic=BATCH, payload=b"1"))
    await until(lambda: link.statistics().reconnects == 1 and link.statistics().acknowledged >= 1)
    second.kill()
    first.start()
    outbox.put(Message(topic=BATCH, payload=b"2"))
    await until(lambda: link.statistics().reconnects == 2 and link.statistics().in_flight == 0)
    assert "127.0.0.1:1: cannot be reached: Connection refused" in caplog.text


@pytest.mark.parametrize(("ports", "longest"), [((1,), [0.4, 0.8, 1.0]), ((1, 2, 3), [0.4] * 5 + [0.8] * 3 + [1.0])])
async def test_pauses_grow_when_all_addresses_have_failed(until, ports, longest):
    drawn = []

    def uniform(low, high):
        drawn.append((low, high))
        return 0.001

    url, *more = [f"mqtt://127.0.0.1:{port}" for port in ports]
    link = Link(Mqtt(url=url, more_urls=tuple(more)), Outbox(), client_id="pi1", will=None, uniform=uniform)
    task = asyncio.create_task(link.run())
    await until(lambda: len(drawn) >= len(longest))
    task.cancel()
    await asyncio.wait([task])
    assert drawn[: len(longest)] == [(0.2, pytest.approx(each)) for each in longest]


def test_addresses_have_their_turns():
    at = broker(Mqtt.model_validate({"url": "mqtts://a", "more_urls": ["mqtts://b:1", "mqtts://[::1]"]}))
    names = []
    for _ in range(4):
        names.append(at.name)
        at.turn()
    assert names == ["a:8883", "b:1", "::1:8883", "a:8883"]


async def test_a_subscription_that_is_refused_is_asked_for_again(fake_broker, until, caplog, monkeypatch):
    monkeypatch.setattr(connection_module, "_LISTEN_S", 0.01)
    caplog.set_level(logging.INFO)
    fake_broker.grants = lambda number: number > 3
    inbox = Inbox(topics=("manovac/v1/iss/cmd/pi1/#",), take=lambda topic, payload, retained: None)
    link = Link(Mqtt(url=fake_broker.url), Outbox(), client_id="pi1", will=None, inbox=inbox)
    task = asyncio.create_task(link.run())
    await until(lambda: "lets us listen to" in caplog.text)
    task.cancel()
    await asyncio.wait([task])
    assert fake_broker.subscribed == 4
    assert caplog.text.count("refuses to let us listen to manovac/v1/iss/cmd/pi1/#") == 1


async def test_whoever_takes_our_client_id_is_counted_and_no_message_blamed_for_it(
    fake_broker, start_link, until, caplog
):
    """As brokers say it that follow MQTT 5, 3.1.4-3; Debian's mosquitto 2.0.11 hangs up without a word."""
    fake_broker.farewell = b"\xe0\x02\x8e\x00"
    fake_broker.cuts = lambda number, message: len(fake_broker.sessions) < 8
    outbox = Outbox()
    outbox.put(Message(topic=BATCH, payload=b"1"))
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged == 1)
    assert link.statistics().taken_over == 7
    assert outbox.statistics().losses == {}
    assert "Session taken over" in caplog.text
