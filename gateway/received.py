"""What a consumer has received of gateways' records: readings in a file, and which numbers are missing.

A reference for consumers in any language: numbers of record (`batch`, `late`, `event`) have no gap on a gateway,
so whoever has them all has everything; what is missing can be asked for again by the command `replay`. What was said by
a clock that was wrong is corrected once an event says by how much.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.corrections import Corrections, correction_of
from gateway.mqtt.spans import Spans
from gateway.store import Row, Store, mark


def readings_of(document: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the readings of a batch payload.

    Raises:
        KeyError, TypeError, ValueError: it is none.
    """
    gateway, n, t0 = document["gw"], document["n"], document["t0"]
    for channel, column in document["channels"].items():
        count = len(column["dt"])
        quality, reason = (
            each if isinstance(each, list) else [each] * count for each in (column["quality"], column["reason"])
        )
        for dt, value, word, why in zip(column["dt"], column["value"], quality, reason, strict=True):
            yield gateway, n, channel, t0 + dt, value, word, why


def _moved(row: Row, add_ms: int) -> Row:
    return (*row[:3], row[3] + add_ms, *row[4:])


@dataclass(slots=True)
class Received:
    """What has come, and what has not.

    Attributes:
        messages: that came, of any topic.
        readings: stored, each once.
        repeated: messages that came again.
        strange: messages that are none of ours.
        anew: gateways that have given a number out twice, as one without a journal does; their gaps cannot be told.
        skipped: gateway -> numbers of which those that did not come were lost in memory or with a damaged journal, or
            were never given out, as the gateway said when it started.
        uncorrected: gateways that began with a wrong clock, and whose first readings the store cannot correct.
    """

    store: Store
    messages: int = 0
    readings: int = 0
    repeated: int = 0
    strange: int = 0
    anew: set[str] = field(default_factory=set)
    skipped: dict[str, Spans] = field(default_factory=dict)
    uncorrected: set[str] = field(default_factory=set)
    _corrections: Corrections = field(default_factory=Corrections)
    _got: dict[str, Spans] = field(default_factory=dict)
    _marked: dict[tuple[str, str], Spans] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for gateway, n, its_mark in self.store.known():
            self._note(gateway, n, its_mark)
        for event in self.store.events():
            self._note_event(event)

    def _note_event(self, event: Mapping[str, Any]) -> None:
        """Learn which numbers nobody can have any more, and which stamps are wrong."""
        if (correction := correction_of(event)) is not None:
            self._corrections.add(correction)
        if event["kind"] in {"start", "journal"} and (skipped := event[event["kind"]]["skipped"]) is not None:
            first, last = skipped
            self.skipped.setdefault(event["gw"], Spans()).add(first, last)

    def _note(self, gateway: str, n: int, its_mark: str) -> bool:
        """Note a message; return whether it is new."""
        got = self._got.setdefault(gateway, Spans())
        marked = self._marked.setdefault((gateway, its_mark), Spans())
        if n in marked:
            return False
        if n in got:
            self.anew.add(gateway)
        got.add(n, n)
        marked.add(n, n)
        return True

    def take(self, topic: str, payload: bytes) -> None:
        """Take a message; those of other topics than of record are passed over."""
        self.messages += 1
        last = topic.rpartition("/")[2]
        if last not in {"batch", "late"} and "/event/" not in topic:
            return
        try:
            document = orjson.loads(payload)
            add_ms = self._corrections.add_ms(document)
            found = [_moved(row, add_ms) for row in readings_of(document)] if last in {"batch", "late"} else []
            correction = correction_of(document) if "kind" in document else None
            gateway, n, its_mark = str(document["gw"]), int(document["n"]), mark(document)
        except (KeyError, TypeError, ValueError):
            self.strange += 1
            return
        if not self._note(gateway, n, its_mark):
            self.repeated += 1
            return
        self.store.add(document, found, add_ms=add_ms)
        if "kind" in document:
            self._note_event(document)
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
        return f"{self.readings} readings, {gaps}{names}{again}{dead}{anew}{wrong}"


def _in_words(missing: Mapping[str, list[tuple[int, int]]]) -> list[str]:
    return [
        f"{gateway}: {first}" + (f" to {last}" if last > first else "")
        for gateway, spans in missing.items()
        for first, last in spans
    ]
