"""A gateway and a consumer at a NATS cluster of three servers on this machine, run with what `broker-config` writes."""

import contextlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.mqtt.journal import Journal
from tests.benchmarks.tcp_load import load_text
from tests.certificates import Authority
from tests.servers import Server, start_server

_PORT: Final = 8883
_MANOVAC: Final = (sys.executable, "-c", "from gateway.cli import main; main()")
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


class Cluster:
    """Three servers, each at a loopback address of its own; `kill` is kill -9.

    Args:
        folder: of certificates, settings, logs and what the servers store.
        load: words of `tests.benchmarks.tcp_load.load_text`, for the gateway's rig.
    """

    def __init__(self, folder: Path, **load: int | str) -> None:
        self._folder = folder
        block = f"127.{random.randrange(1, 255)}.{random.randrange(255)}"
        self.hosts = [f"{block}.{number}" for number in (1, 2, 3)]
        self._servers: dict[str, Server] = {}
        authority = Authority(_program("openssl"), folder / "certificates")
        authority.issue("broker", host=" ".join(self.hosts))
        # The gateway looks at the first server first, the consumer at the second.
        self.rigs = {
            name: self._rig(name, authority, [*self.hosts[start:], *self.hosts[:start]], load)
            for start, name in enumerate(("g1", "store"))
        }
        options = ["--broker", "nats", "--consumer", "store", "--to", folder, "--store", folder / "kept"]
        command = [*_MANOVAC, "broker-config", self.rigs["g1"], *options, "--certificates", authority.folder]
        subprocess.run(command, check=True, capture_output=True)

    def _rig(self, name: str, authority: Authority, hosts: Sequence[str], load: dict[str, int | str]) -> Path:
        authority.issue(name)
        urls = [f'"mqtts://{host}"' for host in hosts]
        words = [f"url = {urls[0]}", f"more_urls = [{', '.join(urls[1:])}]"]
        words += [f'{word} = "{path}"' for word, path in authority.words(name).items()]
        text = load_text(**load).replace("[mqtt]", "\n".join(["[mqtt]", *words]))  # type: ignore[arg-type]
        path = self._folder / f"{name}.toml"
        path.write_text(f'{text}[journal]\npath = "{self._folder}/journal.sqlite"\n')
        return path

    @property
    def journal(self) -> Path:
        """Of the gateway."""
        return self._folder / "journal-emulated.sqlite"

    def start(self, host: str) -> None:
        """Start one server, or start it again with what it has stored."""
        config = str(self._folder / f"manovac.{host}.nats.conf")
        log = self._folder / f"{host}.log"
        self._servers[host] = start_server([_program("nats-server"), "-c", config], _PORT, log, host=host)

    def kill(self, host: str) -> None:
        """End one server without a warning."""
        if host in self._servers:
            self._servers.pop(host).kill()


@contextmanager
def cluster(folder: Path, **load: int | str) -> Iterator[Cluster]:
    """Run a cluster for a `with` block."""
    servers = Cluster(folder, **load)
    try:
        for host in servers.hosts:
            servers.start(host)
        yield servers
    finally:
        for host in servers.hosts:
            servers.kill(host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the consumer says at its end.

    Attributes:
        code, text: its exit code and its line.
        given: the highest number that the gateway has given; the lowest is 1.
        stored, newest: how many numbers it has stored, and the highest.
        connections: the gateway's, over the whole time.
    """

    code: int
    text: str
    given: int
    stored: int
    newest: int
    connections: int

    @property
    def nothing_lost(self) -> bool:
        """Whether every number that the gateway has ever given is stored."""
        return self.code == 0 and self.stored == self.newest == self.given


class Station:
    """A gateway with its emulator, and `manovac sub --ack` as the consumer, both processes."""

    def __init__(self, servers: Cluster, folder: Path) -> None:
        self._servers = servers
        self._log = folder / "gateway.log"
        self._store = folder / "store.sqlite"
        rig, own = servers.rigs["g1"], servers.rigs["store"]
        with (folder / "consumer.log").open("wb") as log:
            command = [*_MANOVAC, "sub", own, "--ack", "store", "--to", self._store]
            self._consumer = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        with self._log.open("wb") as log:
            self._gateway = subprocess.Popen([*_MANOVAC, "run", rig, "--emulated"], stdout=log, stderr=log)

    @property
    def connections(self) -> int:
        """How often the gateway has found a server."""
        return self._log.read_text().count("MQTT: connected to ")

    @property
    def stored(self) -> int:
        """How many numbers the consumer has stored."""
        return self._asked("count(DISTINCT n)")

    def wait_stored(self, number: int, within_s: float) -> None:
        """Wait until it has stored so many."""
        self._wait(lambda: self.stored >= number, f"{number} numbers stored", within_s)

    def wait_complete(self, beyond: int, within_s: float) -> None:
        """Wait until nothing is missing up to the newest number that it has, and that is beyond this one."""
        self._wait(lambda: beyond < self.stored == self._asked("max(n)"), f"record up to {beyond}", within_s)

    def wait_connections(self, number: int, within_s: float) -> None:
        """Wait until the gateway has found a server so often."""
        self._wait(lambda: self.connections >= number, f"{number} connections", within_s)

    def _wait(self, condition: Callable[[], bool], what: str, within_s: float) -> None:
        end_s = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > end_s:
                raise TimeoutError(f"no {what} within {within_s:g} s:\n{self._log.read_text()}")
            time.sleep(0.2)

    def _asked(self, what: str) -> int:
        if not self._store.exists():
            return 0
        with contextlib.closing(sqlite3.connect(f"file:{self._store}?mode=ro", uri=True)) as store:
            try:
                return store.execute(f"SELECT {what} FROM message").fetchone()[0] or 0
            except sqlite3.OperationalError:  # its tables are not there yet
                return 0

    def end_gateway(self) -> int:
        """Stop the gateway as a service is stopped, and return the highest number that it has given."""
        self._gateway.send_signal(signal.SIGTERM)
        self._gateway.wait(20)
        journal = Journal(self._servers.journal, max_bytes=10**9, max_age_ms=10**12)
        journal.open()
        given = journal.last_n
        journal.close()
        return given

    def verdict(self, given: int) -> Verdict:
        """Stop the consumer, and hear what it says."""
        self._consumer.send_signal(signal.SIGINT)
        text, _ = self._consumer.communicate(timeout=20)
        return Verdict(
            code=self._consumer.returncode,
            text=text.strip(),
            given=given,
            stored=self.stored,
            newest=self._asked("max(n)"),
            connections=self.connections,
        )

    def close(self) -> None:
        """Leave nothing behind."""
        for process in (self._gateway, self._consumer):
            if process.poll() is None:
                process.kill()
            process.communicate()


def _program(name: str) -> str:
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise RuntimeError(f"{name} is not installed: apt install {name}")
    return path
