"""`manovac leak watch`: what the running gateway knows of leaks, live."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.rig import Rig

_FIRST_S: Final = 75.0  # the gateway says it once a minute at least, and what it said last is retained


def watch(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    *,
    once: Annotated[bool, typer.Option("--once", help="Say what is known now, and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each payload as it comes.")] = False,
) -> None:
    """Say what the running gateway knows: for each air body whether and how fast it loses air, where, what to close.

    It listens to the gateway's topics at the rig's broker, and touches no line. Ends with Ctrl-C.
    Exit codes: 0 ok; 1 no broker or gateway; 2 usage or rig file; 3 with --once, air is being lost.
    """
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import CHECK_FAILED, USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.broker import MqttSettingsError  # noqa: PLC0415
    from gateway.process import run  # noqa: PLC0415

    words = load_rig(rig)
    try:
        losing = run(_watch(words, once=once, as_json=as_json))
    except MqttSettingsError as error:
        raise CommandError(str(error), USAGE) from error
    if once and losing:
        raise typer.Exit(CHECK_FAILED)


async def _watch(rig: "Rig", *, once: bool, as_json: bool) -> bool:
    import asyncio  # noqa: PLC0415

    from gateway.cli import CommandError  # noqa: PLC0415
    from gateway.mqtt.finding_payloads import read_leak  # noqa: PLC0415
    from gateway.mqtt.topics import Topics  # noqa: PLC0415
    from gateway.mqtt.visit import visit  # noqa: PLC0415

    topic = Topics(station=rig.station.id, gateway=rig.station.gateway).leak
    timeout_s: float | None = _FIRST_S
    async with visit(rig.mqtt, topic) as at_broker:
        while True:
            try:
                async with asyncio.timeout(timeout_s):
                    heard = await at_broker.next()
            except TimeoutError:
                if not at_broker.connected:
                    raise CommandError(f"no connection to the broker: {at_broker.why}") from None
                raise CommandError(
                    f"no gateway has said anything at {rig.mqtt.url}, topic {topic};"
                    " does `manovac run` run with this rig file?"
                ) from None
            timeout_s = None
            try:
                finding = read_leak(heard.payload)
            except ValueError as error:
                raise CommandError(f"{topic} at {rig.mqtt.url}: {error}") from error
            if as_json:
                typer.echo(heard.payload.decode())
            else:
                _say(finding)
            if once:
                return _leaks(finding)


def _leaks(finding: Any) -> bool:
    """Say whether air is lost, or was before the last hatch change and nobody knows yet."""
    return bool(finding.where) or any(each.loses for each in finding.bodies)


def _say(finding: Any) -> None:
    import datetime as dt  # noqa: PLC0415

    from gateway.leak.told import body_in_words, loss_in_words  # noqa: PLC0415

    when = dt.datetime.fromtimestamp(finding.time_s, dt.UTC).strftime("%H:%M:%S UTC")
    typer.echo(f"{when}  {loss_in_words(finding) if _leaks(finding) else 'no leak is seen'}")
    for each in finding.bodies:
        typer.echo(f"  {body_in_words(each)}")
        for note in each.notes:
            typer.echo(f"    note: {note}")
