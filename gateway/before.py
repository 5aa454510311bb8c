"""What a gateway that starts knows of the one before it, from the journal.

How it ended and what was lost thereby; which alarms stand; what it was told of hatches.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

import orjson

from drivers.rig import HatchState, Rig
from gateway.alarms import Alarm, AlarmState
from gateway.mqtt.finding_payloads import event, read_alarm
from gateway.mqtt.journal import Journal
from gateway.mqtt.topics import Topics
from gateway.poller import periods

_NEWEST: Final = 10_000  # events that are looked at


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """How the gateway before this one ended.

    Attributes:
        end: "stopped" in an orderly way, or "killed" (a crash or a power cut is no less).
        ended_ms: when, ms UTC; for one that was killed when its last message of record was made. None when it
            spared its disk and was killed: nobody can know.
        polls: that the rig asks for between then and now, and nobody made; None as `ended_ms`.
        skipped: numbers of which those that a consumer does not have were lost in memory or with a damaged journal, or
            were never given out, first to last; None when there are none.
    """

    end: Literal["stopped", "killed"]
    ended_ms: int | None
    polls: int | None
    skipped: tuple[int, int] | None


def before(journal: Journal | None, rig: Rig, *, now_ms: int) -> Before | None:
    """Return what a journal tells of the gateway before; None when there was none, or nobody can know."""
    if journal is None or journal.last_n == 0 or (journal.refusal and not journal.reserved.upto):
        return None
    return Before(
        end="killed" if journal.reserved.closed_ms is None else "stopped",
        ended_ms=journal.ended_ms,
        polls=None if journal.ended_ms is None else due(rig, (now_ms - journal.ended_ms) / 1000),
        skipped=journal.skipped,
    )


def due(rig: Rig, seconds: float) -> int:
    """Return how many polls a rig asks for in that time; none where the clock has gone back."""
    periods_s = (period_s for bus in rig.buses for period_s in periods(rig.units(bus)).values())
    return sum(int(max(seconds, 0.0) / period_s) for period_s in periods_s)


def alarms_before(journal: Journal, topics: Topics, to_s: Callable[[int], float]) -> list[Alarm]:
    """Return the alarms that stood when the gateway before ended; `to_s` turns ms UTC into the event loop's clock.

    Raises:
        JournalError: it cannot be read.
    """
    standing = {}
    for row in journal.newest(topics.event("alarm"), since_ms=0, limit=_NEWEST, records=True):
        with suppress(KeyError, TypeError, ValueError):  # of another version
            alarm = read_alarm(orjson.loads(row.payload)["alarm"], to_s)
            standing[alarm.condition.id] = alarm
    return [alarm for alarm in standing.values() if alarm.state is not AlarmState.CLEARED]


def hatches_before(journal: Journal, topics: Topics) -> dict[str, HatchState]:
    """Return what the gateway before was told last of each hatch, by command.

    Raises:
        JournalError: it cannot be read.
    """
    told = {}
    for row in journal.newest(topics.event("command"), since_ms=0, limit=_NEWEST, records=True):
        with suppress(KeyError, TypeError, ValueError):
            command = orjson.loads(row.payload)["command"]
            if command["name"] == "hatch" and command["code"] == "ok":
                told[str(command["result"]["hatch"])] = HatchState(command["result"]["state"])
    return told


def started(past: Before, *, gateway: str, boot: str, n: int, t_ms: int) -> bytes:
    """Build the event with which a gateway begins."""
    words = {
        "end": past.end,
        "ended": past.ended_ms,
        "polls": past.polls,
        "skipped": past.skipped,
    }
    return event("start", orjson.dumps(words), gateway=gateway, boot=boot, n=n, t_ms=t_ms)


def skipped(first: int, last: int, *, gateway: str, boot: str, n: int, t_ms: int) -> bytes:
    """Build the event that names, after the start, numbers of which those that a consumer does not have will not come."""
    return event("journal", orjson.dumps({"skipped": [first, last]}), gateway=gateway, boot=boot, n=n, t_ms=t_ms)
