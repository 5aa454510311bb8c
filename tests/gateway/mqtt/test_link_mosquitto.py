"""The link against the real thing: mosquitto, over real sockets."""

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys

import aiomqtt

from drivers.rig_gateway import Mqtt
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Inbox, Message, Outbox

STATUS = "manovac/v1/iss/gw/pi1/status"
LATEST = "manovac/v1/iss/seg/prk/pressure/p1"
BATCH = "manovac/v1/iss/seg/prk/batch"


def state(topic, payload):
    return Message(topic=topic, payload=payload, retain=True)


@contextlib.asynccontextmanager
async def subscriber(broker):
    """(topic, payload, retained) of all that comes, in a list that grows."""
    got = []

    async def listen(client):
        async for message in client.messages:
            got.append((message.topic.value, bytes(message.payload), message.retain))  # noqa: PERF401 - grows while it waits

    async with aiomqtt.Client("127.0.0.1", broker.port, protocol=aiomqtt.ProtocolVersion.V5) as client:
        await client.subscribe("manovac/#", qos=1)
        task = asyncio.create_task(listen(client))
        try:
            yield got
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await task


async def test_publishes_retained_state_and_telemetry_and_says_offline_at_a_stop(mosquitto, start_link, until):
    outbox = Outbox()
    for message in (state(STATUS, b"online"), state(LATEST, b"1"), Message(topic=BATCH, payload=b"2", n=1)):
        outbox.put(message)
    link, task = start_link(mosquitto.url, outbox)
    await until(lambda: link.statistics().acknowledged == 3)
    assert link.statistics().protocol == "5"
    async with subscriber(mosquitto) as got:
        await until(lambda: len(got) == 2)
        assert sorted(got) == [(STATUS, b"online", True), (LATEST, b"1", True)]
        outbox.put(Message(topic=BATCH, payload=b"3", n=2))
        await until(lambda: len(got) == 3)
        task.cancel()
        await until(lambda: len(got) == 4)
    assert got[2:] == [(BATCH, b"3", False), (STATUS, b"offline", False)]


_VICTIM = """
import asyncio
from drivers.rig_gateway import Mqtt
from gateway.mqtt.link import Link
from drivers.rig_gateway import Mqtt
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Inbox, Message, Outbox

async def main():
    outbox = Outbox()
    outbox.put(Message(topic={status!r}, payload=b"online", retain=True))
    will = Message(topic={status!r}, payload=b"offline", retain=True)
    await Link(Mqtt(url={url!r}), outbox, client_id="victim", will=will).run()

asyncio.run(main())
"""


async def test_kill_9_of_the_gateway_makes_the_broker_say_offline(mosquitto, until):
    async with subscriber(mosquitto) as got:
        script = _VICTIM.format(status=STATUS, url=mosquitto.url)
        victim = subprocess.Popen([sys.executable, "-c", script])  # noqa: ASYNC220 - starting one takes no time
        try:
            await until(lambda: got == [(STATUS, b"online", False)])
        finally:
            os.kill(victim.pid, signal.SIGKILL)
            victim.wait()
        await until(lambda: got[1:] == [(STATUS, b"offline", False)])


async def test_what_the_brokers_rules_forbid_counts_as_refused_not_as_delivered(
    make_mosquitto, start_link, until, tmp_path, caplog
):
    (tmp_path / "acl").write_text("topic write manovac/v1/iss/gw/#\ntopic read manovac/#\n")
    broker = make_mosquitto(f"acl_file {tmp_path / 'acl'}", tmp_path)
    outbox = Outbox()
    for message in (state(STATUS, b"online"), Message(topic=BATCH, payload=b"1"), Message(topic=BATCH, payload=b"2")):
        outbox.put(message)
    link, _ = start_link(broker.url, outbox)
    await until(lambda: link.statistics().published == 3 and link.statistics().in_flight == 0)
    assert (link.statistics().acknowledged, link.statistics().refused) == (1, 2)
    assert link.statistics().outbox.losses == {"refused": 2}
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        f"MQTT: {BATCH}: the broker refuses it: Not authorized (counted and dropped)"
    ]


