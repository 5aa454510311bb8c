"""`manovac` as its users start it: in this process, or where signals matter as a process of its own."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import cli

BENCH = Path(__file__).parent.parent / "hil" / "rigs" / "bench.toml"
_TALKERS = ("drivers", "gateway", "gateway.mqtt.link")


class Called(NamedTuple):
    code: int
    out: str
    err: str


def call(capsys: pytest.CaptureFixture[str], *words: object) -> Called:
    """Run a command in this process to its end."""
    levels = [logging.getLogger(name).level for name in _TALKERS]
    try:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in words])
    finally:
        for name, level in zip(_TALKERS, levels, strict=True):
            logging.getLogger(name).setLevel(level)
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return Called(int(ended.value.code or 0), said.out, said.err)


@contextmanager
def started(folder: Path, *words: object, first: str = "") -> Iterator[subprocess.Popen[str]]:
    """Run a command as a terminal does, in a process group of its own, with its temporary files in `folder`.

    `first` is what Python is to do before.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", f"{first}\nfrom gateway.cli import main; main()", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def ended_by(process: subprocess.Popen[str], number: signal.Signals, *, times: int = 1) -> Called:
    """Send a signal to the whole process group, as Ctrl-C does, and wait for the end."""
    for _ in range(times):
        os.killpg(process.pid, number)
    out, err = process.communicate(timeout=10)
    assert "Traceback" not in err, err
    return Called(process.returncode, out, err)


def of_folder(folder: Path) -> list[str]:
    """Return the command lines of processes that have their temporary files in that folder."""
    mine = f"TMPDIR={folder}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mine in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
