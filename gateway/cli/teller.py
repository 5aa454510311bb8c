"""Sends a command to the running gateway and waits for its answer: for `manovac command`, `hatch` and `event`."""

import asyncio
import getpass
import re
import secrets
import time
from typing import Any, Final

import orjson
import typer

from drivers.rig import Rig
from gateway.cli import RUN_TIME_FAILURE, USAGE, CommandError
from gateway.mqtt.broker import MqttSettingsError
from gateway.mqtt.commands import Command, build
from gateway.mqtt.outbox import Message
from gateway.mqtt.topics import Topics
from gateway.mqtt.visit import Heard, Visit, visit
from gateway.process import run

_ANSWER_S: Final = 5.0
_AGAIN_S: Final = 3.0
_VALID_S: Final = 30.0


def somebody(by: str = "") -> str:
    """Return who gives a command: the name given, else the user's, as a name at the broker could be."""
    if by:
        return by
    try:
        return re.sub(r"[^A-Za-z0-9._@-]", "-", getpass.getuser())[:64] or "somebody"
    except (KeyError, OSError, ImportError):  # a user id without a name, as in a container
        return "somebody"


def envelope(name: str, by: str, *, ahead_ms: int = 0) -> dict[str, Any]:
    """Return what all commands have: an id that no other has, an end, and who gives it.

    Args:
        name: of the command.
        by: who gives it; empty for the user.
        ahead_ms: by how much the gateway's clock, which decides, is ahead of ours.
    """
    return {
        "id": f"{name}-{secrets.token_hex(6)}",
        "not_after": round((time.time() + _VALID_S) * 1000) + ahead_ms,
        "by": somebody(by),
    }


def tell(
    rig: Rig, kind: type[Command], words: dict[str, Any], *, by: str, as_json: bool, wait_s: float | None = None
) -> dict[str, Any]:
    """Send a command and return the answer to it, once it is obeyed.

    Args:
        rig: broker, station and gateway.
        kind: of command.
        words: its own keys.
        by: who gives it; empty for the user.
        as_json: print the answer as it came.
        wait_s: for the answer; a few seconds when not given.

    Raises:
        CommandError: no broker, no gateway, or the gateway refuses or fails.
    """
    all_words = envelope(kind.topic, by) | words
    try:
        payload = build(kind, **all_words)
    except ValueError as error:
        raise CommandError(f"{kind.topic}: {error}", USAGE) from error
    try:
        answer = run(_tell(rig, kind.topic, all_words["id"], payload, wait_s or _ANSWER_S))
    except MqttSettingsError as error:
        raise CommandError(str(error), USAGE) from error
    if answer is None:
        raise CommandError("not told", RUN_TIME_FAILURE)
    if as_json:
        typer.echo(orjson.dumps(answer).decode())
    if answer["status"] != "done":
        says = "the gateway failed" if answer["status"] == "failed" else "the gateway refuses"
        raise CommandError(f"{says}: {answer['text']} ({answer['code']})", RUN_TIME_FAILURE)
    return answer


async def _answer(at_broker: Visit, command: Message) -> Heard:
    """Send a command again and again until there is an answer: a gateway obeys it once, whatever it has missed."""
    while True:
        at_broker.publish(command)
        try:
            async with asyncio.timeout(_AGAIN_S):
                return await at_broker.next()
        except TimeoutError:
            continue


async def _tell(rig: Rig, name: str, command_id: str, payload: bytes, wait_s: float) -> dict[str, Any]:
    topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
    async with visit(rig.mqtt, topics.response(command_id)) as at_broker:
        try:
            async with asyncio.timeout(wait_s):
                heard = await _answer(at_broker, Message(topic=topics.command(name), payload=payload))
        except TimeoutError:
            if not at_broker.connected:
                raise CommandError(f"no connection to the broker within {wait_s:g} s: {at_broker.why}") from None
            raise CommandError(
                f"gateway '{rig.station.gateway}' does not answer yet, at {rig.mqtt.url} within {wait_s:g} s; if"
                " `manovac run` runs with this rig file, the command may still be obeyed"
            ) from None
    answer: dict[str, Any] = orjson.loads(heard.payload)
    return answer
