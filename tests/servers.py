"""Programs that listen on a port, for the time of a test."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path


class Server:
    """A running program; `kill` is kill -9."""

    def __init__(self, command: list[str], log: Path) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self._process.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()


def start_server(command: list[str], port: int, log: Path, *, host: str = "127.0.0.1") -> Server:
    """Start a program and wait until it listens on a port of this machine."""
    server = Server(command, log)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and server.running:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except ConnectionRefusedError:
            time.sleep(0.01)
        else:
            return server
    server.kill()
    raise RuntimeError(f"{command[0]} did not start: {log.read_text()}")
