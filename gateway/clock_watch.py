"""Tells of the wall clock: when it stepped, and what that says of the stamps before.

A Raspberry Pi starts with a wrong clock. What a gateway has said is never changed afterwards (a number means one
message for ever); instead a numbered event says what to add to the stamps of which numbers (`gateway.corrections`).
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.corrections import Correction
from gateway.mqtt import finding_payloads
from gateway.mqtt.claim import machine
from gateway.mqtt.journal import Journal, JournalError
from gateway.mqtt.outbox import Message, Outbox
from gateway.mqtt.topics import Topics
from gateway.stamps import ClockChange, Stamps

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
_PAUSE_S: Final = 60.0

Restamp = Callable[[int, int, int], None]
"""Lets rows of the journal age as what they are: first number, last one, ms that their clock was wrong by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FreeStart:
    """An earlier start of the gateway whose clock ran free to its end, and which nothing has corrected since.

    Attributes:
        boot: its id.
        since, before: its first number, and the one after its last.
        began_ms: when it began, by the clock as it was in the end, ms UTC.
        offset_s: that clock less the machine's monotonic one; None when the machine itself has been started anew, for
            then nobody can know what that clock was worth.
    """

    boot: str
    since: int
    before: int
    began_ms: int
    offset_s: float | None


def free_starts(journal: Journal, topics: Topics, *, boot: str, begins: int) -> list[FreeStart]:
    """Return the starts before this one that wait for a correction, the first one first, as far as a journal tells.

    Args:
        journal: opened, or its opening has failed.
        topics: of the gateway.
        boot: this start.
        begins: its first number, unless the journal has it.
    """
    free: dict[str, FreeStart] = {}
    with suppress(JournalError):
        for document in journal.events(topics.event("clock")):
            with suppress(KeyError, TypeError, ValueError):  # of another version
                _follow(free, document)
    starts = list(free.values())
    ends = [*(start.since for start in starts), begins][1:]
    return [replace(start, before=end) for start, end in zip(starts, ends, strict=True) if start.boot != boot]


def _follow(free: dict[str, FreeStart], document: Mapping[str, Any]) -> None:
    """Learn from an event, in order, which starts wait for a correction."""
    words = document["clock"]
    boot, t_ms, add_ms = words.get("boot", document["boot"]), document["t"], words["correction_ms"]
    if words["after"] != "free":
        free.pop(boot, None)
    elif "machine" in words:
        same = words["machine"] == machine() != ""
        offset_s = (t_ms - words["up_ms"]) / 1000 if same else None
        free[boot] = FreeStart(boot=boot, since=words["since"], before=0, began_ms=t_ms, offset_s=offset_s)
    elif boot in free:
        start = free[boot]
        offset_s = None if start.offset_s is None else start.offset_s + add_ms / 1000
        free[boot] = replace(start, began_ms=start.began_ms + add_ms, offset_s=offset_s)


class ClockWatch:
    """Looks at the clock once a second.

    Stamps are corrected by a step only while the clock has run free since this start: one that was synchronised before
    was right, and whether a step made it better or worse nobody can know. With this start are corrected those before it
    whose clock ran free to their end.

    Args:
        free_since: the first number of this start that a free clock has stamped, as the gateway before a `reload` left
            it; None when there was none.
        begins: whether this start begins here, and not with a gateway before a `reload`.
        earlier: the starts that wait for a correction; None when there is no journal to tell of this one either.
        stepped: called after each step that was told; what stands retained is to be said again with new stamps.
        restamp: of the journal.
    """

    def __init__(
        self,
        stamps: Stamps,
        outbox: Outbox,
        topics: Topics,
        *,
        boot: str,
        free_since: int | None,
        begins: bool,
        earlier: Sequence[FreeStart] | None,
        stepped: Callable[[Correction], None],
        restamp: Restamp,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._stamps = stamps
        self._outbox = outbox
        self._topics = topics
        self._boot = boot
        self._earlier = earlier or ()
        self._stepped = stepped
        self._restamp = restamp
        self._news: ClockChange | None = None
        self._next_s = -math.inf
        self.free_since = outbox.newest_n + 1 if begins and stamps.sync == "free" else free_since
        self._tells_beginning = begins and earlier is not None and stamps.sync == "free"

    def act(self) -> float:
        """Look; return when to be called again, in s."""
        if self._tells_beginning:
            self._tells_beginning = False
            up_ms = round(self._loop.time() * 1000)
            self._put("free", "free", since=self.free_since, machine=machine(), up_ms=up_ms)
        change = self._stamps.check()
        if change is not None:
            self._take(change)
        if self._stamps.sync != "free":  # after our own, which covers the numbers before it
            for start in self._earlier:
                self._correct(start)
            self._earlier = ()
        if self._news is not None and self._loop.time() >= self._next_s:
            self._tell(self._news, None)
            self._news = None
            self._next_s = self._loop.time() + _PAUSE_S
        return _LOOK_S

    def _correct(self, start: FreeStart) -> None:
        """Tell what corrects an earlier start; where nobody can know, it only ages as if it had begun now."""
        if start.offset_s is None:
            add_ms, far, age_ms = 0, "nobody knows how far", self._stamps.utc_ms(self._loop.time()) - start.began_ms
        else:
            add_ms = age_ms = self._stamps.utc_ms(0.0) - round(start.offset_s * 1000)
            far = f"{add_ms / 1000:.3f} s"
        _LOG.warning("what start %s of this gateway said without the time is off, %s", start.boot, far)
        self._put("free", self._stamps.sync, since=start.since, add_ms=add_ms, boot=start.boot)
        self._restamp(start.since, start.before - 1, age_ms)

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
        step_ms = round(change.step_s * 1000)
        add_ms = 0 if since is None else step_ms
        correction = self._put(change.before, change.after, step_ms=step_ms, since=since, add_ms=add_ms)
        _LOG.warning(
            "the wall clock went from %s to %s and stepped by %.3f s%s",
            change.before,
            change.after,
            change.step_s,
            f"; stamps of numbers {since} to {correction.before - 1} are to be corrected by as much" if add_ms else "",
        )
        if step_ms:
            self._stepped(correction)
        if add_ms:
            self._restamp(correction.since, correction.before - 1, add_ms)

    def _put(
        self, before: str, after: str, *, since: int | None, step_ms: int = 0, add_ms: int = 0, **more: str | int
    ) -> Correction:
        """Put an event on record and return what it corrects."""
        n, t_ms = self._outbox.number(), self._stamps.utc_ms(self._loop.time())
        correction = Correction(
            gateway=self._topics.gateway,
            boot=self._boot,
            since=n if since is None else since,
            before=n,
            add_ms=add_ms,
        )
        words = finding_payloads.clock(correction, before=before, after=after, step_ms=step_ms, **more)
        event = finding_payloads.event("clock", words, gateway=self._topics.gateway, boot=self._boot, n=n, t_ms=t_ms)
        self._outbox.put(Message(topic=self._topics.event("clock"), payload=event, n=n, record=True))
        return correction
