"""`manovac record`: what is said on real lines, into a trace file."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.connection import Connection
    from drivers.rig import Bus, Rig
    from drivers.transport.tap import Recording
    from drivers.transport.transport import MakeTransport

_LISTENED = "line"


def record(
    rig: Annotated[Path | None, typer.Argument(help="The rig file: its buses are polled.", metavar="RIG")] = None,
    *,
    to: Annotated[Path, typer.Option("--to", help="The trace file to write.", metavar="FILE")],
    bus: Annotated[list[str] | None, typer.Option(help="Only this bus of the rig; may be given again.")] = None,
    listen: Annotated[
        str, typer.Option(help="Send nothing: listen at this serial port while others talk.", metavar="PORT")
    ] = "",
    baud: Annotated[int, typer.Option(min=300, max=4_000_000, help="Speed of the line that is listened to.")] = 9600,
    data_format: Annotated[str, typer.Option("--format", help="Its format.")] = "8N1",
    duration: Annotated[str, typer.Option(help="End after this time, such as 60s; else at Ctrl-C.")] = "",
    emulated: Annotated[bool, typer.Option("--emulated", help="Start the emulator for the same rig.")] = False,
) -> None:
    """Record a line: poll a rig by its schedule without MQTT, or listen while others talk.

    Polling, each byte is seen as the gateway sees it: what goes out when it is written, what comes in when the adapter
    hands it on. Listening, the adapter must only hear; Modbus and KELLER frames are told apart by their checksums.

    Exit codes: 0 recorded; 1 a bus was not once open in --duration, or the file cannot be written; 2 usage or rig file.
    """
    import logging  # noqa: PLC0415

    from drivers.rig_source import load_rig  # noqa: PLC0415
    from drivers.units import UnitError, parse_time  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.process import EmulatorError, log_to_terminal  # noqa: PLC0415
    from gateway.process import run as run_process  # noqa: PLC0415
    from gateway.recorded import RecordError  # noqa: PLC0415

    if (rig is None) is (not listen):
        raise CommandError("write either RIG, to poll its buses, or --listen PORT", USAGE)
    if listen and (bus or emulated):
        raise CommandError(f"{'--bus' if bus else '--emulated'} goes with RIG", USAGE)
    try:
        duration_s = parse_time(duration) if duration else None
    except UnitError as error:
        raise CommandError(f"--duration {duration}: {error}", USAGE) from error
    log_to_terminal(logging.WARNING)
    try:
        if rig is None:
            run_process(_listen(_listened(listen, baud, data_format), to, duration_s))
        else:
            run_process(_poll(rig, _only(load_rig(rig), bus or [], rig), to, duration_s, emulated=emulated))
    except EmulatorError as error:
        raise CommandError(str(error), error.code) from error
    except BrokenPipeError:  # of our output: no bus lets one out
        raise
    except (ConnectionError, RecordError) as error:
        raise CommandError(str(error)) from error


def _only(rig: "Rig", names: list[str], path: Path) -> "Rig":
    """Return the rig with those buses alone, all of them when none is named."""
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    for name in names:
        if name not in rig.buses:
            hint = did_you_mean(name, rig.buses) or f"; it has {', '.join(rig.buses) or 'none'}"
            raise CommandError(f"{path} has no bus '{name}'{hint}", USAGE)
    buses = {name: bus for name, bus in rig.buses.items() if name in (names or rig.buses) and rig.units(name)}
    if not buses:
        raise CommandError(f"{path} has no transducer on {', '.join(names) or 'any bus'}: nothing to poll", USAGE)
    return rig.model_copy(update={"buses": buses})


def _listened(port: str, baud: int, data_format: str) -> "Bus":
    from pydantic import ValidationError  # noqa: PLC0415

    from drivers.rig import Bus  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    if not port.startswith("/"):
        raise CommandError(f"--listen {port}: write a serial port, such as /dev/ttyUSB0", USAGE)
    try:
        return Bus.model_validate({"kind": "serial", "port": port, "baud": baud, "format": data_format.upper()})
    except ValidationError as error:
        raise CommandError(
            f"--format {data_format}: not data bits, parity and stop bits, such as 8N1", USAGE
        ) from error


async def _poll(path: Path, rig: "Rig", to: Path, duration_s: float | None, *, emulated: bool) -> None:
    from drivers.rig_source import rig_hash  # noqa: PLC0415
    from gateway.process import emulator  # noqa: PLC0415
    from gateway.recorded import recording  # noqa: PLC0415

    if emulated:
        async with emulator(path) as ports:
            await _poll(path, rig.with_ports(ports), to, duration_s, emulated=False)
        return
    with recording(to, rig.buses, rig_hash=rig_hash(path)) as taken:
        typer.echo(f"polling {', '.join(rig.buses)} of {rig.station.id} into {to}{_end(duration_s)}", err=True)
        try:
            await _poll_all(rig, taken.over(), duration_s)
        finally:
            _conclude(taken, to)


async def _poll_all(rig: "Rig", make_transport: "MakeTransport", duration_s: float | None) -> None:
    """Run the rig's schedule, and forget what it brings.

    Raises:
        ConnectionError: a bus was never open.
    """
    from drivers.bus import Bus  # noqa: PLC0415
    from drivers.reader import reader  # noqa: PLC0415
    from gateway.poller import Poller, periods  # noqa: PLC0415

    pollers = []
    for name, words in rig.buses.items():
        bus, units = Bus(name, words, make_transport=make_transport), rig.units(name)
        readers = {unit: reader(bus, unit, transducers) for unit, transducers in units.items()}
        pollers.append(Poller(bus, readers, periods(units), lambda _unit, _raw: None))
    try:
        async with asyncio.timeout(duration_s), asyncio.TaskGroup() as tasks:
            for poller in pollers:
                tasks.create_task(poller.run(), name=f"bus {poller.bus.name}")
    except TimeoutError:
        pass
    never = [f"bus {each.bus.name} was never open: {each.bus.problem}" for each in pollers if not each.bus.connects]
    if never:
        raise ConnectionError("\n".join(never))


async def _listen(bus: "Bus", to: Path, duration_s: float | None) -> None:
    """Record what others say until the time is over.

    Raises:
        ConnectionError: the port cannot be opened.
    """
    from drivers.connection import Connection  # noqa: PLC0415
    from drivers.transport.choose import transport_for  # noqa: PLC0415
    from gateway.recorded import recording  # noqa: PLC0415

    with recording(to, {_LISTENED: bus}, listening=True) as taken:
        connection = Connection(transport_for(bus), taken.listener(_LISTENED))
        typer.echo(f"listening at {bus.port}, {bus.baud} {bus.format}, into {to}{_end(duration_s)}", err=True)
        try:
            async with asyncio.timeout(duration_s), asyncio.TaskGroup() as tasks:
                tasks.create_task(connection.run(), name=f"listener at {bus.port}")
                tasks.create_task(_tell_trouble(connection), name=f"trouble at {bus.port}")
        except TimeoutError:
            pass
        finally:
            _conclude(taken, to)
        if not connection.connects:
            raise ConnectionError(connection.problem)


async def _tell_trouble(connection: "Connection") -> None:
    """Say when the port is lost or not there, and when it is back: a listener that hears nothing looks well."""
    told = ""
    while True:
        await connection.changed.wait()
        connection.changed.clear()
        if connection.problem != told:
            told = connection.problem
            typer.echo(f"not listening: {told} (tried again until it is back)" if told else "listening again", err=True)


def _conclude(taken: "Recording", to: Path) -> None:
    taken.close()
    typer.echo(f"{to}: {taken.count} records", err=True)


def _end(duration_s: float | None) -> str:
    return "; Ctrl-C ends it" if duration_s is None else f" for {duration_s:g} s"
