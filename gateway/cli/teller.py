"""Sends a command to the running gateway and waits for its answer: for `manovac hatch` and `manovac event`."""

import asyncio
import secrets
from typing import Any, Final

import orjson
import typer

from drivers.rig import Rig
from gateway.cli import RUN_TIME_FAILURE, USAGE, CommandError
from gateway.mqtt.broker import MqttSettingsError
from gateway.mqtt.outbox import Message
from gateway.mqtt.topics import Topics
from gateway.mqtt.visit import visit
from gateway.process import run

_ANSWER_S: Final = 5.0


def command_name(name: str) -> str:
    """Return an id for a command that no other has."""
    return f"{name}-{secrets.token_hex(6)}"


def tell(rig: Rig, name: str, command_id: str, payload: bytes, *, told: str, as_json: bool) -> None:
    """Send a command and print the answer to it.

    Args:
        rig: broker, station and gateway.
        name: of the command.
        command_id: that the payload carries.
        payload: the command.
        told: printed when the gateway obeys.
        as_json: print the answer as it came.

    Raises:
        CommandError: no broker, no gateway, or the gateway refuses.
    """
    try:
        answer = run(_tell(rig, name, command_id, payload))
    except MqttSettingsError as error:
        raise CommandError(str(error), USAGE) from error
    if answer is None:
        raise CommandError("not told", RUN_TIME_FAILURE)
    if as_json:
        typer.echo(orjson.dumps(answer).decode())
    if not answer["ok"]:
        raise CommandError(f"the gateway refuses: {answer['problem']}", RUN_TIME_FAILURE)
    if not as_json:
        typer.echo(told)


async def _tell(rig: Rig, name: str, command_id: str, payload: bytes) -> dict[str, Any]:
    topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
    async with visit(rig.mqtt, topics.response(command_id)) as at_broker:
        at_broker.publish(Message(topic=topics.command(name), payload=payload))
        try:
            async with asyncio.timeout(_ANSWER_S):
                heard = await at_broker.next()
        except TimeoutError:
            where = f"gateway '{rig.station.gateway}' does not answer" if at_broker.connected else "no broker answers"
            raise CommandError(
                f"{where} at {rig.mqtt.url} within {_ANSWER_S:g} s; does `manovac run` run with this rig file?"
            ) from None
    answer: dict[str, Any] = orjson.loads(heard.payload)
    return answer
