"""What the soak runs: mosquitto, an emulated rig, `manovac run`, `manovac sub`, and somebody who watches health.

All of them are processes of their own, on 127.0.0.1 and in one folder.
"""

import asyncio
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from paho.mqtt import client as paho

from drivers.rig_source import load_rig
from firmware_sim.control.client import ControlClient
from tests.conftest import Mosquitto
from tests.soak.gateway import SetClock

if TYPE_CHECKING:
    from drivers.rig import Rig

BASE: Final = "manovac/v1/soak"
_WITHIN_S: Final = 20.0
_END_S: Final = 15.0
_FIRST_HEALTH_S: Final = 2.0  # after it has begun to poll
_BUSY_S: Final = 120.0  # for an answer of the emulator, on a machine that has other things to do
_PAGE_BYTES: Final = resource.getpagesize()
_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_MANOVAC: Final = ("-c", "from gateway.cli import main; main()")
_SIGNS_OF_TROUBLE: Final = ("Traceback", "never retrieved", "was never awaited", "Exception ignored")
_PERIODS: Final = {"serial": ("1 s",) * 6, "tcp": ("500 ms", "500 ms", "1 s", "1 s"), "text": ("1 s", "2 s")}
_MODELS: Final = {"serial": "keller-33x", "tcp": "modbus-map", "text": "vaisala-ptb330"}
_KINDS: Final = {"serial": "serial", "tcp": "modbus-tcp", "text": "line-over-tcp"}
NOWHERE: Final = {"serial": "/dev/none", "tcp": "127.0.0.1:1502", "text": "127.0.0.1:1503"}


def rig_text(*, broker: str, journal: Path, ports: dict[str, str]) -> str:
    """Return the rig file: twelve transducers on three buses of three kinds, one unit each, in three segments."""
    lines = ["[station]", 'id = "soak"', 'gateway = "g1"', "[emulator]", "seed = 1"]
    lines += ["[mqtt]", f'url = "{broker}"', "[journal]", f'path = "{journal}"', 'size = "8 MB"']
    for segment in ("cabin", "airlock", "tank"):
        lines += [f"[segment.{segment}]", 'volume = "10 m3"']
    lines += ["[[hatch]]", 'between = ["cabin", "airlock"]', 'state = "open"']
    for bus, kind in _KINDS.items():
        lines += [f"[bus.{bus}]", f'kind = "{kind}"', f'port = "{ports[bus]}"']
        lines += ["baud = 19200"] if kind == "serial" else []
        for place, period in enumerate(_PERIODS[bus]):
            lines += [f"[transducer.{bus}_{place}]", f'model = "{_MODELS[bus]}"', f'bus = "{bus}"']
            lines += [f"unit = {place + 1}" if bus != "text" else f"unit = {place}", f'poll = "{period}"']
            lines += [f'segment = "{("cabin", "airlock", "tank")[place % 3]}"', 'range = "50..110 kPa"']
            lines += ['map = { pressure = { address = 0, unit = "Pa" } }'] if bus == "tcp" else []
    return "\n".join(lines) + "\n"


