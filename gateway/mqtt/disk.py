"""The journal as the keeper asks it: in a thread of its own, and with what is known of how the disk does.

A disk that refuses (full, read-only, gone) says so at once, and is asked again after a while. One that is dead may say
nothing for ever: then nothing of ours can end that thread, and all that can be done is to say so.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from gateway.mqtt.claim import Reserved, machine
from gateway.mqtt.journal import Journal, JournalDamagedError, JournalError
from gateway.mqtt.outbox import Loss
from gateway.mqtt.row import Row, Trimmed

_LOG: Final = logging.getLogger(__name__)
_AGAIN_S: Final = 10.0  # after a disk that refused
_SILENT_S: Final = 10.0  # an SD card may well take seconds
_BLOCK: Final = 1000  # numbers that are reserved at once
_T = TypeVar("_T")


class Disk:
    """One journal and its thread. Times are those of the event loop, s.

    Args:
        journal: opened, or its opening has failed.
        lose: counts what was lost with a damaged file.

    Attributes:
        refusal: why it takes nothing now; empty while it does.
        try_again_s: when to try again what it has refused.
    """

    def __init__(self, journal: Journal, lose: Callable[[Loss], None]) -> None:
        self.refusal = ""
        self.try_again_s = -math.inf
        self._journal = journal
        self._lose = lose
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._asked = 0  # questions that it has not answered yet
        self._silent_since_s = math.inf
        self._reserve_again_s = -math.inf
        self._told_aside = journal.path
        self._tell_set_aside()
        if journal.refusal:
            self._refuse(journal.refusal)

    @property
    def silent_s(self) -> float:
        """For how long it has been asked and has not answered."""
        return max(self._loop.time() - self._silent_since_s, 0.0) if self._asked else 0.0

    @property
    def problem(self) -> str:
        """Why nothing can be made safe now; empty while it can."""
        if self.silent_s > _SILENT_S:
            return f"{self._journal.path}: the disk has not answered for {self.silent_s:.0f} s"
        return self.refusal

    async def write(
        self, rows: Sequence[Row], undelivered: Sequence[Sequence[int]], *, now_ms: int, last_n: int
    ) -> Trimmed | None:
        """Write as `Journal.write` does; None when it refuses."""
        try:
            trimmed = await self._ask(partial(self._journal.write, rows, undelivered, now_ms=now_ms, last_n=last_n))
        except JournalError as error:
            await self._refused(error)
            return None
        if self.refusal:
            _LOG.warning("journal %s is written again", self._journal.path)
            self.refusal = ""
        return trimmed

    async def read(self, first: int, last: int, *, limit: int, records: bool) -> tuple[list[Row], bool]:
        """Read as `Journal.read` does; return whether these are all, as when a file is set aside, too."""
        try:
            return await self._ask(partial(self._journal.read, first, last, limit=limit, records=records)), True
        except JournalError as error:
            known = self.refusal and not isinstance(error, JournalDamagedError)
            return [], not known and await self._refused(error)

    async def count(self, first: int, last: int) -> int:
        """Count as `Journal.count` does; none when it refuses, which a read will find out."""
        try:
            return await self._ask(partial(self._journal.count, first, last))
        except JournalError:
            return 0

    async def restamp(self, first: int, last: int, add_ms: int) -> bool:
        """Change stamps as `Journal.restamp` does; False when it refuses, which the next write will find out."""
        try:
            await self._ask(partial(self._journal.restamp, first, last, add_ms))
        except JournalError:
            return False
        return True

    async def reserve(self, newest_n: int, *, loose: bool) -> bool:
        """Have numbers reserved before anybody sees them; return whether they are.

        Args:
            newest_n: the number given out last.
            loose: whether messages may be seen that are not on disk.
        """
        reserved, loose = self._journal.reserved, loose or bool(self.refusal)
        if newest_n + _BLOCK // 2 <= reserved.upto and reserved.loose == loose and reserved.closed_ms is None:
            return True
        if self._loop.time() < self._reserve_again_s:
            return False
        wanted = Reserved(upto=max(newest_n + _BLOCK, reserved.upto), loose=loose, machine=machine())
        try:
            await self._ask(partial(self._journal.reserve, wanted))
        except JournalError as error:
            self._reserve_again_s = self._loop.time() + _AGAIN_S
            if not self.refusal:
                self._refuse(str(error))
            return False
        return True

    async def reopen(self, *, damaged: bool = False) -> bool:
        """Open the journal anew, as after a disk that was gone, or another one; return whether it is open."""
        try:
            await self._ask(partial(self._journal.reopen, damaged=damaged))
        except JournalError as error:
            self._refuse(str(error))
            return False
        finally:
            self._tell_set_aside()
        self._reserve_again_s = -math.inf
        return True

    async def close(self, newest_n: int, *, now_ms: int) -> None:
        """Note that this is the end, and close the journal."""
        last = Reserved(upto=newest_n, loose=bool(self.refusal), closed_ms=now_ms, machine=machine())

        def close() -> None:
            with contextlib.suppress(JournalError):
                self._journal.reserve(last)
            self._journal.close()

        await self._ask(close)
        self._thread.shutdown(wait=False)

    async def _ask(self, work: Callable[[], _T]) -> _T:
        """Have work done in the thread; who is cancelled meanwhile does not make it forget that it was asked."""
        if not self._asked:
            self._silent_since_s = self._loop.time()
        self._asked += 1
        asked = self._loop.run_in_executor(self._thread, work)
        asked.add_done_callback(self._answered)
        return await asyncio.shield(asked)

    def _answered(self, asked: "asyncio.Future[_T]") -> None:
        self._asked -= 1
        self._silent_since_s = self._loop.time()
        if not asked.cancelled():
            asked.exception()  # seen, even if whoever has asked does not wait any more

    async def _refused(self, error: JournalError) -> bool:
        """Note it; return whether the file is damaged, and now another one has its place."""
        self._refuse(str(error))
        return isinstance(error, JournalDamagedError) and await self.reopen(damaged=True)

    def _refuse(self, why: str) -> None:
        self.try_again_s = self._loop.time() + _AGAIN_S
        if not self.refusal:
            _LOG.error("%s; messages are kept in memory until it can be written", why)
        self.refusal = why

    def _tell_set_aside(self) -> None:
        aside = self._journal.set_aside
        if aside is not None and aside != self._told_aside:
            self._told_aside = aside
            self._lose(Loss.JOURNAL_DAMAGED)
            _LOG.error("journal %s was damaged; kept as %s, a new one begun", self._journal.path, aside.name)
