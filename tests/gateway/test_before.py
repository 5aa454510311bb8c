"""What a gateway that starts says of the one before it."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from drivers.rig import HatchState, Rig
from gateway.alarms import Alarm, AlarmState, Condition, Priority
from gateway.before import alarms_before, before, hatches_before, started
from gateway.mqtt import finding_payloads
from gateway.mqtt.claim import Reserved, machine
from gateway.mqtt.journal import Journal, JournalDamagedError
from gateway.mqtt.row import Row
from gateway.mqtt.schemas import schema
from gateway.mqtt.topics import Topics

jsonschema = pytest.importorskip("jsonschema")
STAMPED_S = frozenset({10.0, 20.0})
T_MS = 1_700_000_000_000
TOPICS = Topics(station="iss", gateway="pi1")
RIG_WORDS: dict[str, Any] = {
    "station": {"id": "iss", "gateway": "pi1"},
    "segment": {"a": {}},
    "bus": {"b": {"kind": "serial", "port": "-"}, "idle": {"kind": "serial", "port": "="}},
    "transducer": {
        name: {"model": "keller-33x", "bus": "b", "unit": unit, "segment": "a", "poll": poll}
        for name, unit, poll in (("p1", 1, "1 s"), ("p2", 2, "4 s"))
    },
}
RIG = Rig.model_validate(RIG_WORDS)


def left(folder: Path, reserved: Reserved | None, *, last_n: int = 3) -> Journal:
    """Return the journal, opened, that a gateway has left."""
    journal = Journal(folder / "journal.sqlite", max_bytes=2**26, max_age_ms=10**12)
    journal.open()
    if last_n:
        journal.write([Row(n=n, t_ms=T_MS + n, topic="t", payload=b"") for n in range(1, last_n + 1)], [], now_ms=T_MS)
    if reserved is not None:
        journal.reserve(reserved)
    journal.close()
    journal.open()
    return journal


def said(journal: Journal, *, now_ms: int = T_MS + 10_003) -> dict[str, Any]:
    past = before(journal, RIG)
    journal.close()
    assert past is not None
    polls = None if past.polls_until is None else past.polls_until(now_ms)
    event = orjson.loads(started(past, polls=polls, gateway="pi1", boot="abcd", n=journal.last_n + 1, t_ms=now_ms))
    jsonschema.validate(event, schema("event"))
    return dict(event["start"])


def test_the_first_gateway_of_all_has_nothing_to_say(tmp_path: Path) -> None:
    assert before(None, RIG) is None
    assert before(left(tmp_path, None, last_n=0), RIG) is None


def test_after_a_kill_the_polls_since_the_newest_row_were_not_made(tmp_path: Path) -> None:
    running = Reserved(upto=1000, machine=machine())
    assert said(left(tmp_path, running)) == {"end": "killed", "ended": T_MS + 3, "polls": 10 + 2, "skipped": None}


def test_a_journal_that_can_be_opened_and_not_read_tells_what_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = left(tmp_path, Reserved(upto=1000, machine=machine()))

    def refuse(*_: object, **_words: object) -> list[Row]:
        raise JournalDamagedError("database disk image is malformed")

    monkeypatch.setattr(journal, "newest", refuse)
    past = before(journal, RIG)
    journal.close()
    assert past is not None
    assert (past.end, past.ended_ms, past.polls_until) == ("killed", T_MS + 3, None)


def batch(n: int, t_ms: int, **last_ms: int) -> Row:
    """Return the row of a batch with the last reading of each transducer so long after its begin."""
    channels = {f"{name}.pressure": {"dt": [0, last], "value": [1, 1]} for name, last in last_ms.items()}
    payload = orjson.dumps({"v": 1, "gw": "pi1", "boot": "b", "n": n, "t0": T_MS, "channels": channels})
    return Row(n=n, t_ms=t_ms, topic=TOPICS.batch("a"), payload=payload)


def test_after_a_kill_what_was_polled_and_not_yet_said_counts_as_not_polled(tmp_path: Path) -> None:
    journal = left(tmp_path, Reserved(upto=1000, machine=machine()), last_n=0)
    rows = [batch(1, T_MS + 1000, p1=1000, p2=0), batch(2, T_MS + 20_000, p1=20_000, p2=16_000)]
    event = Row(n=3, t_ms=T_MS + 38_000, topic=TOPICS.event("eva"), payload=b"{}", record=True)
    journal.write([*rows, event], [], now_ms=T_MS)
    journal.close()
    journal.open()
    told = said(journal, now_ms=T_MS + 45_500)
    assert (told["ended"], told["polls"]) == (T_MS + 38_000, 25 + 7), "1 s from 21 s on, 4 s from 20 s on"


def test_what_a_start_has_counted_is_not_counted_again_by_one_after_a_kill_before_any_batch(tmp_path: Path) -> None:
    journal = left(tmp_path, Reserved(upto=1000, machine=machine()), last_n=0)
    start = Row(n=2, t_ms=T_MS + 40_000, topic=TOPICS.event("start"), payload=b"{}", record=True)
    journal.write([batch(1, T_MS + 20_000, p1=20_000, p2=16_000), start], [], now_ms=T_MS)
    journal.close()
    journal.open()
    assert said(journal, now_ms=T_MS + 49_900)["polls"] == 10 + 3, "the first of each when it started"


def test_after_a_stop_that_spared_its_disk_old_batches_do_not_count(tmp_path: Path) -> None:
    journal = left(tmp_path, Reserved(upto=9, closed_ms=T_MS + 60_000, machine="elsewhere"), last_n=0)
    journal.write([batch(1, T_MS + 1000, p1=1000, p2=0)], [], now_ms=T_MS)
    assert said(journal, now_ms=T_MS + 68_000)["polls"] == 8 + 2


def test_after_a_stop_they_count_from_there(tmp_path: Path) -> None:
    stopped = Reserved(upto=50, closed_ms=T_MS + 8003, machine="elsewhere")
    journal = left(tmp_path, stopped)
    assert journal.last_n == 50
    assert said(journal) == {"end": "stopped", "ended": T_MS + 8003, "polls": 2, "skipped": None}


@pytest.mark.parametrize(
    "reserved",
    [
        Reserved(upto=1000, loose=True, machine=machine()),
        Reserved(upto=1000, machine="before the power cut"),
    ],
)
def test_where_rows_may_be_missing_their_numbers_are_named_and_not_used(tmp_path: Path, reserved: Reserved) -> None:
    journal = left(tmp_path, reserved)
    assert journal.last_n == 1000
    told = said(journal)
    assert told["skipped"] == [4, 1000]
    assert (told["polls"] is None) is reserved.loose


def test_a_clock_that_has_gone_back_counts_nothing(tmp_path: Path) -> None:
    assert said(left(tmp_path, Reserved(upto=9, machine=machine())), now_ms=T_MS - 5000)["polls"] == 0


def test_a_damaged_journal_has_no_number_twice(tmp_path: Path) -> None:
    journal = left(tmp_path, Reserved(upto=1000, machine=machine()))
    journal.close()
    (tmp_path / "journal.sqlite").write_bytes(b"not a journal" * 1000)
    journal.open()
    assert journal.set_aside is not None
    assert said(journal) == {"end": "killed", "ended": None, "polls": None, "skipped": [1, 1000]}


def events(folder: Path, *told: tuple[str, bytes]) -> Journal:
    """Return a journal with these events: kind, and what is said."""
    journal = left(folder, None, last_n=0)
    rows = []
    for n, (kind, what) in enumerate(told, 1):
        payload = finding_payloads.event(kind, what, gateway="pi1", boot="abcd", n=n, t_ms=T_MS + n)
        rows.append(Row(n=n, t_ms=T_MS + n, topic=TOPICS.event(kind), payload=payload, record=True))
    journal.write(rows, [], now_ms=T_MS)
    return journal


def alarm(name: str, state: AlarmState) -> Alarm:
    condition = Condition(id=name, priority=Priority.CRITICAL, cause="leak", segment="a", limit=0.2)
    return Alarm(condition=condition, state=state, on_s=10.0, changed_s=20.0, value=1.5, stamped_s=STAMPED_S)


def test_alarms_that_stood_are_known_as_they_were_said_last(tmp_path: Path) -> None:
    def utc_ms(time_s: float) -> int:
        return T_MS + round(time_s * 1000)

    def told(name: str, state: AlarmState) -> tuple[str, bytes]:
        return "alarm", finding_payloads.alarm(alarm(name, state), t_ms=utc_ms(20.0), utc_ms=utc_ms)

    journal = events(
        tmp_path,
        told("leak-a", AlarmState.UNACKNOWLEDGED),
        told("gone", AlarmState.UNACKNOWLEDGED),
        told("leak-a", AlarmState.ACKNOWLEDGED),
        told("gone", AlarmState.CLEARED),
        told("waits", AlarmState.RETURNED),
        ("alarm", b'{"of":"another version"}'),
    )
    found = alarms_before(journal, TOPICS, lambda t_ms: (t_ms - T_MS) / 1000)
    journal.close()
    assert found == [alarm("leak-a", AlarmState.ACKNOWLEDGED), alarm("waits", AlarmState.RETURNED)]


def test_what_was_told_last_of_each_hatch_is_known_unless_the_rig_file_says_something_new(tmp_path: Path) -> None:
    def told(hatch: str, state: str, code: str = "ok", name: str = "hatch", **more: str) -> tuple[str, bytes]:
        result = {"hatch": hatch, "state": state, **more}
        return "command", orjson.dumps({"name": name, "code": code, "result": result if code == "ok" else None})

    journal = events(
        tmp_path,
        told("a--b", "closed", rig_file="unknown"),
        told("b--c", "closed"),
        told("a--b", "open", rig_file="unknown"),
        told("b--c", "open", code="not_allowed"),
        told("b--c", "open", name="event"),
        told("c--d", "open", rig_file="closed"),
        told("d--e", "open", rig_file="unknown"),
    )
    hatches = [{"between": pair.split("--"), "state": "unknown"} for pair in ("a--b", "b--c", "c--d")]
    segments = {name: {} for name in "abcde"}
    found = hatches_before(journal, TOPICS, Rig.model_validate(RIG_WORDS | {"segment": segments, "hatch": hatches}))
    journal.close()
    assert found == {"a--b": HatchState.OPEN, "b--c": HatchState.CLOSED}, "c--d was written anew, d--e is gone"
