"""Runs one coroutine as a process should: precise timers, a quiet end on Ctrl-C or SIGTERM, an emulator beside it."""

import asyncio
import gc
import logging
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import orjson

from drivers.precise_loop import precise_event_loop

_T = TypeVar("_T")
_log: Final = logging.getLogger(__name__)
_READY_S: Final = 15.0
_END_S: Final = 2.0
_OBJECTS_A_COLLECTION: Final = 10_000  # of Python's 700: readings are freed as they go, and few things are cycles
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class EmulatorError(RuntimeError):
    """The emulator did not start; the message is its own, and so is the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def run(coroutine: Coroutine[Any, Any, _T]) -> _T | None:
    """Run to the end and return the result; None when ended by Ctrl-C, SIGTERM or the loss of its terminal.

    Everything is closed first. A second signal does not cut that short: each step of it has a limit of its own.
    """
    gc.set_threshold(_OBJECTS_A_COLLECTION)
    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        task = runner.get_loop().create_task(coroutine, name="manovac")

        def end() -> None:
            if not task.cancelling():
                task.cancel()

        for number in _ENDING:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup wants it to go on
                runner.get_loop().add_signal_handler(number, end)
        try:
            return runner.get_loop().run_until_complete(task)
        except asyncio.CancelledError:
            return None
        except ExceptionGroup as group:
            if group.subgroup(BrokenPipeError) is not None:
                raise BrokenPipeError from None  # whoever read our output has gone, as after `| head`
            raise


def log_to_terminal(level: int) -> None:
    """Let Manovac's own modules talk on stderr from that level on, and libraries only when something is wrong."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")
    for package in ("drivers", "gateway"):
        logging.getLogger(package).setLevel(level)


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
        "-P",  # no folder of the caller's takes the place of a package
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
        ports = await _ports(process)
        watching = asyncio.create_task(_watch(process), name="emulator")
        try:
            yield ports
        finally:
            watching.cancel()
            await asyncio.wait([watching])
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
            said = (await process.stderr.read()).decode(errors="replace").strip().removeprefix("manovac: ")
            raise EmulatorError(said or "the emulator did not start", max(await process.wait(), 1))
    except TimeoutError:
        raise EmulatorError(f"the emulator was not ready within {_READY_S:g} s") from None


async def _watch(process: asyncio.subprocess.Process) -> None:
    """Take what the emulator says, so that it never waits for us, and tell when it ends by itself."""
    assert process.stderr is not None  # noqa: S101 - it was made with a pipe
    last = b""
    async for line in process.stderr:
        last = line
    code = await process.wait()
    _log.error("the emulator ended by itself, exit code %d: %s", code, last.decode(errors="replace").strip())


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
