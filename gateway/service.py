"""What systemd is told: that the gateway is ready, that it is alive, and that it ends.

Its protocol, sd_notify, is a datagram of a few words. Nobody is told anything where $NOTIFY_SOCKET is not set, as in a
terminal.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 0.1
_FEEDS: Final = 3  # within the time that the watchdog waits


class Notifier:
    """The way to systemd, found in the environment of the process.

    Attributes:
        watchdog_s: how often it wants a sign of life at least, None when it does not watch.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        place = environment.get("NOTIFY_SOCKET", "")
        self._place = f"\0{place[1:]}" if place.startswith("@") else place
        self.watchdog_s: float | None = None
        microseconds = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", "") in {"", str(os.getpid())}
        if self._place and ours and microseconds.isascii() and microseconds.isdigit():
            self.watchdog_s = int(microseconds) / 1e6

    def tell(self, **words: str | int) -> None:
        """Send words such as READY=1; a listener that has gone, or takes nothing now, is not waited for."""
        if not self._place:
            return
        text = "\n".join(f"{name}={value}" for name, value in words.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as way:
                way.sendto(text.encode(), self._place)
        except OSError as error:
            _LOG.debug("systemd was not told %s: %s", text, error)


async def report(notifier: Notifier, *, ready: Callable[[], bool], stuck: Callable[[], Sequence[str]]) -> None:
    """Tell systemd how the gateway does, until cancelled, and that it ends then.

    The watchdog gets its signs of life from this task of the event loop, and only while nothing is stuck: a loop that
    is blocked gives none either.

    Args:
        notifier: the way.
        ready: whether the gateway has polled anything yet.
        stuck: names of what stands still for good.
    """
    try:
        while not ready():  # noqa: ASYNC110 - asked for so seldom that no event is worth it
            await asyncio.sleep(_LOOK_S)
        notifier.tell(READY=1, STATUS="polling")
        said: list[str] = []
        while notifier.watchdog_s is not None:
            now = list(stuck())
            if now != said:
                _LOG.error("stuck: %s", ", ".join(now)) if now else _LOG.warning("nothing is stuck any more")
                notifier.tell(STATUS=f"stuck: {', '.join(now)}" if now else "polling")
                said = now
            if not now:
                notifier.tell(WATCHDOG=1)
            await asyncio.sleep(notifier.watchdog_s / _FEEDS)
        await asyncio.Event().wait()
    finally:
        notifier.tell(STOPPING=1, STATUS="ending")