class Watched:
    """A process whose stderr is read line by line, kept in a file, and searched for signs of trouble.

    Attributes:
        trouble: lines with such signs.
        out: what it has said on stdout.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.trouble = 0
        self.out = ""
        self.pid = process.pid
        self._process = process
        self._log = log
        self._reading = [asyncio.create_task(self._read()), asyncio.create_task(self._read_out())]

    async def _read(self) -> None:
        assert self._process.stderr is not None
        with self._log.open("ab") as log:
            async for line in self._process.stderr:
                log.write(line)
                log.flush()
                self.trouble += any(sign in line.decode(errors="replace") for sign in _SIGNS_OF_TROUBLE)

    async def _read_out(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.out += line.decode(errors="replace")

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still runs."""
        if self.code is None:
            self._process.send_signal(number)

    async def end(self) -> int:
        """Ask it to end, wait for that, and return its exit code; -9 when it had to be killed."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await asyncio.wait(self._reading)
        return self._process.returncode or 0

    def memory_bytes(self) -> int:
        """Return its resident set."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE_BYTES

    def descriptors(self) -> int:
        """Return how many file descriptors it holds."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))  # noqa: PTH208 - names are enough

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has taken so far."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICKS_A_SECOND


class HealthWatch:
    """Hears what the gateway says of itself.

    Attributes:
        last: the newest health.
        came: how many have come.
        boots: ids of the gateway's starts.
    """

    def __init__(self, port: int) -> None:
        self.last: dict[str, Any] = {}
        self.came = 0
        self.longest_lag_s = 0.0
        self.boots: set[str] = set()
        self.connected = False
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._listen
        self._client.on_message = self._take
        self._client.reconnect_delay_set(1, 2)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _listen(self, *_: Any) -> None:
        self._client.subscribe(f"{BASE}/gw/g1/health")
        self.connected = True

    def _take(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self.last = orjson.loads(message.payload)
        self.came += 1
        self.boots.add(self.last["boot"])
        self.longest_lag_s = max(self.longest_lag_s, self.last["loop_lag_s"])

    def close(self) -> None:
        """End it."""
        self._client.disconnect()
        self._client.loop_stop()


class Station:
    """Everything, running; made by `station`."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        self.folder = folder
        self.broker = broker
        self.journal = folder / "journal.sqlite"
        self.record = folder / "record.sqlite"
        self.clock = SetClock(folder / "clock")
        self.rig: Rig
        self.emulator: Watched
        self.gateway: Watched
        self.consumer: Watched
        self.control: ControlClient
        self.health: HealthWatch
        self.began_s = 0.0

    async def _start(self, name: str, *words: str) -> Watched:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        return Watched(name, process, self.folder / f"{name}.log")

    def _write_rig(self, ports: dict[str, str]) -> Path:
        path = self.folder / "rig.toml"
        path.write_text(rig_text(broker=self.broker.url, journal=self.journal, ports=ports), encoding="utf-8")
        return path

    async def start_emulator(self, seed: int) -> None:
        """Start the emulated rig under live control, and learn where its buses are."""
        socket = self.folder / "control"
        rig = self._write_rig(NOWHERE)
        words = ("emulate", str(rig), "--json", "--seed", str(seed), "--control", str(socket))
        self.emulator = await self._start("emulator", *_MANOVAC, *words)
        await until(lambda: "\n" in self.emulator.out)
        self.rig = load_rig(self._write_rig(orjson.loads(self.emulator.out.splitlines()[0])["ports"]))
        self.control = ControlClient(str(socket), timeout_s=_BUSY_S)

    async def start_consumer(self) -> None:
        """Start the consumer; it goes on with the file of the one before."""
        words = ("sub", str(self.folder / "rig.toml"), "--to", str(self.record), "--ack", "soak")
        self.consumer = await self._start("consumer", *_MANOVAC, *words)

    async def end_consumer(self) -> None:
        """End whichever consumer runs now."""
        await self.consumer.end()

    async def start_gateway(self) -> None:
        """Start the gateway and wait for its first word."""
        self.health = HealthWatch(self.broker.port)
        words = ("-m", "tests.soak.gateway", str(self.folder / "clock"), "run", str(self.folder / "rig.toml"))
        self.gateway = await self._start("gateway", *words)
        await until(lambda: self.health.came)
        self.began_s = time.monotonic() - _FIRST_HEALTH_S


@asynccontextmanager
async def station(folder: Path, *, seed: int) -> AsyncIterator[Station]:
    """Run everything for a `with` block; whatever was not ended in it is ended after it.

    Raises:
        RuntimeError: something did not start; the logs in the folder say why.
    """
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise RuntimeError("mosquitto is not installed (apt install mosquitto)")
    broker = Mosquitto(program, folder, "")
    running = Station(folder, broker)
    async with AsyncExitStack() as stack:
        stack.callback(broker.kill)
        broker.start()
        await running.start_emulator(seed)
        stack.push_async_callback(running.emulator.end)
        stack.callback(running.control.close)
        await running.start_consumer()
        stack.push_async_callback(running.end_consumer)
        log = folder / "mosquitto.log"
        await until(lambda: "as manovac-visit-" in log.read_text(errors="replace"))
        await running.start_gateway()
        stack.push_async_callback(running.gateway.end)
        stack.callback(running.health.close)
        yield running


async def until(condition: Callable[[], object]) -> None:
    """Wait until it is so.

    Raises:
        RuntimeError: it took far longer than it ever should.
    """
    try:
        async with asyncio.timeout(_WITHIN_S):
            while not condition():  # noqa: ASYNC110 - other processes do as they like
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise RuntimeError(f"something did not start within {_WITHIN_S:g} s: see the logs") from None
