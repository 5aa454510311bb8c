"""`manovac command`: give any command to the running gateway."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from gateway.mqtt.commands import Command

_RESCAN_S: Final = {"transducer": 30.0, "bus": 120.0}  # a bus may be full of silent units
_WAY_S: Final = 5.0  # there and back


def command(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    name: Annotated[str, typer.Argument(help="rate, pause, write, ...; docs/commands.md lists them.", metavar="NAME")],
    words: Annotated[
        list[str] | None, typer.Argument(help="The command's own keys, such as transducer=p1.", metavar="KEY=VALUE")
    ] = None,
    *,
    by: Annotated[str, typer.Option(help="Who says so; your user name when not given.", metavar="NAME")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
) -> None:
    """Give a command to the running gateway and print what came of it.

    The gateway has to run, and its broker be reached. Exit codes: 0 done; 1 refused, failed or no answer;
    2 usage or rig file.
    """
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.cli.teller import tell  # noqa: PLC0415
    from gateway.mqtt.commands import KINDS  # noqa: PLC0415

    loaded = load_rig(rig)
    if name not in KINDS:
        hint = did_you_mean(name, KINDS) or f"; there are: {', '.join(KINDS)}"
        raise CommandError(f"no command '{name}'{hint}", USAGE)
    given = dict(_pair(text, KINDS[name]) for text in words or [])
    limit_s = _RESCAN_S["bus" if "bus" in given else "transducer"] if name == "rescan" else KINDS[name].limit_s
    answer = tell(loaded, KINDS[name], given, by=by, as_json=as_json, wait_s=limit_s + _WAY_S)
    if not as_json:
        typer.echo(
            f"{name}: done" + "".join(f"  {key}={_shown(value)}" for key, value in (answer["result"] or {}).items())
        )


def _pair(text: str, kind: "type[Command]") -> tuple[str, Any]:
    """Return a key with its value: a number where the command wants one."""
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    key, equals, value = text.partition("=")
    if not equals:
        raise CommandError(f"'{text}': write KEY=VALUE", USAGE)
    annotation = str(kind.model_fields[key].annotation) if key in kind.model_fields else ""
    if not ("int" in annotation or "float" in annotation):
        return key, value
    try:
        return key, int(value) if "int" in annotation else float(value)
    except ValueError:
        raise CommandError(f"{key}={value}: must be a number, in SI units and without one", USAGE) from None


def _shown(value: object) -> str:
    import orjson  # noqa: PLC0415

    return value if isinstance(value, str) else orjson.dumps(value).decode()
