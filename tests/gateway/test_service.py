"""What systemd is told; its end of the socket is the test's."""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_sim.clock import run_virtual
from gateway.service import Notifier, report
from tests.commands import BENCH


class Systemd:
    """The socket that a service tells."""

    def __init__(self, place: str) -> None:
        self.environment = {"NOTIFY_SOCKET": place, "WATCHDOG_USEC": "300000", "WATCHDOG_PID": str(os.getpid())}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{place[1:]}" if place.startswith("@") else place)
        self._socket.settimeout(20.0)

    def told(self) -> list[str]:
        """Return what has come by now."""
        found = []
        self._socket.setblocking(False)
        try:
            while True:
                found.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return found
        finally:
            self._socket.settimeout(20.0)

    def next(self) -> str:
        """Wait for the next word."""
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Systemd]:
    listening = Systemd(str(tmp_path / "s") if request.param == "path" else f"@manovac-test-{os.getpid()}")
    yield listening
    listening.close()


def test_nobody_is_told_where_nobody_asks() -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    notifier.tell(READY=1)
    assert notifier.watchdog_s is None


def test_a_watchdog_of_another_process_is_not_ours(systemd: Systemd) -> None:
    assert Notifier(systemd.environment).watchdog_s == 0.3
    assert Notifier({**systemd.environment, "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier({**systemd.environment, "WATCHDOG_USEC": "soon"}).watchdog_s is None


def test_a_listener_that_has_gone_is_no_trouble(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).tell(READY=1)


def test_ready_after_the_first_poll_alive_while_nothing_is_stuck_and_told_of_the_end(
    systemd: Systemd, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        polled, stuck = asyncio.Event(), list[str]()
        notifier = Notifier(systemd.environment)
        telling = asyncio.create_task(report(notifier, ready=polled.is_set, stuck=lambda: stuck))
        await asyncio.sleep(60.0)
        assert systemd.told() == []
        polled.set()
        await asyncio.sleep(1.05)
        assert systemd.told() == ["READY=1\nSTATUS=polling", *["WATCHDOG=1"] * 10]
        stuck.append("bus aft")
        await asyncio.sleep(1.0)
        assert systemd.told() == ["STATUS=stuck: bus aft"], "it is not fed any more"
        stuck.clear()
        await asyncio.sleep(0.2)
        assert systemd.told() == ["STATUS=polling", "WATCHDOG=1", "WATCHDOG=1"]
        telling.cancel()
        await asyncio.wait([telling])
        assert systemd.told() == ["STOPPING=1\nSTATUS=ending"]

    run_virtual(story(), limit_s=1000)
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == ["stuck: bus aft"]


async def test_a_blocked_loop_gives_no_sign_of_life(tmp_path: Path) -> None:
    systemd = Systemd(str(tmp_path / "s"))
    telling = asyncio.create_task(report(Notifier(systemd.environment), ready=lambda: True, stuck=list))
    await asyncio.to_thread(systemd.next)
    assert await asyncio.to_thread(systemd.next) == "WATCHDOG=1"
    systemd.told()
    time.sleep(0.4)  # noqa: ASYNC251 - that is what blocks it
    assert systemd.told() == []
    assert await asyncio.to_thread(systemd.next) == "WATCHDOG=1"
    telling.cancel()
    await asyncio.wait([telling])
    systemd.close()


def test_manovac_run_is_such_a_service(tmp_path: Path) -> None:
    systemd = Systemd(str(tmp_path / "s"))
    environment = {**os.environ, **systemd.environment}
    del environment["WATCHDOG_PID"]
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", str(BENCH), "--emulated"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as gateway:
        try:
            assert systemd.next() == "READY=1\nSTATUS=polling"
            assert systemd.next() == "WATCHDOG=1"
            gateway.send_signal(signal.SIGTERM)
            while (word := systemd.next()) == "WATCHDOG=1":
                pass
            assert word == "STOPPING=1\nSTATUS=ending"
            assert gateway.wait(20.0) == 0
        finally:
            gateway.kill()
    systemd.close()
