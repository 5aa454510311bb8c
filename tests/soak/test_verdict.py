"""The soak's verdict: what it takes for lost, explained, grown; and that a seed is a history."""

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from drivers.rig import Rig
from drivers.rig_source import load_rig
from firmware_sim.fault_kinds import KINDS
from gateway.mqtt.spans import Spans
from tests.soak.deeds import faults
from tests.soak.gateway import SetClock
from tests.soak.station import NOWHERE, rig_text
from tests.soak.verdict import MOST_MIB_PER_HOUR, Outcome, Sample, due, slope_per_hour, table

HOURS = 2.0
SECONDS = HOURS * 3600


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Rig:
    folder = tmp_path_factory.mktemp("rig")
    path = folder / "rig.toml"
    path.write_text(rig_text(broker="mqtt://127.0.0.1:1883", journal=folder / "journal.sqlite", ports=NOWHERE))
    return load_rig(path)


def samples(mib_per_hour: float, *, descriptors: int = 20) -> list[Sample]:
    """Memory that grows steadily after a steep beginning."""
    return [
        Sample(
            time_s=float(at_s),
            memory_bytes=round((60.0 + min(at_s / 300, 5.0) + mib_per_hour * at_s / 3600) * 2**20),
            descriptors=descriptors if at_s > SECONDS / 2 else 20,
            cpu_s=at_s * 0.05,
        )
        for at_s in range(10, round(SECONDS), 10)
    ]


def outcome(rig: Rig, **changes: Any) -> Outcome:
    got = Spans([(1, 1000)])
    words: dict[str, Any] = {
        "seconds": SECONDS,
        "samples": samples(0.2),
        "deeds": {"line: crc": 3, "broker: SIGKILL": 2},
        "undone": {},
        "losses": {"superseded": 7},
        "last_n": 1000,
        "got": got,
        "polls": {name: round(SECONDS / words.poll) for name, words in rig.transducers.items()},
        "consumer_said": "1 readings, 0 gaps\n",
        "trouble": {"gateway": 0},
        "codes": {"gateway": 0},
        "boots": 1,
        "longest_lag_s": 0.1,
    }
    return Outcome(**{**words, **changes})


def missed(rig: Rig, **changes: Any) -> list[str]:
    """Return the requirements that were not met."""
    return [check.text for check in table(rig, outcome(rig, **changes), seed=1).checks if not check.met]


def test_a_good_run_meets_all_and_shows_what_was_done(rig: Rig) -> None:
    assert missed(rig) == []
    text = table(rig, outcome(rig), seed=1).markdown()
    assert "broker" in text
    assert "crc 3" in text


def test_a_number_that_is_missing_is_named_and_needs_a_counter(rig: Rig) -> None:
    holed = Spans([(1, 400), (403, 1000)])
    (text,) = missed(rig, got=holed)
    assert "missing number" in text
    assert missed(rig, got=holed, losses={"journal_size": 2}) == []
    assert "401 to 402" in table(rig, outcome(rig, got=holed), seed=1).markdown()
    assert missed(rig, got=holed, losses={"missed_polls": 2, "superseded": 9}) != [], "they explain no number"


def test_polls_are_delivered_or_counted_as_missed(rig: Rig) -> None:
    expected, tolerance = due(rig, SECONDS)
    assert expected == pytest.approx(SECONDS * 13.5, rel=0.01)
    short = {**outcome(rig).polls, "serial_0": round(SECONDS - tolerance - 100)}
    (text,) = missed(rig, polls=short)
    assert "polls due" in text
    assert missed(rig, polls=short, losses={"missed_polls": round(tolerance) + 100}) == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"samples": samples(MOST_MIB_PER_HOUR * 1.2)}, "memory flat"),
        ({"samples": samples(0.0, descriptors=21)}, "descriptors flat"),
        ({"trouble": {"gateway": 1}}, "no traceback"),
        ({"codes": {"gateway": 1}}, "ran through"),
        ({"boots": 2}, "ran through"),
        ({"undone": {"line": "it fell silent"}}, "it fell silent"),
    ],
)
def test_each_requirement_can_be_missed(rig: Rig, changes: dict[str, Any], what: str) -> None:
    (text,) = missed(rig, **changes)
    assert what in text


def test_a_slope_is_that_of_a_straight_line() -> None:
    assert slope_per_hour([0.0, 1800.0, 3600.0], [5.0, 5.5, 6.0]) == pytest.approx(1.0)


def test_one_seed_brings_one_history_of_every_kind_of_fault() -> None:
    first, second = (list(itertools.islice(faults(random.Random("7 line"), ["a", "b"]), 500)) for _ in range(2))
    assert first == second
    assert {each.partition(":")[0] for each in first} == set(KINDS)


def test_a_clock_is_shared_by_whoever_opens_its_file(tmp_path: Path) -> None:
    ours, theirs = SetClock(tmp_path / "clock"), SetClock(tmp_path / "clock")
    assert (theirs.offset_s, theirs.sync()) == (0.0, "ntp")
    ours.set(-3600.0, synchronised=False)
    assert (theirs.offset_s, theirs.sync()) == (-3600.0, "free")
