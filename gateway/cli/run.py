"""`manovac run`: the gateway of a rig, or what it would do."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.reading import Reading
    from drivers.rig import Rig
    from drivers.transport.transport import MakeTransport
    from gateway.mqtt.journal import Journal


def run(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    *,
    once: Annotated[bool, typer.Option("--once", help="Poll each transducer once, print the readings, exit.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and the load of each bus, exit.")] = False,
    emulated: Annotated[bool, typer.Option("--emulated", help="Start the emulator for the same rig.")] = False,
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

    if once and dry_run:
        raise CommandError("--once and --dry-run exclude each other", USAGE)
    if as_json and not (once or dry_run):
        raise CommandError("--json goes with --once or --dry-run", USAGE)
    if record and dry_run:
        raise CommandError("--record and --dry-run exclude each other: nothing is said then", USAGE)
    words = load_rig(rig)
    if not words.transducers:
        raise CommandError(f"{rig} has no transducer: there is nothing to poll", USAGE)
    if dry_run:
        _plan(words, as_json=as_json)
        return
    from gateway.process import EmulatorError, log_to_terminal  # noqa: PLC0415
    from gateway.process import run as run_process  # noqa: PLC0415
    from gateway.recorded import RecordError  # noqa: PLC0415

    log_to_terminal(logging.DEBUG if verbose else logging.INFO)
    try:
        complete = run_process(_with_ports(rig, words, record, once=once, emulated=emulated, as_json=as_json))
    except EmulatorError as error:
        raise CommandError(str(error), error.code) from error
    except RecordError as error:
        raise CommandError(str(error)) from error
    if once and not complete:
        raise typer.Exit(INTERRUPTED if complete is None else RUN_TIME_FAILURE)


async def _with_ports(
    path: Path, rig: "Rig", record: Path | None, *, once: bool, emulated: bool, as_json: bool
) -> bool:
    from gateway.app import rig_hash  # noqa: PLC0415
    from gateway.process import emulator  # noqa: PLC0415
    from gateway.recorded import recorded_transports  # noqa: PLC0415

    if emulated:
        async with emulator(path) as ports:
            return await _with_ports(path, rig.with_ports(ports), record, once=once, emulated=False, as_json=as_json)
    with recorded_transports(record, rig.buses, rig_hash=rig_hash(path)) as make_transport:
        return await _run(path, rig, make_transport, once=once, as_json=as_json)


async def _run(path: Path, rig: "Rig", make_transport: "MakeTransport", *, once: bool, as_json: bool) -> bool:
    """Run until cancelled, or once; say whether no reading was bad."""
    if once:
        return await _once(rig, make_transport, as_json=as_json)
    from drivers.rig_problems import counted  # noqa: PLC0415
    from gateway.app import Gateway, rig_hash  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.broker import MqttSettingsError  # noqa: PLC0415
    from gateway.mqtt.journal import JournalBusyError  # noqa: PLC0415
    from gateway.mqtt.link import Link  # noqa: PLC0415

    try:
        gateway = Gateway(
            rig,
            rig_hash=rig_hash(path),
            make_carrier=lambda outbox, **words: Link(rig.mqtt, outbox, **words),
            make_transport=make_transport,
            journal=_journal(rig),
        )
    except (MqttSettingsError, JournalBusyError) as error:
        raise CommandError(str(error), USAGE) from error
    typer.echo(
        f"{rig.station.id}: {counted(len(rig.transducers), 'transducer')} on {counted(len(gateway.pollers), 'bus')}"
        f" -> {rig.mqtt.url} manovac/v1/{rig.station.id}/#; Ctrl-C ends it",
        err=True,
    )
    await gateway.run()
    return True


def _journal(rig: "Rig") -> "Journal | None":
    """Open the journal; a disk that cannot be used must not keep a gateway from watching."""
    import logging  # noqa: PLC0415

    from gateway.mqtt.journal import JournalBusyError, JournalError, journal_of  # noqa: PLC0415

    journal = journal_of(rig)
    try:
        if journal is not None:
            journal.open()
    except JournalBusyError:
        raise
    except JournalError as error:
        message = "%s; going on in memory: what the broker has not taken is lost when we end"
        logging.getLogger(__name__).error(message, error)  # noqa: TRY400 - whoever reads it needs no traceback
        return None
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
