"""`manovac leak repair`: rates of a closed-off segment before and after a repair, out of recorded readings."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from collections.abc import Sequence

    from gateway.cli.recording import Recording
    from gateway.decay import DecayTest
    from gateway.leak.repair_check import RepairCheck
    from gateway.recorded_readings import Row

_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3_600.0
_SIGMAS_95: Final = 1.959964
_SURELY: Final = 1e-6


def repair(
    file: Annotated[
        Path,
        typer.Argument(help="Recorded readings or a rig file, as `manovac analyse` takes them.", metavar="FILE"),
    ],
    rig: Annotated[
        Path | None, typer.Argument(help="The rig file; one segment with everything if not given.", metavar="[RIG]")
    ] = None,
    *,
    before: Annotated[
        tuple[str, str], typer.Option(help="From when to when it was closed off before, as 2026-05-01T12:00 (UTC).")
    ],
    after: Annotated[tuple[str, str], typer.Option(help="The same after the repair.")],
    allowed: Annotated[
        str, typer.Option(help='The largest loss that is acceptable, such as "0.05 kg/day" or "2 Pa/h".')
    ],
    segment: Annotated[str, typer.Option(help="Which; not needed where there is only one.")] = "",
    volume: Annotated[str, typer.Option(help='Without RIG: the volume, such as "120 L".')] = "",
    resolution: Annotated[str, typer.Option(help="Of the transducers; as their readings show it if not given.")] = "",
    accuracy: Annotated[
        str, typer.Option(help="Of a change of pressure; the uncertainty of the pressure itself if not given.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Say whether a repair helped, and whether the tests could tell: two pressure decay tests by ASTM E2930's ratios.

    Close the segment off for hours before the repair and again after it. Both tests need air that has settled.
    Exit codes: 0 tight; 1 run-time failure; 2 usage, rig or file; 3 not tight, or a test that is not valid.
    """
    from gateway.cli import CHECK_FAILED, USAGE, CommandError  # noqa: PLC0415
    from gateway.cli.quantity import above_zero  # noqa: PLC0415
    from gateway.cli.recording import open_record  # noqa: PLC0415
    from gateway.leak.repair_check import Repair, check_repair  # noqa: PLC0415

    record = open_record(file, rig, volume=volume)
    segment = _segment(record, segment)
    allowed_pa_s = _allowed(allowed, record, segment)
    resolution_pa = above_zero("--resolution", resolution, "pressure") if resolution else None
    accuracy_pa = above_zero("--accuracy", accuracy, "pressure") if accuracy else None
    rows = record.rows(*before, option="--before"), record.rows(*after, option="--after")
    if rows[0][-1][0] > rows[1][0][0]:
        raise CommandError("--before must end before --after begins", USAGE)
    first, second = tests = [
        _test(record, segment, option, those) for option, those in zip(("--before", "--after"), rows, strict=True)
    ]
    limits = {
        "allowed_pa_s": allowed_pa_s,
        "resolution_pa": resolution_pa or second.resolution_pa,
        "accuracy_pa": accuracy_pa or second.accuracy_pa,
    }
    check = check_repair(first.decay, second.decay, **limits)
    typer.echo(_json(segment, tests, check, limits) if as_json else _told(segment, tests, check, allowed, limits))
    if check.verdict is not Repair.TIGHT:
        raise typer.Exit(CHECK_FAILED)


def _segment(record: "Recording", name: str) -> str:
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    known = record.rig.segments
    if not name and len(known) == 1:
        return next(iter(known))
    if name in known:
        return name
    there = f"; there are: {', '.join(known)}"
    if not name:
        raise CommandError(f"--segment: say which{there}", USAGE)
    raise CommandError(f"--segment {name}: no such segment{did_you_mean(name, known) or there}", USAGE)


def _test(record: "Recording", segment: str, option: str, rows: "Sequence[Row]") -> "DecayTest":
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.decay import DecayTestError, decay_test  # noqa: PLC0415

    try:
        return decay_test(record.rig, segment, rows)
    except DecayTestError as error:
        raise CommandError(f"{option}: {error}", USAGE) from error


