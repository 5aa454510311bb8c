"""A consumer's record: each reading once, and every gap by name."""

import sqlite3
import sys
from pathlib import Path

import orjson
import pyarrow.parquet as parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reading import Quality, Reason
from gateway import recorded_readings
from gateway.received import Received, readings_of
from gateway.store import ReceiveError, store


class Memory:
    def __init__(self):
        self.readings = []

    def known(self):
        return iter(())

    def events(self):
        return iter(())

    def add(self, document, readings, *, add_ms):
        self.readings += readings

    def save(self):
        pass


def batch(n, values=(1.0, 2.0), quality="good", reason=None, gateway="pi1", boot="a"):
    column = {"dt": [0, 1000][: len(values)], "value": list(values), "quality": quality, "reason": reason}
    return orjson.dumps({"v": 1, "gw": gateway, "boot": boot, "n": n, "t0": 5000, "channels": {"p1.pressure": column}})


def test_a_batch_becomes_rows_whose_quality_may_be_one_word_or_many():
    assert list(readings_of(orjson.loads(batch(7)))) == [
        ("pi1", 7, "p1.pressure", 5000, 1.0, "good", None),
        ("pi1", 7, "p1.pressure", 6000, 2.0, "good", None),
    ]
    mixed = orjson.loads(batch(7, (None, 2.0), ["bad", "good"], ["crc", None]))
    assert [row[4:] for row in readings_of(mixed)] == [(None, "bad", "crc"), (2.0, "good", None)]


@given(st.lists(st.integers(1, 40), max_size=60))
def test_each_number_counts_once_and_each_gap_is_named(numbers):
    memory = Memory()
    received = Received(memory)
    for n in numbers:
        received.take("manovac/v1/iss/seg/a/late", batch(n))
    got = set(numbers)
    assert received.readings == 2 * len(got) == len(memory.readings)
    assert received.repeated == len(numbers) - len(got)
    missing = {n for n in range(min(got, default=1), max(got, default=0)) if n not in got}
    assert {n for first, last in received.gaps().get("pi1", []) for n in range(first, last + 1)} == missing
    if got:
        upto = received.complete_upto()["pi1"]
        assert set(range(min(got), upto + 1)) <= got
        assert upto + 1 not in got
    assert (" 0 gaps" in received.verdict()) is (not missing)


def test_other_topics_are_passed_over_and_nonsense_is_counted():
    received = Received(Memory())
    received.take("manovac/v1/iss/seg/a/pressure/p1", b"{}")
    received.take("manovac/v1/iss/seg/a/batch", b"nonsense")
    received.take("manovac/v1/iss/seg/a/batch", b'{"gw": "pi1", "n": 4}')
    assert (received.readings, received.strange, received.verdict()) == (0, 2, "0 readings, 0 gaps")


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        ("alarm", {"gw": ["pi1"]}),
        ("alarm", {"gw": "pi1/#"}),
        ("alarm", {"n": 2**64 - 1}),
        ("alarm", {"n": 0}),
        ("alarm", {"n": True}),
        ("alarm", {"n": "7"}),
        ("alarm", {"t": None}),
        ("alarm", {"t": 2**63}),
        ("alarm", {"boot": 3}),
        ("alarm", {"boot": ""}),
        ("alarm", {"kind": ["start"]}),
        ("start", {}),
        ("start", {"start": {"skipped": [9, 3]}}),
        ("start", {"start": {"skipped": [1, 2**63]}}),
        ("start", {"start": [1]}),
        ("journal", {"journal": {"skipped": [0.5, 3]}}),
        ("clock", {"clock": {"since": "1", "correction_ms": 5}}),
        ("clock", {"clock": {"since": 1, "correction_ms": -(2**63)}}),
        ("batch", {"t0": 2**63}),
        ("batch", {"t0": 5.5}),
        ("batch", {"kind": "start"}),
        ("batch", {"channels": []}),
        ("batch", {"channels": {"p1.pressure": [1]}}),
        ("batch", {"channels": {"p1.pressure": {"dt": [0], "value": ["x"], "quality": "good", "reason": None}}}),
        ("batch", {"channels": {"p1.pressure": {"dt": [0], "value": [1.0], "quality": None, "reason": None}}}),
        ("batch", {"channels": {"p1.pressure": {"dt": [0], "value": [1.0], "quality": "good", "reason": 5}}}),
        ("batch", {"channels": {"p1.pressure": {"dt": [2**63], "value": [1.0], "quality": "good", "reason": None}}}),
    ],
)
def test_what_is_not_as_it_must_be_is_counted_and_neither_noted_nor_stored(tmp_path: Path, kind, wrong):
    event = {"v": 1, "gw": "pi1", "boot": "zz", "n": 900_000, "t": 1, "kind": kind}
    document = (orjson.loads(batch(900_000)) if kind == "batch" else event) | wrong
    received = Received(store(tmp_path / "record.sqlite"))
    received.take("m/seg/a/batch", batch(1))
    received.take("m/seg/a/batch" if kind == "batch" else f"m/event/{kind}", orjson.dumps(document))
    received.take("m/seg/a/batch", batch(2))
    received.store.close()
    assert (received.strange, received.of_record) == (1, 2)
    again = Received(store(tmp_path / "record.sqlite"))
    again.store.close()
    for consumer in (received, again):
        assert (consumer.gaps(), consumer.complete_upto()) == ({}, {"pi1": 2})


