"""`manovac event`: tell the gateway of what is done to the air, so that it is neither a leak nor a gain."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.leak.event import Event


def event(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    kind: Annotated[Event, typer.Argument(help="What begins now; docking stands for undocking, too.")],
    *,
    segment: Annotated[str, typer.Option(help="Where; all that open hatches join to it is disturbed alike.")],
    mass: Annotated[str, typer.Option(help='Of a repress: what is let in, as metered, such as "5 kg".')] = "",
    lasts: Annotated[str, typer.Option(help="From now until the air has settled again.")] = "20 min",
    by: Annotated[str, typer.Option(help="Who says so; your user name when not given.", metavar="NAME")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as it came.")] = False,
) -> None:
    """Tell the running gateway of a repress, an airlock cycle or a docking when it begins: it is no leak and no gain.

    The air body of the segment is not judged until it is over. Then its level counts as unknown; after a metered
    repress it is known, less well, and evidence of a leak from before still counts.
    The gateway has to run, and its broker be reached. Exit codes: 0 told; 1 not; 2 usage or rig file.
    """
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.cli.quantity import above_zero  # noqa: PLC0415
    from gateway.cli.teller import tell  # noqa: PLC0415
    from gateway.leak.told import duration  # noqa: PLC0415
    from gateway.mqtt import commands  # noqa: PLC0415

    words = load_rig(rig)
    if segment not in words.segments:
        hint = did_you_mean(segment, words.segments) or f"; there are: {', '.join(words.segments) or 'none'}"
        raise CommandError(f"{rig} has no segment '{segment}'{hint}", USAGE)
    if mass and kind is not Event.REPRESS:
        raise CommandError(f"--mass {mass}: goes with {Event.REPRESS.value} only", USAGE)
    mass_kg = above_zero("--mass", mass, "mass", below=commands.MOST_KG) if mass else None
    lasts_s = above_zero("--lasts", lasts, "time", below=commands.MOST_S)
    happening = {"kind": kind, "segment": segment, "lasts_s": lasts_s, "mass_kg": mass_kg}
    tell(words, commands.Happening, happening, by=by, as_json=as_json)
    if not as_json:
        metered = f", {mass_kg:g} kg" if mass_kg else ""
        typer.echo(f"{kind.value} in {segment}{metered}: not judged for {duration(lasts_s)}")
