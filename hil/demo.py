"""`manovac demo`: the emulated station, a broker, the gateway and a hole, on this machine, with nothing else needed."""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.reading import Readings
    from drivers.rig import Rig

_ISS: Final = Path(__file__).parent / "rigs" / "iss.toml"
_HOLE_AFTER_S: Final = 20.0
_HOLE_PA_PER_S: Final = 20.0
_TELL_EACH_S: Final = 5.0
_USUAL_PORT: Final = 1883


def demo(
    *,
    rig: Annotated[Path, typer.Option(help="A rig file; the emulated ISS when not given.", show_default=False)] = _ISS,
    duration: Annotated[str, typer.Option(help='How long, such as "60 s"; until Ctrl-C when not given.')] = "",
    mqtt_port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The broker's port; 1883, or the next free one, when not given.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed, another history.")] = None,
) -> None:
    """Run the emulated station, a broker and the gateway on this machine; no hardware, no broker, no network needed.

    Needs the extra `demo`: pip install 'manovac[demo]'. Exit codes: 0 ok, 1 run-time failure, 2 usage or rig file.
    """
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from drivers.units import UnitError, parse_quantity  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.process import EmulatorError, run  # noqa: PLC0415

    try:
        duration_s = parse_quantity(duration, "time") if duration else None
    except UnitError as error:
        raise CommandError(f"--duration: {error}", USAGE) from error
    words = load_rig(rig)
    try:
        run(_demo(rig, words, duration_s=duration_s, mqtt_port=mqtt_port, seed=seed))
    except EmulatorError as error:
        raise CommandError(str(error)) from error
    typer.echo("demo ended; nothing is left running", err=True)


async def _demo(path: Path, rig: "Rig", *, duration_s: float | None, mqtt_port: int | None, seed: int | None) -> None:
    from drivers.rig import Mqtt  # noqa: PLC0415
    from gateway.app import Gateway, rig_hash  # noqa: PLC0415
    from gateway.mqtt.link import Link  # noqa: PLC0415
    from gateway.process import emulator  # noqa: PLC0415

    started_s = time.monotonic()
    hole = "prk" if "prk" in rig.segments else next(iter(rig.segments))
    options = ["--leak", f"{hole}@{_HOLE_AFTER_S:g}s,{_HOLE_PA_PER_S:g}Pa/s"]
    options += ["--seed", str(seed)] if seed is not None else []
    async with _broker(mqtt_port) as port, emulator(path, *options) as ports:
        here = Mqtt(url=f"mqtt://127.0.0.1:{port}").model_copy(update={"batch": rig.mqtt.batch})
        rig = rig.with_ports(ports).with_mqtt(here)
        gateway = Gateway(
            rig, rig_hash=rig_hash(path), make_carrier=lambda outbox, **words: Link(rig.mqtt, outbox, **words)
        )
        teller = _Teller(rig, hole, started_s)
        gateway.listeners.append(teller.take)
        teller.introduce(ports, port)
        try:
            async with asyncio.timeout(duration_s and max(duration_s - teller.elapsed_s(), 0)), asyncio.TaskGroup() as tasks:
                tasks.create_task(gateway.run(), name="gateway")
                tasks.create_task(teller.run(), name="teller")
        except TimeoutError:
            typer.echo(f"{teller.clock()} {duration_s:g} s are over")


@asynccontextmanager
async def _broker(asked: int | None) -> AsyncIterator[int]:
    """Run an MQTT broker on 127.0.0.1 for a `with` block and yield its port."""
    from gateway.cli import CommandError  # noqa: PLC0415

    try:
        import iotcore  # noqa: PLC0415
    except ImportError:
        raise CommandError("the demo needs a broker that is not installed: pip install 'manovac[demo]'") from None
    port = asked or _next_free(_USUAL_PORT)
    broker = iotcore.Broker(port=port, listen="127.0.0.1", max_payload_size=262_144)
    try:
        await asyncio.to_thread(broker.start)
    except (OSError, RuntimeError) as error:
        raise CommandError(f"the broker could not take port {port}: {error}; try another --mqtt-port") from error
    try:
        yield port
    finally:
        await asyncio.to_thread(broker.stop, 1.0)


def _next_free(port: int) -> int:
    for candidate in range(port, port + 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return candidate
    return port


class _Teller:
    """Tells on the terminal what happens."""

    def __init__(self, rig: "Rig", hole: str, started_s: float) -> None:
        self._rig = rig
        self._hole = hole
        self._started_s = started_s
        self._readings = self._good = 0
        self._pressure: dict[str, float] = {}
        self._first: asyncio.Event = asyncio.Event()

    def elapsed_s(self) -> float:
        """Seconds since the command was given."""
        return time.monotonic() - self._started_s

    def clock(self) -> str:
        """The time in front of each line."""
        return f"{self.elapsed_s():6.1f} s "

    def introduce(self, ports: dict[str, str], mqtt_port: int) -> None:
        """Print what runs where, and what to try."""
        rig = self._rig
        topics = f"manovac/v1/{rig.station.id}"
        typer.echo(
            f"{rig.station.title or rig.station.id}, emulated: {len(rig.segments)} segments, {len(rig.transducers)}"
            f" transducers on {len(ports)} buses"
        )
        for bus, port in ports.items():
            typer.echo(f"  {bus:<12} {rig.buses[bus].kind:<14} {port}")
        typer.echo(f"  {'broker':<12} {'mqtt':<14} 127.0.0.1:{mqtt_port}\nTry in another terminal:")
        typer.echo(f"  mosquitto_sub -p {mqtt_port} -v -t '{topics}/seg/+/pressure/+'")
        typer.echo(f"  mosquitto_sub -p {mqtt_port} -v -t '{topics}/gw/#'\nCtrl-C ends everything.\n")

    def take(self, readings: "Readings") -> None:
        """Listen to the gateway."""
        for reading in readings:
            self._readings += 1
            self._good += reading.quality == 0
            if reading.channel.quantity == "pressure" and reading.value is not None and reading.quality == 0:
                self._pressure[self._rig.transducers[reading.channel.transducer].segment] = reading.value
                if not self._first.is_set():
                    self._first.set()
                    typer.echo(f"{self.clock()} first reading: {reading.channel.id} {reading.value:.1f} Pa good")

    async def run(self) -> None:
        """Tell how it goes, and when the hole opens."""
        before: float | None = None
        opened = False
        while True:
            await asyncio.sleep(_TELL_EACH_S)
            if not opened and self.elapsed_s() > _HOLE_AFTER_S:
                opened = True
                typer.echo(
                    f"{self.clock()} a hole has opened in {self._hole}: for now a plain pressure ramp of"
                    f" {_HOLE_PA_PER_S:g} Pa/s, shared by what its open hatches join"
                )
            now = self._pressure.get(self._hole)
            change = "" if now is None or before is None else f", {(now - before) / _TELL_EACH_S:+.1f} Pa/s"
            where = "" if now is None else f"; {self._hole} {now / 133.322387415:.2f} mmHg{change}"
            typer.echo(f"{self.clock()} {self._readings} readings, {self._good} good{where}")
            sys.stdout.flush()
            before = now
