"""Real brokers, started with exactly what `manovac broker-config` writes, let in whom they should and nobody else."""

import asyncio
import contextlib
import json
import logging
import os
import ssl
import warnings

import aiomqtt
import pytest

from drivers.rig_source import check_rig
from gateway import app
from gateway.app import Gateway
from gateway.health import HealthCheck
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Message, Outbox
from gateway.supervision import Supervision
from tests.certificates import Authority
from tests.commands import call
from tests.gateway.three_gateways import GATEWAYS, OPTIONS, USERS, rig_files
from tests.servers import start_server

ISS, MOON = "manovac/v1/iss", "manovac/v1/moon"
WRITERS = {
    f"{ISS}/seg/prk/batch": {"pi1"},
    f"{ISS}/seg/prk/pressure/p1": {"pi1"},
    f"{ISS}/seg/node1/batch": {"pi2"},
    f"{ISS}/leak": {"pi1", "pi2"},
    f"{ISS}/alarm/leak-prk": {"pi1", "pi2"},
    f"{ISS}/gw/pi1/status": {"pi1"},
    f"{ISS}/gw/pi2/health": {"pi2"},
    f"{ISS}/gw/pi1/meta": {"pi1"},
    f"{ISS}/rsp/pi1/17": {"pi1"},
    f"{ISS}/rsp/pi2/17": {"pi2"},
    f"{ISS}/hatch/prk--node1": {"pi1", "pi2"},
    f"{ISS}/event/command": {"pi1", "pi2"},
    **{f"{ISS}/cmd/pi1/{name}": {"anna", "bob"} for name in ("hatch", "event", "acknowledge", "shelve")},
    **{f"{ISS}/cmd/pi1/{name}": {"bob"} for name in ("write", "reload", "calibrate")},
    f"{ISS}/cmd/pi1/anything-new": set(),
    f"{ISS}/cmd/pi1": set(),
    f"{ISS}/cmd/pi2/hatch": {"anna"},
    f"{ISS}/cmd/pi2/write": {"bob"},
    f"{ISS}/cmd/pi1/replay": {"anna", "bob", "store"},
    f"{ISS}/cmd/pi1/replay/deeper": set(),
    f"{ISS}/cmd/pi2/replay": {"anna", "store"},
    f"{MOON}/cmd/pi3/replay": {"anna", "store"},
    f"{ISS}/ack/pi1/store": {"store"},
    f"{MOON}/ack/pi3/store": {"store"},
    f"{ISS}/ack/pi1/other": set(),
    f"{MOON}/seg/base/batch": {"pi3"},
    f"{MOON}/cmd/pi3/hatch": {"anna"},
}
FILTERS = (
    *(
        "#",
        "manovac/#",
        f"{ISS}/#",
        f"{MOON}/#",
        f"{ISS}/+/+/+",
        f"{ISS}/gw/pi1/status",
        "$MQTT/#",
        "$MQTT/sub/#",
        "$SYS/#",
    ),
    *(f"manovac/v1/{station}/{kind}/{name}/#" for name, (station, _) in GATEWAYS.items() for kind in ("cmd", "ack")),
)


@pytest.fixture(scope="module")
def authority(require_program, tmp_path_factory):
    made = Authority(require_program("openssl"), tmp_path_factory.mktemp("authority"))
    made.issue("broker", host="127.0.0.1")
    for name in USERS:
        made.issue(name)
    return made


@pytest.fixture
def rigs(authority, tmp_path, unused_port):
    """The rig files of three gateways; pi1 and pi2 share a station."""
    return rig_files(tmp_path, port=unused_port, certificates=authority.folder)


@pytest.fixture
def start_broker(authority, rigs, tmp_path, unused_port, require_program, capsys):
    """Makes a broker run with what the command writes; gives its log."""
    running = []

    def start(kind, *options):
        program = require_program({"nats": "nats-server"}.get(kind, kind))
        to = tmp_path / "broker"
        to.mkdir()
        called = call(
            *(capsys, "broker-config", *rigs, *OPTIONS, "--broker", kind, "--to", to),
            *("--certificates", authority.folder, "--store", tmp_path / "store", *options),
        )
        assert called.code == 0, called.err
        main = to / "manovac.nats.conf"
        if kind == "mosquitto":  # as Debian's own mosquitto.conf does it; root would be given up for another user
            main = tmp_path / "mosquitto.conf"
            main.write_text(f"user {os.environ.get('USER', 'root')}\ninclude_dir {to}\n")
        log = tmp_path / "broker.log"
        running.append(start_server([program, "-c", str(main)], unused_port, log))
        return log

    yield start
    for server in running:
        server.kill()


