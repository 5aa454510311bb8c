"""A serial port whose driver hangs in open(): said, tried once, and no trouble of anybody else."""

import asyncio
import subprocess
import sys
import threading

import pytest

from drivers.transport import serial_port
from drivers.transport.own_thread import in_own_thread
from drivers.transport.serial_port import SerialTransport


class Nobody:
    def received(self, data: bytes) -> None: ...

    def lost(self, why: str) -> None: ...


async def test_it_is_said_tried_once_and_used_when_it_opens_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, tries = threading.Event(), []

    def hang(*words: object, **others: object) -> object:
        tries.append(words)
        go_on.wait(20.0)
        raise ValueError("opened, more or less")

    monkeypatch.setattr(serial_port, "_Port", hang)
    monkeypatch.setattr(serial_port, "_OPEN_S", 0.02)
    transport = SerialTransport("/dev/ttyUSB7", baud=9600, data_format="8N1")
    for _ in range(3):
        with pytest.raises(OSError, match=r"/dev/ttyUSB7: does not open within 0\.02 s: its driver hangs"):
            await transport.connect(Nobody())
    assert len(tries) == 1
    go_on.set()
    monkeypatch.setattr(serial_port, "_OPEN_S", 20.0)
    for _ in range(2):
        with pytest.raises(OSError, match="opened, more or less"):
            await transport.connect(Nobody())
    assert len(tries) == 2


async def test_results_errors_and_what_nobody_waits_for() -> None:
    assert await in_own_thread(lambda: 7, name="seven") == 7
    with pytest.raises(ZeroDivisionError):
        await in_own_thread(lambda: 1 // 0, name="none")
    go_on = threading.Event()
    given_up = in_own_thread(go_on.wait, name="given up")
    given_up.cancel()
    go_on.set()
    await asyncio.sleep(0)
    assert given_up.cancelled()


def test_a_process_ends_while_a_thread_hangs() -> None:
    program = """
import asyncio, threading
from drivers.transport.own_thread import in_own_thread
async def main():
    in_own_thread(threading.Event().wait, name="for ever")
    print("ended", flush=True)
asyncio.run(main())
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "ended\n", "")
