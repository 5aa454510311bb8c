"""The link against a fake broker that misbehaves in each way that brokers and networks do."""

import asyncio
import gc
import logging
import socket

import pytest

from drivers.rig_gateway import Mqtt
from gateway.mqtt import connection as connection_module
from gateway.mqtt import link as link_module
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.topics import Topics

STATUS = "manovac/v1/iss/gw/pi1/status"
BATCH = "manovac/v1/iss/seg/zvezda/batch"


def batches(count, size=8):
    return [Message(topic=BATCH, payload=b"%0*d" % (size, number), n=number) for number in range(count)]


def fill(outbox, messages):
    for message in messages:
        outbox.put(message)


def state(topic, payload=b"1"):
    return Message(topic=topic, payload=payload, retain=True)


def payloads(messages, topic=BATCH):
    return [message.payload for message in messages if message.topic == topic]


async def test_after_connecting_status_comes_first_then_all_state_then_the_queue(fake_broker, start_link, until):
    outbox = Outbox()
    fill(outbox, [*batches(3), state("a"), state("b"), state(STATUS, b"online")])
    start_link(fake_broker.url, outbox)
    await until(lambda: len(fake_broker.published) == 6)
    assert [message.topic for message in fake_broker.published] == [STATUS, "a", "b", BATCH, BATCH, BATCH]
    assert [message.retain for message in fake_broker.published] == [True] * 3 + [False] * 3
    assert fake_broker.sessions[0].will == (STATUS, b"offline")
    assert fake_broker.sessions[0].client_id == "pi1"
    assert fake_broker.sessions[0].keepalive_s == 15


async def test_small_packets_are_not_held_back_by_nagle(fake_broker, start_link, until, monkeypatch):
    connections = []

    class Spied(link_module.Connection):
        async def open(self):
            await super().open()
            connections.append(self)

    monkeypatch.setattr(link_module, "Connection", Spied)
    start_link(fake_broker.url, Outbox())
    await until(lambda: bool(connections))
    assert connections[0]._client.socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


async def test_newer_messages_wake_the_link(fake_broker, start_link, until):
    outbox = Outbox()
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().connected)
    outbox.put(batches(1)[0])
    await until(lambda: link.statistics().acknowledged == 1)
    assert payloads(fake_broker.published) == [b"00000000"]


@pytest.mark.parametrize("way", ["return code", "reason code", "hang up"])
async def test_falls_back_to_mqtt_311_when_5_is_refused_and_remembers_it(fake_broker, start_link, until, way, caplog):
    caplog.set_level(logging.INFO, "gateway")
    fake_broker.refuse_5 = way
    fake_broker.cuts = lambda number, message: message.payload == b"cut"
    outbox = Outbox()
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().connected)
    assert [session.version for session in fake_broker.sessions] == [5, 4]
    assert link.statistics().protocol == "3.1.1"
    name = fake_broker.url.removeprefix("mqtt://")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", f"MQTT: {name}: no MQTT 5 here (trying 3.1.1)"),
        ("INFO", f"MQTT: connected to {name}, MQTT 3.1.1"),
    ]
    outbox.put(Message(topic=BATCH, payload=b"cut", qos=0))
    await until(lambda: link.statistics().reconnects == 1)
    assert [session.version for session in fake_broker.sessions] == [5, 4, 4]


async def test_that_a_broker_takes_neither_version_is_said_once_not_at_each_try(start_link, until, caplog):
    caplog.set_level(logging.INFO, "gateway")
    tries = []

    def hang_up(reader, writer):
        tries.append(writer)
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        start_link(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", Outbox())
        await until(lambda: len(tries) >= 10)
    assert caplog.text.count("no MQTT 5 here") == 1


async def test_a_broker_that_never_acknowledges_gets_one_window_and_is_left(
    fake_broker, start_link, until, monkeypatch, caplog
):
    monkeypatch.setattr(link_module, "_ACK_S", 0.2)
    fake_broker.ack = lambda topic: None
    outbox = Outbox()
    fill(outbox, batches(200))
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: len(fake_broker.sessions) == 2 and len(fake_broker.sessions[1].published) == 50)
    assert payloads(fake_broker.sessions[0].published) == [message.payload for message in batches(50)]
    assert payloads(fake_broker.sessions[1].published) == [message.payload for message in batches(50)]
    assert link.statistics().in_flight == 50
    assert link.statistics().acknowledged == 0
    assert link.statistics().outbox.losses == {}
    assert "did not acknowledge what was next for 0.2 s" in caplog.text


