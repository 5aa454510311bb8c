"""`manovac leak watch`: what the running gateway knows of leaks, live."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.rig import Rig
    from gateway.leak.finding import StationFinding
    from gateway.mqtt.visit import Heard, Visit

_CONNECT_S: Final = 5.0
_FIRST_S: Final = 75.0  # the gateway says it once a minute at least, and what it said last is retained
_OLD_S: Final = 90.0
_STATUS_S: Final = 1.0  # how much later than what it knew of leaks its status may come: both are retained
_PATIENCE_S: Final = 2.0  # until it is said what of the gateway is waited for
_LOOK_S: Final = 0.5
_SOON_S: Final = 0.05


def watch(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    *,
    once: Annotated[bool, typer.Option("--once", help="Say what is known now, and exit.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each payload as it comes.")] = False,
) -> None:
    """Say what the running gateway knows: for each air body whether and how fast it loses air, where, what to close.

    It listens to the gateway's topics at the rig's broker, and touches no line. Ends with Ctrl-C.
    Exit codes: 0 ok; 1 no broker or gateway, or with --once, it is offline or has fallen silent; 2 usage or rig file;
    with --once also 3 air is being lost, 4 nothing can be said: no air body is judged.
    """
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import INTERRUPTED, USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.broker import MqttSettingsError  # noqa: PLC0415
    from gateway.process import run  # noqa: PLC0415

    words = load_rig(rig)
    try:
        code = run(_watch(words, once=once, as_json=as_json))
    except MqttSettingsError as error:
        raise CommandError(str(error), USAGE) from error
    if code is None and once:
        raise typer.Exit(INTERRUPTED)
    if code:
        raise typer.Exit(code)


async def _watch(rig: "Rig", *, once: bool, as_json: bool) -> int:
    """Listen; return the exit code of `--once`.

    Raises:
        CommandError: no broker, or no gateway.
    """
    from gateway.mqtt.topics import Topics  # noqa: PLC0415
    from gateway.mqtt.visit import visit  # noqa: PLC0415

    topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
    async with visit(rig.mqtt, topics.leak, topics.status) as at_broker:
        await _connected(at_broker)
        watching = _Watching(rig, topics.leak, at_broker, as_json=as_json)
        while True:
            watching.take(await _heard(at_broker))
            watching.wait()
            if watching.say() and once:
                return watching.code


async def _connected(at_broker: "Visit") -> None:
    """Wait for the broker; the visit itself says when that takes long.

    Raises:
        CommandError: it cannot be reached.
    """
    from gateway.cli import CommandError  # noqa: PLC0415

    while not at_broker.connected:
        if at_broker.away_s >= _CONNECT_S:
            raise CommandError(f"no connection to the broker: {at_broker.why}")
        await asyncio.sleep(_SOON_S)


async def _heard(at_broker: "Visit") -> "Heard | None":
    """Return the next message; None when it is time to look again."""
    try:
        async with asyncio.timeout(_LOOK_S):
            return await at_broker.next()
    except TimeoutError:
        return None


@dataclass(slots=True)
class _Status:
    """What the gateway, or the broker in its name, says of it."""

    online: bool
    reason: str
    since_s: float


class _Watching:
    """What is known so far, and what of it has been said."""

    def __init__(self, rig: "Rig", topic: str, at_broker: "Visit", *, as_json: bool) -> None:
        self._rig = rig
        self._topic = topic
        self._at_broker = at_broker
        self._as_json = as_json
        self._loop = asyncio.get_running_loop()
        self._began_s = self._heard_s = self._loop.time()
        self._told_waiting = False
        self._finding: StationFinding | None = None
        self._payload = b""
        self._words = 0
        self._status: _Status | None = None
        self._said: tuple[object, ...] = ()

    def take(self, heard: "Heard | None") -> None:
        """Take a message, if there is one.

        Raises:
            CommandError: it is none of a gateway's.
        """
        import orjson  # noqa: PLC0415

        from gateway.cli import CommandError  # noqa: PLC0415
        from gateway.mqtt.finding_payloads import read_leak  # noqa: PLC0415

        if heard is None:
            return
        try:
            if heard.topic == self._topic:
                self._finding, self._payload = read_leak(heard.payload), heard.payload
                self._words, self._heard_s = self._words + 1, self._loop.time()
            else:
                said = orjson.loads(heard.payload)
                self._status = _Status(said["state"] == "online", said["reason"] or "", said["t"] / 1000)
        except (KeyError, TypeError, ValueError) as error:
            raise CommandError(f"{heard.topic} at {self._rig.mqtt.url}: {error}") from error

    def wait(self) -> None:
        """Say what is waited for.

        Raises:
            CommandError: that is in vain.
        """
        from gateway.cli import CommandError  # noqa: PLC0415

        now_s, url, gateway = self._loop.time(), self._rig.mqtt.url, self._rig.station.gateway
        if self._finding is None and now_s - self._began_s >= _FIRST_S:
            if not self._at_broker.connected:
                raise CommandError(f"no connection to the broker: {self._at_broker.why}")
            raise CommandError(
                f"no gateway has said anything at {url}, topic {self._topic};"
                " does `manovac run` run with this rig file?"
            )
        if self._told_waiting or now_s - self._began_s < _PATIENCE_S:
            return
        if self._finding is None:
            self._wait_for(f"gateway {gateway} at {url}, for {_FIRST_S:.0f} s at most")
        elif not self._fresh and not self._offline:
            self._wait_for(f"the next word of gateway {gateway}: what it said last is {self._age} old")

    def _wait_for(self, what: str) -> None:
        self._told_waiting = True
        typer.echo(f"waiting for {what}", err=True)

    @property
    def _offline(self) -> bool:
        return self._status is not None and not self._status.online

    @property
    def _fresh(self) -> bool:
        """Whether what it said last is of now; by our clock, or because it came while we listened."""
        lately = self._loop.time() - self._heard_s < _OLD_S
        return lately and (self._words > 1 or self._age_s < _OLD_S)

    @property
    def _age_s(self) -> float:
        import time  # noqa: PLC0415

        return time.time() - self._finding.time_s if self._finding is not None else 0.0

    @property
    def _age(self) -> str:
        from gateway.leak.told import duration  # noqa: PLC0415

        return duration(max(self._age_s, 0.0))

    def say(self) -> bool:
        """Say what is known, when that is news; say whether all is known that can be."""
        finding, now_s = self._finding, self._loop.time()
        if finding is None or (self._status is None and now_s - self._heard_s < _STATUS_S):
            return False
        if not self._fresh and not self._offline and now_s - self._heard_s < _FIRST_S:
            return False
        before, self._said = self._said, (self._words, self._offline, self._fresh)
        if before != self._said:
            self._tell(finding, self._doubt(finding), another=before[:1] != (self._words,))
        return True

    def _tell(self, finding: "StationFinding", doubt: str, *, another: bool) -> None:
        if not self._as_json:
            for line in _lines(finding, self._rig.segments, doubt):
                typer.echo(line)
            return
        if another:
            typer.echo(self._payload.decode())
        if doubt:
            typer.echo(doubt, err=True)

    @property
    def code(self) -> int:
        """Exit code of what is known."""
        from gateway.cli import CHECK_FAILED, RUN_TIME_FAILURE, UNDECIDED  # noqa: PLC0415

        if self._finding is None or self._doubt(self._finding):
            return RUN_TIME_FAILURE
        if _leaks(self._finding):
            return CHECK_FAILED
        return 0 if any(_judged(each) for each in self._finding.bodies) else UNDECIDED

    def _doubt(self, finding: "StationFinding") -> str:
        """Say why what is known may not be so any more; empty when it is of now."""
        gateway = self._rig.station.gateway
        if self._status is not None and not self._status.online:
            since = f" since {_when(self._status.since_s)}" if self._status.reason != "connection lost" else ""
            return (
                f"gateway {gateway} is offline{since} ({self._status.reason}); what it knew at {_when(finding.time_s)}:"
            )
        if not self._fresh:
            return f"gateway {gateway} says nothing any more; what it knew {self._age} ago, at {_when(finding.time_s)}:"
        return ""


def _leaks(finding: "StationFinding") -> bool:
    """Say whether air is lost, or was before the last hatch change and nobody knows yet."""
    return bool(finding.where) or any(each.loses for each in finding.bodies)


def _judged(body: Any) -> bool:
    from gateway.leak.finding import Kind  # noqa: PLC0415

    return body.kind not in (Kind.NO_DATA, Kind.COLLECTING)


def _lines(finding: "StationFinding", segments: Any, doubt: str) -> Iterator[str]:
    from gateway.leak.told import body_in_words, loss_in_words, names  # noqa: PLC0415

    judged = [each for each in finding.bodies if _judged(each)]
    blind = [names(each.body.segments) for each in finding.bodies if not _judged(each)]
    covered = {name for each in finding.bodies for name in each.body.segments}
    blind += [f"{name} (no transducer)" for name in segments if name not in covered]
    if _leaks(finding):
        said = loss_in_words(finding)
    elif judged:
        said = "no leak is seen" + (f"; not judged: {'; '.join(blind)}" if blind else "")
    else:
        said = "nothing can be said: no air body is judged"
    yield f"{doubt}\n  {said}" if doubt else f"{_when(finding.time_s)}  {said}"
    for each in finding.bodies:
        yield f"  {body_in_words(each)}"
        yield from (f"    note: {note}" for note in each.notes)


def _when(time_s: float) -> str:
    import datetime as dt  # noqa: PLC0415

    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
