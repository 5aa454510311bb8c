"""`manovac sub`: receive what gateways say, and tell whether anything is missing."""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from collections.abc import Mapping

    from drivers.rig import Rig
    from gateway.mqtt.visit import Visit
    from gateway.received import Received

_SAVE_S: Final = 1.0
_PATIENCE_S: Final = 1.0  # a gap that is older is asked for again, ever less often
_LONGEST_PATIENCE_S: Final = 60.0


@dataclass(slots=True)
class Beside:
    """What is known beside the record.

    Attributes:
        ahead_ms: by how much a gateway's clock is ahead of ours: it may be wrong, and decides when a command expires.
        refusals: gateway -> why it has not obeyed our last `replay`.
        away_s: for how long there was no connection at the end; None when there was one.
        why: there was none.
    """

    ahead_ms: dict[str, int] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    away_s: float | None = None
    why: str = ""


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

    It is complete from the first number to the last one that it names. Exit codes: 0 complete; 1 run-time failure;
    2 usage or rig file; 3 something is missing, nothing of record was heard, or there was no connection at the end.
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
    beside = Beside()
    _run(words, received, ack, seconds, beside)
    if not received.messages:
        if beside.away_s is not None:
            raise CommandError(f"no connection to the broker: {beside.why}")
        raise CommandError(
            f"nothing was heard at {words.mqtt.url}, station {words.station.id}; does `manovac run` run with it?"
        )
    doubts = _doubts(received, beside)
    typer.echo("; ".join([received.verdict(), *doubts]))
    if received.strange:
        typer.echo(f"{received.strange} messages on topics of record were none of ours", err=True)
    if doubts or received.gaps() or received.lost_at_a_kill() or received.anew:
        raise typer.Exit(CHECK_FAILED)


def _doubts(received: "Received", beside: Beside) -> list[str]:
    """Return why the record may be less than there is, or stays so, for people."""
    doubts = [] if received.of_record else ["nothing of record was heard"]
    if beside.away_s is not None:
        doubts.append(f"not connected for the last {beside.away_s:.0f} s ({beside.why})")
    refusals = {gateway: why for gateway, why in beside.refusals.items() if gateway in received.gaps()}
    return doubts + [f"{gateway} does not replay: {why}" for gateway, why in refusals.items()]


def _run(rig: "Rig", received: "Received", ack: str, seconds: float | None, beside: Beside) -> None:
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.broker import MqttSettingsError  # noqa: PLC0415
    from gateway.process import run  # noqa: PLC0415
    from gateway.store import ReceiveError  # noqa: PLC0415

    try:
        try:
            run(_receive(rig, received, ack, seconds, beside))
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


async def _receive(rig: "Rig", received: "Received", ack: str, seconds: float | None, beside: Beside) -> None:
    import asyncio  # noqa: PLC0415

    from gateway.mqtt.topics import Topics  # noqa: PLC0415
    from gateway.mqtt.visit import visit  # noqa: PLC0415

    base = Topics(station=rig.station.id, gateway=rig.station.gateway).base

    def end() -> None:
        """Settle what has come; not after a disk that failed: what came last is not on it."""
        received.store.save()
        if ack:
            _acknowledge(rig, at_broker, received, ack)
        if not at_broker.connected:
            beside.away_s, beside.why = at_broker.away_s, at_broker.why

    async with visit(rig.mqtt, f"{base}/#") as at_broker:
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as tasks:
                keeping = _keep_record(rig, at_broker, received, ack, beside.ahead_ms)
                tasks.create_task(keeping, name="acknowledge")
                while True:
                    heard = await at_broker.next()
                    received.take(heard.topic, heard.payload)
                    _note(heard.topic, heard.payload, ack, received, beside)
        except TimeoutError:
            end()
        except asyncio.CancelledError:
            end()
            raise


def _note(topic: str, payload: bytes, ack: str, received: "Received", beside: Beside) -> None:
    """Take what is said beside the record: clocks, answers to our `replay`, and up to where we have acknowledged."""
    import orjson  # noqa: PLC0415

    levels = topic.split("/")
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        if levels[-1] == "health":
            said = orjson.loads(payload)
            beside.ahead_ms[str(said["gw"])] = int(said["t"]) - round(time.time() * 1000)
        elif ack and levels[-3] == "rsp":
            _note_answer(levels[-2], orjson.loads(payload), ack, beside)
        elif ack and levels[-3] == "ack" and levels[-1] == ack:
            received.begin_after(levels[-2], orjson.loads(payload)["n"])


def _note_answer(gateway: str, said: "Mapping[str, Any]", ack: str, beside: Beside) -> None:
    if said["name"] == "replay" and said["by"] == ack:
        beside.refusals.pop(gateway, None)
        if said["status"] != "done":
            beside.refusals[gateway] = f"{said['text']} ({said['code']})"


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
