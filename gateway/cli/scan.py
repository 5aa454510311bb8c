"""`manovac scan`: who is on this line?"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.rig import Bus
    from drivers.scan import Found, Setting


def scan(
    bus: Annotated[str, typer.Argument(help="A bus of the rig file, a serial port, or HOST:PORT.", metavar="BUS")],
    rig: Annotated[Path | None, typer.Argument(help="The rig file (TOML).", metavar="[RIG]")] = None,
    *,
    units: Annotated[str, typer.Option(help="Addresses to ask, such as 1-32 or 1,5,9.")] = "0-32",
    baud: Annotated[str, typer.Option(help="Line speeds to try, by comma.")] = "",
    data_format: Annotated[str, typer.Option("--format", help="Line formats to try, by comma.")] = "",
    kind: Annotated[
        str, typer.Option(help="How HOST:PORT is framed: modbus-tcp, rtu-over-tcp, line-over-tcp.")
    ] = "modbus-tcp",
    timeout: Annotated[str, typer.Option(help="How long to wait for each answer.")] = "100 ms",
    as_json: Annotated[bool, typer.Option("--json", help="For machines: one object a finding.")] = False,
) -> None:
    """Ask every unit at every baud and format who it is; says what silence or noise may mean.

    A bus of the rig file is asked with its own line setting, a bare serial port with the usual ones.
    Exit codes: 0 somebody was found, 1 nobody, 2 usage or rig file.
    """
    from drivers.units import UnitError, parse_quantity  # noqa: PLC0415
    from gateway.cli import RUN_TIME_FAILURE, USAGE, CommandError  # noqa: PLC0415
    from gateway.process import run as run_process  # noqa: PLC0415

    try:
        line, bauds, formats = _line(bus, rig, kind)
        line = line.model_copy(update={"timeout": parse_quantity(timeout, "time")})
        addresses = _numbers(units, 0, 255)
        bauds = _numbers(baud, 300, 4_000_000) if baud else bauds
        formats = data_format.split(",") if data_format else formats
        for each in formats:
            type(line).model_validate({**line.model_dump(include={"kind", "port"}), "format": each})
    except (UnitError, ValueError) as error:
        raise CommandError(str(error), USAGE) from error
    try:
        found = run_process(_scan(line, bauds, formats, addresses, as_json=as_json))
    except ConnectionError as error:
        raise CommandError(str(error)) from error
    if found == 0:
        raise typer.Exit(RUN_TIME_FAILURE)


def _line(name: str, path: Path | None, kind: str) -> tuple["Bus", list[int], list[str]]:
    """Return the line to scan, and the settings to try when none are asked for."""
    from drivers.rig import Bus  # noqa: PLC0415
    from drivers.rig_source import load_rig  # noqa: PLC0415

    if path is not None:
        rig = load_rig(path)
        if name not in rig.buses:
            raise ValueError(f"{path} has no bus '{name}'; it has {', '.join(rig.buses)}")
        line = rig.buses[name]
        return line, [line.baud], [line.format]
    if name.startswith("/"):
        return (
            Bus.model_validate({"kind": "serial", "port": name}),
            [9600, 19200, 115200, 4800, 38400, 57600],
            ["8N1", "7E1"],
        )
    if ":" not in name:
        raise ValueError(f"'{name}' is no port: write /dev/..., HOST:PORT, or a bus and the rig file that it stands in")
    return Bus.model_validate({"kind": kind, "port": name}), [9600], ["8N1"]


def _numbers(text: str, lowest: int, highest: int) -> list[int]:
    """Parse "1-32,40" into numbers."""
    numbers: list[int] = []
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise ValueError(f"'{part}' is neither a number nor a span such as 1-32")
        numbers += range(int(first), int(last or first) + 1)
    if not numbers or min(numbers) < lowest or max(numbers) > highest:
        raise ValueError(f"'{text}' must lie between {lowest} and {highest}")
    return numbers


async def _scan(line: "Bus", bauds: list[int], formats: list[str], units: list[int], *, as_json: bool) -> int:
    import orjson  # noqa: PLC0415

    from drivers import registry  # noqa: PLC0415
    from drivers.scan import Found  # noqa: PLC0415
    from drivers.scan import scan as scan_line  # noqa: PLC0415

    show: Callable[[object], None] = lambda found: typer.echo(orjson.dumps(found).decode())  # noqa: E731
    number = 0
    models = [registry.model(name) for name in registry.names()]
    async for each in scan_line(line, bauds=bauds, formats=formats, units=units, models=models):
        if isinstance(each, Found):
            number += 1
            show(each) if as_json else typer.echo(_row(each))
        elif not as_json:
            typer.echo(f"{line.port} at {each.baud} {each.format}: {_heard(each)}", err=True)
    return number


def _row(found: "Found") -> str:
    return (
        f"{found.baud} {found.format}  unit {found.unit:>3}  {found.model or '?':<20} {found.text}"
        f"  ({found.round_trip_s * 1000:.1f} ms)"
    )


def _heard(setting: "Setting") -> str:
    """Tell silence from noise: they have different causes."""
    heard = f"{setting.asked} questions"
    if setting.silent == setting.asked:
        return f"{heard}, not one byte came back: wiring (A/B), power, unit, or another baud and format"
    if setting.garbled:
        sample = setting.garbled[0][:16].hex(" ")
        heard += f"; {len(setting.garbled)} times bytes came that are no whole frame ({sample}): baud, parity, noise, two units at one address"
    if setting.others:
        heard += f"; {setting.others} answers came from units that had not been asked: another program on this line?"
    return heard
