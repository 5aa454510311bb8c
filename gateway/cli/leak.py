"""`manovac leak`: `leak watch` says what is known, `leak plan` which hatch to close next, and what then."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from gateway.cli.leak_repair import repair
from gateway.cli.leak_watch import watch

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.rig import Rig
    from gateway.leak.slope import SlopeNoise
    from gateway.leak.tree import Forest

_GRADES: Final = {"A": (0.2, 1e-3), "B": (1.0, 5e-3), "C": (5.0, 2e-2)}  # noise of 1 s in Pa, drift in Pa/sqrt(s)
_PA_PER_K: Final = 101_325.0 / 295.15
_LARGEST_AIR_ERROR_K: Final = 20.0

app = typer.Typer(
    name="leak",
    help="What to do about a leak.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _leak() -> None:
    """What to do about a leak."""


app.command(short_help="Say what the running gateway knows.")(watch)
app.command(short_help="Say whether a repair helped.")(repair)


@app.command(short_help="Say which hatch to close next.")
def plan(
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="RIG")],
    *,
    closed: Annotated[
        list[str] | None, typer.Option(help="A hatch that is closed, beside those of the rig file; repeat it.")
    ] = None,
    opened: Annotated[
        list[str] | None, typer.Option("--open", help="A hatch that is open although the rig file says closed.")
    ] = None,
    inside: Annotated[
        str, typer.Option("--in", help="A segment of the air body that loses air, when that is known.")
    ] = "",
    teams: Annotated[int, typer.Option(help="How many can close hatches at the same time.", min=1)] = 1,
    rate: Annotated[str, typer.Option(help="How fast air is lost.")] = "1 kg/day",
    hatch_time: Annotated[
        str, typer.Option(help="How long closing one hatch takes, with the time the air then needs to settle.")
    ] = "15 min",
    noise: Annotated[str, typer.Option(help="Grade of the transducers: A quartz, B digital, C industrial.")] = "C",
    air_error: Annotated[str, typer.Option(help="How well the bulk air temperature is known (1 sigma).")] = "50 mK",
    air_time: Annotated[str, typer.Option(help="How long such an error lasts.")] = "60 min",
    error: Annotated[str, typer.Option(help="Allowed probability of naming the wrong segment.")] = "1 %",
    depth: Annotated[int, typer.Option(help="How many hatches ahead to show.", min=1)] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: the whole tree of decisions.")] = False,
) -> None:
    """Say which hatch to close next to find a leak soonest, how long to wait, and what to do then.

    Volumes, leak priors and hatch states come from the rig file; one of unknown state counts as closed,
    as in the leak watch, and is named: look at it, and say --open or --closed.
    Exit codes: 0 ok; 2 usage or rig file.
    """
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.cli.leak_told import as_json as as_data  # noqa: PLC0415
    from gateway.cli.leak_told import told  # noqa: PLC0415
    from gateway.cli.quantity import above_zero  # noqa: PLC0415
    from gateway.leak.aim import Aim, flow_pa_m3_s  # noqa: PLC0415
    from gateway.leak.search import search  # noqa: PLC0415

    station = load_rig(rig)
    try:
        rate_kg_s = above_zero("--rate", rate, "mass rate")
        shut, unknown = _closed(station, closed or (), opened or ())
        bodies = _bodies(station, shut, inside, above_zero("--hatch-time", hatch_time, "time"))
        aim = Aim(
            flow_pa_m3_s=flow_pa_m3_s(rate_kg_s),
            noise=_noise(noise, air_error, air_time),
            error=above_zero("--error", error, "fraction", below=0.5),
        )
    except ValueError as problem:
        raise CommandError(str(problem), USAGE) from problem
    found = search(bodies, aim, teams=teams)
    if as_json:
        station_id = station.station.id
        data = as_data(found, station=station_id, closed=shut, unknown=unknown, rate_kg_s=rate_kg_s, teams=teams)
        typer.echo(data)
        return
    given = f"{rate} lost, transducers of grade {noise}, air temperature known to {air_error}, {hatch_time} a hatch"
    typer.echo(f"{station.station.title or station.station.id}: {given}; wrong in at most {error} of searches.")
    typer.echo(told(found, closed=shut, unknown=unknown, depth=depth))


def _noise(grade: str, air_error: str, air_time: str) -> "SlopeNoise":
    from gateway.cli.quantity import above_zero  # noqa: PLC0415
    from gateway.leak.slope import SlopeNoise  # noqa: PLC0415

    if grade.upper() not in _GRADES:
        raise ValueError(f"--noise {grade}: must be one of {', '.join(_GRADES)}")
    white_pa, drift_pa = _GRADES[grade.upper()]
    error_k = above_zero("--air-error", air_error, "temperature")
    if error_k > _LARGEST_AIR_ERROR_K:  # 1 C is 274.15 K here: a temperature, not a difference
        raise ValueError(f'--air-error {air_error}: a difference is meant, in K or mK, such as "50 mK"')
    air_s = above_zero("--air-time", air_time, "time")
    return SlopeNoise.of(white_pa=white_pa, drift_pa=drift_pa, air_pa=error_k * _PA_PER_K, air_s=air_s)


def _closed(rig: "Rig", closed: Sequence[str], opened: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids of the hatches that count as closed, and of those among them of which nothing is known."""
    from drivers.rig import HatchState  # noqa: PLC0415
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415

    known = {hatch.id: hatch.id for hatch in rig.hatches}
    known |= {"--".join(reversed(hatch.between)): hatch.id for hatch in rig.hatches}

    def ids(option: str, words: Sequence[str]) -> set[str]:
        for word in words:
            if word not in known:
                listed = ", ".join(hatch.id for hatch in rig.hatches) or "none"
                raise ValueError(
                    f"{option} {word}: no such hatch{did_you_mean(word, known) or f'; there are: {listed}'}"
                )
        return {known[word] for word in words}

    shut, open_ = ids("--closed", closed), ids("--open", opened)
    if both := shut & open_:
        raise ValueError(f"--closed and --open both name {', '.join(sorted(both))}")
    said = shut | open_
    unknown = {hatch.id for hatch in rig.hatches if hatch.state is HatchState.UNKNOWN} - said
    shut |= unknown | {hatch.id for hatch in rig.hatches if hatch.state is HatchState.CLOSED} - said
    in_order = [hatch.id for hatch in rig.hatches]
    return tuple(each for each in in_order if each in shut), tuple(each for each in in_order if each in unknown)


def _bodies(rig: "Rig", closed: Sequence[str], inside: str, close_s: float) -> "Forest":
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from gateway.leak.search import only  # noqa: PLC0415
    from gateway.leak.tree import Passage, forest  # noqa: PLC0415

    volume_m3: dict[str, float] = {}
    for name, segment in rig.segments.items():
        if segment.volume is None:
            raise ValueError(
                f"segment '{name}' has no volume, and waits depend on it: write volume = \"12 m3\" in [segment.{name}]"
            )
        volume_m3[name] = segment.volume
    bodies = forest(
        volume_m3,
        {name: segment.leak_prior for name, segment in rig.segments.items()},
        [Passage(hatch=hatch.id, ends=hatch.between, close_s=close_s) for hatch in rig.hatches],
        closed,
    )
    if not inside:
        return bodies
    if inside not in volume_m3:
        hint = did_you_mean(inside, volume_m3) or f"; there are: {', '.join(volume_m3)}"
        raise ValueError(f"--in {inside}: no such segment{hint}")
    return only(bodies, inside)
