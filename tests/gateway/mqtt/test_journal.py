"""The journal: what was written is there, whatever is cut off, full, or torn."""

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rig import Rig
from gateway.mqtt.journal import Journal, JournalError, journal_of
from gateway.mqtt.row import Row
from gateway.mqtt.spans import Spans
from tests.gateway.mqtt.torn import torn_journals

MIB = 2**20
DAY_MS = 86_400_000


def journal(folder: Path, *, max_bytes: int = 64 * MIB, max_age_ms: int = 365 * DAY_MS) -> Journal:
    made = Journal(folder / "journal.sqlite", max_bytes=max_bytes, max_age_ms=max_age_ms)
    made.open()
    return made


def rows(first: int, last: int, *, size: int = 100, record: bool = False, t_ms: int = 0) -> list[Row]:
    return [
        Row(n=n, t_ms=t_ms + n, topic=f"t/{n % 5}", payload=b'"%b"' % (b"%d" % n * size), record=record)
        for n in range(first, last + 1)
    ]


def test_what_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    first = journal(tmp_path)
    first.write(rows(1, 50), [[1, 50]], now_ms=0)
    first.write(rows(51, 60, record=True), [[40, 60]], now_ms=0)
    first.close()
    again = journal(tmp_path)
    assert again.read(1, 100, limit=100) == rows(1, 50) + rows(51, 60, record=True)
    assert (again.last_n, again.undelivered, again.rows, again.set_aside) == (60, [[40, 60]], 60, None)
    assert [row.n for row in again.read(20, 100, limit=3)] == [20, 21, 22]


def test_rows_that_are_there_already_are_not_written_over(tmp_path: Path) -> None:
    store = journal(tmp_path)
    store.write(rows(1, 5), [], now_ms=0)
    store.write(rows(3, 8), [], now_ms=0)
    assert store.read(1, 99, limit=99) == rows(1, 8)
    assert store.rows == 8
    store.close()


def test_too_much_drops_the_oldest_telemetry_and_never_a_record(tmp_path: Path) -> None:
    store = journal(tmp_path, max_bytes=MIB)
    store.write(rows(1, 20, record=True), [], now_ms=0)
    dropped = []
    for block in range(40):
        first = 21 + block * 100
        dropped += store.write(rows(first, first + 99, size=200), [], now_ms=0).spans
        assert store.bytes() <= MIB
    kept = store.read(1, 10**9, limit=10**6)
    assert [row.n for row in kept if row.record] == list(range(1, 21))
    assert {cause for _, _, cause in dropped} == {"journal_size"}
    telemetry = [row.n for row in kept if not row.record]
    assert telemetry == list(range(dropped[-1][1] + 1, 4021)), "the newest, without a gap"
    assert store.rows == len(kept)


def test_what_is_too_old_goes(tmp_path: Path) -> None:
    store = journal(tmp_path, max_age_ms=1000)
    store.write(rows(1, 10), [], now_ms=500)
    trimmed = store.write(rows(11, 20, t_ms=5000), [], now_ms=5020)
    assert trimmed.spans == ((1, 10, "journal_age"),)
    assert [row.n for row in store.read(1, 99, limit=99)] == list(range(11, 21))


def test_few_large_rows_make_room_one_by_one(tmp_path: Path) -> None:
    store = journal(tmp_path, max_bytes=MIB)
    for n in range(1, 61):
        store.write(rows(n, n, size=25_000), [], now_ms=0)
        assert store.bytes() <= MIB
        assert n < 25 or store.bytes() > 0.9 * MIB
    assert store.read(1, 99, limit=99)[-1].n == 60
    store.close()


def test_what_is_young_stays_though_a_clock_was_wrong_before_and_after_it(tmp_path: Path) -> None:
    store = journal(tmp_path, max_age_ms=DAY_MS)
    for block in (rows(1, 5), rows(6, 205, t_ms=40 * DAY_MS), rows(206, 210)):
        store.write(block, [], now_ms=0)
    trimmed = store.write(rows(211, 211, t_ms=40 * DAY_MS), [], now_ms=40 * DAY_MS)
    assert trimmed.spans == ((1, 5, "journal_age"),)
    assert [row.n for row in store.read(1, 999, limit=999)] == list(range(6, 212))
    trimmed = store.write([], [], now_ms=42 * DAY_MS)
    assert trimmed.spans == ((6, 211, "journal_age"),)
    store.close()


def test_a_record_among_telemetry_that_makes_room_is_not_said_to_be_dropped(tmp_path: Path) -> None:
    store = journal(tmp_path, max_age_ms=1000)
    store.write([*rows(1, 3), *rows(4, 4, record=True), *rows(5, 6)], [], now_ms=0)
    assert store.write([], [], now_ms=9000).spans == ((1, 3, "journal_age"), (5, 6, "journal_age"))
    store.close()


