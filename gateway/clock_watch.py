"""Tells of the wall clock: when it stepped, and what that says of the stamps before.

A Raspberry Pi starts with a wrong clock. What a gateway has said is never changed afterwards (a number means one
message for ever); instead a numbered event says what to add to the stamps of which numbers (`gateway.corrections`).
"""

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from gateway.corrections import Correction
from gateway.mqtt import finding_payloads
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.topics import Topics
from gateway.stamps import ClockChange, Stamps

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_PAUSE_S: Final = 60.0


class ClockWatch:
    """Looks at the clock once a second.

    Stamps are corrected by a step only while the clock has run free since this start: one that was synchronised before
    was right, and whether a step made it better or worse nobody can know.

    Args:
        free_since: the first number of this start that a free clock has stamped, as the gateway before a `reload` left
            it; None when there was none.
        stepped: called after each step that was told; what stands retained is to be said again with new stamps.
    """

    def __init__(
        self,
        stamps: Stamps,
        outbox: Outbox,
        topics: Topics,
        *,
        boot: str,
        free_since: int | None,
        stepped: Callable[[Correction], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stamps = stamps
        self._outbox = outbox
        self._topics = topics
        self._boot = boot
        self._stepped = stepped
        self._news: ClockChange | None = None
        self._next_s = -math.inf
        self.free_since = outbox.newest_n + 1 if free_since is None and stamps.sync == "free" else free_since

    def act(self) -> float:
        """Look; return when to be called again, in s."""
        change = self._stamps.check()
        if change is not None:
            self._take(change)
        if self._news is not None and self._loop.time() >= self._next_s:
            self._tell(self._news, None)
            self._news = None
            self._next_s = self._loop.time() + _PAUSE_S
        return _LOOK_S

    def _take(self, change: ClockChange) -> None:
        """Tell what corrects stamps at once; other steps together, once a minute, as those of a free clock come."""
        since = self.free_since
        if change.after != "free":
            self.free_since = None
        if since is not None and (change.step_s or change.after != "free"):
            self._tell(change, since)
        elif change.step_s and self._news is None:
            self._news = change
        elif change.step_s and self._news is not None:
            self._news = replace(self._news, after=change.after, step_s=self._news.step_s + change.step_s)

    def _tell(self, change: ClockChange, since: int | None) -> None:
        n = self._outbox.number()
        step_ms = round(change.step_s * 1000)
        correction = Correction(
            gateway=self._topics.gateway,
            boot=self._boot,
            since=n if since is None else since,
            before=n,
            add_ms=0 if since is None else step_ms,
        )
        _LOG.warning(
            "the wall clock went from %s to %s and stepped by %.3f s%s",
            change.before,
            change.after,
            change.step_s,
            f"; stamps of numbers {since} to {n - 1} are to be corrected by as much" if correction.add_ms else "",
        )
        payload = finding_payloads.clock(correction, before=change.before, after=change.after, step_ms=step_ms)
        t_ms = self._stamps.utc_ms(self._loop.time())
        event = finding_payloads.event("clock", payload, gateway=self._topics.gateway, boot=self._boot, n=n, t_ms=t_ms)
        self._outbox.put(Message(topic=self._topics.event("clock"), payload=event, n=n, record=True))
        if step_ms:
            self._stepped(correction)
