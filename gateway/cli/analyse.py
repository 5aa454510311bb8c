"""`manovac analyse`: the leak watch over recorded readings, and a report."""

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from collections.abc import Iterable, Sequence

    from drivers.rig import Rig
    from gateway.recorded_readings import Row


def analyse(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet, batches as mosquitto_sub prints them, SQLite of manovac sub or of a journal; a rig"
            " file stands for its gateway's journal.",
            metavar="FILE",
        ),
    ],
    rig: Annotated[
        Path | None, typer.Argument(help="The rig file; one segment with everything if not given.", metavar="[RIG]")
    ] = None,
    *,
    begin: Annotated[str, typer.Option("--from", help="Only what is newer, such as 2026-05-01T12:00 (UTC).")] = "",
    end: Annotated[str, typer.Option("--to", help="Only what is older.")] = "",
    volume: Annotated[str, typer.Option(help='Without RIG: the volume, such as "120 L", for a rate in kg/day.')] = "",
    out: Annotated[Path | None, typer.Option("-o", "--out", help="The report; FILE with .html if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the last finding as topic `leak` has it.")] = False,
) -> None:
    """Look for leaks in recorded readings with the code of the gateway; say the verdict and write a report with plots.

    Columns: time (s or ISO 8601), <transducer>.pressure (Pa), <transducer>.temperature (K).
    Exit codes: 0 no leak at the end; 1 run-time failure; 2 usage, rig or file; 3 air is being lost.
    """
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.analysis import analyse as run  # noqa: PLC0415
    from gateway.cli import CHECK_FAILED, USAGE, CommandError  # noqa: PLC0415
    from gateway.recorded_readings import RecordError, moment_s, rows  # noqa: PLC0415
    from gateway.report import report, verdict  # noqa: PLC0415

    if rig is not None and volume:
        raise CommandError("--volume goes without RIG; a rig file has its own volumes", USAGE)
    place = out or file.with_suffix(".html")
    if file.suffix == ".toml":
        rig, file = rig or file, _journal(file)
    try:
        found = rows(file, from_s=moment_s(begin) if begin else -math.inf, to_s=moment_s(end) if end else math.inf)
    except RecordError as error:
        raise CommandError(str(error), USAGE) from error
    named = {channel.rpartition(".")[0] for _, values in found for channel in values}
    words = load_rig(rig) if rig is not None else _plain_rig(sorted(named), volume, _poll_s(found))
    if not named & set(words.transducers):
        raise CommandError(f"{file} has no reading of a transducer of {rig}: it has {', '.join(sorted(named))}", USAGE)
    _warn_of(named - set(words.transducers), rig)
    analysis = run(words, found)
    try:
        place.write_text(report(analysis, f"Leak analysis of {file.name}"), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"cannot write {place}: {error.strerror or error}") from error
    if as_json:
        from gateway.mqtt.finding_payloads import leak  # noqa: PLC0415

        if analysis.findings:
            typer.echo(leak(analysis.findings[-1], lambda time_s: max(round(time_s * 1000), 0)).decode())
    else:
        typer.echo(verdict(analysis))
    typer.echo(f"report: {place}", err=True)
    if analysis.findings and any(each.loses for each in analysis.findings[-1].bodies):
        raise typer.Exit(CHECK_FAILED)


def _journal(rig: Path) -> Path:
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.mqtt.journal import journal_of  # noqa: PLC0415

    journal = journal_of(load_rig(rig))
    if journal is None:
        raise CommandError(f'{rig}: [journal] keep = "memory" keeps no readings to analyse', USAGE)
    return journal.path


def _warn_of(strange: "Iterable[str]", rig: Path | None) -> None:
    if strange := sorted(strange):
        typer.echo(f"passed over, since {rig} does not name them: {', '.join(strange)}", err=True)


def _poll_s(found: "Sequence[Row]") -> float:
    """Return the usual time between two rows, s."""
    from statistics import median  # noqa: PLC0415

    apart = [after[0] - before[0] for before, after in pairwise(found) if after[0] > before[0]]
    return median(apart) if apart else 1.0


def _plain_rig(transducers: "Iterable[str]", volume: str, poll_s: float) -> "Rig":
    """Return a rig of one segment."""
    from pydantic import ValidationError  # noqa: PLC0415

    from drivers.rig import Rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    words = {"model": "-", "bus": "record", "segment": "all", "poll": f"{poll_s:g} s"}
    try:
        return Rig.model_validate(
            {
                "station": {"id": "record", "gateway": "record"},
                "segment": {"all": {"volume": volume} if volume else {}},
                "bus": {"record": {"kind": "serial", "port": "-"}},
                "transducer": dict.fromkeys(transducers, words),
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = "--volume" if "volume" in first["loc"] else ".".join(map(str, first["loc"]))
        raise CommandError(f"{where}: {first['msg'].removeprefix('Value error, ')}", USAGE) from error
