"""Keeps parts of the gateway going: one that fails or stands still is begun again and named, and ends no other.

Whether a part stands still, it says itself: by how long it is overdue. What new beginnings have not helped for five
minutes is stuck, and so is what has failed for so long without living for a minute in between: then nobody should
believe that this process is well (`gateway.service`).
"""

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from gateway.mqtt.payloads import PartHealth

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 5.0
_STILL_S: Final = 30.0
_STUCK_S: Final = 300.0
_TOLD_S: Final = 120.0  # how long a failure is a problem, if no other comes
_LOG_EACH_S: Final = 60.0
_PAUSES_S: Final = (1.0, 60.0)


class Part(Protocol):
    """Something that must go on."""

    @property
    def name(self) -> str:
        """Name it for logs and health, such as "bus aft"."""
        ...

    async def run(self) -> None:
        """Do its work until cancelled; may be called again after it has failed."""
        ...

    def overdue_s(self) -> float:
        """Return for how long something should have come of it and has not, whoever began it anew meanwhile."""
        ...


@dataclass(slots=True)
class _Record:
    failures: int = 0
    problem: str = ""
    failed_s: float = -math.inf
    logged_s: float = -math.inf
    kinds: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Kept:
    """A part, since when it fails, and from when on the present run is long enough to have ended that."""

    part: Part
    failing_since_s: float = math.inf
    well_from_s: float = math.inf


class Again:
    """A part that does something again and again.

    Args:
        name: for logs and health.
        act: does it and returns the pause until the next time, s.
        first_s: the pause before the first time.
    """

    def __init__(self, name: str, act: Callable[[], float], *, first_s: float = 0.0) -> None:
        self.name = name
        self._act = act
        self._first_s = first_s
        self._loop = asyncio.get_running_loop()
        self._due_s = math.inf

    async def run(self) -> None:
        """Act until cancelled."""
        if self._due_s == math.inf:
            self._due_s = self._loop.time() + self._first_s
        while True:
            await asyncio.sleep(self._due_s - self._loop.time())
            self._due_s = self._loop.time() + self._act()

    def overdue_s(self) -> float:
        """Return how late the next time is."""
        return max(self._loop.time() - self._due_s, 0.0)


class Supervision:
    """What is known of the parts. Made in the event loop; its times are that loop's."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._parts: dict[str, _Kept] = {}
        self._records: dict[str, _Record] = {}

    async def keep(self, part: Part) -> None:
        """Run a part until cancelled. After a failure it begins again, after 1 s, then ever later up to a minute."""
        kept = self._parts[part.name] = _Kept(part)
        pause_s = _PAUSES_S[0]
        while True:
            kept.well_from_s = self._loop.time() + _PAUSES_S[1]
            error = await self._once(part)
            self.failed(part.name, error)
            now_s = self._loop.time()
            if now_s > kept.well_from_s:
                pause_s, kept.failing_since_s = _PAUSES_S[0], now_s
            kept.failing_since_s = min(kept.failing_since_s, now_s)
            kept.well_from_s = math.inf
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSES_S[1])

    @asynccontextmanager
    async def kept(self, part: Part) -> AsyncIterator[None]:
        """Keep a part for a `with` block."""
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(self.keep(part), name=f"{part.name}, kept")
            try:
                yield
            finally:
                keeping.cancel()

    async def _once(self, part: Part) -> Exception:
        """Run a part until it fails or stands still; one that does not even end then is waited for."""
        running = self._loop.create_task(part.run(), name=part.name)
        still_s = 0.0  # counted in looks: whoever stops the whole process for a while has stopped no part
        try:
            while not running.done() and still_s < _STILL_S:
                await asyncio.wait([running], timeout=_LOOK_S)
                still_s = still_s + _LOOK_S if part.overdue_s() > _LOOK_S else 0.0
            if not running.done():
                _LOG.warning("%s stands still: it is stopped, and begun again once it has ended", part.name)
                return TimeoutError(f"nothing came of it for {_STILL_S:g} s")
        finally:
            running.cancel()
            await asyncio.wait([running])
            error = None if running.cancelled() else running.exception()
        return error if isinstance(error, Exception) else RuntimeError("it ended by itself")

    def failed(self, name: str, error: Exception) -> None:
        """Count a failure and log it, not more than once a minute; the first of a kind with its traceback."""
        record = self._records.setdefault(name, _Record())
        while isinstance(error, ExceptionGroup):
            error = error.exceptions[0]
        kind, now_s = type(error).__name__, self._loop.time()
        record.failures += 1
        record.problem = f"{kind}: {error}".removesuffix(": ")
        record.failed_s = now_s
        if kind in record.kinds and now_s < record.logged_s + _LOG_EACH_S:
            return
        trace = None if kind in record.kinds or isinstance(error, TimeoutError) else error
        record.kinds.add(kind)
        record.logged_s = now_s
        _LOG.error("%s failed, time %d; all else goes on: %s", name, record.failures, record.problem, exc_info=trace)

    def health(self) -> Mapping[str, PartHealth]:
        """Return how the parts do that have ever failed, by name."""
        now_s = self._loop.time()
        return {
            name: PartHealth(
                failures=record.failures, problem=record.problem if now_s - record.failed_s < _TOLD_S else ""
            )
            for name, record in self._records.items()
        }

    def stuck(self) -> list[str]:
        """Return the names of parts of which nothing has come for five minutes, for all that was done."""
        now_s = self._loop.time()
        return [
            name
            for name, kept in self._parts.items()
            if kept.part.overdue_s() > _STUCK_S or kept.failing_since_s + _STUCK_S < now_s < kept.well_from_s
        ]
