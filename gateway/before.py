"""What a gateway that starts knows of the one before it, from the journal.

How it ended and what was lost thereby; which alarms stand; what it was told of hatches.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import orjson

from drivers.rig import HatchState, Rig
from gateway.alarms import LONGEST_ON_SHELF_S, Alarm, AlarmState
from gateway.clock_watch import FreeStart
from gateway.corrections import Corrections, correction_of
from gateway.down_polls import PollsUntil
from gateway.mqtt.finding_payloads import event, read_alarm
from gateway.mqtt.journal import Journal, JournalError
from gateway.mqtt.topics import Topics
from gateway.poller import periods

_BATCHES: Final = 4  # of each segment that are looked at, about
_JITTER: Final = 0.05  # of a period by which a poll may come late
_NEVER: Final = (0, -math.inf)  # number and time, ms UTC, of a reading that there is not


Unit = tuple[str, int]  # bus, number on it


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """How the gateway before this one ended, by the clock that it had.

    Attributes:
        end: "stopped" in an orderly way, or "killed" (a crash or a power cut is no less).
        ended_ms: when, ms UTC; for one that was killed when its last message of record was made. None when it
            spared its disk and was killed: nobody can know.
        polls_until: that the rig asks for from then on, and of which nobody has anything; None as `ended_ms`, or when
            the journal cannot be read.
        skipped: numbers of which those that a consumer does not have were lost in memory or with a damaged journal, or
            were never given out, first to last; None when there are none.
    """

    end: Literal["stopped", "killed"]
    ended_ms: int | None
    polls_until: PollsUntil | None
    skipped: tuple[int, int] | None


def before(journal: Journal | None, rig: Rig) -> Before | None:
    """Return what a journal tells of the gateway before; None when there was none, or nobody can know."""
    if journal is None or journal.last_n == 0 or (journal.refusal and not journal.reserved.upto):
        return None
    ended_ms, orderly = journal.ended_ms, journal.reserved.closed_ms is not None
    polls_until = None
    if ended_ms is not None:
        with suppress(JournalError):  # what cannot be read nobody can count
            polls_until = _not_polled(journal, rig, ended_ms, orderly=orderly)
    return Before(
        end="stopped" if orderly else "killed",
        ended_ms=ended_ms,
        polls_until=polls_until,
        skipped=journal.skipped,
    )


def _not_polled(journal: Journal, rig: Rig, ended_ms: int, *, orderly: bool) -> PollsUntil:
    """Return what counts polls after the last of which the journal has a reading: none where the clock has gone back.

    What was polled before a kill and not yet put is gone like what was not polled; what an earlier start counted is not
    counted again. A journal that spares its disk lacks readings that the broker has; after an orderly end there are
    none beside these.
    """
    topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
    last = {} if journal.refusal else _last_readings(journal, rig, topics)
    starts = [] if journal.refusal else journal.newest(topics.event("start"), limit=1, records=True)

    def polls_until(now_ms: int) -> int:
        polls = 0
        for unit, period_ms in _periods_ms(rig):
            known = ((row.n, row.t_ms - period_ms) for row in starts)
            _, read_ms = max(last.get(unit, _NEVER), *known, _NEVER)  # the newest: clocks differ from start to start
            if read_ms == -math.inf or (orderly and read_ms < ended_ms - period_ms):
                polls += int(max(now_ms - ended_ms, 0) / period_ms)
            else:
                polls += max(math.ceil((now_ms - read_ms) / period_ms - _JITTER) - 1, 0)
        return polls

    return polls_until


def _last_readings(journal: Journal, rig: Rig, topics: Topics) -> dict[Unit, tuple[int, float]]:
    """Return the number and time, ms UTC, of the last reading of each unit of which the newest batches tell."""
    segments = topics.batch("")
    last: dict[Unit, tuple[int, float]] = {}
    for row in journal.newest(segments.removesuffix("/batch"), limit=_BATCHES * (len(rig.segments) + 1)):
        with suppress(AttributeError, KeyError, TypeError, ValueError):  # of another version
            document = orjson.loads(row.payload)
            for channel, column in document["channels"].items():
                transducer = rig.transducers.get(channel.partition(".")[0])
                if transducer is not None and column["dt"]:
                    last[transducer.bus, transducer.unit] = (row.n, document["t0"] + column["dt"][-1])
    return last


def _periods_ms(rig: Rig) -> Iterator[tuple[Unit, float]]:
    for bus in rig.buses:
        for unit, period_s in periods(rig.units(bus)).items():
            yield (bus, unit), period_s * 1000


def due(rig: Rig, seconds: float) -> int:
    """Return how many polls a rig asks for in that time."""
    return sum(int(max(seconds, 0.0) * 1000 / period_ms) for _, period_ms in _periods_ms(rig))


def alarms_before(
    journal: Journal, topics: Topics, to_s: Callable[[int], float], *, free: Sequence[FreeStart] = ()
) -> list[Alarm]:
    """Return the alarms that stood when the gateway before ended.

    Args:
        journal: opened.
        topics: of the gateway.
        to_s: turns ms UTC into the event loop's clock, as far as the wall clock can be believed now.
        free: starts before this one that wait for the time.

    Raises:
        JournalError: it cannot be read.
    """
    standing = {}
    told = _ToldTimes(journal, topics, to_s, free)
    for document in journal.events(topics.event("alarm")):
        with suppress(KeyError, TypeError, ValueError):  # of another version
            alarm = told.alarm(document)
            standing[alarm.condition.id] = alarm
    return [alarm for alarm in standing.values() if alarm.state is not AlarmState.CLEARED]


class _ToldTimes:
    """Reads alarms in the right time though the start that told them had a wrong clock.

    By that clock it told what happened since it began, and how long an alarm is to rest; what had happened before it
    said as it had been told itself.
    """

    def __init__(
        self, journal: Journal, topics: Topics, to_s: Callable[[int], float], free: Sequence[FreeStart]
    ) -> None:
        self._to_s = to_s
        self._offsets_s = {start.boot: start.offset_s for start in free if start.offset_s is not None}
        self._corrections = Corrections()
        self._began_ms: dict[str, int] = {}
        for document in journal.events(topics.event("clock")):
            with suppress(KeyError, TypeError, ValueError):
                if (correction := correction_of(document)) is not None:
                    self._corrections.add(correction)
                if "machine" in document["clock"]:
                    self._began_ms[document["boot"]] = document["t"]

    def alarm(self, document: Mapping[str, Any]) -> Alarm:
        """Return the alarm that an event tells of."""
        exact_s = set()
        boot, upto_ms = document["boot"], document["t"] + LONGEST_ON_SHELF_S * 1000

        def to_s(t_ms: int) -> float:
            if not self._began_ms.get(boot, math.inf) <= t_ms <= upto_ms:
                return self._to_s(t_ms)
            t_ms += self._corrections.add_ms(document)
            if boot not in self._offsets_s:
                return self._to_s(t_ms)
            time_s = t_ms / 1000 - self._offsets_s[boot]
            exact_s.add(time_s)
            return time_s

        alarm = read_alarm(document["alarm"], to_s)
        return replace(alarm, stamped_s=alarm.stamped_s - exact_s)


def hatches_before(journal: Journal, topics: Topics, rig: Rig) -> dict[str, HatchState]:
    """Return what the gateway before was told last of each hatch, by command; not where the rig file has changed since.

    Raises:
        JournalError: it cannot be read.
    """
    told = {}
    written = {hatch.id: hatch.state for hatch in rig.hatches}
    for document in journal.events(topics.event("command")):
        with suppress(KeyError, TypeError, ValueError):
            command = document["command"]
            if command["name"] == "hatch" and command["code"] == "ok":
                result, hatch = command["result"], command["result"]["hatch"]
                told[hatch] = HatchState(result["state"]), result.get("rig_file", written.get(hatch))
    return {hatch: state for hatch, (state, then) in told.items() if hatch in written and then == written[hatch]}


def started(
    past: Before, *, polls: int | None, had_time: bool = True, gateway: str, boot: str, n: int, t_ms: int
) -> bytes:
    """Build the event with which a gateway begins.

    Of the one before: how many polls nobody made since, None while nobody can know; and whether it had the time.
    """
    words = {
        "end": past.end,
        "ended": past.ended_ms if had_time else None,
        "polls": polls,
        "skipped": past.skipped,
    }
    return event("start", orjson.dumps(words), gateway=gateway, boot=boot, n=n, t_ms=t_ms)


def skipped(first: int, last: int, *, gateway: str, boot: str, n: int, t_ms: int) -> bytes:
    """Build the event that names, after the start, numbers that will not come where they have not."""
    return event("journal", orjson.dumps({"skipped": [first, last]}), gateway=gateway, boot=boot, n=n, t_ms=t_ms)
