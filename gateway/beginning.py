"""What a gateway begins with: from the one before it in this process (`reload`), or from the journal."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from drivers.rig import HatchState, Rig
from gateway.alarms import Alarm
from gateway.before import Before, alarms_before, before, due, hatches_before
from gateway.clock_watch import FreeStart, free_starts
from gateway.desk import Seen, seen_before
from gateway.down_polls import Uncounted
from gateway.handover import Handover
from gateway.mqtt.journal import Journal, JournalError
from gateway.mqtt.topics import Topics
from gateway.stamps import Stamps

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """What a gateway begins with; nothing where there was none before it.

    Attributes:
        boot: id of this start.
        anew: whether a start begins here; a `reload` is none.
        newest_n: numbers go on above it, and above those of the journal.
        before: how the start before this one ended, for `event/start`.
        skipped: numbers that are named by an `event/journal`, first to last.
        lost: by cause, so far.
        uncounted: polls that nobody made, to be counted as lost when the time is known.
        free_starts: earlier starts whose clock ran free, and which nothing has corrected.
        free_since: the first number that a free clock has stamped, of the gateway before a `reload`.
        seen, counts: of commands.
        alarms: that stand.
        hatches: states that somebody told.
        retained: topics on which the broker has something of the gateway before a `reload`.
    """

    boot: str
    anew: bool
    newest_n: int = 0
    before: Before | None = None
    skipped: tuple[int, int] | None = None
    lost: Counter[str] = field(default_factory=Counter)
    uncounted: Uncounted | None = None
    free_starts: Sequence[FreeStart] = ()
    free_since: int | None = None
    seen: Mapping[str, Seen] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    alarms: Sequence[Alarm] = ()
    hatches: Mapping[str, HatchState] = field(default_factory=dict)
    retained: frozenset[str] = frozenset()


def begin(
    rig: Rig, stamps: Stamps, *, journal: Journal | None, handover: Handover | None, boot: str, now_s: float
) -> Beginning:
    """Learn what a gateway begins with.

    Args:
        rig: of this gateway.
        stamps: its clock.
        journal: opened, or its opening has failed; None when there is none.
        handover: what the gateway before this one has left, after `reload`.
        boot: id of this start, if a start begins here.
        now_s: the event loop's clock.
    """
    topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
    if handover is not None:
        return _after_reload(handover, journal, rig, topics, now_s)
    if journal is None:
        return Beginning(boot=boot, anew=True)
    past = before(journal, rig)
    free = _free_starts(journal, topics, boot)
    ahead_ms = stamps.utc_ms(now_s) - now_s * 1000
    alarms, hatches = ([], {}) if past is None else _standing(journal, rig, topics, free, ahead_ms)
    return Beginning(
        boot=boot,
        anew=True,
        before=past,
        uncounted=None if past is None or past.polls_until is None else (past.polls_until, now_s),
        free_starts=free,
        seen=seen_before(journal, topics),
        alarms=alarms,
        hatches=hatches,
    )


def _after_reload(handover: Handover, journal: Journal | None, rig: Rig, topics: Topics, now_s: float) -> Beginning:
    lost = Counter(handover.losses)
    lost["missed_polls"] += due(rig, now_s - handover.ended_s)
    return Beginning(
        boot=handover.boot,
        anew=False,
        newest_n=handover.newest_n,
        skipped=None if journal is None else journal.skipped,
        lost=lost,
        uncounted=handover.uncounted,
        free_starts=_free_starts(journal, topics, handover.boot),
        free_since=handover.free_since,
        seen=handover.seen,
        counts=handover.counts,
        alarms=handover.alarms,
        hatches=handover.hatches,
        retained=handover.retained,
    )


def _free_starts(journal: Journal | None, topics: Topics, boot: str) -> list[FreeStart]:
    return [] if journal is None else free_starts(journal, topics, boot=boot, begins=journal.last_n + 1)


def _standing(
    journal: Journal, rig: Rig, topics: Topics, free: Sequence[FreeStart], ahead_ms: float
) -> tuple[list[Alarm], dict[str, HatchState]]:
    """Return the alarms that stood when the gateway before ended, and what it was told of hatches."""
    try:
        alarms = alarms_before(journal, topics, lambda t_ms: (t_ms - ahead_ms) / 1000, free=free)
        hatches = hatches_before(journal, topics, rig)
    except JournalError as error:
        _LOG.warning("%s: alarms and hatches begin anew", error)
        return [], {}
    for hatch in rig.hatches:
        if hatches.get(hatch.id, hatch.state) != hatch.state:
            _LOG.info("hatch %s is %s, as told; the rig file says %s", hatch.id, hatches[hatch.id], hatch.state)
    return alarms, hatches
