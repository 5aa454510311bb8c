"""From the event loop's clock to UTC: readings carry loop time until they are published, so a step bends no rate."""

import asyncio
import ctypes
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_STEP_S: Final = 0.25  # a larger jump between the two clocks is a step, a smaller one is slewing
_SETTLED_S: Final = 3600.0
_PAUSE_S: Final = 60.0
_TIME_ERROR: Final = 5  # adjtimex(2): the kernel clock is not synchronised
_TIMEX_BYTES: Final = 256


def kernel_sync() -> str:
    """Return "ntp" when the kernel's clock is synchronised, "free" when not, "unknown" when it cannot be asked."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return "unknown"
    return "unknown" if state < 0 else "free" if state == _TIME_ERROR else "ntp"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """What became of the wall clock: its state before and after ("ntp", "free", "unknown"), its step, 0 for none."""

    before: str
    after: str
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockState:
    """What one gateway leaves to the next of its clock, so that nothing that happens between them is missed."""

    offset_s: float
    sync: str


class Stamps:
    """UTC of moments on the loop's clock.

    Attributes:
        sync: clock state as of the last `check`: "ntp", "free" or "unknown".
    """

    def __init__(
        self,
        *,
        wall: Callable[[], float] = time.time,
        sync: Callable[[], str] = kernel_sync,
        before: ClockState | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._wall = wall
        self._ask_sync = sync
        self.sync = sync() if before is None else before.sync  # before the time: see `check`
        self._offset_s = wall() - self._loop.time() if before is None else before.offset_s
        self._stepped_s = self._loop.time()
        self._follows_from_s = -math.inf

    def check(self) -> ClockChange | None:
        """Compare both clocks (call it every second or so); return what has changed since the last time.

        Until then all moments have stamps by the old offset, and from then on by the new one. Steps of a clock that
        runs free are followed once a minute: to each belongs an event, which is for ever, and a clock can be mad.
        """
        before, self.sync = self.sync, self._ask_sync()  # first: a clock that is set between the two was still free
        now_s = self._loop.time()
        offset_s = self._wall() - now_s
        moved_s = offset_s - self._offset_s
        if abs(moved_s) <= _STEP_S:
            moved_s, self._offset_s = 0.0, offset_s
        elif self.sync != "free" or now_s >= self._follows_from_s:
            self._offset_s = offset_s
            self._stepped_s, self._follows_from_s = now_s, now_s + _PAUSE_S
        else:
            moved_s = 0.0
        if moved_s == 0.0 and self.sync == before:
            return None
        return ClockChange(before=before, after=self.sync, step_s=moved_s)

    @property
    def state(self) -> ClockState:
        """The clock as of the last `check`."""
        return ClockState(offset_s=self._offset_s, sync=self.sync)

    def utc_ms(self, time_s: float) -> int:
        """Return ms since 1970 UTC of a moment on the loop's clock."""
        return round((time_s + self._offset_s) * 1000)

    def age_ms(self) -> int:
        """Return now, ms since 1970 UTC, for judging what is too old to be kept; 0 while the clock may be wrong.

        It may be while it runs free, and for an hour after a start or a step: a clock that lies must not empty a disk.
        """
        now_s = self._loop.time()
        return 0 if self.sync == "free" or now_s < self._stepped_s + _SETTLED_S else self.utc_ms(now_s)
