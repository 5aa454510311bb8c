"""A planted secret reaches the broker, and nothing else that the gateway says, writes or shows."""

import asyncio
import contextlib
import hashlib
import logging
import traceback

import pytest
from pydantic import ValidationError

import gateway.app
from drivers.rig_gateway import Mqtt
from drivers.rig_source import check_file, load_rig, rig_hash
from gateway.app import Gateway
from gateway.mqtt.broker import broker
from gateway.mqtt.link import Link
from gateway.mqtt.outbox import Message, Outbox
from tests.commands import call

SECRET = "planted-7f3a"
RIG = """
[station]
id = "iss"
gateway = "pi1"
[segment.prk]
volume = "8 m3"
[bus.b]
kind = "rtu-over-tcp"
port = "127.0.0.1:1"
[transducer.p1]
model = "keller-33x"
bus = "b"
segment = "prk"
[mqtt]
url = "{url}"
username = "pi1"
password = {password}
"""
PLACES = {
    "rig file": f'"{SECRET}"',
    "environment": '{ env = "MANOVAC_TEST_PASSWORD" }',
    "file": '{ file = "FOLDER/password" }',
    "credential": '{ credential = "password" }',
}


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Makes a rig file whose password stands at that place."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "password").write_text(SECRET)
    (tmp_path / "password").chmod(0o600)

    def plant(place, url="mqtt://127.0.0.1:1883"):
        if place == "environment":
            monkeypatch.setenv("MANOVAC_TEST_PASSWORD", SECRET)
        path = tmp_path / "rig.toml"
        path.write_text(RIG.format(url=url, password=PLACES[place].replace("FOLDER", str(tmp_path))))
        path.chmod(0o600)
        return path

    return plant


def shown(*things):
    """All the ways in which an object may end up in a log."""
    return "\n".join(f"{thing}\n{thing!r}\n{getattr(thing, '__dict__', '')!r}" for thing in things)


@pytest.mark.parametrize("place", PLACES)
async def test_a_password_reaches_the_broker_and_no_log_message_or_dump(
    planted, fake_broker, until, caplog, monkeypatch, place
):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "gateway.mqtt.connection.library")
    monkeypatch.setattr(gateway.app, "_FIRST_HEALTH_S", 0.01)
    path = planted(place, fake_broker.url)
    rig = load_rig(path)
    links = []

    def link(outbox, **words):
        links.append(Link(rig.mqtt, outbox, **words))
        return links[-1]

    running = Gateway(rig, rig_hash=rig_hash(path), make_carrier=link)
    task = asyncio.create_task(running.run())
    await until(lambda: any(message.topic.endswith("/health") for message in fake_broker.published))
    said = shown(rig, rig.mqtt, running, *links, broker(rig.mqtt), *asyncio.all_tasks())
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task

    assert fake_broker.sessions[0].password == SECRET
    said += rig.mqtt.model_dump_json() + str(rig.mqtt.model_dump())
    said += str([(message.topic, message.payload) for message in fake_broker.published])
    said += str([session.will for session in fake_broker.sessions])
    said += "\n".join(f"{record.getMessage()} {record.args} {record.exc_text}" for record in caplog.records)
    assert "Sending CONNECT" in said, "paho's own log was heard"
    assert "/meta" in said
    assert SECRET not in said


async def test_without_a_password_in_the_rig_file_there_is_none(fake_broker, until):
    words = Mqtt.model_validate({"url": fake_broker.url})
    link = Link(words, Outbox(), client_id="a", will=Message(topic="w", payload=b""))
    task = asyncio.create_task(link.run())
    await until(lambda: fake_broker.sessions)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert (fake_broker.sessions[0].username, fake_broker.sessions[0].password) == (None, None)


@pytest.mark.parametrize("place", PLACES)
def test_no_command_shows_it(planted, capsys, place):
    path = planted(place)
    for words in (("check", path), ("check", path, "--json"), ("run", path, "--dry-run"), ("broker-config", path)):
        called = call(capsys, *words)
        assert called.code == 0, called.err
        assert SECRET not in called.out + called.err


def test_no_error_shows_it(planted):
    path = planted("rig file", "mqtt://pi1:planted-7f3a@127.0.0.1")
    said = str(check_file(path).problems)
    assert "no user in it" in said
    path.chmod(0o644)
    said += str(check_file(path).problems)
    path.write_text(path.read_text() + "x = 1\n[[mqtt]]")
    said += str(check_file(path).problems)
    try:
        Mqtt.model_validate({"password": [SECRET], "batch": SECRET})
    except ValidationError:
        said += traceback.format_exc()
    assert "validation error" in said
    assert SECRET not in said


def test_the_hash_that_meta_names_tells_nothing_of_a_password(tmp_path):
    def hashed(password):
        path = tmp_path / "rig.toml"
        path.write_text(RIG.format(url="mqtt://127.0.0.1", password=password))
        return rig_hash(path)

    assert hashed('"a"') == hashed('"another one"')
    assert hashed('{ env = "A" }') != hashed('{ env = "B" }')
    path = tmp_path / "rig.toml"
    assert rig_hash(path) == hashlib.sha256(path.read_bytes()).hexdigest(), "what `sha256sum` says"
