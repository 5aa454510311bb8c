"""The command `manovac`: finds its sub-commands, loads only the one that is called, and turns errors into exit codes.

Exit codes: 0 ok, 1 run-time failure, 2 usage or rig file, 3 a check failed, 4 it could not be made. Data goes to
stdout, talk to stderr.
A sub-command is a plain function with typer's annotations, or a `typer.Typer` with several. A built-in one takes a line
in `_BUILT_IN` and a module of `gateway.cli`; any other package offers one by an entry point of `manovac.commands`.
"""

import errno
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

GROUP: Final = "manovac.commands"
PACKAGES: Final = ("drivers", "firmware_sim", "gateway", "hil")

RUN_TIME_FAILURE: Final = 1
USAGE: Final = 2
CHECK_FAILED: Final = 3
UNDECIDED: Final = 4  # a check that could not be made
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
INTERRUPTED: Final = 130  # what shells expect after SIGINT

_BUILT_IN: Final = {
    "run": ("gateway.cli.run:run", "Run the gateway of a rig."),
    "init": ("gateway.cli.init:init", "Write a rig file to begin with."),
    "check": ("gateway.cli.check:check", "Check a rig file: every mistake at once, with its place."),
    "schema": ("gateway.cli.check:schema", "Print the JSON Schema of the rig file, for editors."),
    "models": ("gateway.cli.models:models", "List the transducer families that a rig file can name."),
    "ports": ("gateway.cli.ports:ports", "List serial ports and what is wrong with them."),
    "scan": ("gateway.cli.scan:scan", "Look for transducers on a bus."),
    "read": ("gateway.cli.read:read", "Show live values, raw frames and statistics."),
    "leak": ("gateway.cli.leak:app", "Whether and where air is lost; which hatch to close."),
    "hatch": ("gateway.cli.hatch:hatch", "Tell the gateway that a hatch was opened or closed."),
    "event": ("gateway.cli.event:event", "Tell of a repress, an airlock cycle or a docking."),
    "command": ("gateway.cli.command:command", "Give any command to the gateway."),
    "analyse": ("gateway.cli.analyse:analyse", "Look for leaks in recorded readings; write a report."),
    "sub": ("gateway.cli.sub:sub", "Receive a station's record; tell what is missing."),
    "service": ("gateway.cli.service:service", "Print the systemd unit that runs the gateway of a rig."),
    "broker-config": (
        "gateway.cli.broker_config:broker_config",
        "Write a broker's access rules for a rig.",
    ),
    "record": ("gateway.cli.record:record", "Record what is said on real lines into a trace file."),
    "trace": ("gateway.cli.trace:app", "Show a trace, or tell where two differ."),
}
_OTHERS: Final = {
    "demo": "Run all of it here: emulated rig, broker, gateway.",
    "emulate": "Run only the emulated rig.",
    "sim": "Control an emulated rig while it runs.",
    "replay": "Serve a recorded line as devices, with its timing.",
}
_ORDER: Final = (
    *("demo", "run", "emulate", "sim", "init", "check", "schema", "models", "ports", "scan", "read", "leak", "hatch"),
    *("event", "command", "analyse", "sub", "record", "replay", "trace", "service", "broker-config"),
)
_LIBRARIES: Final = ("aiomqtt", "numpy", "orjson", "pydantic", "pymodbus", "pyserial", "pyserial-asyncio-fast", "typer")


