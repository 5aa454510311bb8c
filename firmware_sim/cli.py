"""`manovac emulate`: an emulated rig on pseudo-terminals and TCP ports, for any gateway."""

import asyncio
import os
import signal
import sys
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from drivers.units import UnitError, parse_quantity, parse_time
from firmware_sim import EmulatorError
from firmware_sim.faults import KINDS

if TYPE_CHECKING:
    from drivers.rig import Rig
    from firmware_sim.fleet import Fleet
    from firmware_sim.physics.world import World

_CHUNK: Final = 4096
_FAULT_HELP: Final = "A fault, such as late:sm_p1@10s+5s,delay=400ms. Kinds: " + "; ".join(
    f"{name}: {kind.title}" for name, kind in KINDS.items()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Until:
    """When to end, besides at a signal."""

    duration_s: float | None
    input_ends: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What is to happen."""

    faults: list[str]
    leaks: list[str]
    scenario: str | None


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
        told = _Told(faults=fault or [], leaks=leak or [], scenario=scenario)
        _run(_seeded(load_rig(rig), seed), told, record, until, as_json=as_json)
    except UnitError as error:
        _fail(f"--duration {duration}: {error}", 2)
    except (RigError, EmulatorError) as error:
        _fail(str(error), 2)
    except OSError as error:
        _fail(f"cannot emulate {rig}: {error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1)


def _fail(message: str, code: int) -> None:
    typer.echo(message, err=True)
    raise typer.Exit(code)


def _seeded(rig: "Rig", seed: int | None) -> "Rig":
    if seed is None:
        return rig
    return rig.model_copy(update={"emulator": rig.emulator.model_copy(update={"seed": seed})})


def _run(rig: "Rig", told: _Told, record: Path | None, until: _Until, *, as_json: bool) -> None:
    from drivers.precise_loop import precise_event_loop  # noqa: PLC0415 - keeps --help fast
    from firmware_sim.fleet import Fleet  # noqa: PLC0415
    from firmware_sim.physics.world import World  # noqa: PLC0415
    from firmware_sim.scenario import load_scenario  # noqa: PLC0415
    from firmware_sim.trace import Trace  # noqa: PLC0415

    with ExitStack() as files:
        trace = None if record is None else Trace(files.enter_context(record.open("wb")))
        world = World(rig) if told.scenario is None else load_scenario(told.scenario).world(rig)
        for leak in told.leaks:
            _open_leak(world, leak)
        fleet = Fleet(rig, world=world, trace=trace, faults=told.faults)
        with asyncio.Runner(loop_factory=precise_event_loop) as runner:
            runner.run(_serve(fleet, rig, until, as_json=as_json))
    if trace is not None:
        typer.echo(f"recorded {record} (sha256 {trace.hash()})", err=True)


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


async def _serve(fleet: "Fleet", rig: "Rig", until: _Until, *, as_json: bool) -> None:
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup wants it to go on
            loop.add_signal_handler(number, over.set)
    if until.input_ends:
        loop.add_reader(sys.stdin, _end_with_input, over)
    async with fleet.serve():
        _print_ports(fleet, as_json=as_json)
        end = "Ctrl-C ends it" if until.duration_s is None else f"for {until.duration_s:g} s"
        typer.echo(f"{len(rig.transducers)} transducers of {rig.station.id} are emulated; {end}", err=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(until.duration_s):
                await over.wait()
    _print_statistics(fleet, as_json=as_json)


def _end_with_input(over: asyncio.Event) -> None:
    if not os.read(sys.stdin.fileno(), _CHUNK):
        over.set()


def _print_ports(fleet: "Fleet", *, as_json: bool) -> None:
    if as_json:
        import orjson  # noqa: PLC0415 - keeps --help fast

        typer.echo(orjson.dumps({"ports": fleet.ports}).decode())
    else:
        width = max(map(len, fleet.ports), default=0)
        for bus, port in fleet.ports.items():
            typer.echo(f"{bus:<{width}}  {port}")
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
