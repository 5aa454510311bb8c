"""What a soak has shown: every poll and every number accounted for, memory and descriptors flat, nobody in trouble."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from drivers.rig import Rig
from gateway.mqtt.spans import Spans
from tests.benchmarks.harness import Check, Table

MOST_MIB_PER_HOUR: Final = 1.0
_WARM_UP_S: Final = 1800.0  # for so long the leak watch keeps each second's pressure; at most half of the time
_NO_LOSS: Final = ("missed_polls", "superseded")
_MIB: Final = 2**20
_HOUR_S: Final = 3600.0
_START_S: Final = 3.0  # in which the first poll may come


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The gateway's process at a moment: s since the begin, resident bytes, file descriptors, CPU s so far."""

    time_s: float
    memory_bytes: int
    descriptors: int
    cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What is known when all is over.

    Attributes:
        seconds: from the gateway's start to the signal that ended it.
        deeds: what was done, how often.
        undone: kinds of deeds that could not go on to the end, and why.
        losses: by cause, as the last health had them.
        last_n: the highest number in the journal.
        got: numbers that the consumer has.
        polls: transducer -> its polls that the consumer has.
        consumer_said: its last words.
        trouble: process -> signs of trouble in its log.
        codes: process -> exit code.
        boots: how often the gateway started.
    """

    seconds: float
    samples: Sequence[Sample]
    deeds: Mapping[str, int]
    undone: Mapping[str, str]
    losses: Mapping[str, int]
    last_n: int
    got: Spans
    polls: Mapping[str, int]
    consumer_said: str
    trouble: Mapping[str, int]
    codes: Mapping[str, int]
    boots: int
    longest_lag_s: float

    @property
    def missing(self) -> list[tuple[int, int]]:
        """Spans of numbers that were given out and that the consumer has not."""
        missing = Spans([(1, self.last_n)] if self.last_n else [])
        for first, last in self.got:
            missing.discard_span(first, last)
        return list(missing)


def read_record(path: Path, rig: Rig) -> tuple[Spans, dict[str, int]]:
    """Return the numbers that a consumer's file has, and transducer -> its readings of pressure."""
    database = sqlite3.connect(path)
    try:
        got = Spans((n, n) for (n,) in database.execute("SELECT n FROM message ORDER BY n"))
        counts = dict(database.execute("SELECT channel, count(*) FROM reading GROUP BY channel"))
    finally:
        database.close()
    return got, {name: counts.get(f"{name}.pressure", 0) for name in rig.transducers}


def slope_per_hour(times_s: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of a straight line through the values, per hour."""
    return float(np.polyfit(np.asarray(times_s), np.asarray(values), 1)[0]) * _HOUR_S


def warm(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples after the warm-up."""
    begin_s = min(_WARM_UP_S, samples[-1].time_s / 2)
    return [each for each in samples if each.time_s >= begin_s]


def due(rig: Rig, seconds: float) -> tuple[float, float]:
    """Return how many polls were due in that time, one for each unit at each point of its grid, and the tolerance."""
    periods_s = [words.poll for words in rig.transducers.values()]
    per_s = sum(1 / each for each in periods_s)
    return seconds * per_s, _START_S * per_s + len(periods_s)


def table(rig: Rig, outcome: Outcome, *, seed: int) -> Table:
    """Return the verdict."""
    samples = warm(outcome.samples)
    slope = slope_per_hour([each.time_s for each in samples], [each.memory_bytes / _MIB for each in samples])
    memory = [each.memory_bytes / _MIB for each in samples]
    descriptors = [outcome.samples[0].descriptors, outcome.samples[-1].descriptors]
    missing = sum(last - first + 1 for first, last in outcome.missing)
    counted = sum(number for cause, number in outcome.losses.items() if cause not in _NO_LOSS)
    missed = outcome.losses.get("missed_polls", 0)
    delivered = sum(outcome.polls.values())
    expected, tolerance = due(rig, outcome.seconds)
    named = "; ".join(f"{first} to {last}" for first, last in outcome.missing[:10]) or "none"
    core = (samples[-1].cpu_s - samples[0].cpu_s) / (samples[-1].time_s - samples[0].time_s)
    rows = (
        ("messages of record: given out, received, lost", f"{outcome.last_n}, {len(outcome.got)}, {counted}"),
        ("numbers that are missing", named),
        ("polls: due, delivered, missed", f"{expected:.0f}, {delivered}, {missed}"),
        ("losses by cause, as health has them", _words(outcome.losses) or "none"),
        ("gateway's memory, MiB: least, most, slope per hour", f"{min(memory):.1f}, {max(memory):.1f}, {slope:+.2f}"),
        ("gateway's file descriptors at the begin and at the end", "{}, {}".format(*descriptors)),
        ("gateway's share of a core; longest lag of its loop, s", f"{core:.1%}; {outcome.longest_lag_s:.2f}"),
        ("signs of trouble in logs", _words(outcome.trouble)),
        ("exit codes", _words(outcome.codes)),
        ("the consumer's verdict", outcome.consumer_said.strip()),
        *((f"done to the {lane}", _words(deeds)) for lane, deeds in _lanes(outcome.deeds).items()),
    )
    unexplained = missing - counted
    return Table(
        conditions=(
            f"{outcome.seconds / _HOUR_S:.2f} hours of real time, seed {seed}; {len(rig.transducers)} transducers on"
            f" {len(rig.buses)} buses; mosquitto without persistence; memory after half an hour."
        ),
        columns=("what", "measured"),
        rows=rows,
        checks=(
            Check(text="each missing number is explained by a counter", met=unexplained <= 0),
            Check(
                text=f"polls due = delivered + counted, within {tolerance:.0f} at both ends",
                met=abs(expected - delivered - missed) <= tolerance or missing > 0,
            ),
            Check(text="memory flat: slope below 1 MiB per hour", met=slope < MOST_MIB_PER_HOUR),
            Check(text="file descriptors flat", met=descriptors[1] <= descriptors[0]),
            Check(text="no traceback, nothing never awaited", met=not any(outcome.trouble.values())),
            Check(text=f"deeds of every kind to the end {dict(outcome.undone) or ''}".rstrip(), met=not outcome.undone),
            Check(text="the gateway ran through, and ended with code 0", met=_ran_through(outcome)),
        ),
    )


def _ran_through(outcome: Outcome) -> bool:
    return outcome.boots == 1 and outcome.codes["gateway"] == 0


def _lanes(deeds: Mapping[str, int]) -> dict[str, dict[str, int]]:
    lanes: dict[str, dict[str, int]] = {}
    for deed, number in sorted(deeds.items()):
        lane, _, kind = deed.partition(": ")
        lanes.setdefault(lane, {})[kind] = number
    return lanes


def _words(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())