async def test_a_broker_that_acknowledges_slowly_but_in_turn_is_not_left(fake_broker, start_link, until, monkeypatch):
    monkeypatch.setattr(link_module, "_ACK_S", 0.2)
    fake_broker.ack_s = lambda: 0.02
    outbox = Outbox()
    fill(outbox, batches(50))
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged == 50)
    assert len(fake_broker.sessions) == 1


async def test_a_broker_that_passes_one_message_over_is_left(fake_broker, start_link, until, monkeypatch):
    monkeypatch.setattr(link_module, "_ACK_S", 0.2)
    fake_broker.ack = lambda topic: None if topic == "passed over" else 0
    fake_broker.ack_s = lambda: 0.02
    outbox = Outbox()
    fill(outbox, [Message(topic="passed over", payload=b"1"), *batches(40)])
    start_link(fake_broker.url, outbox)
    await until(lambda: len(fake_broker.sessions) == 2)
    assert len(fake_broker.sessions[0].acknowledged) < 40


async def test_a_refused_publish_is_counted_and_said_once_and_holds_up_nothing(fake_broker, start_link, until, caplog):
    fake_broker.ack = lambda topic: 0x87 if topic == "foreign" else 0
    outbox = Outbox()
    fill(outbox, [Message(topic="foreign", payload=b"1"), Message(topic="foreign", payload=b"2"), *batches(1)])
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged == 1)
    now = link.statistics()
    assert (now.refused, now.published, now.in_flight) == (2, 3, 0)
    assert now.outbox.losses == {"refused": 2}
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "MQTT: foreign: the broker refuses it: Not authorized (counted and dropped)"
    ]


async def test_answers_that_are_refused_are_said_once_whatever_their_ids(fake_broker, start_link, until, caplog):
    topics = Topics(station="rsp", gateway="pi1")
    fake_broker.ack = lambda topic: 0x87 if "/rsp/pi1/" in topic else 0
    outbox = Outbox()
    fill(outbox, [Message(topic=topics.response(f"c{number}"), payload=b"1") for number in range(100)])
    fill(outbox, [Message(topic=topics.batch("prk"), payload=b"1")])
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged == 1)
    assert link.statistics().refused == 100
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "MQTT: manovac/v1/rsp/rsp/pi1: the broker refuses it: Not authorized (counted and dropped)"
    ]
    assert len(link._said) == 1


async def test_answers_that_cut_the_connection_are_counted_as_one(fake_broker, start_link, until):
    topics = Topics(station="iss", gateway="pi1")
    fake_broker.cuts = lambda number, message: "/rsp/" in message.topic
    outbox = Outbox()
    fill(outbox, [Message(topic=topics.response(f"c{number}"), payload=b"1") for number in range(5)])
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().outbox.losses == {"cuts_connection": 5})
    assert len(link._cuts) == 1


async def test_no_matching_subscribers_is_no_refusal(fake_broker, start_link, until):
    fake_broker.ack = lambda topic: 0x10
    outbox = Outbox()
    fill(outbox, batches(1))
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged == 1)
    assert link.statistics().refused == 0


async def test_what_a_cut_left_unacknowledged_comes_again_in_order_and_nothing_else_twice(
    fake_broker, start_link, until
):
    fake_broker.cuts = lambda number, message: number == 70 and len(fake_broker.sessions) == 1
    outbox = Outbox()
    fill(outbox, batches(120))
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged >= 120)
    sent = [message.payload for message in batches(120)]
    first, second = (payloads(session.published) for session in fake_broker.sessions)
    assert first == sent[:70]
    assert second[-1] == sent[-1]
    assert second == sent[len(sent) - len(second) :]
    assert sent[69] in second, "the message at which the connection was cut was never acknowledged"
    assert len(sent) - len(second) >= 20, "what was acknowledged before the cut must not come again"
    assert link.statistics().outbox.losses == {}