def _allowed(text: str, record: "Recording", segment: str) -> float:
    """Return the loss that is acceptable as a slope, Pa/s."""
    from drivers.units import UnitError, parse_quantity  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.cli.quantity import above_zero  # noqa: PLC0415
    from gateway.leak.bodies import bodies  # noqa: PLC0415

    try:
        parse_quantity(text, "pressure rate")
    except UnitError:
        (body,) = bodies({segment: record.rig.segments[segment]}, ())
        slope = body.slope_pa_per_s(above_zero("--allowed", text, "mass rate"))
        if math.isnan(slope):
            raise CommandError(f"--allowed {text}: a mass needs a volume; give one, or allow Pa/h", USAGE) from None
        return slope
    return above_zero("--allowed", text, "pressure rate")


def _json(segment: str, tests: "list[DecayTest]", check: "RepairCheck", limits: dict[str, float]) -> str:
    import orjson  # noqa: PLC0415

    def test(each: "DecayTest") -> dict[str, Any]:
        rate, sd = (each.body.rate_kg_per_s(pa_s) for pa_s in (each.decay.slope_pa_s, each.decay.slope_sd_pa_s))
        days = {"rate_kg_per_day": rate * _DAY_S, "rate_sd_kg_per_day": sd * _DAY_S}
        return {"begin_s": each.begin_s, "end_s": each.end_s, **days, "decay": each.decay}

    answer = {"segment": segment, "before": test(tests[0]), "after": test(tests[1]), **limits, "check": check}
    return orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode()


def _told(segment: str, tests: "list[DecayTest]", check: "RepairCheck", allowed: str, limits: dict[str, float]) -> str:
    from gateway.leak.repair_check import ACCURACY_RATIO, RESOLUTION_RATIO, Repair  # noqa: PLC0415
    from gateway.leak.told import duration  # noqa: PLC0415

    lines = []
    for when, each in zip(("before", "after"), tests, strict=True):
        decay = each.decay
        rate = _rate(each, decay.slope_pa_s, decay.slope_sd_pa_s)
        lines.append(
            f"{when:<7} {_moment(each.begin_s)}, {duration(decay.seconds)}: {rate},"
            f" {decay.start_pa:.1f} to {decay.end_pa:.1f} Pa"
        )
    low, high = check.change_ci95_pa_s
    surely = f"{check.significance:.2g}" if check.significance >= _SURELY else f"less than {_SURELY:g}"
    sign = "less" if check.change_pa_s >= 0 else "more"
    lines.append(
        f"change  {_rate(tests[1], abs(check.change_pa_s), (high - low) / (2 * _SIGMAS_95))} {sign};"
        f" by chance if nothing had changed: {surely}"
    )
    lines.append(
        f"ratios  {allowed} moves the pressure by {check.resolution_ratio:.3g} times the resolution"
        f" ({limits['resolution_pa']:.3g} Pa; {RESOLUTION_RATIO:g} needed) and {check.accuracy_ratio:.3g} times the"
        f" accuracy ({limits['accuracy_pa']:.3g} Pa; {ACCURACY_RATIO:g} needed)"
    )
    lines += [f"        {reason}" for reason in check.reasons]
    surely_less = f", surely less than {allowed} is lost (95 %)" if check.verdict is Repair.TIGHT else ""
    lines.append(f"{segment}: {check.verdict.value}{surely_less}")
    return "\n".join(lines)


def _rate(test: "DecayTest", slope_pa_s: float, sd_pa_s: float) -> str:
    """Return a loss with its 95 % interval, in kg/day where a volume is known."""
    scale, unit = (_HOUR_S, "Pa/h") if math.isnan(test.body.volume_m3) else (test.body.rate_kg_per_s(_DAY_S), "kg/day")
    low, high = (scale * (slope_pa_s + sign * _SIGMAS_95 * sd_pa_s) for sign in (-1, 1))
    return f"{scale * slope_pa_s:.3g} {unit} (95 %: {low:.3g} to {high:.3g})"


def _moment(time_s: float) -> str:
    import datetime as dt  # noqa: PLC0415

    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
