"""`manovac hatch`: tell the gateway that a hatch was opened or closed."""

from pathlib import Path
from typing import Annotated

import typer

from drivers.rig import HatchState


def hatch(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    hatch_id: Annotated[str, typer.Argument(help="A hatch, such as prk--zvezda.", metavar="HATCH")],
    state: Annotated[HatchState, typer.Argument(help="What it is now.")],
    *,
    by: Annotated[str, typer.Option(help="Who says so; your user name when not given.", metavar="NAME")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
) -> None:
    """Tell the running gateway the state of a hatch: levels start anew on both sides, and no step counts as a leak.

    The gateway has to run, and its broker be reached. Exit codes: 0 told; 1 not; 2 usage or rig file.
    """
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.cli.teller import tell  # noqa: PLC0415
    from gateway.mqtt import commands  # noqa: PLC0415

    words = load_rig(rig)
    known = {each.id: each.id for each in words.hatches}
    known |= {"--".join(reversed(each.between)): each.id for each in words.hatches}
    if hatch_id not in known:
        there = ", ".join(each.id for each in words.hatches) or "none"
        hint = did_you_mean(hatch_id, known) or f"; there are: {there}"
        raise CommandError(f"{rig} has no hatch '{hatch_id}'{hint}", USAGE)
    tell(words, commands.Hatch, {"hatch": known[hatch_id], "state": state}, by=by, as_json=as_json)
    if not as_json:
        typer.echo(f"{known[hatch_id]}: {state.value}")
