"""A consumer's file: nobody else's is touched, nobody who reads it is in its way, and no half message is in it."""

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import orjson
import pyarrow.parquet as parquet
import pytest

from gateway.corrections import Correction
from gateway.store import ReceiveError, SqliteStore, store

BATCH = {"gw": "pi1", "n": 1, "boot": "a"}
CLOCK = BATCH | {"n": 3, "t": 1, "kind": "clock", "clock": {"since": 1, "correction_ms": 10**12}}
ROW = ("pi1", 1, "p1.pressure", 5000, 1.0, "good", None)


def filled(path: Path) -> Path:
    kept = store(path)
    kept.add(BATCH, [ROW], add_ms=0)
    kept.close()
    return path


def test_a_parquet_file_of_somebody_is_not_replaced(tmp_path: Path):
    path = filled(tmp_path / "x.parquet")
    before = path.read_bytes()
    record = tmp_path / "x.parquet.sqlite"
    record.unlink()
    with pytest.raises(ReceiveError, match="is there already"):
        store(path)
    assert not record.exists()
    SqliteStore(record).close()  # as after a run that heard nothing, before somebody put a file there
    with pytest.raises(ReceiveError, match="is there already"):
        store(path)
    assert path.read_bytes() == before


def test_a_parquet_file_is_written_only_when_there_is_something_to_write_and_goes_on(tmp_path: Path):
    path = tmp_path / "x.parquet"
    store(path).close()
    assert not path.exists()
    filled(path)
    store(path).close()
    kept = store(path)
    kept.add(BATCH | {"n": 2}, [ROW], add_ms=0)
    kept.close()
    assert parquet.read_table(path).num_rows == 2


def test_a_folder_of_that_name_is_told_at_once(tmp_path: Path):
    for name in ("x.parquet", "x.csv", "x.sqlite"):
        (tmp_path / name).mkdir()
        with pytest.raises(ReceiveError, match=name):
            store(tmp_path / name)
    filled(tmp_path / "y.parquet").unlink()
    (tmp_path / "y.parquet").mkdir()
    with pytest.raises(ReceiveError, match="is a folder"):
        store(tmp_path / "y.parquet")


def test_who_reads_a_record_is_not_in_the_way_of_who_writes_it(tmp_path: Path):
    kept = store(tmp_path / "x.sqlite")
    kept._database.execute("PRAGMA busy_timeout = 0")
    kept.add(BATCH, [ROW], add_ms=0)
    kept.save()
    with closing(sqlite3.connect(tmp_path / "x.sqlite")) as reader:
        rows = reader.execute("SELECT n FROM message UNION ALL SELECT n FROM reading")
        assert next(rows) == (1,)
        kept.add(BATCH | {"n": 2}, [ROW], add_ms=0)
        kept.save()
        assert rows.fetchall() == [(1,)], "as it was when the question came"
        assert kept._database.execute("PRAGMA synchronous").fetchone() == (2,), "FULL"
        kept.close()
    store(tmp_path / "x.sqlite").close()
    assert [each.name for each in tmp_path.iterdir()] == ["x.sqlite"]
    with closing(sqlite3.connect(f"file:{tmp_path}/x.sqlite?immutable=1", uri=True)) as reader:
        assert reader.execute("SELECT n FROM message").fetchall() == [(1,), (2,)]


def test_one_file_has_one_writer(tmp_path: Path):
    first = store(tmp_path / "x.sqlite")
    with pytest.raises(ReceiveError, match="another `manovac sub` writes it"):
        store(tmp_path / "x.sqlite")
    first.add(BATCH, [ROW], add_ms=0)
    first.close()
    store(tmp_path / "x.sqlite").close()


@pytest.mark.parametrize(
    "made",
    ["CREATE TABLE message (text TEXT)", "CREATE TABLE other (n)", "CREATE VIEW message AS SELECT 1 AS n"],
)
def test_a_file_of_others_stays_as_it_is(tmp_path: Path, made: str):
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as other:
        other.execute(made)
    before = path.read_bytes()
    with pytest.raises(ReceiveError, match="holds something else"):
        store(path)
    assert path.read_bytes() == before


def test_what_could_not_be_stored_or_corrected_whole_is_not_in_the_file(tmp_path: Path):
    path = tmp_path / "x.sqlite"
    for n in (1, 2):
        kept = store(path)
        kept.add(BATCH | {"n": n}, [ROW] * 1000, add_ms=0)
        kept.save()
        pages = kept._database.execute("PRAGMA page_count").fetchone()[0]
        kept._database.execute(f"PRAGMA max_page_count = {pages}")
        kept.add(CLOCK, [], add_ms=0)
        correction = Correction(gateway="pi1", boot="a", since=1, before=3, add_ms=10**12)
        add, restamp = partial(kept.add, BATCH | {"n": 4}, [ROW] * 1000, add_ms=0), partial(kept.restamp, correction)
        with pytest.raises(ReceiveError, match="full"):
            (add if n == 1 else restamp)()
        kept.close()
        with closing(sqlite3.connect(path)) as database:
            assert database.execute("SELECT max(n) FROM message").fetchone() == (n,)
            assert database.execute("SELECT count(*), max(t) FROM reading").fetchone() == (1000 * n, 5000)


def test_what_it_holds_comes_back_in_the_order_in_which_it_came(tmp_path: Path):
    path = tmp_path / "x.sqlite"
    kept = store(path)
    for n in (5, 2, 9):
        kept.add(BATCH | {"n": n}, [], add_ms=0)
    kept.close()
    again = store(path)
    assert [n for _, n, _ in again.known()] == [5, 2, 9]
    again.close()


def test_a_file_of_an_older_version_goes_on(tmp_path: Path):
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as older:
        older.executescript(
            "CREATE TABLE message (gateway TEXT NOT NULL, n INTEGER NOT NULL, mark TEXT NOT NULL,"
            " PRIMARY KEY (gateway, n, mark)) WITHOUT ROWID; INSERT INTO message VALUES ('pi1', 1, 'a')"
        )
    kept = store(path)
    kept.add(BATCH | {"n": 2, "t": 1, "kind": "alarm"}, [], add_ms=0)
    assert [n for _, n, _ in kept.known()] == [1, 2]
    assert [orjson.loads(event)["n"] for event in kept.events()] == [2]
    kept.close()
