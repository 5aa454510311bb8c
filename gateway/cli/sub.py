"""`manovac sub`: receive what gateways say, and tell whether anything is missing."""

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from collections.abc import Mapping

    from drivers.rig import Rig
    from gateway.mqtt.visit import Visit
    from gateway.received import Received

_SAVE_S: Final = 1.0
_PATIENCE_S: Final = 1.0  # a gap that is older is asked for again, ever less often
_LONGEST_PATIENCE_S: Final = 60.0


def sub(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML), for broker and station.", metavar="RIG")],
    *,
    to: Annotated[Path | None, typer.Option(help="Where readings go: FILE.sqlite, FILE.csv or FILE.parquet.")] = None,
    ack: Annotated[
        str, typer.Option(help="Acknowledge under this name what is stored, and ask for what is missing.")
    ] = "",
    duration: Annotated[str, typer.Option(help='How long, such as "60 s"; until Ctrl-C when not given.')] = "",
) -> None:
    """Receive the record of a station's gateways, and say at the end "N readings, 0 gaps" or name each gap.

    Exit codes: 0 complete; 1 run-time failure; 2 usage or rig file; 3 something is missing.
    """
    import re  # noqa: PLC0415

    from drivers.rig_source import load_rig  # noqa: PLC0415
    from drivers.units import UnitError, parse_time  # noqa: PLC0415
    from gateway.cli import CHECK_FAILED, USAGE, CommandError  # noqa: PLC0415
    from gateway.received import Received  # noqa: PLC0415
    from gateway.store import NoStore, ReceiveError, store  # noqa: PLC0415

    words = load_rig(rig)
    if ack and to is None:
        raise CommandError("--ack says that readings are stored: give --to as well", USAGE)
    if ack and not re.fullmatch(r"[a-z0-9_-]+", ack):
        raise CommandError(f"--ack {ack}: a name of small letters, digits, '_' and '-' (it becomes a topic)", USAGE)
    try:
        seconds = parse_time(duration) if duration else None
    except UnitError as error:
        raise CommandError(f"--duration {duration}: {error}", USAGE) from error
    try:
        received = Received(store(to) if to is not None else NoStore())
    except ReceiveError as error:
        raise CommandError(str(error), USAGE) from error
    _run(words, received, ack, seconds)
    if not received.messages:
        raise CommandError(
            f"nothing was heard at {words.mqtt.url}, station {words.station.id}; does `manovac run` run with it?"
        )
    typer.echo(received.verdict())
    if received.strange:
        typer.echo(f"{received.strange} messages on topics of record were none of ours", err=True)
    if received.gaps() or received.lost_at_a_kill() or received.anew:
        raise typer.Exit(CHECK_FAILED)


def _run(rig: "Rig", received: "Received", ack: str, seconds: float | None) -> None:
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.broker import MqttSettingsError  # noqa: PLC0415
    from gateway.process import run  # noqa: PLC0415
    from gateway.store import ReceiveError  # noqa: PLC0415

    try:
        try:
            run(_receive(rig, received, ack, seconds))
        finally:
            received.store.close()
    except MqttSettingsError as error:
        raise CommandError(str(error), USAGE) from error
    except ReceiveError as error:
        raise CommandError(str(error)) from error
    except ExceptionGroup as group:
        if (failed := group.subgroup(ReceiveError)) is None:
            raise
        raise CommandError(str(failed.exceptions[0])) from group


async def _receive(rig: "Rig", received: "Received", ack: str, seconds: float | None) -> None:
    import asyncio  # noqa: PLC0415

    from gateway.mqtt.topics import Topics  # noqa: PLC0415
    from gateway.mqtt.visit import visit  # noqa: PLC0415

    base = Topics(station=rig.station.id, gateway=rig.station.gateway).base
    async with visit(rig.mqtt, f"{base}/#") as at_broker:
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                ahead_ms: dict[str, int] = {}
                tasks.create_task(_keep_record(rig, at_broker, received, ack, ahead_ms), name="acknowledge")
                while True:
                    heard = await at_broker.next()
                    received.take(heard.topic, heard.payload)
                    _note_clock(heard.topic, heard.payload, ahead_ms)
        except TimeoutError:
            pass
        finally:
            received.store.save()
            if ack:
                _acknowledge(rig, at_broker, received, ack)


def _note_clock(topic: str, payload: bytes, ahead_ms: dict[str, int]) -> None:
    """Learn by how much a gateway's clock is ahead of ours: it may be wrong, and decides when a command expires."""
    import orjson  # noqa: PLC0415

    if topic.endswith("/health"):
        with suppress(KeyError, TypeError, ValueError):
            said = orjson.loads(payload)
            ahead_ms[str(said["gw"])] = int(said["t"]) - round(time.time() * 1000)


async def _keep_record(
    rig: "Rig", at_broker: "Visit", received: "Received", ack: str, ahead_ms: "Mapping[str, int]"
) -> None:
    """Save and acknowledge every now and then; ask for what stays missing, one gap of a gateway at a time."""
    import asyncio  # noqa: PLC0415

    missing: dict[tuple[str, int, int], tuple[float, float]] = {}  # when to ask next, and the pause after that
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(_SAVE_S)
        received.store.save()
        if not ack:
            continue
        _acknowledge(rig, at_broker, received, ack)
        now_s = loop.time()
        gaps = [(gateway, first, last) for gateway, spans in received.gaps().items() for first, last in spans]
        missing = {gap: missing.get(gap, (now_s + _PATIENCE_S, _PATIENCE_S)) for gap in gaps}
        asked = set[str]()
        for gap, (due_s, pause_s) in sorted(missing.items(), key=lambda each: each[1][0]):
            if now_s >= due_s and gap[0] not in asked:
                asked.add(gap[0])
                _ask_again(rig, at_broker, gap, by=ack, ahead_ms=ahead_ms.get(gap[0], 0))
                pause_s = min(2 * pause_s, _LONGEST_PATIENCE_S)  # noqa: PLW2901
                missing[gap] = (now_s + pause_s, pause_s)


def _acknowledge(rig: "Rig", at_broker: "Visit", received: "Received", ack: str) -> None:
    from gateway.mqtt.commands import acknowledged  # noqa: PLC0415
    from gateway.mqtt.outbox import Message  # noqa: PLC0415
    from gateway.mqtt.topics import Topics  # noqa: PLC0415

    for gateway, n in received.complete_upto().items():
        topics = Topics(station=rig.station.id, gateway=gateway)
        at_broker.publish(Message(topic=topics.acknowledgement(ack), payload=acknowledged(n), retain=True))


def _ask_again(rig: "Rig", at_broker: "Visit", gap: tuple[str, int, int], *, by: str, ahead_ms: int) -> None:
    from gateway.cli.teller import envelope  # noqa: PLC0415
    from gateway.mqtt.commands import Replay, build  # noqa: PLC0415
    from gateway.mqtt.outbox import Message  # noqa: PLC0415
    from gateway.mqtt.topics import Topics  # noqa: PLC0415

    gateway, first, last = gap
    payload = build(Replay, **envelope("replay", by, ahead_ms=ahead_ms), first=first, last=last)
    topic = Topics(station=rig.station.id, gateway=gateway).command("replay")
    at_broker.publish(Message(topic=topic, payload=payload))