def test_a_number_without_decimals_is_a_value_however_large(tmp_path: Path):
    received = Received(store(tmp_path / "record.sqlite"))
    received.take("m/seg/a/batch", batch(1, (2**64 - 1,)))
    received.store.close()
    assert (received.readings, received.strange) == (1, 0)


def test_a_file_with_rows_that_should_never_have_come_in_goes_on(tmp_path: Path):
    path = tmp_path / "record.sqlite"
    Received(store(path)).store.close()
    with sqlite3.connect(path) as database:
        rows = [b"no JSON", b"[]", b'{"v":1,"gw":"pi1","boot":"zz","n":9,"t":1,"kind":"start"}', b"\xff"]
        database.executemany("INSERT INTO event VALUES ('pi1', 9, 1, CAST(? AS TEXT))", [(row,) for row in rows])
    database.close()
    received = Received(store(path))
    received.take("m/seg/a/batch", batch(1))
    received.store.close()
    assert received.verdict() == "2 readings, 0 gaps (pi1 1)"


def test_a_sqlite_file_is_continued_and_holds_each_message_once(tmp_path: Path):
    path = tmp_path / "record.sqlite"
    first = Received(store(path))
    first.take("m/seg/a/batch", batch(1))
    first.take("m/event/alarm", b'{"v":1,"gw":"pi1","n":2,"t":1,"kind":"alarm","alarm":{}}')
    first.store.close()
    again = Received(store(path))
    again.take("m/seg/a/late", batch(1))
    again.take("m/seg/a/batch", batch(4))
    again.store.close()
    assert again.verdict() == "2 readings, 1 gap (pi1 1 to 4): pi1: 3, 1 messages came again"
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT count(*) FROM reading").fetchone() == (4,)
        assert database.execute("SELECT n FROM event").fetchall() == [(2,)]
    database.close()


def clock(n, since, add_ms, gateway="pi1", boot="a"):
    words = {"before": "free", "after": "ntp", "step_ms": add_ms, "since": since, "correction_ms": add_ms}
    return orjson.dumps({"v": 1, "gw": gateway, "boot": boot, "n": n, "t": 10**9 + n, "kind": "clock", "clock": words})


def times(path: Path) -> dict[int, list[int]]:
    with sqlite3.connect(path) as database:
        found: dict[int, list[int]] = {}
        for n, t in database.execute("SELECT n, t FROM reading UNION SELECT n, t FROM event ORDER BY n, t"):
            found.setdefault(n, []).append(t)
    database.close()
    return found


@pytest.mark.parametrize("order", [(1, 2, 3, 4, 5, 6), (6, 5, 4, 3, 2, 1), (4, 1, 6, 2, 5, 3), (1, 2, 4, 5, 6, 4, 3)])
def test_a_wrong_clock_is_corrected_whenever_its_events_come_and_each_once(tmp_path: Path, order):
    path = tmp_path / "record.sqlite"
    said = {
        1: batch(1),
        2: b'{"v":1,"gw":"pi1","boot":"a","n":2,"t":7000,"kind":"alarm","alarm":{}}',
        3: batch(3),
        4: clock(4, since=1, add_ms=1_000_000),
        5: batch(5),
        6: clock(6, since=1, add_ms=-500),
    }
    for halves in (order[:3], order[3:]):  # another run goes on with the file
        received = Received(store(path))
        for n in halves:
            received.take("m/event/x" if n in {2, 4, 6} else "m/seg/a/batch", said[n])
        received.take("m/seg/a/batch", batch(9, boot="b"))
        received.take("m/seg/b/batch", batch(1, gateway="pi2"))
        received.store.close()
    once, twice = [1_005_000 - 500, 1_006_000 - 500], 1_007_000 - 500
    both = {1: sorted([5000, 6000, *once]), 2: [twice], 3: once, 5: [4500, 5500], 9: [5000, 6000]}
    found = times(path)
    assert {n: found[n] for n in both} == both


