"""`manovac scan`: who is on this line?"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.rig import Bus
    from drivers.scan import Found, Setting

_USUAL_BAUDS: Final = (9600, 19200, 115200, 4800, 38400, 57600)
_USUAL_FORMATS: Final = ("8N1", "8E1", "7E1")  # most devices, the Modbus standard, instruments that speak text
_NETWORK_KINDS: Final = ("modbus-tcp", "rtu-over-tcp", "line-over-tcp", "line-over-udp")


def scan(
    bus: Annotated[str, typer.Argument(help="A bus of the rig file, a serial port, or HOST:PORT.", metavar="BUS")],
    rig: Annotated[Path | None, typer.Argument(help="The rig file (TOML).", metavar="[RIG]")] = None,
    *,
    units: Annotated[str, typer.Option(help="Addresses to ask, such as 1-32 or 1,5,9.")] = "0-32",
    baud: Annotated[str, typer.Option(help="Line speeds to try, by comma.")] = "",
    data_format: Annotated[str, typer.Option("--format", help="Line formats to try, such as 8N1,8E1.")] = "",
    kind: Annotated[
        str, typer.Option(help=f"How HOST:PORT is framed: {', '.join(_NETWORK_KINDS)}; the first when not given.")
    ] = "",
    timeout: Annotated[str, typer.Option(help="How long to wait for each answer.")] = "100 ms",
    as_json: Annotated[bool, typer.Option("--json", help="For machines: one object a finding.")] = False,
) -> None:
    """Ask every unit at every baud and format who it is; says what silence or noise may mean.

    A bus of the rig file is asked with its own line setting, a bare serial port with the usual ones.
    Exit codes: 0 somebody was found; 1 nobody, or the port cannot be opened; 2 usage or rig file.
    """
    import logging  # noqa: PLC0415

    from drivers.units import UnitError, parse_time  # noqa: PLC0415
    from gateway.cli import INTERRUPTED, RUN_TIME_FAILURE, USAGE, CommandError  # noqa: PLC0415
    from gateway.process import log_to_terminal  # noqa: PLC0415
    from gateway.process import run as run_process  # noqa: PLC0415

    try:
        line, bauds, formats = _line(bus, rig, kind)
        bauds = _numbers("--baud", baud, 300, 4_000_000) if baud else bauds
        formats = _formats(data_format) if data_format else formats
        _refuse_idle(line, kind, baud or data_format)
        addresses = _numbers("--units", units, 0, 255)
    except ValueError as error:
        raise CommandError(str(error), USAGE) from error
    try:
        line = line.model_copy(update={"timeout": parse_time(timeout)})
    except UnitError as error:
        raise CommandError(f"--timeout {timeout}: {error}", USAGE) from error
    log_to_terminal(logging.WARNING)
    try:
        found = run_process(_scan(line, bauds, formats, addresses, as_json=as_json))
    except BrokenPipeError:  # of our output: no bus lets one out
        raise
    except ConnectionError as error:
        raise CommandError(str(error)) from error
    if not found:
        raise typer.Exit(INTERRUPTED if found is None else RUN_TIME_FAILURE)


def _line(name: str, path: Path | None, kind: str) -> tuple["Bus", list[int], list[str]]:
    """Return the line to scan, and the settings to try when none are asked for."""
    from drivers.rig import Bus  # noqa: PLC0415
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from drivers.rig_source import load_rig  # noqa: PLC0415

    if path is not None:
        if kind:
            raise ValueError("--kind goes with HOST:PORT; the rig file says it of its buses")
        rig = load_rig(path)
        if name not in rig.buses:
            hint = did_you_mean(name, rig.buses) or f"; it has {', '.join(rig.buses) or 'none'}"
            raise ValueError(f"{path} has no bus '{name}'{hint}")
        line = rig.buses[name]
        return line, [line.baud], [line.format]
    if name.startswith("/"):
        pty = Path(name).resolve().is_relative_to("/dev/pts")  # an emulated line: it carries bytes, whatever the format
        formats = [_USUAL_FORMATS[0]] if pty else [*_USUAL_FORMATS]
        return Bus.model_validate({"kind": "serial", "port": name}), [*_USUAL_BAUDS], formats
    host, _, port = name.rpartition(":")
    if not host:
        raise ValueError(f"'{name}' is no port: write /dev/..., HOST:PORT, or a bus and the rig file that it stands in")
    if not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise ValueError(f"'{name}': write HOST:PORT with a port between 1 and 65535")
    if kind and kind not in _NETWORK_KINDS:
        raise ValueError(f"--kind {kind}: must be one of {', '.join(_NETWORK_KINDS)}")
    return Bus.model_validate({"kind": kind or _NETWORK_KINDS[0], "port": name}), [9600], ["8N1"]


def _refuse_idle(line: "Bus", kind: str, setting: str) -> None:
    """Refuse options that would change nothing."""
    if kind and line.kind == "serial":
        raise ValueError("--kind goes with HOST:PORT")
    if setting and not line.kind.has_line:
        raise ValueError(f"--baud and --format mean nothing on {line.kind}; --kind says how HOST:PORT is framed")


def _numbers(option: str, text: str, lowest: int, highest: int) -> list[int]:
    """Parse "1-32,40" into numbers, each once."""
    numbers: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?", part, re.ASCII)
        if match is None:
            wanted = "a speed such as 9600 nor a span" if option == "--baud" else "a number nor a span such as 1-32"
            raise ValueError(f"{option} {text}: '{part}' is neither {wanted}")
        first, last = int(match[1]), int(match[2] or match[1])
        if not lowest <= first <= last <= highest:
            raise ValueError(f"{option} {text}: must rise and lie between {lowest} and {highest}")
        numbers |= dict.fromkeys(range(first, last + 1))
    return list(numbers)


def _formats(text: str) -> list[str]:
    formats = [each.strip().upper() for each in text.split(",")]
    for each in formats:
        if not re.fullmatch(r"[78][NEO][12]", each):
            raise ValueError(f"--format {text}: '{each}' is not data bits, parity and stop bits, such as 8N1")
    return formats


async def _scan(line: "Bus", bauds: list[int], formats: list[str], units: list[int], *, as_json: bool) -> int:
    import orjson  # noqa: PLC0415

    from drivers import registry  # noqa: PLC0415
    from drivers.scan import Found, longest_s  # noqa: PLC0415
    from drivers.scan import scan as scan_line  # noqa: PLC0415

    models = [registry.model(name) for name in registry.names()]
    if not as_json:
        most_s = longest_s(line, bauds=bauds, formats=formats, units=units, models=models)
        typer.echo(f"{line.port}: {_plan(line, bauds, formats, units)}; takes up to {max(most_s, 1):.0f} s", err=True)
    number = 0
    async for each in scan_line(line, bauds=bauds, formats=formats, units=units, models=models):
        if isinstance(each, Found):
            number += 1
            typer.echo(orjson.dumps(_found(line, each)).decode() if as_json else _row(each, _at(line, each)))
        elif not as_json:
            typer.echo(f"{_at(line, each)}{_heard(each)}", err=True)
    return number


def _plan(line: "Bus", bauds: list[int], formats: list[str], units: list[int]) -> str:
    from drivers.rig_problems import counted  # noqa: PLC0415

    settings = "" if not line.kind.has_line else f" at {', '.join(map(str, bauds))} baud, {', '.join(formats)}"
    return f"asking {counted(len(units), 'unit')}{settings}"


def _at(line: "Bus", at: "Found | Setting") -> str:
    """Return the line setting, where there is a line."""
    return "" if not line.kind.has_line else f"{at.baud} {at.format}  "


def _found(line: "Bus", found: "Found") -> dict[str, object]:
    from dataclasses import asdict  # noqa: PLC0415

    row = asdict(found)
    return row | {"baud": None, "format": None} if not line.kind.has_line else row


def _row(found: "Found", at: str) -> str:
    trip = f" ({found.round_trip_s * 1000:.1f} ms)" if found.round_trip_s else ""
    return f"{at}unit {found.unit:>3}  {found.model or '?':<20} {found.text}{trip}"


def _heard(setting: "Setting") -> str:
    """Tell silence from noise: they have different causes."""
    if setting.problem:
        return f"skipped: {setting.problem}"
    heard = f"{setting.found or 'nobody'} found, {setting.asked} questions"
    if setting.silent == setting.asked:
        return f"{heard}, no answer: wiring (A/B swapped?), power, unit, or another baud and format"
    if setting.garbled:
        heard += f"; {len(setting.garbled)} times {_sample(setting.garbled)}"
        if not setting.found:
            heard += "; look at baud, parity, noise, two units at one address"
    if setting.others:
        units = sorted(setting.others, key=lambda unit: (unit is None, unit))
        whose = ", ".join("somebody" if unit is None else f"unit {unit}" for unit in units)
        heard += (
            f"; {setting.others.total()} answers came from {whose}, not from whom was asked:"
            " another program on this line?"
        )
    return heard


def _sample(garbled: list[bytes]) -> str:
    """Show one of them to people: the first that is text, else the first, in which no checksum is right."""
    texts = [text for heard in garbled if (text := _text(heard))]
    if texts:
        return f"text came that answers none: {texts[0][:48]!r}"
    return f"bytes came in which no checksum is right: {garbled[0][:16].hex(' ')}"


def _text(heard: bytes) -> str:
    """Return what was heard when it is text, else nothing."""
    text = heard.strip(b"\0\r\n").decode("ascii", "replace")
    return text if text.replace("\r", "").replace("\n", "").isprintable() and text.isascii() else ""
