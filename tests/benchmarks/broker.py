"""A real mosquitto with a subscriber in C, as gateways in use have them; their CPU is not the gateway's."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_READY_S: Final = 5.0


class Broker:
    """mosquitto on a free port of 127.0.0.1, and mosquitto_sub, which writes a line for each message that it got.

    Args:
        folder: for their files.
        form: of these lines, as mosquitto_sub's -F; "x" is the shortest.

    Attributes:
        lines: the file that it writes.
    """

    def __init__(self, folder: Path, *, form: str = "x") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self._port}"
        self._folder = folder
        self._form = form
        self.lines = folder / "got"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def got(self) -> int:
        """Messages that have reached the subscriber, where a line is "x"."""
        return self.lines.stat().st_size // 2

    @contextmanager
    def running(self, topic: str, core: int) -> Iterator["Broker"]:
        """Let both run for a `with` block, on that core."""
        config = self._folder / "mosquitto.conf"
        config.write_text(f"listener {self._port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
        with _started(["mosquitto", "-c", str(config)], core, self._folder / "log") as self._process:
            _wait_for(self._port)
            subscriber = ["mosquitto_sub", "-p", str(self._port), "-q", "1", "-t", topic, "-F", self._form]
            with _started(subscriber, core, self.lines):
                time.sleep(0.2)  # until it has subscribed
                yield self

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let it answer nobody for a `with` block."""
        if self._process is None:
            raise RuntimeError("it does not run")
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@contextmanager
def broker(topic: str, core: int) -> Iterator[Broker]:
    """Run broker and subscriber for a `with` block.

    Raises:
        RuntimeError: a program of Debian's mosquitto and mosquitto-clients is not installed.
    """
    with tempfile.TemporaryDirectory() as folder, Broker(Path(folder)).running(topic, core) as running:
        yield running


@contextmanager
def _started(command: Sequence[str], core: int, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise RuntimeError(f"{command[0]} is not installed: apt install mosquitto mosquitto-clients")
    with output.open("wb") as file, subprocess.Popen([program, *command[1:]], stdout=file, stderr=file) as process:
        os.sched_setaffinity(process.pid, {core})
        try:
            yield process
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    end_s = time.monotonic() + _READY_S
    while time.monotonic() < end_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError("mosquitto did not start")