def test_a_csv_file_says_that_it_cannot_correct(tmp_path: Path):
    received = Received(store(tmp_path / "record.csv"))
    received.take("m/seg/a/batch", batch(1))
    received.take("m/event/clock", clock(2, since=1, add_ms=60_000))
    received.take("m/seg/a/batch", batch(3))
    received.store.close()
    assert "pi1 began with a wrong clock" in received.verdict()


def test_numbers_that_were_given_out_twice_stay_as_they_are(tmp_path: Path):
    path = tmp_path / "record.sqlite"
    received = Received(store(path))
    for boot in ("b", "a"):
        received.take("m/seg/a/batch", batch(1, boot=boot))
    received.take("m/event/clock", clock(2, since=1, add_ms=60_000))
    received.store.close()
    assert times(path)[1] == [5000, 6000]


def test_a_csv_file_is_new_or_refused(tmp_path: Path):
    path = tmp_path / "record.csv"
    received = Received(store(path))
    received.take("m/seg/a/batch", batch(1, (None,), "bad", "timeout"))
    received.store.close()
    assert path.read_text().splitlines() == [
        "gateway,n,channel,t,value,quality,reason",
        "pi1,1,p1.pressure,5000,,bad,timeout",
    ]
    with pytest.raises(ReceiveError, match="name a new file"):
        store(path)


def test_a_parquet_file_is_in_order_of_time_goes_on_after_a_crash_and_can_be_analysed(tmp_path: Path):
    path = tmp_path / "record.parquet"
    crashed = Received(store(path))
    crashed.take("m/seg/a/batch", batch(2))
    crashed.store.save()
    crashed.store._let_go()
    assert not path.exists()
    again = Received(store(path))
    again.take("m/seg/a/batch", batch(2))
    late = orjson.loads(batch(1, (None,), "bad", "timeout"))
    again.take("m/seg/a/late", orjson.dumps(late | {"t0": 4000}))
    again.store.close()
    assert again.verdict() == "1 readings, 0 gaps (pi1 1 to 2), 1 messages came again"
    rows = parquet.read_table(path).to_pylist()
    assert [(row["n"], row["t"].timestamp(), row["value"], row["reason"]) for row in rows] == [
        (1, 4.0, None, "timeout"),
        (2, 5.0, 1.0, None),
        (2, 6.0, 2.0, None),
    ]
    assert {(row["gateway"], row["channel"]) for row in rows} == {("pi1", "p1.pressure")}
    moments = recorded_readings.rows(path)
    assert [time_s for time_s, _ in moments] == [4.0, 5.0, 6.0]
    assert moments[1][1]["p1.pressure"] == (1.0, Quality.GOOD, Reason.NONE)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["record.parquet", "record.parquet.sqlite"]


def test_parquet_without_pyarrow_is_refused_at_once(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ReceiveError, match=r"pip install 'manovac\[parquet\]'"):
        store(tmp_path / "record.parquet")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("x.txt", "must end with .sqlite, .csv, .parquet"),
        ("no/x.csv", "No such file"),
        ("no/x.sqlite", "unable to open"),
        ("no/x.parquet", "unable to open"),
    ],
)
def test_a_file_that_cannot_be_is_refused_with_advice(tmp_path: Path, name, why):
    with pytest.raises(ReceiveError, match=why):
        store(tmp_path / name)


def test_a_gateway_that_begins_its_numbers_anew_loses_nothing_and_is_told(tmp_path: Path):
    path = tmp_path / "record.sqlite"
    received = Received(store(path))
    for boot in ("a", "b"):
        for n in (1, 2):
            received.take("m/seg/a/batch", batch(n, boot=boot))
        received.take("m/event/alarm", b'{"v":1,"gw":"pi1","n":3,"t":%d,"kind":"alarm","alarm":{}}' % ord(boot))
    received.take("m/seg/a/late", batch(2, boot="b"))
    assert (received.readings, received.repeated, received.anew) == (8, 1, {"pi1"})
    assert received.verdict().endswith(
        "pi1 has begun its numbers anew (no journal?): what is missing of it cannot be told"
    )
    received.store.close()
    again = Received(store(path))
    assert again.anew == {"pi1"}
    again.store.close()


def test_an_old_gap_that_another_start_fills_is_not_taken_for_closed(tmp_path: Path):
    path = tmp_path / "record.sqlite"
    received = Received(store(path))
    for n in (10, 11, 15, 16):
        received.take("m/seg/a/batch", batch(n, boot="a"))
    for n in (12, 13, 14):
        received.take("m/seg/a/batch", batch(n, boot="b"))
    received.store.close()
    again = Received(store(path))
    again.store.close()
    for consumer in (received, again):
        assert (consumer.gaps(), consumer.anew) == ({}, {"pi1"})
        assert "pi1 has begun its numbers anew" in consumer.verdict()


