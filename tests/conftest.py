"""Fixtures for all tests: a real mosquitto."""

import os
import shutil
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from tests.servers import Server, start_server

# No verdict by the wall clock: how long an example takes is the machine's affair.
hypothesis_settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("any-machine")


def pytest_xdist_auto_num_workers() -> int:
    """Return how many tests run at a time: one more than there are cores, as many wait for real lines and brokers."""
    return len(os.sched_getaffinity(0)) + 1


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test's gateway find another's journal, or leave one in the user's home."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


def _require_program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is not None:
        return path
    message = f"{name} is not installed (apt install {name})"
    if os.environ.get("MANOVAC_NO_SKIPS"):
        pytest.fail(message)
    pytest.skip(message)


class Mosquitto:
    """A broker of its own folder and port; `kill` is kill -9, `start` starts it again on the same port.

    Args:
        settings: further lines of mosquitto.conf, `{folder}` in them is the broker's folder.
    """

    def __init__(self, program: str, folder: Path, settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.folder = folder
        self._config = folder / "mosquitto.conf"
        lines = (
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nuser {os.environ.get('USER', 'root')}\n{settings}\n"
        )
        self._config.write_text(lines)
        self._program = program
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [self._program, "-c", str(self._config)]
        self._server = start_server(command, self.port, self.folder / "mosquitto.log")

    def kill(self) -> None:
        if self._server is not None:
            self._server.kill()
            self._server = None

    def signal(self, number: signal.Signals) -> None:
        """Stop it (SIGSTOP), let it go on (SIGCONT), ask it to end (SIGTERM; then `kill` waits for it)."""
        if self._server is not None:
            self._server.signal(number)


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """Gives the path of a program from Debian; without it the test is skipped, or fails where no skip is allowed."""
    return _require_program


@pytest.fixture
def make_mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Mosquitto]]:
    """Makes started brokers from lines of mosquitto.conf (and a folder when these name files in it)."""
    program = _require_program("mosquitto")
    brokers: list[Mosquitto] = []

    def make(settings: str = "", folder: Path | None = None) -> Mosquitto:
        broker = Mosquitto(program, folder or tmp_path_factory.mktemp("mosquitto"), settings)
        brokers.append(broker)
        broker.start()
        return broker

    yield make
    for broker in brokers:
        broker.kill()


@pytest.fixture
def mosquitto(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A real broker on a free port of 127.0.0.1 that lets everybody in."""
    return make_mosquitto()
