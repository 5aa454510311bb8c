"""`manovac run`: the gateway of a rig, or what it would do."""

from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from drivers.reading import Reading
    from drivers.rig import Rig
    from drivers.rig_gateway import Http
    from drivers.transport.transport import MakeTransport
    from gateway.app import Gateway
    from gateway.handover import Handover
    from gateway.mqtt.journal import Journal
    from gateway.operations import NewRig


def run(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    *,
    once: Annotated[bool, typer.Option("--once", help="Poll each transducer once, print the readings, exit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and the load of each bus, exit.")] = False,
    emulated: Annotated[bool, typer.Option("--emulated", help="Start the emulator for the same rig.")] = False,
    http_port: Annotated[
        int | None, typer.Option(help="Answer by HTTP on this port of http.listen: /metrics, /healthz, /readyz.")
    ] = None,
    record: Annotated[
        Path | None, typer.Option(help="Write every byte of every bus to this trace file.", metavar="FILE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="With --once or --dry-run: for machines.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log more.")] = False,
) -> None:
    """Run the gateway: poll the rig's transducers and publish their readings by MQTT until Ctrl-C or SIGTERM.

    Exit codes: 0 ok; 1 run-time failure, or a bad reading with --once; 2 usage or rig file.
    """
    import logging  # noqa: PLC0415

    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import INTERRUPTED, RUN_TIME_FAILURE, USAGE, CommandError  # noqa: PLC0415

    _refuse_contradictions(once=once, dry_run=dry_run, as_json=as_json, record=record)
    words = load_rig(rig)
    if not words.transducers:
        raise CommandError(f"{rig} has no transducer: there is nothing to poll", USAGE)
    words = _with_http(words, http_port)
    if dry_run:
        _plan(words, as_json=as_json)
        return
    from gateway.process import EmulatorError, log_to_terminal  # noqa: PLC0415
    from gateway.process import run as run_process  # noqa: PLC0415
    from gateway.recorded import RecordError  # noqa: PLC0415

    if not once and words.http.port is not None:
        _serving()
    log_to_terminal(logging.DEBUG if verbose else logging.INFO)
    try:
        work = (
            _once_with_ports(rig, words, record, emulated=emulated, as_json=as_json)
            if once
            else _run_on(rig, words, record, http_port, emulated=emulated)
        )
        complete = run_process(work)
    except EmulatorError as error:
        raise CommandError(str(error), error.code) from error
    except RecordError as error:
        raise CommandError(str(error)) from error
    except ExceptionGroup as group:
        logging.getLogger(__name__).critical("a bug ends the gateway", exc_info=group)
        raise CommandError("cannot go on; the lines above say why") from group
    if once and not complete:
        raise typer.Exit(INTERRUPTED if complete is None else RUN_TIME_FAILURE)


def _refuse_contradictions(*, once: bool, dry_run: bool, as_json: bool, record: Path | None) -> None:
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    if once and dry_run:
        raise CommandError("--once and --dry-run exclude each other", USAGE)
    if as_json and not (once or dry_run):
        raise CommandError("--json goes with --once or --dry-run", USAGE)
    if record and dry_run:
        raise CommandError("--record and --dry-run exclude each other: nothing is said then", USAGE)


@asynccontextmanager
async def _at_ports(
    path: Path, rig: "Rig", record: Path | None, *, emulated: bool
) -> "AsyncIterator[tuple[Rig, MakeTransport]]":
    """Yield the rig with the ports that it is to use, and what opens them."""
    from drivers.rig_source import rig_hash  # noqa: PLC0415
    from gateway.process import emulator  # noqa: PLC0415
    from gateway.recorded import recorded_transports  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        if emulated:
            rig = _apart(rig.with_ports(await stack.enter_async_context(emulator(path))))
        make = stack.enter_context(recorded_transports(record, rig.buses, rig_hash=rig_hash(path)))
        yield rig, make


def _apart(rig: "Rig") -> "Rig":
    """Return the same rig with a journal of its own: what is emulated must never be taken for what was measured."""
    from gateway.mqtt.journal import journal_path  # noqa: PLC0415

    path = journal_path(rig)
    own = rig.journal.model_copy(update={"path": str(path.with_stem(f"{path.stem}-emulated"))})
    return rig.model_copy(update={"journal": own})


async def _once_with_ports(path: Path, rig: "Rig", record: Path | None, *, emulated: bool, as_json: bool) -> bool:
    async with _at_ports(path, rig, record, emulated=emulated) as (wired, make_transport):
        return await _once(wired, make_transport, as_json=as_json)


async def _run_on(path: Path, rig: "Rig", record: Path | None, http_port: int | None, *, emulated: bool) -> bool:
    """Run until cancelled; after the command `reload` with the rig file as it is then. Systemd is told how it does."""
    import asyncio  # noqa: PLC0415
    import logging  # noqa: PLC0415
    from functools import partial  # noqa: PLC0415

    from drivers.rig_source import rig_hash  # noqa: PLC0415
    from gateway.cli import CommandError  # noqa: PLC0415
    from gateway.process import EmulatorError  # noqa: PLC0415
    from gateway.service import Notifier, report  # noqa: PLC0415

    running: list[Gateway] = []

    def stuck() -> list[str]:
        return [name for each in running for name in each.stuck()]

    def ready() -> bool:
        return any(each.polled for each in running)

    telling = asyncio.create_task(report(Notifier(), ready=ready, stuck=stuck), name="systemd")
    handover: Handover | None = None
    good = now = (rig, rig_hash(path))
    try:
        while True:
            try:
                async with _at_ports(path, now[0], record, emulated=emulated) as (wired, make_transport):
                    reload = None if record else partial(_reloaded, path, http_port, wired.http)
                    with ExitStack() as failing:
                        journal = _journal(wired)
                        if journal is not None:
                            failing.callback(journal.close)
                        gateway = _gateway(
                            wired,
                            now[1],
                            make_transport,
                            reload,
                            handover=handover,
                            journal=journal,
                            emulated=emulated,
                        )
                        running[:] = [gateway]
                        async with _display(gateway, wired):
                            failing.pop_all()  # a gateway that runs closes its journal itself
                            handover = await _to_its_end(gateway, wired)
                good, now = now, (_with_http(handover.rig, http_port), handover.rig_hash)
            except (CommandError, EmulatorError) as error:
                if now is good:
                    raise
                logging.getLogger(__name__).error("reload: %s; the old rig file runs on", error)  # noqa: TRY400
                now = good
    finally:
        telling.cancel()
        await asyncio.wait([telling])


async def _to_its_end(gateway: "Gateway", rig: "Rig") -> "Handover":
    """Run a gateway; when it is stopped, say what becomes of messages that the broker has not got."""
    import asyncio  # noqa: PLC0415

    try:
        return await gateway.run()
    except asyncio.CancelledError:
        _tell_left(gateway, rig)
        raise


def _tell_left(gateway: "Gateway", rig: "Rig") -> None:
    """Say what becomes of messages that the broker has not got."""
    import logging  # noqa: PLC0415

    from gateway.mqtt.journal import journal_path  # noqa: PLC0415

    log, left = logging.getLogger(__name__), gateway.carrier.statistics().outbox
    if not left.messages:
        return
    if rig.journal.keep == "memory":
        log.warning(
            'MQTT: %d messages are lost, since no broker has taken them and [journal] keep is "memory"', left.messages
        )
    elif left.journal_problem:
        log.warning(
            "MQTT: %d messages are lost, since no broker has taken them: %s", left.messages, left.journal_problem
        )
    else:
        log.info("MQTT: %d messages wait in %s for the next start", left.messages, journal_path(rig))


def _reloaded(path: Path, http_port: int | None, ours: "Http") -> "NewRig":
    """Read the rig file anew, and look whether a gateway could start with it.

    Args:
        path: the rig file.
        http_port: in place of the file's, as the command says.
        ours: where we answer by HTTP now: that port is free for the next gateway.

    Raises:
        RigError, ValueError: it could not.
    """
    from drivers.rig_source import load_rig, rig_hash  # noqa: PLC0415
    from gateway.cli import CommandError  # noqa: PLC0415
    from gateway.mqtt.broker import broker  # noqa: PLC0415
    from gateway.operations import NewRig  # noqa: PLC0415

    found = NewRig(rig=load_rig(path), rig_hash=rig_hash(path))
    broker(found.rig.mqtt)
    if not found.rig.transducers:
        raise ValueError(f"{path} has no transducer: there is nothing to poll")
    try:
        _try_http(_with_http(found.rig, http_port).http, ours)
    except CommandError as error:
        raise ValueError(str(error)) from error
    return found


def _try_http(words: "Http", ours: "Http") -> None:
    """Look whether a gateway could answer by HTTP there; see `_reloaded`.

    Raises:
        CommandError, MqttSettingsError: it could not.
    """
    import socket  # noqa: PLC0415

    from gateway.mqtt.credentials import secret  # noqa: PLC0415

    if words.port is None:
        return
    _serving()
    if words.token is not None:
        secret(words.token, "http.token")
    port = 0 if words.port == ours.port else words.port
    try:
        for family, *_, address in socket.getaddrinfo(words.listen, port, type=socket.SOCK_STREAM):
            socket.create_server(address[:2], family=family).close()
    except OSError as error:
        raise _cannot_listen(words, error) from error


def _gateway(
    rig: "Rig",
    rig_hash: str,
    make_transport: "MakeTransport",
    reload: "Callable[[], NewRig] | None",
    *,
    handover: "Handover | None",
    journal: "Journal | None",
    emulated: bool,
) -> "Gateway":
    from drivers.rig_problems import counted  # noqa: PLC0415
    from gateway.app import Gateway  # noqa: PLC0415
    from gateway.calibrations import Calibrations, calibrations_path  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.broker import MqttSettingsError  # noqa: PLC0415
    from gateway.mqtt.link import Link  # noqa: PLC0415

    calibrations = Calibrations(rig, calibrations_path(rig))
    calibrations.load()
    try:
        gateway = Gateway(
            rig,
            rig_hash=rig_hash,
            make_carrier=lambda outbox, **words: Link(rig.mqtt, outbox, **words),
            make_transport=make_transport,
            journal=journal,
            calibrations=calibrations,
            load=reload,
            handover=handover,
            emulated=emulated,
        )
    except MqttSettingsError as error:
        raise CommandError(str(error), USAGE) from error
    what = f"{counted(len(rig.transducers), 'transducer')} on {counted(len(gateway.pollers), 'bus')}"
    where = journal.path if journal is not None else "in memory"
    typer.echo(
        f"{rig.station.id}{', emulated' if emulated else ''}: {what} -> {rig.mqtt.url} manovac/v1/{rig.station.id}/#,"
        f" journal {where}; Ctrl-C ends it",
        err=True,
    )
    return gateway


def _with_http(rig: "Rig", port: int | None) -> "Rig":
    """Return the same rig with the HTTP port that the command says, if it says one."""
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    if port is None:
        return rig
    if not 0 <= port <= 65535:
        raise CommandError(f"--http-port {port}: a number from 0 to 65535", USAGE)
    return rig.model_copy(update={"http": rig.http.model_copy(update={"port": port})})


@asynccontextmanager
async def _display(gateway: "Gateway", rig: "Rig") -> "AsyncIterator[None]":
    """Answer by HTTP, when the rig file or the command says where."""
    if rig.http.port is None:
        yield
        return
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.credentials import MqttSettingsError  # noqa: PLC0415

    serving = _serving()
    async with AsyncExitStack() as stack:
        try:
            address = await stack.enter_async_context(serving(gateway, rig.http))
        except MqttSettingsError as error:
            raise CommandError(str(error), USAGE) from error
        except OSError as error:
            raise _cannot_listen(rig.http, error) from error
        typer.echo(f"{address}/metrics, /healthz, /readyz", err=True)
        yield


def _serving() -> "Callable[[Gateway, Http], AbstractAsyncContextManager[str]]":
    """Return what answers by HTTP, an extra."""
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    try:
        from gateway.display.server import serving  # noqa: PLC0415
    except ImportError as error:
        raise CommandError(f"http.port needs {error.name}: pip install 'manovac[http]'", USAGE) from error
    return serving


def _cannot_listen(words: "Http", error: OSError) -> Exception:
    from gateway.cli import CommandError  # noqa: PLC0415

    return CommandError(f"http: cannot listen on {words.listen}, port {words.port}: {error.strerror}")


def _journal(rig: "Rig") -> "Journal | None":
    """Open the journal; a disk that cannot be used must not keep a gateway from watching, and may be back later."""
    from gateway.cli import CommandError  # noqa: PLC0415
    from gateway.mqtt.journal import JournalBusyError, JournalError, journal_of  # noqa: PLC0415

    journal = journal_of(rig)
    if journal is not None:
        try:
            journal.open()
        except JournalBusyError as error:
            raise CommandError(str(error)) from error  # who has it may end: systemd is to try again
        except JournalError:
            pass  # the keeper says so, and tries again
    return journal


async def _once(rig: "Rig", make_transport: "MakeTransport", *, as_json: bool) -> bool:
    """Print one poll of everything; say whether no reading was bad."""
    from drivers.reading import Quality  # noqa: PLC0415
    from drivers.rig_problems import counted  # noqa: PLC0415
    from gateway.once import poll_once  # noqa: PLC0415

    if not as_json:
        typer.echo(f"{'segment':<12} {'channel':<26} {'value':>14}  {'quality':<9} reason", err=True)
    readings = bad = 0
    async for bus in poll_once(rig, make_transport=make_transport):
        for t_ms, poll in bus.polls:
            for reading in poll:
                readings += 1
                bad += reading.quality is Quality.BAD
                _print(rig, reading, t_ms, as_json=as_json)
        if bus.problem:
            typer.echo(f"bus {bus.name} is down: {bus.problem}", err=True)
    if bad:
        typer.echo(f"{counted(readings, 'reading')}, {bad} bad", err=True)
    return not bad


def _print(rig: "Rig", reading: "Reading", t_ms: int, *, as_json: bool) -> None:
    import orjson  # noqa: PLC0415

    from gateway.cli.shown import row, value_text  # noqa: PLC0415

    segment = rig.transducers[reading.channel.transducer].segment
    if as_json:
        typer.echo(orjson.dumps({"t": t_ms, "segment": segment, "channel": reading.channel.id} | row(reading)).decode())
        return
    value, reason = value_text(rig, reading, 3), reading.reason.word or ""
    typer.echo(f"{segment:<12} {reading.channel.id:<26} {value:>14}  {reading.quality.word:<9} {reason}".rstrip())


def _plan(rig: "Rig", *, as_json: bool) -> None:
    import orjson  # noqa: PLC0415

    from drivers import registry  # noqa: PLC0415
    from drivers.line_use import line_use  # noqa: PLC0415

    uses = line_use(rig, registry.model)
    if as_json:
        typer.echo(orjson.dumps({"buses": uses}, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2).decode())
        return
    for name, use in uses.items():
        bus = rig.buses[name]
        line = f" {bus.baud} {bus.format}" if bus.kind != "modbus-tcp" else f", {bus.window} in flight"
        typer.echo(f"{name}: {bus.kind} {bus.port}{line}")
        typer.echo(f"  {use.fraction:.1%} of the line used; {use.room}")
        for unit, transducers in rig.units(name).items():
            words = next(iter(transducers.values()))
            typer.echo(
                f"  unit {unit:>3}  {words.model:<20} every {use.period_s[unit]:g} s, {use.poll_s[unit] * 1000:6.1f} ms"
                f"  {', '.join(transducers)}"
            )
