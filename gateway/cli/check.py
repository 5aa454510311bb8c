"""`manovac check` and `manovac schema`: is a rig file right, and what may stand in it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.rig import Rig
    from drivers.rig_source import Checked


def check(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Check a rig file: every mistake at once, each with file, line, column and what to do.

    Exit codes: 0 fine, perhaps with warnings; 2 errors.
    """
    from drivers.rig_problems import report  # noqa: PLC0415
    from drivers.rig_source import check_file  # noqa: PLC0415
    from gateway.cli import USAGE  # noqa: PLC0415

    checked = check_file(rig)
    if as_json:
        typer.echo(_json(rig, checked))
    elif checked.problems:
        typer.echo(report(checked.problems))
    if checked.rig is None:
        raise typer.Exit(USAGE)
    if not as_json:
        typer.echo(f"{rig}: ok: {_counts(checked.rig)}")
        for name, use in checked.lines.items():
            typer.echo(f"  {name}: {use.fraction:.0%} used, {use.room}")


def schema() -> None:
    """Print the JSON Schema of the rig file, for editors.

    With Taplo or Even Better TOML: `manovac schema > rig.schema.json`, and `#:schema rig.schema.json` as the first line
    of the rig file.
    """
    import orjson  # noqa: PLC0415

    from drivers.rig_schema import rig_schema  # noqa: PLC0415

    typer.echo(orjson.dumps(rig_schema(), option=orjson.OPT_INDENT_2).decode())


def _counts(rig: "Rig") -> str:
    from drivers.rig_problems import counted  # noqa: PLC0415

    return ", ".join(
        [
            counted(len(rig.segments), "segment"),
            counted(len(rig.hatches), "hatch"),
            *([counted(len(rig.coolants), "coolant loop")] if rig.coolants else []),
            counted(len(rig.buses), "bus"),
            counted(len(rig.transducers), "transducer"),
        ]
    )


def _json(path: Path, checked: "Checked") -> str:
    import orjson  # noqa: PLC0415

    rig = checked.rig
    counts = rig and {
        "segments": len(rig.segments),
        "hatches": len(rig.hatches),
        "coolant_loops": len(rig.coolants),
        "buses": len(rig.buses),
        "transducers": len(rig.transducers),
    }
    answer = {
        "file": str(path),
        "ok": rig is not None,
        "counts": counts,
        "lines": {
            name: {"fraction": use.fraction, "headroom_per_s": use.headroom_per_s}
            for name, use in checked.lines.items()
        },
        "problems": checked.problems,
    }
    return orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode()