async def test_all_state_comes_anew_on_each_connection_with_its_newest_value(fake_broker, start_link, until):
    fake_broker.cuts = lambda number, message: message.payload == b"cut" and len(fake_broker.sessions) == 1
    outbox = Outbox()
    fill(outbox, [state("a", b"old"), state(STATUS, b"online")])
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged == 2)
    fill(outbox, [state("a", b"new"), Message(topic=BATCH, payload=b"cut", n=1)])
    await until(lambda: len(fake_broker.sessions) == 2 and len(fake_broker.sessions[1].published) == 3)
    again = fake_broker.sessions[1].published
    assert [(message.topic, message.payload) for message in again] == [
        (STATUS, b"online"),
        ("a", b"new"),
        (BATCH, b"cut"),
    ]


@pytest.mark.parametrize("qos", [0, 1])
async def test_a_broker_that_stops_reading_costs_a_bounded_memory(fake_broker, start_link, until, qos):
    fake_broker.reads = False
    outbox = Outbox(max_bytes=5_000_000)
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().connected)
    fill(outbox, [Message(topic=BATCH, payload=bytes(100_000), qos=qos) for _ in range(400)])
    await asyncio.sleep(0.1)
    now = link.statistics()
    assert now.in_flight <= 43, "4 MiB at most"
    assert now.outbox.size <= 5_000_000
    assert now.outbox.losses["queue_full"] == 400 - now.published - now.outbox.messages


async def test_respects_the_brokers_receive_maximum_and_packet_size(fake_broker, start_link, until, caplog):
    fake_broker.properties = b"\x21\x00\x07" + b"\x27\x00\x00\x03\xe8"
    fake_broker.ack = lambda topic: None
    outbox = Outbox()
    fill(outbox, [Message(topic=BATCH, payload=bytes(1000)), state("big", bytes(1000)), *batches(20)])
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: len(fake_broker.published) == 7)
    assert link.statistics().in_flight == 7
    assert payloads(fake_broker.published) == [message.payload for message in batches(7)]
    assert link.statistics().outbox.losses == {"too_large": 2}
    assert "more than the 1000 bytes that the broker takes" in caplog.text


async def test_without_a_stated_limit_256_kib_is_the_largest_message(fake_broker, start_link, until):
    outbox = Outbox()
    fill(outbox, [Message(topic=BATCH, payload=bytes(2**18)), Message(topic=BATCH, payload=bytes(2**18 - 100))])
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged == 1)
    assert link.statistics().outbox.losses == {"too_large": 1}


async def test_a_broker_that_sends_more_than_we_take_is_left_and_no_message_blamed_for_it(
    fake_broker, start_link, until, caplog
):
    fake_broker.noise = lambda number: b"\x30\xff\xff\xff\x7f\x00\x01" if len(fake_broker.sessions) < 8 else b""
    fake_broker.ack = lambda topic: 0 if len(fake_broker.sessions) > 7 else None
    outbox = Outbox()
    fill(outbox, batches(1))
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().acknowledged == 1)
    assert link.statistics().reconnects == 7
    assert link.statistics().outbox.losses == {}
    assert "it sent a packet of more than 262144 bytes" in caplog.text


@pytest.mark.parametrize("retain", [False, True])
async def test_a_message_that_makes_the_broker_cut_is_found_and_dropped_alone(
    fake_broker, start_link, until, caplog, retain
):
    fake_broker.refuse_5 = "return code"
    fake_broker.cuts = lambda number, message: len(message.payload) > 20_000
    outbox = Outbox()
    poison = Message(topic="manovac/v1/iss/gw/pi1/meta", payload=bytes(20_001), retain=retain)
    fill(outbox, [state(STATUS), *batches(5), poison, *batches(5), state("a")])
    link, _ = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().outbox.losses == {"cuts_connection": 1})
    await until(lambda: link.statistics().connected and not outbox.waits_since_s and link.statistics().in_flight == 0)
    assert set(payloads(fake_broker.published)) == {message.payload for message in batches(5)}
    assert "a" in {message.topic for message in fake_broker.sessions[-1].published}
    assert len([each for each in fake_broker.published if each == poison]) == 6
    assert "cuts the connection whenever it gets it" in caplog.text


