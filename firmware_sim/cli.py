"""`manovac emulate` and `manovac replay`: emulated or recorded lines on ptys and TCP ports, for any gateway."""

import asyncio
import hashlib
import os
import signal
import sys
from contextlib import ExitStack, nullcontext, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, Final

import typer

from drivers.units import UnitError, parse_quantity, parse_time
from firmware_sim import EmulatorError
from firmware_sim.fault_kinds import KINDS

if TYPE_CHECKING:
    from drivers.rig import Rig
    from drivers.trace.records import Header
    from firmware_sim.control.server import ControlServer
    from firmware_sim.fleet import Fleet
    from firmware_sim.physics.world import World
    from firmware_sim.replay import Replay

_CHUNK: Final = 4096
_UNKNOWN_SHOWN: Final = 10
_FAULT_HELP: Final = "A fault, such as late:sm_p1@10s+5s,delay=400ms. Kinds: " + "; ".join(
    f"{name}: {kind.text}" for name, kind in KINDS.items()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Until:
    """When to end, besides at a signal."""

    duration_s: float | None
    input_ends: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is to happen, and where the lines are."""

    faults: list[str]
    leaks: list[str]
    scenario: str | None
    control: str | None
    serial: dict[str, str]
    formats: dict[str, str]


def emulate(
    rig: Annotated[Path, typer.Argument(help="The rig file; the ports in it do not matter.", metavar="RIG")],
    *,
    fault: Annotated[list[str] | None, typer.Option(help=_FAULT_HELP)] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="One seed, one history; instead of the rig file's.")] = None,
    record: Annotated[Path | None, typer.Option(help="Write every run of bytes to this file, as JSON lines.")] = None,
    duration: Annotated[str | None, typer.Option(help="End after this time, such as 60s.")] = None,
    leak: Annotated[
        list[str] | None,
        typer.Option(
            help="A segment that loses air from a time on: a plain ramp, such as prk@20s,20Pa/s, or a hole of that"
            " diameter, such as prk@20s,0.5mm."
        ),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="What happens to the air: a scenario file, or the name of one that ships.")
    ] = None,
    control: Annotated[
        str | None,
        typer.Option(
            help="Let `manovac sim` and programs control it here: a socket's path, or 127.0.0.1:PORT.",
            metavar="ADDRESS",
        ),
    ] = None,
    serial: Annotated[
        list[str] | None,
        typer.Option(
            help="Serve a bus on a real line, in place of its transducers: BUS=PATH of an RS-485 adapter, such as "
            "aft=/dev/serial/by-id/usb-FTDI_..."
        ),
    ] = None,
    client_format: Annotated[
        list[str] | None,
        typer.Option(help="What a bus' client uses where a pty cannot show it: BUS=FORMAT, such as aft=8E1."),
    ] = None,
    until_input_ends: Annotated[
        bool,
        typer.Option("--until-input-ends", help="End when standard input does, as with the program that started it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the ports as one JSON object.")] = False,
) -> None:
    """Emulate a rig's transducers and lines, print each bus' port, and run until Ctrl-C."""
    from drivers.rig_problems import RigError  # noqa: PLC0415 - keeps --help fast
    from drivers.rig_source import load_rig  # noqa: PLC0415

    try:
        until = _Until(duration_s=None if duration is None else parse_time(duration), input_ends=until_input_ends)
        told = _Told(
            faults=fault or [],
            leaks=leak or [],
            scenario=scenario,
            control=control,
            serial=_by_bus("--serial", serial, "aft=/dev/serial/by-id/usb-FTDI_..."),
            formats=_by_bus("--client-format", client_format, "aft=8E1"),
        )
        _run(rig, _seeded(load_rig(rig), seed), told, record, until, as_json=as_json)
    except UnitError as error:
        _fail(f"--duration {duration}: {error}", 2)
    except (RigError, EmulatorError) as error:
        _fail(str(error), 2)
    except BrokenPipeError:  # whoever read our output has gone
        raise
    except OSError as error:
        _fail(f"cannot emulate {rig}: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)


def replay(
    trace: Annotated[
        Path, typer.Argument(help="A trace: of `record`, `run --record` or `emulate --record`.", metavar="TRACE")
    ],
    *,
    speed: Annotated[float, typer.Option(min=0.001, help="Divide the delays of the record by this.")] = 1.0,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Silence, not the last answer again, for what is asked more often than recorded."
        ),
    ] = False,
    fault: Annotated[
        list[str] | None, typer.Option(help="A fault besides what was recorded; devices are named BUS_ADDRESS.")
    ] = None,
    record: Annotated[Path | None, typer.Option(help="Record the replay into this trace file.", metavar="FILE")] = None,
    duration: Annotated[str | None, typer.Option(help="End after this time, such as 60s.")] = None,
    until_input_ends: Annotated[
        bool,
        typer.Option("--until-input-ends", help="End when standard input does, as with the program that started it."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print ports, and at the end the counts, as JSON.")] = False,
) -> None:
    """Serve a recorded line as devices: a recorded question gets its recorded answer, after the recorded delay.

    Asked several times, its answers come one after another, then the last one again. What is not in the record gets
    silence, and is told at the end.
    """
    from firmware_sim.replay import load_replay  # noqa: PLC0415 - keeps --help fast

    try:
        until = _Until(duration_s=None if duration is None else parse_time(duration), input_ends=until_input_ends)
        with ExitStack() as files:
            copy = None if record is None else files.enter_context(_record_file(record, trace))
            played = load_replay(trace, speed=speed, strict=strict, faults=fault or [], copy=copy)
            _replay(played, trace, until, as_json=as_json)
    except UnitError as error:
        _fail(f"--duration {duration}: {error}", 2)
    except EmulatorError as error:
        _fail(str(error), 2)
    except BrokenPipeError:  # whoever read our output has gone
        raise
    except OSError as error:
        _fail(f"cannot replay {trace}: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)


def _record_file(record: Path, source: Path) -> BinaryIO:
    from drivers.trace.records import TraceError, create_trace  # noqa: PLC0415 - keeps --help fast

    if record.resolve() == source.resolve():
        raise EmulatorError(f"--record {record}: that is the file to read")
    try:
        return create_trace(record)
    except TraceError as error:
        raise EmulatorError(f"--record {error}") from error


def _replay(played: "Replay", trace: Path, until: _Until, *, as_json: bool) -> None:
    from drivers.precise_loop import precise_event_loop  # noqa: PLC0415 - keeps --help fast

    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        runner.run(_serve(played.fleet, f"{trace} is replayed", until, as_json=as_json))
    for bus, tape in played.tapes.items():
        told = tape.statistics
        unknown = told.unknown.total() + told.unknown_others
        if as_json:
            import orjson  # noqa: PLC0415 - keeps --help fast

            questions = {question.hex(): number for question, number in told.unknown.most_common()}
            with suppress(BrokenPipeError):
                typer.echo(orjson.dumps({"bus": bus, **asdict(told), "unknown": questions}).decode())
            continue
        typer.echo(
            f"{bus}: {told.answered} answered, {told.repeated} asked more often than recorded, {told.silent} silent as"
            f" in the record, {unknown} not in the record; {told.unasked} runs unasked",
            err=True,
        )
        for question, number in told.unknown.most_common(_UNKNOWN_SHOWN):
            typer.echo(f"  not in the record: {question.hex(' ')}  {number} x", err=True)


def _fail(message: str, code: int) -> None:
    typer.echo(f"manovac: {message}", err=True)
    raise typer.Exit(code)


def _by_bus(option: str, specs: list[str] | None, example: str) -> dict[str, str]:
    """Parse "BUS=VALUE" words."""
    words: dict[str, str] = {}
    for spec in specs or []:
        bus, _, value = spec.partition("=")
        if not (bus and value):
            raise EmulatorError(f'{option} "{spec}": write BUS=VALUE; example: {example}')
        if bus in words:
            raise EmulatorError(f'{option} "{spec}": bus {bus} is already given as {words[bus]}')
        words[bus] = value
    return words


def _seeded(rig: "Rig", seed: int | None) -> "Rig":
    if seed is None:
        return rig
    return rig.model_copy(update={"emulator": rig.emulator.model_copy(update={"seed": seed})})


def _header(rig: "Rig", path: Path) -> "Header":
    from drivers.trace.records import Header, View  # noqa: PLC0415 - keeps --help fast

    return Header(
        view=View.LINE,
        by=f"manovac {version('manovac')}",
        buses=rig.buses,
        start=datetime.now(UTC).isoformat(timespec="milliseconds"),
        rig=hashlib.sha256(path.read_bytes()).hexdigest(),
        seed=rig.emulator.seed,
    )


def _run(path: Path, rig: "Rig", told: _Told, record: Path | None, until: _Until, *, as_json: bool) -> None:
    from drivers.precise_loop import precise_event_loop  # noqa: PLC0415 - keeps --help fast
    from drivers.rig_problems import counted  # noqa: PLC0415
    from drivers.trace.records import Trace  # noqa: PLC0415
    from firmware_sim.control.address import parse_address  # noqa: PLC0415
    from firmware_sim.control.control import Control  # noqa: PLC0415
    from firmware_sim.control.server import ControlServer  # noqa: PLC0415
    from firmware_sim.fleet import Fleet  # noqa: PLC0415
    from firmware_sim.physics.world import World  # noqa: PLC0415
    from firmware_sim.scenario import load_scenario  # noqa: PLC0415

    with ExitStack() as files:
        trace = (
            None
            if record is None
            else Trace(files.enter_context(_record_file(record, path)), header=_header(rig, path))
        )
        address = None if told.control is None else parse_address(told.control)
        scenario = None if told.scenario is None else load_scenario(told.scenario)
        world = World(rig) if scenario is None else scenario.world(rig)
        for leak in told.leaks:
            _open_leak(world, leak)
        fleet = Fleet(
            rig,
            world=world,
            trace=trace,
            faults=told.faults,
            formats=told.formats,
            serial=told.serial,
            tell=lambda message: typer.echo(message, err=True),
        )
        control = Control(fleet)
        for deed in () if scenario is None else scenario.events:
            control.expect(deed)
        server = None if address is None else ControlServer(control, fleet.events, address)
        with asyncio.Runner(loop_factory=precise_event_loop) as runner:
            are = "is" if len(rig.transducers) == 1 else "are"
            what = f"{counted(len(rig.transducers), 'transducer')} of {rig.station.id} {are} emulated"
            runner.run(_serve(fleet, what, until, server, as_json=as_json))
    if trace is not None:
        typer.echo(f"recorded {record}: {trace.count} records, sha256 of them {trace.hash()}", err=True)


def _open_leak(world: "World", spec: str) -> None:
    from firmware_sim.physics.setting import hole  # noqa: PLC0415 - keeps --help fast

    try:
        segment, at_s, size, dimension = _leak(spec)
        if dimension == "length":
            world.open(f"hole {segment}", hole(segment, size), round(at_s * 1e9))
        else:
            world.leak(segment, size, round(at_s * 1e9))
    except (UnitError, LookupError) as error:
        raise EmulatorError(f'leak "{spec}": {error}; examples: prk@20s,20Pa/s and prk@20s,0.5mm') from None


def _leak(spec: str) -> tuple[str, float, float, str]:
    """Parse "prk@20s,20Pa/s" or "prk@20s,0.5mm" into segment, s, Pa/s or m, and which of them."""
    place, _, size = spec.partition(",")
    segment, _, time = place.partition("@")
    if not (segment and time and size):
        raise UnitError("write SEGMENT@TIME,RATE or SEGMENT@TIME,DIAMETER")
    dimension = "length" if size.rstrip().endswith("m") else "pressure rate"
    at_s, number = parse_quantity(time, "time"), parse_quantity(size, dimension)
    if at_s < 0 or number < 0:
        raise UnitError("time, rate and diameter must not be negative")
    return segment, at_s, number, dimension


async def _serve(
    fleet: "Fleet", what: str, until: _Until, server: "ControlServer | None" = None, *, as_json: bool
) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup wants it to go on
            loop.add_signal_handler(number, over.set)
    if until.input_ends:
        loop.add_reader(sys.stdin, _end_with_input, over)
    async with fleet.serve(), nullcontext() if server is None else server.serve():
        _print_ports(fleet, server, as_json=as_json)
        end = "Ctrl-C ends it" if until.duration_s is None else f"for {until.duration_s:g} s"
        typer.echo(f"{what}; {end}", err=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(until.duration_s):
                await over.wait()
    _print_statistics(fleet, as_json=as_json)


def _end_with_input(over: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), _CHUNK):
        over.set()


def _print_ports(fleet: "Fleet", server: "ControlServer | None", *, as_json: bool) -> None:
    if as_json:
        import orjson  # noqa: PLC0415 - keeps --help fast

        told = {"ports": fleet.ports} if server is None else {"ports": fleet.ports, "control": str(server.address)}
        typer.echo(orjson.dumps(told).decode())
    else:
        width = max(map(len, fleet.ports), default=0)
        for bus, port in fleet.ports.items():
            typer.echo(f"{bus:<{width}}  {port}")
        if server is not None:
            typer.echo(f"controlled by: manovac sim --control {server.address} status", err=True)
    sys.stdout.flush()


def _print_statistics(fleet: "Fleet", *, as_json: bool) -> None:
    """Tell what happened on the lines; whoever started the emulator may be gone by now."""
    lines = {bus: line.statistics for bus, line in fleet.lines.items()}
    if as_json:
        import orjson  # noqa: PLC0415 - keeps --help fast

        told = {
            bus: {
                "requests": each.requests,
                "answers": each.answers,
                "violations": each.violations,
                "collisions": each.collisions,
                "busy_s": each.busy_ns / 1e9,
            }
            for bus, each in lines.items()
        }
        with suppress(BrokenPipeError):
            typer.echo(orjson.dumps({"lines": told}).decode())
        return
    for bus, each in lines.items():
        typer.echo(
            f"{bus}: {each.requests} requests, {each.answers} answers, {each.violations} requests sooner than T3.5,"
            f" {each.collisions} collisions",
            err=True,
        )
