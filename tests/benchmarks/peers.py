"""The same load by programs that others wrote, as their packages install them: from PyPI modpoll and its fork
modpoll2mqtt, from Debian collectd.

Each runs as fast as its settings let it, on the gateway's core. Whoever is not installed is left out. The fork installs
itself as `modpoll` too: `pipx install --suffix 2mqtt modpoll2mqtt` gives it the name that it has here.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from drivers.rig import Rig
from tests.benchmarks.broker import Broker
from tests.benchmarks.gateway_load import Load, Run
from tests.benchmarks.harness import process_cpu_s
from tests.benchmarks.tcp_load import UNITS, VALUES

_SETTLE_S: Final = 3.0
_COLLECTD_S: Final = 0.02  # between two polls of a unit; faster it only falls behind

Command = Callable[[Path, str, int, int], list[str]]
"""From a folder for its settings, Modbus host and port and broker's port to the words that start a program."""


def _modpoll_settings(folder: Path, host: str, port: int, mqtt_port: int) -> list[str]:
    """Write what modpoll and its fork read alike; return the words that both take."""
    lines: list[str] = []
    for unit in UNITS:
        lines += [f"device,u{unit},{unit}", f"poll,holding_register,0,{2 * VALUES},BE_BE"]
        lines += [f"ref,v{place},{2 * place},float32,r" for place in range(VALUES)]
    settings = folder / "modpoll.csv"
    settings.write_text("\n".join(lines) + "\n")
    words = [
        "--config",
        str(settings),
        "--rate",
        "0.001",
        "--interval",
        "0.001",
        "--tcp",
        host,
        "--tcp-port",
        str(port),
    ]
    words += ["--mqtt-host", "127.0.0.1", "--mqtt-port", str(mqtt_port)]
    return [*words, "--mqtt-publish-topic-pattern", "manovac/modpoll/{{device_name}}"]


def _modpoll(folder: Path, host: str, port: int, mqtt_port: int) -> list[str]:
    # with its default, MQTT 3.1.1, release 1.6.0 cannot connect
    return ["modpoll", "--daemon", "--mqtt-version", "5.0", *_modpoll_settings(folder, host, port, mqtt_port)]


def _modpoll2mqtt(folder: Path, host: str, port: int, mqtt_port: int) -> list[str]:
    return ["modpoll2mqtt", "--no-output", *_modpoll_settings(folder, host, port, mqtt_port)]


def _collectd(folder: Path, host: str, port: int, mqtt_port: int) -> list[str]:
    lines = [f'BaseDir "{folder}"', f'PIDFile "{folder}/pid"', f"Interval {_COLLECTD_S}", "LoadPlugin modbus"]
    lines += ["LoadPlugin mqtt", "<Plugin modbus>"]
    for place in range(VALUES):
        lines += [f'<Data "v{place}">', f"RegisterBase {2 * place}", "RegisterType Float", "Type gauge"]
        lines += [f'Instance "v{place}"', "</Data>"]
    lines += ['<Host "load">', f'Address "{host}"', f'Port "{port}"', f"Interval {_COLLECTD_S}"]
    for unit in UNITS:
        lines += [f"<Slave {unit}>", f'Instance "u{unit}"', *(f'Collect "v{place}"' for place in range(VALUES))]
        lines += ["</Slave>"]
    lines += ["</Host>", "</Plugin>", "<Plugin mqtt>", '<Publish "broker">', 'Host "127.0.0.1"']
    lines += [f'Port "{mqtt_port}"', 'Prefix "manovac/collectd"', "StoreRates false", "</Publish>", "</Plugin>"]
    settings = folder / "collectd.conf"
    settings.write_text("\n".join(lines) + "\n")
    return ["collectd", "-f", "-C", str(settings)]


async def _load(command: Command, values: int, rig: Rig, at: Broker, seconds: float) -> Run:
    """Run a program that publishes so many values in a message."""
    host, _, port = rig.buses["b1"].port.rpartition(":")
    with tempfile.TemporaryDirectory() as folder:
        words = command(Path(folder), host, int(port), urlsplit(at.url).port or 0)
        quiet = asyncio.subprocess.DEVNULL
        program = await asyncio.create_subprocess_exec(*words, stdout=quiet, stderr=quiet)
        try:
            await asyncio.sleep(_SETTLE_S)
            got, cpu_s, begin_s = at.got, process_cpu_s(program.pid), time.monotonic()
            await asyncio.sleep(seconds)
            got, cpu_s = at.got - got, process_cpu_s(program.pid) - cpu_s
            taken_s = time.monotonic() - begin_s
        finally:
            program.terminate()
            await program.wait()
    return Run(
        values_per_s=got * values / taken_s,
        cpu_s=1e5 * cpu_s / max(got * values, 1),
        core=cpu_s / taken_s,
        got_per_s=got / taken_s,
    )


_PEERS: Final[Sequence[tuple[str, Command, int]]] = (
    ("modpoll, a message each poll, QoS 0", _modpoll, VALUES),
    ("modpoll2mqtt, a message each poll, QoS 0", _modpoll2mqtt, VALUES),
    ("collectd, a message each value, QoS 0", _collectd, 1),
)


def _loads(command: Command, values: int) -> Load:
    return lambda rig, at, seconds: _load(command, values, rig, at, seconds)


def installed() -> dict[str, Load]:
    """Return the programs of this machine that can be measured."""
    return {name: _loads(command, values) for name, command, values in _PEERS if shutil.which(name.partition(",")[0])}
