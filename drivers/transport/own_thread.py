"""Blocking work in a thread of its own: a device that hangs holds up no other, nor the end of the process."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, TypeVar

_T = TypeVar("_T")


def in_own_thread(work: Callable[[], _T], *, name: str) -> "asyncio.Future[_T]":
    """Begin the work and return its result to come; nobody has to wait for it.

    The threads that asyncio lends are few and shared, and the process waits for them at its end; this one it leaves.
    """
    future = asyncio.get_running_loop().run_in_executor(_OwnThread(name), work)
    future.add_done_callback(_looked_at)
    return future


class _OwnThread(Executor):
    """Begins a thread for each work."""

    def __init__(self, name: str) -> None:
        self._name = name

    def submit(self, work: Callable[..., _T], /, *args: Any, **words: Any) -> "Future[_T]":
        future: Future[_T] = Future()
        future.set_running_or_notify_cancel()

        def run() -> None:
            try:
                value = work(*args, **words)
            except Exception as error:  # noqa: BLE001 - it is whoever waits that it is raised for
                future.set_exception(error)
            else:
                future.set_result(value)

        threading.Thread(target=run, name=self._name, daemon=True).start()
        return future


def _looked_at(future: "asyncio.Future[_T]") -> None:
    """Keep asyncio from complaining of an error for which nobody waits any more."""
    if not future.cancelled():
        future.exception()
