"""What a consumer has received of gateways' records: readings in a file, and which numbers are missing.

A reference for consumers in any language: numbers of record (`batch`, `late`, `event`) have no gap on a gateway,
so whoever has them all has everything; what is missing can be asked for again by the command `replay`. What was said by
a clock that was wrong is corrected once an event says by how much.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from gateway.corrections import Corrections, correction_of
from gateway.mqtt.spans import Spans
from gateway.store import Row, Store, mark

_ID: Final = re.compile(r"[a-z0-9_-]+")
_MOST: Final = 2**53  # of numbers and ms: no clock and no gateway comes so far, and SQLite ends not far above
_VALUE: Final = (float, int, type(None))
_REASON: Final = (str, type(None))
_NAMES_SKIPPED: Final = ("start", "journal")


def readings_of(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the readings of a batch payload.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    gateway, n, t0 = document["gw"], document["n"], document["t0"]
    for channel, column in _object(document["channels"]).items():
        count = len(column["dt"])
        quality, reason = (
            each if isinstance(each, list) else [each] * count for each in (column["quality"], column["reason"])
        )
        for dt, value, word, why in zip(column["dt"], column["value"], quality, reason, strict=True):
            if type(value) not in _VALUE or type(word) is not str or type(why) not in _REASON:
                raise TypeError(f"{channel} is {value!r}, {word!r}, {why!r}")
            yield gateway, n, channel, _number(t0 + dt), None if value is None else float(value), word, why


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise TypeError(f"{found!r} is no object")
    return found


def _number(found: Any, least: int = 0) -> int:
    if type(found) is not int or not least <= found < _MOST:  # True is an int, too
        raise ValueError(f"{found!r} is no number of ours")
    return found


def _checked(found: Any, *, event: bool) -> dict[str, Any]:
    """Return a message of record whose envelope is as it must be, and of an event what is used here, too.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    document = _object(found)
    _number(document["n"], least=1)
    if not _ID.fullmatch(document["gw"]):
        raise ValueError(f"{document['gw']!r} is no gateway")
    boot = document["boot"] if "boot" in document else str(_number(document["t"]))
    if not isinstance(boot, str) or not boot:
        raise ValueError(f"{boot!r} is no start of a gateway")
    if ("kind" in document) is not event:
        raise ValueError("a batch has no kind, and an event has one")
    if event:
        _number(document["t"])
        if not isinstance(document["kind"], str):
            raise TypeError(f"{document['kind']!r} is no kind")
        _skipped(document)
        if (correction := correction_of(document)) is not None:
            _number(correction.since)
            _number(abs(correction.add_ms))
    return document