def test_starts_that_follow_each_other_are_not_taken_for_numbers_begun_anew(tmp_path: Path):
    """In whatever order they come, also from an older gateway whose events name no start, and if an id comes twice."""
    path = tmp_path / "record.sqlite"
    received = Received(store(path))
    for n, boot in ((20, "c"), (10, "a"), (13, "b"), (12, "b"), (11, "a"), (14, "b"), (21, "a"), (19, "c"), (18, "c")):
        received.take("m/seg/a/batch", batch(n, boot=boot))
    received.take("m/seg/a/batch", batch(24, boot="a"))
    received.take("m/event/alarm", b'{"v":1,"gw":"pi1","n":22,"t":7000,"kind":"alarm","alarm":{}}')
    received.take("m/event/alarm", b'{"v":1,"gw":"pi1","n":23,"t":7000,"kind":"alarm","alarm":{}}')
    received.store.close()
    again = Received(store(path))
    again.store.close()
    for consumer in (received, again):
        assert (consumer.gaps(), consumer.anew) == ({"pi1": [(15, 17)]}, set())


def test_a_record_begins_where_the_one_before_it_under_the_same_name_ended():
    received = Received(Memory())
    for n in (12, 400, 10):
        received.begin_after("pi1", n)
    for n in (13, 15):
        received.take("m/seg/a/batch", batch(n))
    assert (received.gaps(), received.complete_upto()) == ({"pi1": [(11, 12), (14, 14)]}, {"pi1": 10})
    for n in (11, 12, 14):
        received.take("m/seg/a/late", batch(n))
    assert (received.gaps(), received.complete_upto()) == ({}, {"pi1": 15})
    received.take("m/seg/a/batch", batch(3, gateway="pi2"))
    received.begin_after("pi2", 700)  # of a gateway that had another journal
    assert (received.gaps(), received.complete_upto()) == ({}, {"pi1": 15, "pi2": 3})


def test_a_full_disk_and_a_file_of_others_are_told(tmp_path: Path):
    kept = store(tmp_path / "record.sqlite")
    kept._database.execute("PRAGMA max_page_count = 5")
    received = Received(kept)

    def fill():
        for n in range(1, 10_000):
            received.take("m/seg/a/batch", batch(n))
            kept.save()

    with pytest.raises(ReceiveError, match=r"record\.sqlite: database or disk is full"):
        fill()
    kept.close()
    other = tmp_path / "journal.sqlite"
    sqlite3.connect(other).execute("CREATE TABLE row (n)").connection.close()
    with pytest.raises(ReceiveError, match="holds something else"):
        store(other)


def start(n, skipped, gateway="pi1"):
    words = {"boot": "b", "end": "killed", "ended": None, "polls": None, "skipped": skipped}
    return orjson.dumps({"v": 1, "gw": gateway, "n": n, "t": n, "kind": "start", "start": words})


def test_numbers_that_died_in_memory_are_named_apart_and_not_waited_for(tmp_path: Path):
    path = tmp_path / "record.sqlite"
    received = Received(store(path))
    for n in (10, 11, 14):
        received.take("m/seg/a/batch", batch(n))
    received.take("m/event/start", start(1001, [13, 1000]))
    received.take("m/seg/a/batch", batch(1002))
    received.store.close()
    again = Received(store(path))
    for consumer in (received, again):
        assert consumer.gaps() == {"pi1": [(12, 12)]}
        assert consumer.lost_at_a_kill() == {"pi1": [(13, 13), (15, 1000)]}
        assert consumer.complete_upto() == {"pi1": 11}
    assert received.verdict() == (
        "8 readings, 1 gap (pi1 10 to 1002): pi1: 12; lost in the memory of a gateway that was killed, or never used:"
        " pi1: 13; pi1: 15 to 1000"
    )
    again.take("m/seg/a/late", batch(12))
    again.store.close()
    assert (again.gaps(), again.complete_upto()) == ({}, {"pi1": 1002})


def test_numbers_that_a_gateway_names_after_its_start_are_not_waited_for_either():
    received = Received(Memory())
    for n in (10, 12):
        received.take("m/seg/a/batch", batch(n))
    words = {"boot": "b", "kind": "journal", "journal": {"skipped": [11, 11]}}
    received.take("m/event/journal", orjson.dumps({"v": 1, "gw": "pi1", "n": 13, "t": 13} | words))
    assert (received.gaps(), received.lost_at_a_kill()) == ({}, {"pi1": [(11, 11)]})


def test_numbers_before_the_first_that_came_are_nobodys_loss():
    received = Received(Memory())
    received.take("m/event/start", start(1001, [13, 1000]))
    assert (received.gaps(), received.lost_at_a_kill(), received.complete_upto()) == ({}, {}, {"pi1": 1001})