async def test_a_clean_stop_empties_the_queue_says_offline_and_disconnects(fake_broker, start_link, until):
    outbox = Outbox()
    link, task = start_link(fake_broker.url, outbox)
    await until(lambda: link.statistics().connected)
    fill(outbox, batches(100))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: fake_broker.sessions[0].clean_end)
    assert payloads(fake_broker.published) == [message.payload for message in batches(100)]
    assert fake_broker.published[-1] == Message(topic=STATUS, payload=b"offline", retain=True)
    assert not link.statistics().connected


async def test_farewell_replaces_the_will_at_a_clean_stop(fake_broker, start_link, until):
    farewell = Message(topic=STATUS, payload=b"stopped", retain=True)
    link, task = start_link(fake_broker.url, Outbox(), farewell=lambda: farewell)
    await until(lambda: link.statistics().connected)
    task.cancel()
    await until(lambda: bool(fake_broker.sessions) and fake_broker.sessions[0].clean_end)
    assert fake_broker.published == [farewell]


async def test_a_stop_with_a_broker_that_does_not_answer_leaves_offline_to_the_will(
    fake_broker, start_link, until, caplog
):
    caplog.set_level(logging.DEBUG, "gateway")
    fake_broker.ack = lambda topic: None
    outbox = Outbox()
    fill(outbox, batches(60))
    _, task = start_link(fake_broker.url, outbox)
    await until(lambda: len(fake_broker.published) == 50)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not fake_broker.sessions[0].clean_end
    assert "stopped with 60 messages undelivered" in caplog.text


async def test_a_broker_that_never_accepts_is_tried_again(start_link, until, monkeypatch):
    monkeypatch.setattr(connection_module, "_CONNACK_S", 0.05)
    connects = []

    async def silent(reader, writer):
        connects.append(await reader.read(100))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    link, _ = start_link(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", Outbox())
    await until(lambda: len(connects) == 3)
    assert not link.statistics().connected
    server.close()


async def test_can_be_stopped_while_the_broker_has_not_accepted_yet(start_link, until, caplog):
    connected = []

    async def silent(reader, writer):
        connected.append(await reader.read(1))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    _, task = start_link(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", Outbox())
    await until(lambda: bool(connected))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(2):
            await task
    server.close()
    gc.collect()
    assert caplog.records == [], "no task's exception is left for the loop to complain about"


async def test_a_broker_that_is_not_there_is_tried_again_and_said_once(start_link, until, caplog, unused_port):
    outbox = Outbox()
    fill(outbox, batches(3))
    link, task = start_link(f"mqtt://127.0.0.1:{unused_port}", outbox)
    await asyncio.sleep(0.15)
    assert not task.done()
    assert link.statistics().outbox.messages == 3
    assert link.statistics().protocol is None
    (said,) = [record for record in caplog.records if "Connection refused" in record.getMessage()]
    assert said.levelname == "WARNING"
    assert f"127.0.0.1:{unused_port}: cannot be reached: Connection refused (readings wait; " in said.getMessage()


async def waits(port, will, times):
    """Return between what a link draws the pauses between so many tries."""
    asked = []

    def uniform(low, high):
        asked.append((low, high))
        if len(asked) == times:
            raise asyncio.CancelledError
        return 0.0

    link = Link(Mqtt(url=f"mqtt://127.0.0.1:{port}"), Outbox(), client_id="x", will=will, uniform=uniform)
    with pytest.raises(asyncio.CancelledError):
        await link.run()
    return [high for _, high in asked], {low for low, _ in asked}


async def test_a_broker_that_is_away_is_looked_for_each_second_at_least(unused_port, will):
    assert await waits(unused_port, will, 5) == ([0.4, 0.8, 1.0, 1.0, 1.0], {0.2})


async def test_a_broker_that_refuses_is_asked_ever_less_often(will):
    async def refuse(reader, writer):
        await reader.read(100)
        writer.write(b"\x20\x03\x00\x87\x00")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await waits(port, will, 7) == ([0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0], {0.2})
    server.close()


async def test_name_and_password_reach_the_broker_and_no_log(fake_broker, start_link, until, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEST_MQTT_PASSWORD", "correct horse")
    link, _ = start_link(fake_broker.url, Outbox(), username="pi1", password={"env": "TEST_MQTT_PASSWORD"})
    await until(lambda: link.statistics().connected)
    assert (fake_broker.sessions[0].username, fake_broker.sessions[0].password) == ("pi1", "correct horse")
    assert "correct horse" not in caplog.text
    assert "correct horse" not in repr(vars(link))