def _skipped(event: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return which numbers nobody can have any more, by an event; None when it names none."""
    kind = event["kind"]
    if kind not in _NAMES_SKIPPED or (skipped := event[kind]["skipped"]) is None:
        return None
    first, last = skipped
    return _number(first), _number(last, least=first)


def _moved(row: Row, add_ms: int) -> Row:
    return (*row[:3], row[3] + add_ms, *row[4:])


@dataclass(slots=True)
class Received:
    """What has come, and what has not.

    Attributes:
        messages: that came, of any topic.
        of_record: of them those that are of record.
        readings: stored, each once.
        repeated: messages that came again.
        strange: messages that are none of ours.
        anew: gateways that have given numbers out twice, as one without a journal does; their gaps cannot be told.
        skipped: gateway -> numbers of which those that did not come were lost in memory or with a damaged journal, or
            were never given out, as the gateway said when it started.
        uncorrected: gateways that began with a wrong clock, and whose first readings the store cannot correct.
    """

    store: Store
    messages: int = 0
    of_record: int = 0
    readings: int = 0
    repeated: int = 0
    strange: int = 0
    anew: set[str] = field(default_factory=set)
    skipped: dict[str, Spans] = field(default_factory=dict)
    uncorrected: set[str] = field(default_factory=set)
    _corrections: Corrections = field(default_factory=Corrections)
    _got: dict[str, Spans] = field(default_factory=dict)
    _marked: dict[tuple[str, str], Spans] = field(default_factory=dict)
    _dated: set[tuple[str, str]] = field(default_factory=set)  # marks that are times, of gateways that were older
    _before: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for payload in self.store.events():
            try:
                self._note_event(_checked(orjson.loads(payload), event=True))
            except (KeyError, TypeError, ValueError):  # of an older version, which looked less closely
                continue
        for gateway, n, its_mark in self.store.known():
            self._note(gateway, n, its_mark)

    def _note_event(self, event: Mapping[str, Any]) -> None:
        """Learn which numbers nobody can have any more, and which stamps are wrong."""
        gateway = event["gw"]
        if "boot" not in event:
            self._dated.add((gateway, mark(event)))
        if (correction := correction_of(event)) is not None:
            self._corrections.add(correction)
        if (skipped := _skipped(event)) is not None:
            self.skipped.setdefault(gateway, Spans()).add(*skipped)

    def _note(self, gateway: str, n: int, its_mark: str) -> bool:
        """Note a message; return whether it is new."""
        got = self._got.setdefault(gateway, Spans())
        marked = self._marked.setdefault((gateway, its_mark), Spans())
        if n in marked:
            return False
        if n in got or self._is_amid_others(gateway, n, its_mark):
            self.anew.add(gateway)
        got.add(n, n)
        marked.add(n, n)
        return True

    def _is_amid_others(self, gateway: str, n: int, its_mark: str) -> bool:
        """Say whether the next numbers below and above are of one other start: those of a start lie together."""
        got, own = self._got[gateway], self._marked[gateway, its_mark]
        below, above = got.last_upto(n), got.first_from(n)
        if below is None or above is None or below in own or above in own or (gateway, its_mark) in self._dated:
            return False
        return any(below in its and above in its for (of, _), its in self._marked.items() if of == gateway)

    def begin_after(self, gateway: str, n: int) -> None:
        """Learn that an earlier record ends with that number: what lies between it and the first here is missing.

        Raises:
            ValueError: it is no number.
        """
        _number(n)
        self._before[gateway] = min(n, self._before.get(gateway, n))

    def take(self, topic: str, payload: bytes) -> None:
        """Take a message; those of other topics than of record are passed over."""
        self.messages += 1
        event = "/event/" in topic
        if not event and topic.rpartition("/")[2] not in {"batch", "late"}:
            return
        try:
            document = _checked(orjson.loads(payload), event=event)
            add_ms = self._corrections.add_ms(document)
            found = [] if event else [_moved(row, add_ms) for row in readings_of(document)]
            gateway, n, its_mark = document["gw"], document["n"], mark(document)
        except (KeyError, TypeError, ValueError):
            self.strange += 1
            return
        self.of_record += 1
        correction = correction_of(document) if event else None
        if event:
            self._note_event(document)
        if not self._note(gateway, n, its_mark):
            self.repeated += 1
            return
        self.store.add(document, found, add_ms=add_ms)
        if correction is not None and correction.add_ms and not self.store.restamp(correction):
            self.uncorrected.add(gateway)
        self.readings += len(found)

    def complete_upto(self) -> dict[str, int]:
        """Return for each gateway the highest number up to which nothing more can come, since the first that came."""
        return {gateway: next(iter(self._settled(gateway)))[1] for gateway in self._got}

    def _settled(self, gateway: str) -> Spans:
        """Return the numbers that came or can no more, from the first that came on."""
        settled = Spans(self._got[gateway])
        begin = next(iter(settled))[0]
        if (before := self._before.get(gateway, begin)) < begin:
            settled.add(before, before)
            begin = before
        for first, last in self.skipped.get(gateway, ()):
            if last >= begin:
                settled.add(max(first, begin), last)
        return settled

    def gaps(self) -> dict[str, list[tuple[int, int]]]:
        """Return for each gateway the spans of numbers that are missing between the first and the last that came."""
        return {gateway: gaps for gateway in self._got if (gaps := self._settled(gateway).gaps())}

    def lost_at_a_kill(self) -> dict[str, list[tuple[int, int]]]:
        """Return for each gateway the spans of numbers that are missing and that it has named itself as lost."""
        found = {}
        for gateway, settled in self._got.items():
            named = Spans()
            for first, last in settled.gaps():
                named.add(first, last)
            for first, last in self.gaps().get(gateway, ()):
                named.discard_span(first, last)
            if len(named):
                found[gateway] = list(named)
        return found

    def verdict(self) -> str:
        """Say how complete it is, in one line."""
        missing = _in_words(self.gaps())
        again = f", {self.repeated} messages came again" if self.repeated else ""
        gaps = "1 gap" if len(missing) == 1 else f"{len(missing)} gaps"
        names = f": {'; '.join(missing)}" if missing else ""
        lost = _in_words(self.lost_at_a_kill())
        dead = f"; lost in the memory of a gateway that was killed, or never used: {'; '.join(lost)}" if lost else ""
        anew = "".join(
            f"; {gateway} has begun its numbers anew (no journal?): what is missing of it cannot be told"
            for gateway in sorted(self.anew)
        )
        wrong = "".join(
            f"; {gateway} began with a wrong clock: its first readings here have wrong times (.sqlite corrects them)"
            for gateway in sorted(self.uncorrected)
        )
        return f"{self.readings} readings, {gaps}{self._extent()}{names}{again}{dead}{anew}{wrong}"

    def _extent(self) -> str:
        """Say from which number to which it goes, for each gateway: of what lies beyond, nothing is known."""
        ends = {gateway: [*got] for gateway, got in self._got.items()}
        words = _in_words({gateway: [(spans[0][0], spans[-1][1])] for gateway, spans in ends.items()}, "")
        return f" ({', '.join(words)})" if words else ""


def _in_words(numbers: Mapping[str, list[tuple[int, int]]], colon: str = ":") -> list[str]:
    return [
        f"{gateway}{colon} {first}" + (f" to {last}" if last > first else "")
        for gateway, spans in numbers.items()
        for first, last in spans
    ]
