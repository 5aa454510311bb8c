"""Blocking work in a thread of its own: a device that hangs holds up no other, nor the end of the process."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

_T = TypeVar("_T")


def in_own_thread(work: Callable[[], _T], *, name: str) -> "asyncio.Future[_T]":
    """Begin the work and return its result to come; nobody has to wait for it.

    The threads that asyncio lends are few and shared, and the process waits for them at its end; this one it leaves.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()
    future.add_done_callback(_looked_at)

    def settle(value: _T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("_T", value))

    def run() -> None:
        value, failed = None, None
        try:
            value = work()
        except Exception as error:  # noqa: BLE001 - it is whoever waits that it is raised for
            failed = error
        with suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(settle, value, failed)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _looked_at(future: "asyncio.Future[_T]") -> None:
    """Keep asyncio from complaining of an error for which nobody waits any more."""
    if not future.cancelled():
        future.exception()