class CommandError(Exception):
    """What a command could not do, for the person who called it: printed without traceback, then exit with `code`."""

    def __init__(self, message: str, code: int = RUN_TIME_FAILURE) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Command:
    """A sub-command that is not loaded yet."""

    entry: EntryPoint
    summary: str

    def load(self) -> Callable[..., object]:
        try:
            loaded = self.entry.load()
        except ImportError as error:
            raise CommandError(
                f"command '{self.entry.name}' ({self.entry.value}) cannot be loaded: {error}\n"
                "install what is missing, or install Manovac again"
            ) from error
        if not callable(loaded):
            raise CommandError(f"command '{self.entry.name}': {self.entry.value} is not a function")
        return loaded  # type: ignore[no-any-return] # an entry point may be anything; callable() was asked


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run `manovac` with the given arguments (the process' own by default) and exit."""
    try:
        try:
            _assert_one_installation()
            _app()(args=args, prog_name="manovac")
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _give_up_output()
        sys.exit(RUN_TIME_FAILURE)
    except OSError as error:
        if error.filename is not None or error.errno not in _NO_ROOM:
            raise
        _give_up_output()
        print(f"manovac: cannot write the output: {error.strerror}", file=sys.stderr)  # noqa: T201
        sys.exit(RUN_TIME_FAILURE)
    except CommandError as error:
        print(f"manovac: {error}", file=sys.stderr)  # noqa: T201 - the command line speaks by print
        sys.exit(error.code)
    sys.exit(0)


def _give_up_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it closes stdout


def _app() -> typer.Typer:
    app = typer.Typer(
        rich_markup_mode=None,  # rich takes longer to import than everything else here
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for name, command in _commands().items():
        # The stand-in takes everything as it is, --help too, and hands it on to the real command.
        app.command(
            name,
            help=command.summary,
            add_help_option=False,
            context_settings={
                "ignore_unknown_options": True,
                "allow_extra_args": True,
                "allow_interspersed_args": False,
                "help_option_names": [],
            },
        )(_stand_in(command))
    return app


def group() -> typer.Typer:
    """Make an empty command, to be given functions: one is the command itself, several are its sub-commands."""
    return typer.Typer(
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _commands() -> dict[str, _Command]:
    commands = {
        name: _Command(entry=EntryPoint(name=name, value=value, group=GROUP), summary=summary)
        for name, (value, summary) in _BUILT_IN.items()
    }
    for entry in entry_points(group=GROUP):
        origin = entry.dist.name if entry.dist else "another package"
        commands.setdefault(entry.name, _Command(entry=entry, summary=_OTHERS.get(entry.name, f"(from {origin})")))
    first = {name: commands.pop(name) for name in _ORDER if name in commands}
    return first | dict(sorted(commands.items()))


def _stand_in(command: _Command) -> Callable[[typer.Context], None]:
    def call(context: typer.Context) -> None:
        loaded = command.load()
        if isinstance(loaded, typer.Typer):
            real = loaded
        else:
            real = group()
            real.command(command.entry.name)(loaded)
        try:
            real(args=context.args, prog_name=context.command_path)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            from drivers.rig_problems import RigError  # noqa: PLC0415 - --help needs none of it

            if isinstance(error, RigError):
                raise CommandError(str(error), USAGE) from error
            raise

    return call


def _show_version(asked: bool) -> None:  # noqa: FBT001 - typer's form
    if asked:
        for name, text in _versions().items():
            typer.echo(f"{name} {text}")
        raise typer.Exit


def _root(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Print versions and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Poll, publish and emulate a station's pressure transducers.

    Exit codes: 0 ok, 1 run-time failure, 2 usage or rig file, 3 a check failed, 4 it could not be made.
    """


def _versions() -> dict[str, str]:
    versions = {"manovac": _version("manovac"), "python": f"{platform.python_version()} ({platform.platform()})"}
    board = Path("/proc/device-tree/model")
    if board.exists():
        versions["board"] = board.read_text(encoding="ascii", errors="replace").rstrip("\0")
    return versions | {name: _version(name) for name in _LIBRARIES}


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "not installed"


def _assert_one_installation() -> None:
    """The packages have plain names: a folder that happens to be called `drivers` must not take the place of ours."""
    homes: dict[str, str] = {}
    for package in PACKAGES:
        spec = find_spec(package)
        places = list(spec.submodule_search_locations or ()) if spec else []
        homes[package] = str(Path(places[0]).resolve().parent) if places else "not found"
    if len(set(homes.values())) > 1 or "not found" in homes.values():
        where = "\n".join(f"  {package}: {home}" for package, home in homes.items())
        raise CommandError(
            f"the packages of Manovac do not come from one installation:\n{where}\n"
            "start it from another folder, or install it again in a fresh virtual environment"
        )
