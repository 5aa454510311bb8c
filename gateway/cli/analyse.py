"""`manovac analyse`: the leak watch over recorded readings, and a report."""

from pathlib import Path
from typing import Annotated

import typer


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
    Exit codes: 0 no leak at the end; 1 run-time failure; 2 usage, rig or file; 3 air is being lost;
    4 nothing can be said, the readings are too few.
    """
    from gateway.analysis import analyse as run  # noqa: PLC0415
    from gateway.cli import CHECK_FAILED, UNDECIDED, CommandError  # noqa: PLC0415
    from gateway.cli.recording import open_record  # noqa: PLC0415
    from gateway.report import judged, report, verdict  # noqa: PLC0415

    place = out or file.with_suffix(".html")
    record = open_record(file, rig, volume=volume)
    found = record.rows(begin, end)
    analysis = run(record.rig, found)
    try:
        place.write_text(report(analysis, f"Leak analysis of {record.file.name}"), encoding="utf-8")
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
    if not judged(analysis):
        raise typer.Exit(UNDECIDED)
