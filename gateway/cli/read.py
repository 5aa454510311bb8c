"""`manovac read`: one transducer, live, with the bytes on its line and how the bus fared."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.bus import Bus
    from drivers.model import Identity
    from drivers.reading import Reading
    from drivers.rig import Rig
    from drivers.transport.transport import MakeTransport

_USUAL_RIG: Final = Path("rig.toml")


def read(
    transducer: Annotated[str, typer.Argument(help="A transducer of the rig file.", metavar="TRANSDUCER")],
    rig: Annotated[Path, typer.Argument(help="The rig file (TOML).", metavar="[RIG]")] = _USUAL_RIG,
    *,
    number: Annotated[int, typer.Option("-n", "--number", min=1, help="How many polls.")] = 5,
    interval: Annotated[
        str, typer.Option(help='Time between polls, such as "200 ms"; the rig\'s own if not given.')
    ] = "",
    emulated: Annotated[bool, typer.Option("--emulated", help="Start the emulator for the same rig.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="Write every byte of the bus to this trace file.", metavar="FILE")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: one object a poll.")] = False,
) -> None:
    """Show live values of one transducer, with raw frames and final statistics.

    Exit codes: 0 no reading was bad; 1 some were, or the bus is down; 2 usage or rig file.
    """
    import logging  # noqa: PLC0415

    from drivers.rig_problems import did_you_mean  # noqa: PLC0415
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from drivers.units import UnitError, parse_time  # noqa: PLC0415
    from gateway.cli import INTERRUPTED, RUN_TIME_FAILURE, USAGE, CommandError  # noqa: PLC0415
    from gateway.process import EmulatorError, log_to_terminal  # noqa: PLC0415
    from gateway.process import run as run_process  # noqa: PLC0415
    from gateway.recorded import RecordError  # noqa: PLC0415

    if rig == _USUAL_RIG and not rig.exists():
        raise CommandError(f"which rig file? write `manovac read {transducer} RIG`; there is no {rig} here", USAGE)
    words = load_rig(rig)
    if transducer not in words.transducers:
        hint = did_you_mean(transducer, words.transducers) or f"; it has {', '.join(words.transducers) or 'none'}"
        raise CommandError(f"{rig} has no transducer '{transducer}'{hint}", USAGE)
    try:
        interval_s = parse_time(interval) if interval else words.transducers[transducer].poll
    except UnitError as error:
        raise CommandError(f"--interval {interval}: {error}", USAGE) from error
    log_to_terminal(logging.WARNING)
    try:
        complete = run_process(
            _read(
                rig,
                words,
                transducer,
                record,
                number=number,
                interval_s=interval_s,
                emulated=emulated,
                as_json=as_json,
            )
        )
    except EmulatorError as error:
        raise CommandError(str(error), error.code) from error
    except BrokenPipeError:  # of our output: no bus lets one out
        raise
    except (ConnectionError, RecordError) as error:
        raise CommandError(str(error)) from error
    if not complete:
        raise typer.Exit(INTERRUPTED if complete is None else RUN_TIME_FAILURE)


async def _read(
    path: Path,
    rig: "Rig",
    name: str,
    record: Path | None,
    *,
    number: int,
    interval_s: float,
    emulated: bool,
    as_json: bool,
) -> bool:
    from drivers.rig_source import rig_hash  # noqa: PLC0415
    from gateway.process import emulator  # noqa: PLC0415
    from gateway.recorded import recorded_transports  # noqa: PLC0415

    if emulated:
        async with emulator(path) as ports:
            words = rig.with_ports(ports)
            return await _read(
                path, words, name, record, number=number, interval_s=interval_s, emulated=False, as_json=as_json
            )
    bus = rig.transducers[name].bus
    with recorded_transports(record, {bus: rig.buses[bus]}, rig_hash=rig_hash(path)) as make_transport:
        return await _polls(rig, name, make_transport, number=number, interval_s=interval_s, as_json=as_json)


async def _polls(
    rig: "Rig", name: str, make_transport: "MakeTransport", *, number: int, interval_s: float, as_json: bool
) -> bool:
    """Poll and show; say whether no reading was bad. The statistics are shown also when it is interrupted."""
    from drivers.bus import Bus  # noqa: PLC0415
    from drivers.reader import reader  # noqa: PLC0415
    from drivers.reading import Quality  # noqa: PLC0415
    from drivers.transport.tap import Tapped  # noqa: PLC0415
    from gateway.normalise import Normaliser  # noqa: PLC0415
    from gateway.stamps import Stamps  # noqa: PLC0415

    words = rig.transducers[name]
    unit = rig.units(words.bus)[words.unit]
    tap = _Tap()
    bus = Bus(words.bus, rig.buses[words.bus], make_transport=lambda bus: Tapped(make_transport(bus), tap))
    each = reader(bus, words.unit, unit)
    normalise = Normaliser(each.driver.channels, unit)
    stamps = Stamps()
    show = _show_json if as_json else _Table(rig, name)
    complete = True
    async with bus.opened():
        try:
            for turn in range(number):
                if turn:
                    await asyncio.sleep(interval_s)
                raw = await each.poll()
                t_ms = stamps.utc_ms(raw.time_s)
                own = [reading for reading in normalise(raw, now_ms=t_ms) if reading.channel.transducer == name]
                complete &= all(reading.quality is not Quality.BAD for reading in own)
                show(t_ms, own, each.identity, tap.taken())
        finally:
            if not as_json:
                _conclude(bus, words.unit)
    return complete


def _show_json(t_ms: int, readings: "list[Reading]", identity: "Identity", frames: list[tuple[str, bytes]]) -> None:
    import orjson  # noqa: PLC0415

    from gateway.cli.shown import row  # noqa: PLC0415

    poll = {
        "t": t_ms,
        "identity": identity.text,
        "serial_number": identity.serial_number,
        "readings": {reading.channel.quantity: row(reading) for reading in readings},
        "frames": [[direction, data.hex(" ")] for direction, data in frames],
    }
    typer.echo(orjson.dumps(poll).decode())


class _Table:
    """Shows polls to people: bytes and identity on stderr, a line of values on stdout."""

    def __init__(self, rig: "Rig", name: str) -> None:
        self._rig = rig
        self._name = name
        self._who = ""

    def __call__(
        self, t_ms: int, readings: "list[Reading]", identity: "Identity", frames: list[tuple[str, bytes]]
    ) -> None:
        for direction, data in frames:
            typer.echo(f"  {direction} {data.hex(' ')}{_text(data)}", err=True)
        number = f", serial number {identity.serial_number}" if identity.serial_number else ""
        who = f"{identity.text}{number}"
        if who and who != self._who:
            typer.echo(f"{self._name} is {who}", err=True)
        self._who = who
        clock = time.strftime("%H:%M:%S", time.localtime(t_ms / 1000))
        typer.echo(f"{clock}  {'; '.join(self._told(reading) for reading in readings)}")

    def _told(self, reading: "Reading") -> str:
        from gateway.cli.shown import value_text  # noqa: PLC0415

        reason = f", {reading.reason.word}" if reading.reason else ""
        raw = "" if reading.raw is None else f" (raw {reading.raw:g} {reading.channel.unit.symbol})"
        return f"{reading.channel.quantity} {value_text(self._rig, reading, 4)} {reading.quality.word}{reason}{raw}"


def _text(data: bytes) -> str:
    printable = data.strip(b"\r\n>")
    return (
        f"   {printable.decode()!r}" if printable.isascii() and printable.decode().isprintable() and printable else ""
    )


def _conclude(bus: "Bus", unit: int) -> None:
    """Say how the line fared, as mbpoll does, and what silence or noise may mean."""
    statistics = bus.statistics().units[unit]
    outcomes = statistics.outcomes
    others = "".join(f", {number} {outcome}" for outcome, number in outcomes.items() if outcome != "reply")
    trips = (
        f"; round trip mean {statistics.round_trip_mean_s * 1000:.1f} ms,"
        f" longest {statistics.round_trip_longest_s * 1000:.1f} ms"
    )
    typer.echo(
        f"{sum(outcomes.values())} attempts, {outcomes.get('reply', 0)} replies{others}"
        f"{trips if sum(statistics.round_trips) else ''}",
        err=True,
    )
    if statistics.unused:
        heard = ", ".join(f"{number} {kind}" for kind, number in statistics.unused.items())
        repeats = ""
        if statistics.unused.get("repeat"):
            repeats = (
                " (a repeat is equal to the answer before it and so proves nothing: it is asked for again, and counted"
                " as late; where values stand still that is no fault of the line)"
            )
        typer.echo(f"heard and not used: {heard}{repeats}", err=True)
    advice = _advice(bus, unit, outcomes)
    if advice:
        typer.echo(advice, err=True)


def _advice(bus: "Bus", unit: int, outcomes: Mapping[str, int]) -> str:
    from drivers.reading import Reason  # noqa: PLC0415
    from gateway.silence_watch import advice_on_silence  # noqa: PLC0415

    if outcomes.get("bus_down"):
        return f"bus {bus.name} was lost on the way{': ' + bus.problem if bus.problem else ''}"
    if outcomes.get("timeout") and not outcomes.get("reply"):
        return advice_on_silence(bus.name, bus.words, [unit], {Reason.TIMEOUT})
    if outcomes.get("crc") or outcomes.get("short"):
        return advice_on_silence(bus.name, bus.words, [unit], {Reason.CRC})
    return ""


class _Tap:
    """Keeps what passes over a transport until it is taken."""

    def __init__(self) -> None:
        self._frames: list[tuple[str, bytes]] = []

    def sent(self, data: bytes) -> None:
        """Keep bytes that go out."""
        self._note("->", data)

    def came(self, data: bytes) -> None:
        """Keep bytes that came in."""
        self._note("<-", data)

    def lost(self, why: str) -> None:
        """Nothing to keep: the bus says why it is down."""

    def _note(self, direction: str, data: bytes) -> None:
        """Keep bytes, joined to those before of the same direction."""
        if self._frames and self._frames[-1][0] == direction:
            data = self._frames.pop()[1] + data
        self._frames.append((direction, data))

    def taken(self) -> list[tuple[str, bytes]]:
        """Return what was kept and forget it."""
        frames, self._frames = self._frames, []
        return frames
