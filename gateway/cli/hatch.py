"""`manovac hatch`: tell the gateway that a hatch was opened or closed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from drivers.rig import HatchState

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.rig import Rig

_ANSWER_S: Final = 5.0


def hatch(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    hatch_id: Annotated[str, typer.Argument(help="A hatch, such as prk--zvezda.", metavar="HATCH")],
    state: Annotated[HatchState, typer.Argument(help="What it is now.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
) -> None:
    """Tell the running gateway the state of a hatch: levels start anew on both sides, and no step counts as a leak.

    The gateway has to run, and its broker be reached. Exit codes: 0 told; 1 not; 2 usage or rig file.
    """
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import RUN_TIME_FAILURE, USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.broker import MqttSettingsError  # noqa: PLC0415
    from gateway.process import run  # noqa: PLC0415

    words = load_rig(rig)
    known = {each.id: each.id for each in words.hatches}
    known |= {"--".join(reversed(each.between)): each.id for each in words.hatches}
    if hatch_id not in known:
        there = ", ".join(each.id for each in words.hatches) or "none"
        hint = did_you_mean(hatch_id, known) or f"; there are: {there}"
        raise CommandError(f"{rig} has no hatch '{hatch_id}'{hint}", USAGE)
    try:
        answer = run(_tell(words, known[hatch_id], state))
    except MqttSettingsError as error:
        raise CommandError(str(error), USAGE) from error
    if answer is None:
        raise CommandError("not told", RUN_TIME_FAILURE)
    if as_json:
        import orjson  # noqa: PLC0415

        typer.echo(orjson.dumps(answer).decode())
    if not answer["ok"]:
        raise CommandError(f"the gateway refuses: {answer['problem']}", RUN_TIME_FAILURE)
    if not as_json:
        typer.echo(f"{known[hatch_id]}: {state.value}")


async def _tell(rig: "Rig", hatch_id: str, state: HatchState) -> dict[str, Any]:
    import asyncio  # noqa: PLC0415
    import secrets  # noqa: PLC0415

    import orjson  # noqa: PLC0415

    from gateway.cli import CommandError  # noqa: PLC0415
    from gateway.mqtt import commands  # noqa: PLC0415
    from gateway.mqtt.outbox import Message  # noqa: PLC0415
    from gateway.mqtt.topics import Topics  # noqa: PLC0415
    from gateway.mqtt.visit import visit  # noqa: PLC0415

    topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
    command_id = f"hatch-{secrets.token_hex(6)}"
    payload = commands.hatch(command_id=command_id, hatch_id=hatch_id, state=state)
    async with visit(rig.mqtt, topics.response(command_id)) as at_broker:
        at_broker.publish(Message(topic=topics.command("hatch"), payload=payload))
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
