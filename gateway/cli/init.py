"""`manovac init`: a rig file to begin with."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    to: Annotated[
        Path | None, typer.Argument(help="A new file; standard output if not given.", metavar="[FILE]")
    ] = None,
) -> None:
    """Write a rig file to begin with: a small bench, every line explained. Change it to what is on yours.

    Exit codes: 0 ok; 1 it cannot be written; 2 the file is there already.
    """
    from importlib.resources import files  # noqa: PLC0415 - the work is imported when the command runs

    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    text = files("hil").joinpath("rigs", "bench.toml").read_text(encoding="utf-8")
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(f"{to} is there already, and is left as it is", USAGE) from None
    except OSError as error:
        raise CommandError(f"cannot write {to}: {error.strerror}") from error
    typer.echo(f"{to}: change it to what is on your bench, then `manovac check {to}`", err=True)
