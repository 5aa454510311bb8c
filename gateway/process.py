"""Runs one coroutine as a process should: precise timers, a quiet end on Ctrl-C or SIGTERM, an emulator beside it."""

import asyncio
import selectors
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

_T = TypeVar("_T")
_READY_S: Final = 15.0
_END_S: Final = 2.0


class EmulatorError(RuntimeError):
    """The emulator did not start; the message is its own."""


def _precise_loop() -> asyncio.AbstractEventLoop:
    """Make a loop whose timers keep microseconds; epoll would round the silences of an RS-485 line up to whole ms."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


def run(coroutine: Coroutine[Any, Any, _T]) -> _T | None:
    """Run to the end and return the result; None when ended by Ctrl-C or SIGTERM, after everything was closed."""
    with asyncio.Runner(loop_factory=_precise_loop) as runner:
        task = runner.get_loop().create_task(coroutine, name="manovac")
        for number in (signal.SIGINT, signal.SIGTERM):
            runner.get_loop().add_signal_handler(number, task.cancel)
        try:
            return runner.get_loop().run_until_complete(task)
        except asyncio.CancelledError:
            return None


@asynccontextmanager
async def emulator(rig: Path, *options: str) -> AsyncIterator[dict[str, str]]:
    """Run the emulated rig in a process of its own for a `with` block.

    Args:
        rig: the rig file.
        options: more words for `manovac emulate`.

    Yields:
        Where each bus is (bus id -> port).

    Raises:
        EmulatorError: it did not start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from gateway.cli import main; main()",
        "emulate",
        str(rig),
        "--json",
        "--until-input-ends",
        *options,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us: we end it, after the last poll
    )
    try:
        yield await _ports(process)
    finally:
        await _end(process)


async def _ports(process: asyncio.subprocess.Process) -> dict[str, str]:
    assert process.stdout is not None  # noqa: S101 - it was made with a pipe
    assert process.stderr is not None  # noqa: S101
    try:
        async with asyncio.timeout(_READY_S):
            line = await process.stdout.readline()
            if line:
                ports: dict[str, str] = orjson.loads(line)["ports"]
                return ports
            raise EmulatorError((await process.stderr.read()).decode(errors="replace").strip())
    except TimeoutError:
        raise EmulatorError(f"the emulator was not ready within {_READY_S:g} s") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the emulator: the end of its input tells it to close; it is killed if it does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