def test_a_full_disk_is_an_error_that_leaves_all_as_it_was_and_passes(tmp_path: Path) -> None:
    store = journal(tmp_path)
    store.write(rows(1, 10), [[1, 10]], now_ms=0)
    database = store._opened()
    (pages,) = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(JournalError, match="full"):
        store.write(rows(11, 500, size=400), [[1, 500]], now_ms=0)
    assert store.last_n == 10
    assert store.read(1, 999, limit=999) == rows(1, 10)
    database.execute("PRAGMA max_page_count = 1000000")
    store.write(rows(11, 500, size=400), [[1, 500]], now_ms=0)
    assert store.last_n == 500


def test_a_file_that_is_no_journal_is_set_aside_and_kept(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"these are not the pages you are looking for" * 100)
    store = journal(tmp_path)
    assert store.set_aside is not None
    assert b"not the pages" in store.set_aside.read_bytes()
    store.write(rows(1, 3), [], now_ms=0)
    assert store.read(1, 9, limit=9) == rows(1, 3)


def test_a_journal_of_another_version_is_refused_not_set_aside(tmp_path: Path) -> None:
    store = journal(tmp_path)
    store._opened().execute("PRAGMA user_version = 99")
    store.close()
    with pytest.raises(JournalError, match=r"schema 99.*move it away"):
        journal(tmp_path)


def test_two_gateways_do_not_share_a_journal(tmp_path: Path) -> None:
    first = journal(tmp_path)
    with pytest.raises(JournalError, match="another gateway"):
        journal(tmp_path)
    first.close()
    journal(tmp_path).close()


def test_it_stands_where_the_rig_file_or_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def path(**words: object) -> str:
        rig = Rig.model_validate({"station": {"id": "iss", "gateway": "pi1"}, "journal": words})
        made = journal_of(rig)
        return str(made and made.path)

    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert path() == f"{tmp_path}/manovac/iss-pi1.sqlite"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/manovac")
    assert path() == "/var/lib/manovac/iss-pi1.sqlite"
    assert path(path="/data/j.sqlite") == "/data/j.sqlite"
    assert path(keep="memory") == "None"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(JournalError, match="file"):
        journal(tmp_path / "file")


def test_files_cut_anywhere_open_or_are_set_aside_and_no_number_comes_twice(tmp_path: Path) -> None:
    """1,000 cuts are `python -m tests.benchmarks torn-journal`."""
    ends = torn_journals(tmp_path, cuts=150, seed=1)
    assert {end.cut for end in ends} == {"log", "database", "both"}
    assert [end.wrong for end in ends if end.wrong] == []
    assert len({end.rows for end in ends if end.cut == "log"}) > 10, "cut in many places"
    assert any(end.set_aside for end in ends)


WRITER = """
import sys
from pathlib import Path
from gateway.mqtt.journal import Journal
from gateway.mqtt.row import Row
store = Journal(Path(sys.argv[1]) / "journal.sqlite", max_bytes=1 << 26, max_age_ms=1 << 40)
store.open()
n = store.last_n
while True:
    rows = [Row(n=m, t_ms=m, topic=f"t/{m % 5}", payload=b'"%b"' % (b"%d" % m * 100)) for m in range(n + 1, n + 8)]
    store.write(rows, [[1, n + 7]], now_ms=0)
    n += 7
    print(n, flush=True)
"""


def test_kill_9_loses_nothing_that_was_written(tmp_path: Path) -> None:
    draw = random.Random(3)
    promised = 0
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(draw.randrange(1, 40)):
                promised = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout.read().split():
                promised = int(line)
        store = journal(tmp_path)
        assert store.set_aside is None
        assert store.last_n in (promised, promised + 7), "all that was promised, and at most one write more"
        assert store.read(1, 10**6, limit=10**6) == rows(1, store.last_n)
        store.close()


numbers = st.integers(1, 60)
steps = st.lists(st.tuples(st.sampled_from(["add", "discard"]), numbers, st.integers(0, 12)), max_size=40)


@given(steps)
def test_spans_are_a_set_of_numbers(done: list[tuple[str, int, int]]) -> None:
    spans, truth = Spans(), set()
    for what, first, more in done:
        if what == "add":
            spans.add(first, first + more)
            truth |= set(range(first, first + more + 1))
        else:
            spans.discard_span(first, first + more)
            truth -= set(range(first, first + more + 1))
        assert [n for a, b in spans for n in range(a, b + 1)] == sorted(truth)
        assert len(spans) == len(truth)
        for n in (0, first, first + more + 1, 80):
            assert (n in spans) is (n in truth)
            assert spans.first_from(n) == min((each for each in truth if each >= n), default=None)
            assert spans.last_upto(n) == max((each for each in truth if each <= n), default=None)
        assert all(b + 1 < c for (_, b), (c, _) in zip(list(spans), list(spans)[1:], strict=False)), "no two touch"


def test_the_database_is_one_that_other_programs_can_read(tmp_path: Path) -> None:
    store = journal(tmp_path)
    store.write(rows(1, 3), [], now_ms=0)
    with sqlite3.connect(tmp_path / "journal.sqlite") as other:
        found = other.execute("SELECT n, name FROM row JOIN topic ON id = topic ORDER BY n").fetchall()
    other.close()
    assert found == [(1, "t/1"), (2, "t/2"), (3, "t/3")]