async def test_after_kill_9_of_the_broker_the_queue_and_all_state_arrive(mosquitto, start_link, until):
    outbox = Outbox()
    for message in (state(STATUS, b"online"), state(LATEST, b"old")):
        outbox.put(message)
    link, _ = start_link(mosquitto.url, outbox)
    await until(lambda: link.statistics().acknowledged == 2)
    mosquitto.kill()
    await until(lambda: not link.statistics().connected)
    outbox.put(state(LATEST, b"new"))
    for number in range(300):
        outbox.put(Message(topic=BATCH, payload=b"%d" % number, n=number))
    assert link.statistics().outbox.messages == 300
    mosquitto.start()
    async with subscriber(mosquitto) as got:
        await until(lambda: link.statistics().acknowledged == 304)
        outbox.put(Message(topic=BATCH, payload=b"300", n=300))
        await until(lambda: (BATCH, b"300", False) in got)
    assert link.statistics().published == 305, "nothing twice"
    assert link.statistics().reconnects == 1
    numbers = [int(payload) for topic, payload, _ in got if topic == BATCH]
    assert numbers == list(range(numbers[0], 301)), "in order, without a gap since the subscription"
    assert {(topic, payload) for topic, payload, _ in got if topic != BATCH} == {(STATUS, b"online"), (LATEST, b"new")}


async def test_what_is_larger_than_mosquitto_takes_is_dropped(make_mosquitto, start_link, until):
    outbox = Outbox()
    link, _ = start_link(make_mosquitto("max_packet_size 5000").url, outbox)
    outbox.put(Message(topic=BATCH, payload=bytes(5000)))
    outbox.put(Message(topic=BATCH, payload=bytes(4000)))
    await until(lambda: link.statistics().acknowledged == 1)
    assert link.statistics().outbox.losses == {"too_large": 1}
    assert link.statistics().reconnects == 0


async def test_the_broker_keeps_from_us_what_is_larger_than_we_take(mosquitto, until):
    heard = []
    inbox = Inbox(topics=("manovac/v1/iss/cmd/pi1/#",), take=lambda topic, payload, retained: heard.append(payload))
    link = Link(Mqtt(url=mosquitto.url), Outbox(), client_id="pi1", will=None, inbox=inbox)
    task = asyncio.create_task(link.run())
    async with aiomqtt.Client("127.0.0.1", mosquitto.port, protocol=aiomqtt.ProtocolVersion.V5) as anna:
        while not heard:  # until it listens
            await anna.publish("manovac/v1/iss/cmd/pi1/hatch", b"first", qos=1)
            await asyncio.sleep(0.02)
        await anna.publish("manovac/v1/iss/cmd/pi1/hatch", 2**18 * b"x", qos=1)
        await anna.publish("manovac/v1/iss/cmd/pi1/hatch", b"last", qos=1)
        await until(lambda: b"last" in heard)
    assert set(heard) == {b"first", b"last"}
    assert link.statistics().reconnects == 0
    task.cancel()
    await asyncio.wait([task])


async def test_a_message_with_the_retain_flag_is_told_apart_when_it_is_live_and_when_it_is_old(mosquitto, until):
    heard = []
    topic = "manovac/v1/iss/cmd/pi1/hatch"
    async with aiomqtt.Client("127.0.0.1", mosquitto.port, protocol=aiomqtt.ProtocolVersion.V5) as anna:
        await anna.publish(topic, b"old", qos=1, retain=True)
        inbox = Inbox(
            topics=("manovac/v1/iss/cmd/pi1/#",), take=lambda _, payload, retained: heard.append((payload, retained))
        )
        link = Link(Mqtt(url=mosquitto.url), Outbox(), client_id="pi1", will=None, inbox=inbox)
        task = asyncio.create_task(link.run())
        await until(lambda: heard == [(b"old", True)])
        await anna.publish(topic, b"live", qos=1, retain=True)
        await anna.publish(topic, b"usual", qos=1)
        await until(lambda: heard[1:] == [(b"live", True), (b"usual", False)])
    task.cancel()
    await asyncio.wait([task])
