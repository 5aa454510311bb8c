"""`manovac read`: one transducer, live, with the bytes on its line and how the bus fared."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.bus import Bus, UnitStatistics
    from drivers.model import Identity
    from drivers.reading import Readings
    from drivers.rig import Rig
    from drivers.transport.transport import Receiver, Transport


def read(
    transducer: Annotated[str, typer.Argument(help="A transducer of the rig file.", metavar="TRANSDUCER")],
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="[RIG]")] = Path("rig.toml"),
    *,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many polls.")] = 5,
    interval: Annotated[
        str, typer.Option(help='Time between polls, such as "200 ms"; the rig\'s own if not given.')
    ] = "",
    emulated: Annotated[bool, typer.Option("--emulated", help="Start the emulator for the same rig.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: one object a poll.")] = False,
) -> None:
    """Show live values of one transducer, with raw frames and final statistics.

    Exit codes: 0 every poll brought a value, 1 some did not or the bus is down, 2 usage or rig file.
    """
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from drivers.units import UnitError, parse_quantity  # noqa: PLC0415
    from gateway.cli import RUN_TIME_FAILURE, USAGE, CommandError  # noqa: PLC0415
    from gateway.process import EmulatorError  # noqa: PLC0415
    from gateway.process import run as run_process  # noqa: PLC0415

    words = load_rig(rig)
    if transducer not in words.transducers:
        raise CommandError(f"{rig} has no transducer '{transducer}'; it has {', '.join(words.transducers)}", USAGE)
    try:
        interval_s = parse_quantity(interval, "time") if interval else words.transducers[transducer].poll
    except UnitError as error:
        raise CommandError(f"--interval: {error}", USAGE) from error
    try:
        complete = run_process(
            _read(rig, words, transducer, number=number, interval_s=interval_s, emulated=emulated, as_json=as_json)
        )
    except (ConnectionError, EmulatorError) as error:
        raise CommandError(str(error)) from error
    if complete is False:
        raise typer.Exit(RUN_TIME_FAILURE)


async def _read(
    path: Path, rig: "Rig", name: str, *, number: int, interval_s: float, emulated: bool, as_json: bool
) -> bool:
    from gateway.process import emulator  # noqa: PLC0415

    if emulated:
        async with emulator(path) as ports:
            return await _polls(rig.with_ports(ports), name, number=number, interval_s=interval_s, as_json=as_json)
    return await _polls(rig, name, number=number, interval_s=interval_s, as_json=as_json)


async def _polls(rig: "Rig", name: str, *, number: int, interval_s: float, as_json: bool) -> bool:
    from drivers.bus import Bus  # noqa: PLC0415
    from drivers.reader import reader  # noqa: PLC0415
    from drivers.transport.choose import transport_for  # noqa: PLC0415
    from gateway.normalise import Normaliser  # noqa: PLC0415
    from gateway.stamps import Stamps  # noqa: PLC0415

    words = rig.transducers[name]
    unit = rig.units(words.bus)[words.unit]
    tap = _Tap()
    bus = Bus(words.bus, rig.buses[words.bus], make_transport=lambda bus: tap.on(transport_for(bus)))
    each = reader(bus, words.unit, unit)
    normalise = Normaliser(each.driver.channels, unit)
    stamps = Stamps()
    complete = True
    async with bus.opened():
        for turn in range(number):
            if turn:
                await asyncio.sleep(interval_s)
            raw = await each.poll()
            readings = normalise(raw, now_ms=stamps.utc_ms(raw.time_s))
            complete &= all(reading.value is not None for reading in readings if reading.channel.transducer == name)
            _show(rig, name, readings, each.identity, tap.taken(), as_json=as_json)
        if not as_json:
            _conclude(bus.statistics().units[words.unit], bus)
    return complete


def _show(
    rig: "Rig", name: str, readings: "Readings", identity: "Identity", frames: list[tuple[str, bytes]], *, as_json: bool
) -> None:
    import orjson  # noqa: PLC0415

    from drivers.units import UNITS  # noqa: PLC0415

    own = [reading for reading in readings if reading.channel.transducer == name]
    if as_json:
        row = {
            "identity": identity.text,
            "serial_number": identity.serial_number,
            "readings": {
                reading.channel.quantity: {
                    "value": reading.value,
                    "unit": "Pa" if reading.channel.quantity == "pressure" else "K",
                    "quality": reading.quality.word,
                    "reason": reading.reason.word,
                    "raw": reading.raw,
                }
                for reading in own
            },
            "frames": [[direction, data.hex(" ")] for direction, data in frames],
        }
        typer.echo(orjson.dumps(row).decode())
        return
    for direction, data in frames:
        typer.echo(f"  {direction} {data.hex(' ')}{_text(data)}", err=True)
    segment = rig.segments[rig.transducers[name].segment]
    parts = []
    for reading in own:
        unit = UNITS[segment.display_unit if reading.channel.quantity == "pressure" else "C"]
        value = "----" if reading.value is None else f"{unit.from_si(reading.value):.4f} {unit.symbol}"
        raw = "" if reading.raw is None else f" (raw {reading.raw:g} {reading.channel.unit.symbol})"
        reason = f", {reading.reason.word}" if reading.reason else ""
        parts.append(f"{reading.channel.quantity} {value}{raw} {reading.quality.word}{reason}")
    who = f"  [{identity.text}{' SN ' + identity.serial_number if identity.serial_number else ''}]"
    typer.echo(
        f"{time.strftime('%H:%M:%S')}  {'; '.join(parts)}{who if identity.text or identity.serial_number else ''}"
    )


def _text(data: bytes) -> str:
    printable = data.strip(b"\r\n>")
    return (
        f"   {printable.decode()!r}" if printable.isascii() and printable.decode().isprintable() and printable else ""
    )


def _conclude(unit: "UnitStatistics", bus: "Bus") -> None:
    """Say how the line fared, as mbpoll does, and what silence or noise may mean."""
    total = sum(unit.outcomes.values())
    others = ", ".join(f"{number} {outcome}" for outcome, number in unit.outcomes.items() if outcome != "reply")
    typer.echo(
        f"{total} attempts, {unit.outcomes.get('reply', 0)} replies{', ' + others if others else ''};"
        f" round trip mean {unit.round_trip_mean_s * 1000:.1f} ms, longest {unit.round_trip_longest_s * 1000:.1f} ms",
        err=True,
    )
    if unit.unused:
        typer.echo(
            f"heard and not used: {', '.join(f'{number} {kind}' for kind, number in unit.unused.items())}", err=True
        )
    if unit.outcomes.get("timeout") and not unit.outcomes.get("reply"):
        typer.echo(
            f"no byte came: check wiring (A/B swapped?), power, unit number, and the line setting {_line(bus)}",
            err=True,
        )
    elif unit.outcomes.get("crc") or unit.outcomes.get("short"):
        typer.echo(
            f"bytes came that are no whole answer: check baud and format ({_line(bus)}), termination, noise", err=True
        )


def _line(bus: "Bus") -> str:
    return f"{bus.words.baud} {bus.words.format} of bus {bus.name}"


class _Tap:
    """Keeps what passes over a transport until it is taken."""

    def __init__(self) -> None:
        self._frames: list[tuple[str, bytes]] = []

    def on(self, transport: "Transport") -> "Transport":
        """Return the transport with this tap on it."""
        return _Tapped(transport, self)

    def note(self, direction: str, data: bytes) -> None:
        """Keep bytes, joined to those before of the same direction."""
        if self._frames and self._frames[-1][0] == direction:
            data = self._frames.pop()[1] + data
        self._frames.append((direction, data))

    def taken(self) -> list[tuple[str, bytes]]:
        """Return what was kept and forget it."""
        frames, self._frames = self._frames, []
        return frames


class _Tapped:
    """A transport that lets a tap see its bytes."""

    def __init__(self, transport: "Transport", tap: _Tap) -> None:
        self._transport = transport
        self._tap = tap
        self._receiver: Receiver | None = None

    async def connect(self, receiver: "Receiver") -> None:
        """Connect, as `Transport`."""
        self._receiver = receiver
        await self._transport.connect(self)

    def write(self, data: bytes) -> None:
        """Send, as `Transport`."""
        self._tap.note("->", data)
        self._transport.write(data)

    def close(self) -> None:
        """Close, as `Transport`."""
        self._transport.close()

    def received(self, data: bytes) -> None:
        """Hand bytes on, as `Receiver`."""
        self._tap.note("<-", data)
        if self._receiver is not None:
            self._receiver.received(data)

    def lost(self, why: str) -> None:
        """Report the loss, as `Receiver`."""
        if self._receiver is not None:
            self._receiver.lost(why)