def client(authority, port, name, *, five=True, **words):
    tls = ssl.create_default_context(cafile=authority.path("ca.crt"))
    tls.load_cert_chain(authority.path(f"{name}.crt"), authority.path(f"{name}.key"))
    version = aiomqtt.ProtocolVersion.V5 if five else aiomqtt.ProtocolVersion.V311
    return aiomqtt.Client("127.0.0.1", port, tls_context=tls, protocol=version, **{"identifier": name, **words})


async def heard_until(client, fences):
    """Return topic and payload of what comes before the last of the fences: NATS keeps order within a filter only."""
    heard, left = set(), set(fences)
    async with asyncio.timeout(8):
        async for message in client.messages:
            topic, payload = message.topic.value, bytes(message.payload).decode()
            if payload == "fence":
                left.discard(topic)
            else:
                heard.add((topic, payload))
            if not left:
                return heard
    raise AssertionError


@pytest.mark.parametrize("kind", ["mosquitto", "nats"])
async def test_each_user_writes_and_reads_what_the_rules_say(authority, start_broker, unused_port, kind):
    start_broker(kind)
    five = kind == "mosquitto"
    async with contextlib.AsyncExitStack() as stack:
        users = {}
        for name in USERS:
            users[name] = await stack.enter_async_context(client(authority, unused_port, name, five=five))
        await users["pi1"].publish(f"{ISS}/gw/pi1/status", "pi1", qos=1, retain=True)
        for user in users.values():
            for each in FILTERS:
                with contextlib.suppress(aiomqtt.MqttError):
                    await user.subscribe(each, qos=1)
        everywhere = {f"{ISS}/event/fence": "pi1", f"{MOON}/event/fence": "pi3"}
        fences = dict.fromkeys(("eyes", "store", "anna", "bob"), everywhere)
        for name, (station, _) in GATEWAYS.items():
            base = f"manovac/v1/{station}"
            fences[name] = {f"{base}/cmd/{name}/event": "anna", f"{base}/ack/{name}/store": "store"}
        heard = {name: asyncio.create_task(heard_until(users[name], topics)) for name, topics in fences.items()}
        for topic in WRITERS:
            for name, user in users.items():
                await user.publish(topic, name, qos=1)
        for topic, by in {pair for topics in fences.values() for pair in topics.items()}:
            await users[by].publish(topic, "fence", qos=1)
        got = {name: await task for name, task in heard.items()}
    written = {(topic, name) for topic, names in WRITERS.items() for name in names}
    for name in ("anna", "bob", "eyes", "store"):
        assert got[name] == written, name
    for name, (station, _) in GATEWAYS.items():
        own = (f"manovac/v1/{station}/cmd/{name}/", f"manovac/v1/{station}/ack/{name}/")
        assert got[name] == {each for each in written if each[0].startswith(own)}, name


def link_of(rig, outbox):
    words = check_rig(rig.read_text(), str(rig)).rig
    will = Message(topic=f"manovac/v1/{words.station.id}/gw/{words.station.gateway}/status", payload=b"x", retain=True)
    return Link(words.mqtt, outbox, client_id="manovac-test", will=will, uniform=lambda low, high: 0.01)


@contextlib.asynccontextmanager
async def running(link):
    task = asyncio.create_task(link.run())
    try:
        yield link
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_what_a_gateway_may_not_write_is_refused_counted_and_logged(start_broker, rigs, until, caplog):
    start_broker("mosquitto")
    outbox = Outbox()
    async with running(link_of(rigs[0], outbox)) as link:
        outbox.put(Message(topic=f"{ISS}/seg/prk/batch", payload=b"mine"))
        outbox.put(Message(topic=f"{ISS}/seg/node1/batch", payload=b"of another gateway"))
        outbox.put(Message(topic=f"{MOON}/seg/base/batch", payload=b"of another station"))
        await until(lambda: link.statistics().acknowledged + link.statistics().refused == 3)
        assert (link.statistics().acknowledged, link.statistics().refused) == (1, 2)
        check = HealthCheck([], Supervision(), commands={}, lost_before={})
        assert check.snapshot(link.statistics(), sync="free").losses == {"refused": 2}
    errors = {record.getMessage() for record in caplog.records if record.levelno == logging.ERROR}
    assert errors == {
        f"MQTT: {topic}: the broker refuses it: Not authorized (counted and dropped)"
        for topic in (f"{ISS}/seg/node1/batch", f"{MOON}/seg/base/batch")
    }


