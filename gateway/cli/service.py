"""`manovac service`: the systemd unit of a gateway."""

from pathlib import Path
from typing import Annotated

import typer


def service(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    *,
    user: Annotated[
        str | None, typer.Option(help="Run as this user, instead of one that systemd makes for it.", metavar="NAME")
    ] = None,
) -> None:
    """Print the systemd unit that runs the gateway of a rig: started with the machine, watched, and kept in its place.

    Exit codes: 0 ok; 2 usage or rig file.
    """
    import re  # noqa: PLC0415 - the work is imported when the command runs
    import sys  # noqa: PLC0415

    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.unit_file import NAME, Service, unit_file  # noqa: PLC0415

    words = load_rig(rig)
    if user is not None and not re.fullmatch(r"[a-z_][a-z0-9_-]*", user):
        raise CommandError(f"--user {user}: not the name of a user", USAGE)
    made = Service(program=str(Path(sys.executable).with_name("manovac")), rig_file=str(rig.resolve()), user=user)
    try:
        text = unit_file(words, made)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    typer.echo(text, nl=False)
    typer.echo(
        f"put this into /etc/systemd/system/{NAME}, then: systemctl daemon-reload && systemctl enable --now manovac",
        err=True,
    )
    if made.in_tmp:
        typer.echo(
            "program or rig file are below /tmp, of which the service has one of its own (PrivateTmp), empty: install"
            " into /opt/manovac and keep the rig file in /etc/manovac",
            err=True,
        )
    if made.at_home and user is None:
        typer.echo(
            "program or rig file are in somebody's home, which the service's own user cannot enter: install into "
            "/opt/manovac and keep the rig file in /etc/manovac, or give --user",
            err=True,
        )
