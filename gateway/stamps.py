"""From the event loop's clock to UTC: readings carry loop time until they are published, so a step bends no rate."""

import asyncio
import ctypes
import time
from collections.abc import Callable
from typing import Final

_STEP_S: Final = 0.25  # a larger jump between the two clocks is a step, a smaller one is slewing
_TIME_ERROR: Final = 5  # adjtimex(2): the kernel clock is not synchronised
_TIMEX_BYTES: Final = 256


def kernel_sync() -> str:
    """Return "ntp" when the kernel's clock is synchronised, "free" when not, "unknown" when it cannot be asked."""
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return "unknown"
    return "unknown" if state < 0 else "free" if state == _TIME_ERROR else "ntp"


class Stamps:
    """UTC of moments on the loop's clock.

    Attributes:
        sync: clock state as of the last `check`: "ntp", "free" or "unknown".
        steps: how often the wall clock stepped.
    """

    def __init__(self, *, wall: Callable[[], float] = time.time, sync: Callable[[], str] = kernel_sync) -> None:
        self._wall = wall
        self._ask_sync = sync
        self._offset_s = wall() - asyncio.get_running_loop().time()
        self.sync = sync()
        self.steps = 0
        self.last_step_s = 0.0

    def check(self) -> bool:
        """Compare both clocks (call it every few seconds); say whether the wall clock stepped since the last time."""
        offset_s = self._wall() - asyncio.get_running_loop().time()
        moved_s, self._offset_s = offset_s - self._offset_s, offset_s
        self.sync = self._ask_sync()
        if abs(moved_s) <= _STEP_S:
            return False
        self.steps += 1
        self.last_step_s = moved_s
        return True

    def utc_ms(self, time_s: float) -> int:
        """Return ms since 1970 UTC of a moment on the loop's clock."""
        return round((time_s + self._offset_s) * 1000)