async def test_what_a_gateway_may_not_write_becomes_an_alarm_that_a_viewer_sees(
    start_broker, rigs, authority, unused_port, monkeypatch
):
    monkeypatch.setattr(app, "_FIRST_HEALTH_S", 0.2)
    monkeypatch.setattr(app, "_HEALTH_S", 0.2)
    start_broker("mosquitto")
    words = check_rig(rigs[0].read_text().replace("prk", "renamed"), str(rigs[0])).rig
    made = Gateway(words, rig_hash="0", make_carrier=lambda outbox, **more: Link(words.mqtt, outbox, **more))
    async with client(authority, unused_port, "eyes") as eyes, running(made):
        await eyes.subscribe(f"{ISS}/alarm/#", qos=1)
        async with asyncio.timeout(10):
            message = await anext(eyes.messages)
    assert message.topic.value == f"{ISS}/alarm/mqtt-refused-pi1"
    alarm = json.loads(message.payload)
    assert (alarm["state"], alarm["cause"], alarm["segment"]) == ("unacknowledged", "mqtt-refused", None)


async def test_without_a_certificate_nobody_gets_in_and_the_gateway_says_what_it_needs(
    start_broker, rigs, until, caplog
):
    log = start_broker("mosquitto")
    lines = rigs[0].read_text().splitlines()
    rigs[0].write_text("\n".join(line for line in lines if not line.startswith("client_")))
    async with running(link_of(rigs[0], Outbox())) as link:
        await until(lambda: "give mqtt.client_cert and mqtt.client_key" in caplog.text)
        assert link.statistics().reconnects == 0
    assert "failed to receive" not in caplog.text
    assert "peer did not return a certificate" in log.read_text()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("another authority's", "it refuses mqtt.client_cert: it does not know the authority that issued it"),
        ("expired", "it refuses mqtt.client_cert: it has expired by the broker's clock"),
        ("revoked", "it refuses mqtt.client_cert: it is revoked"),
    ],
)
async def test_a_certificate_that_does_not_hold_does_not_get_in(
    start_broker, rigs, authority, until, caplog, require_program, tmp_path, fault, says
):
    issuer = authority
    if fault == "another authority's":
        issuer = Authority(require_program("openssl"), tmp_path / "stranger")
    issuer.issue("bad", expired=fault == "expired")
    options = []
    if fault == "revoked":
        issuer.revoke("bad")
        options = ["--revocations"]
    start_broker("mosquitto", *options)
    rigs[0].write_text(rigs[0].read_text().replace(f"{authority.folder}/pi1", f"{issuer.folder}/bad"))
    async with running(link_of(rigs[0], Outbox())) as link:
        await until(lambda: says in caplog.text)
        assert not link.statistics().connected


async def test_the_broker_speaks_nothing_older_than_tls_1_2(start_broker, authority, unused_port):
    start_broker("mosquitto")
    for version, fits in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_1, False)):
        tls = ssl.create_default_context(cafile=authority.path("ca.crt"))
        tls.load_cert_chain(authority.path("pi1.crt"), authority.path("pi1.key"))
        tls.set_ciphers("DEFAULT@SECLEVEL=0")
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            tls.minimum_version = tls.maximum_version = version
        with contextlib.nullcontext() if fits else pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
            _, writer = await asyncio.open_connection("127.0.0.1", unused_port, ssl=tls)
            writer.close()


async def test_nobody_throws_out_a_gateway_by_taking_its_client_id(start_broker, rigs, authority, unused_port, until):
    start_broker("mosquitto")
    outbox = Outbox()
    async with running(link_of(rigs[0], outbox)) as link:
        await until(lambda: link.statistics().connected)
        for identifier in ("manovac-test", "pi1"):
            async with client(authority, unused_port, "eyes", identifier=identifier):
                outbox.put(Message(topic=f"{ISS}/seg/prk/batch", payload=b"still here"))
                acknowledged = link.statistics().acknowledged
                await until(lambda: link.statistics().acknowledged > acknowledged)  # noqa: B023 - awaited at once
        assert link.statistics().reconnects == 0
