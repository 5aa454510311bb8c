"""`manovac demo`: the emulated station, a broker, the gateway and a hole, on this machine, with nothing else needed."""

import asyncio
import logging
import math
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from drivers.rig_problems import counted
from drivers.units import UNITS, UnitError, parse_time

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from drivers.reading import Readings
    from drivers.rig import Rig
    from gateway.alarms import Alarm
    from gateway.findings import Findings

_ISS: Final = Path(__file__).parent / "rigs" / "iss.toml"
_HOLE_AFTER_S: Final = 20.0
_HOLE_MM_PER_M: Final = 0.22  # diameter by the root of the volume, mm per m^1.5: the pressure falls by 0.5 Pa/s
_TELL_EACH_S: Final = 5.0
_USUAL_PORT: Final = 1883
_BROKER_END_S: Final = 0.05  # it has nothing to save


def demo(
    *,
    rig: Annotated[Path, typer.Option(help="A rig file; the emulated ISS when not given.", show_default=False)] = _ISS,
    duration: Annotated[str, typer.Option(help='How long, such as "60 s"; until Ctrl-C when not given.')] = "",
    mqtt_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="The broker's port; 1883, or the next free one, when not given."),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed, another history.")] = None,
    scenario: Annotated[
        str, typer.Option(help="Play a scenario, by name or file, instead of opening a hole.", show_default=False)
    ] = "",
) -> None:
    """Run the emulated station, a broker and the gateway on this machine; no hardware, no broker, no network needed.

    Needs the extra `demo`: pip install 'manovac[demo]'. Exit codes: 0 ok, 1 run-time failure, 2 usage or rig file.
    """
    from drivers.rig_source import load_rig  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.process import EmulatorError, log_to_terminal, run  # noqa: PLC0415

    try:
        duration_s = parse_time(duration) if duration else None
    except UnitError as error:
        raise CommandError(f"--duration {duration}: {error}", USAGE) from error
    words = load_rig(rig)
    if not words.transducers:
        raise CommandError(f"{rig} has no transducer: there is nothing to show", USAGE)
    story = _story(words, scenario)
    log_to_terminal(logging.WARNING)
    try:
        run(_demo(rig, words, story, duration_s=duration_s, mqtt_port=mqtt_port, seed=seed))
    except EmulatorError as error:
        raise CommandError(str(error), error.code) from error
    typer.echo("demo ended; nothing is left running", err=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Story:
    """What happens to the air: words for `manovac emulate`, a segment to look at, and what to tell people."""

    options: tuple[str, ...]
    segment: str
    told: str


def _story(rig: "Rig", scenario: str) -> _Story:
    from firmware_sim.scenario import ScenarioError, load_scenario  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415
    from gateway.leak.bodies import bodies  # noqa: PLC0415

    measured = [transducer.segment for transducer in rig.transducers.values() if transducer.coolant is None]
    segment = "prk" if "prk" in measured else measured[0]
    if scenario:
        try:
            loaded = load_scenario(scenario)
            loaded.world(rig)
        except ScenarioError as error:
            raise CommandError(str(error), USAGE) from error
        return _Story(options=("--scenario", scenario), segment=segment, told=f"scenario: {loaded.title}")
    whole = bodies(rig.segments, [(hatch.between, hatch.state) for hatch in rig.hatches])
    joined = next(body for body in whole if segment in body.segments)
    volume_m3 = joined.volume_m3 if math.isfinite(joined.volume_m3) else 1.0
    diameter = f"{_HOLE_MM_PER_M * math.sqrt(volume_m3):.1g}"
    return _Story(
        options=("--leak", f"{segment}@{_HOLE_AFTER_S:g}s,{diameter}mm"),
        segment=segment,
        told=f"a hole of {diameter} mm opens in {segment} now; whoever reads the pressures alone sees nothing yet",
    )


async def _demo(
    path: Path, rig: "Rig", story: _Story, *, duration_s: float | None, mqtt_port: int | None, seed: int | None
) -> None:
    from drivers.rig_gateway import Mqtt  # noqa: PLC0415
    from drivers.rig_source import rig_hash  # noqa: PLC0415
    from gateway.app import Gateway  # noqa: PLC0415
    from gateway.mqtt.link import Link  # noqa: PLC0415
    from gateway.process import emulator  # noqa: PLC0415

    started_s = time.monotonic()
    options = [*story.options, *(["--seed", str(seed)] if seed is not None else [])]
    async with _broker(mqtt_port) as port, emulator(path, *options) as ports:
        here = Mqtt(url=f"mqtt://127.0.0.1:{port}").model_copy(update={"batch": rig.mqtt.batch})
        rig = rig.with_ports(ports).with_mqtt(here)
        gateway = Gateway(
            rig,
            rig_hash=rig_hash(path),
            make_carrier=lambda outbox, **words: Link(rig.mqtt, outbox, **words),
            emulated=True,
        )
        teller = _Teller(rig, story, started_s, gateway.findings)
        gateway.listeners.append(teller.take)
        gateway.findings.listeners.append(teller.take_alarm)
        teller.introduce(ports, port)
        try:
            async with (
                asyncio.timeout(duration_s and max(duration_s - teller.elapsed_s(), 0)),
                asyncio.TaskGroup() as tasks,
            ):
                tasks.create_task(gateway.run(), name="gateway")
                tasks.create_task(teller.run(), name="teller")
        except TimeoutError:
            teller.say(f"{duration_s:g} s are over")


@asynccontextmanager
async def _broker(asked: int | None) -> AsyncIterator[int]:
    """Run an MQTT broker on 127.0.0.1 for a `with` block and yield its port."""
    from gateway.cli import CommandError  # noqa: PLC0415

    try:
        import iotcore  # noqa: PLC0415
    except ImportError:
        raise CommandError(
            "the demo's broker is not installed: pip install 'manovac[demo]', or '.[demo]' in Manovac's source"
        ) from None
    claim = socket.socket(socket.AF_UNIX)
    port = asked or _next_free(_USUAL_PORT, claim)
    broker = iotcore.Broker(port=port, listen="127.0.0.1", max_payload_size=262_144)
    try:
        try:
            await asyncio.to_thread(_start, broker.start)
        except (OSError, RuntimeError) as error:
            advice = "; try another --mqtt-port" if _is_taken(port) else ""
            raise CommandError(f"the broker could not take port {port} ({error}){advice}") from error
        yield port
    finally:
        await asyncio.to_thread(broker.stop, _BROKER_END_S)
        claim.close()


def _start(start: Callable[[], object]) -> None:
    """Start the broker's process deaf to signals for all of us, which it inherits: it ends last, killed by us."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


def _next_free(port: int, claim: socket.socket) -> int:
    """Return the next free port; `claim`, while it is open, keeps it from other demos that start at this moment."""
    for candidate in range(port, port + 200):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
                if sys.platform == "linux":
                    claim.bind(f"\0manovac-demo-{candidate}")  # a name without a file; it goes with its process
            except OSError:
                continue
            return candidate
    return port


class _Teller:
    """Tells on the terminal what happens."""

    def __init__(self, rig: "Rig", story: _Story, started_s: float, findings: "Findings") -> None:
        self._rig = rig
        self._story = story
        self._findings = findings
        self._announced: tuple[object, ...] = ()
        self._hole_s: float | None = None
        self._started_s = started_s
        self._readings = 0
        self._not_good: Counter[str] = Counter()
        self._pressure: dict[str, float] = {}
        self._first = False
        self._unread = asyncio.Event()

    def elapsed_s(self) -> float:
        """Seconds since the command was given."""
        return time.monotonic() - self._started_s

    def say(self, text: str) -> None:
        """Print a line with the time in front; when nobody reads it any more, `run` ends."""
        try:
            typer.echo(f"{self.elapsed_s():6.1f} s  {text}")
        except BrokenPipeError:
            self._unread.set()

    def introduce(self, ports: dict[str, str], mqtt_port: int) -> None:
        """Print what runs where, and what to try."""
        rig = self._rig
        topics = f"manovac/v1/{rig.station.id}"
        typer.echo(
            f"{rig.station.title or rig.station.id}, emulated: {counted(len(rig.segments), 'segment')},"
            f" {counted(len(rig.transducers), 'transducer')} on {counted(len(ports), 'bus')}"
        )
        for bus, port in ports.items():
            typer.echo(f"  {bus:<12} {rig.buses[bus].kind:<14} {port}")
        typer.echo(f"  {'broker':<12} {'mqtt':<14} 127.0.0.1:{mqtt_port}\n\nTry in another terminal:")
        typer.echo(f"  mosquitto_sub -p {mqtt_port} -v -t '{topics}/seg/+/pressure/+'")
        typer.echo(
            f"  mosquitto_sub -p {mqtt_port} -v -t '{topics}/leak' -t '{topics}/alarm/#'\nCtrl-C ends everything.\n"
        )

    def take(self, readings: "Readings") -> None:
        """Listen to the gateway."""
        for reading in readings:
            self._readings += 1
            if reading.quality:
                self._not_good[reading.reason.word or reading.quality.word] += 1
            elif reading.channel.quantity == "pressure" and reading.value is not None:
                self._pressure[reading.channel.transducer] = reading.value
                if not self._first:
                    self._first = True
                    self.say(f"first reading: {reading.channel.id} {reading.value:.1f} Pa, good")

    async def run(self) -> None:
        """Tell how it goes, and when the hole opens.

        Raises:
            BrokenPipeError: nobody reads it any more.
        """
        before_pa: float | None = None
        asyncio.get_running_loop().call_later(0.0 if self._scenario else _HOLE_AFTER_S, self._tell_story)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_TELL_EACH_S):
                    await self._unread.wait()
                    raise BrokenPipeError
            now_pa = self._mean_pa()
            change = "" if now_pa is None or before_pa is None else f", {(now_pa - before_pa) / _TELL_EACH_S:+.1f} Pa/s"
            self.say(f"{self._readings} readings, {self._grades()}{self._shown(now_pa)}{change}")
            before_pa = now_pa

    def _tell_story(self) -> None:
        self._hole_s = None if self._scenario else self.elapsed_s()
        self.say(self._story.told)

    @property
    def _scenario(self) -> bool:
        return "--scenario" in self._story.options

    def take_alarm(self, alarm: "Alarm") -> None:
        """Say what was found: at once, and again when the place or the next hatch is another one."""
        from gateway.leak.told import loss_in_words  # noqa: PLC0415

        finding = self._findings.watch.finding
        if alarm.condition.cause != "leak" or alarm.state != "unacknowledged" or finding is None:
            return
        news = (alarm.condition.id, alarm.value is None, finding.next_hatch)
        if news != self._announced:
            later = "" if self._hole_s is None else f" {self.elapsed_s() - self._hole_s:.0f} s later"
            self.say(f"{'now' if self._announced else f'FOUND{later}'}: {loss_in_words(finding)}")
            self._announced = news

    def _grades(self) -> str:
        if not self._not_good:
            return "all good"
        others = ", ".join(f"{number} {why}" for why, number in self._not_good.items())
        return f"{self._readings - self._not_good.total()} good, {others}"

    def _mean_pa(self) -> float | None:
        """Return the mean of what the transducers of the hole's segment said last."""
        said = [
            each for name, each in self._pressure.items() if self._rig.transducers[name].segment == self._story.segment
        ]
        return sum(said) / len(said) if said else None

    def _shown(self, pressure_pa: float | None) -> str:
        unit = UNITS[self._rig.segments[self._story.segment].display_unit]
        return "" if pressure_pa is None else f"; {self._story.segment} {unit.from_si(pressure_pa):.2f} {unit.symbol}"
