"""`manovac analyse`: recorded readings in, a verdict and a report out; bad files are told where they are bad."""

import json
import re
import sqlite3
import sys

import numpy as np
import orjson
import pytest

from gateway.mqtt.journal import Journal
from gateway.mqtt.row import Row
from gateway.received import Received
from gateway.store import store
from tests.commands import call

RIG = """
[station]
id = "s"
gateway = "g"
[segment.lab]
volume = "12 m3"
[bus.b]
kind = "serial"
port = "/dev/ttyUSB0"
[transducer.a]
model = "keller-33x"
bus = "b"
segment = "lab"
range = "0..160 kPa"
[transducer.b]
model = "keller-33x"
bus = "b"
unit = 2
segment = "lab"
range = "0..160 kPa"
"""
SLOPE_PA_S = 0.2
RATE = SLOPE_PA_S * 12 * 0.0289652 / (8.31446 * 295.15) * 86400


def record(seconds=400, step=1.0, leak_at=None):
    """Rows of two transducers in 12 m3."""
    rng = np.random.default_rng(2)
    for number in range(round(seconds / step)):
        time_s = 1.7e9 + number * step
        lost = 0.0 if leak_at is None else SLOPE_PA_S * max(number * step - leak_at, 0.0)
        yield time_s, [101_325.0 - lost + offset + rng.normal(0, 2) for offset in (10.0, -20.0)]


def as_csv(path, **words):
    lines = ["time,a.pressure,a.temperature,b.pressure,b.temperature"]
    lines += [f"{time_s:.1f},{a:.2f},295.15,{b:.2f},295.15" for time_s, (a, b) in record(**words)]
    path.write_text("\n".join(lines) + "\n")
    return path


def as_batches(path, *, verbose, **words):
    """What `mosquitto_sub` prints; other topics between."""
    lines = []
    for time_s, (a, b) in record(**words):
        channels = {
            f"{name}.{quantity}": {"dt": [0], "value": [value], "quality": "good", "reason": None}
            for name, pressure in (("a", a), ("b", b))
            for quantity, value in (("pressure", pressure), ("temperature", 295.15))
        }
        batch = {
            "v": 1,
            "gw": "g",
            "boot": "1",
            "n": 1,
            "t0": round(time_s * 1000),
            "sync": "ntp",
            "channels": channels,
        }
        head = "manovac/v1/s/seg/lab/batch " if verbose else ""
        lines.append(head + orjson.dumps(batch).decode())
    if verbose:
        lines.insert(3, 'manovac/v1/s/gw/g/status {"v":1}')
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_leak_in_a_csv_is_found_and_the_report_says_it_first(tmp_path, capsys):
    file = as_csv(tmp_path / "lab.csv", leak_at=200)
    code, out, err = call(capsys, "analyse", file, "--volume", "12 m3")
    assert code == 3
    assert out.startswith("Air is being lost: all loses air fast")
    page = (tmp_path / "lab.html").read_text()
    assert str(tmp_path / "lab.html") in err
    assert page.index("Air is being lost") < page.index("<svg")
    assert page.count('role="img"') == 4
    assert "http" not in page.replace("http-equiv", ""), "it needs nothing from elsewhere"


def test_a_quiet_record_has_no_leak(tmp_path, capsys):
    code, out, _ = call(capsys, "analyse", as_csv(tmp_path / "lab.csv"), "-o", tmp_path / "quiet.html")
    assert (code, out) == (0, "No leak is seen in these 7 min.\n")
    assert (tmp_path / "quiet.html").exists()


def test_a_record_that_is_too_short_is_no_word_that_nothing_leaks(tmp_path, capsys):
    code, out, _ = call(capsys, "analyse", as_csv(tmp_path / "lab.csv", seconds=9))
    assert (code, out) == (4, "Nothing can be said: 8 s of readings are too few.\n")


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1e-2, "a, b: about 1013 Pa: is that hPa? Columns are in Pa"),
        (1e-3, "a, b: about 101.3 Pa: is that kPa? Columns are in Pa"),
        (1e-5, "a, b: about 1.013 Pa: is that bar? Columns are in Pa"),
        (3e-5, "a, b: about 3.04 Pa: is that a vacuum? Columns are in Pa"),
        (1.0, ""),
    ],
)
def test_pressures_in_another_unit_are_asked_about(tmp_path, capsys, factor, said):
    file = tmp_path / "lab.csv"
    lines = ["time,a.pressure,b.pressure"]
    lines += [f"{time_s:.1f},{a * factor:.9g},{b * factor:.9g}" for time_s, (a, b) in record(60)]
    file.write_text("\n".join(lines))
    _, _, err = call(capsys, "analyse", file)
    assert err.splitlines()[:-1] == ([said] if said else [])


def test_a_rig_that_has_a_vacuum_is_not_asked(tmp_path, capsys):
    rig, file = tmp_path / "rig.toml", tmp_path / "lab.csv"
    rig.write_text(RIG.replace("0..160 kPa", "0..20 kPa"))
    file.write_text("time,a.pressure,b.pressure\n" + "".join(f"{n},{1000 + n % 3},1001\n" for n in range(60)))
    assert call(capsys, "analyse", file, rig).err == f"report: {tmp_path}/lab.html\n"


def test_a_file_of_other_bytes_is_said_to_be_none_of_what_can_be_read(tmp_path, capsys):
    (tmp_path / "lab.csv").write_bytes(bytes(range(128, 256)))
    code, out, err = call(capsys, "analyse", tmp_path / "lab.csv")
    assert (code, out) == (2, "")
    assert "lab.csv: is no text, so neither CSV nor batches; nor is it SQLite or Parquet" in err


def test_no_curve_leaves_its_frame(tmp_path, capsys):
    call(capsys, "analyse", as_csv(tmp_path / "lab.csv", seconds=60))
    page = (tmp_path / "lab.html").read_text()
    places = [float(point.split(",")[0]) for line in re.findall('points="(.*?)"', page) for point in line.split()]
    assert len(places) > 100
    assert max(places) <= 850.0


@pytest.mark.parametrize("verbose", [True, False])
def test_what_mosquitto_sub_recorded_gives_the_same_as_csv(tmp_path, capsys, verbose):
    rig = tmp_path / "rig.toml"
    rig.write_text(RIG)
    findings = []
    for file in (
        as_batches(tmp_path / "lab.jsonl", verbose=verbose, leak_at=200),
        as_csv(tmp_path / "lab.csv", leak_at=200),
    ):
        code, out, _ = call(capsys, "analyse", file, rig, "--json")
        assert code == 3
        findings.append(json.loads(out)["bodies"][0])
    assert findings[0]["rate_kg_per_day"] == pytest.approx(findings[1]["rate_kg_per_day"], rel=0.02)
    low, high = findings[0]["ci95"]
    assert low < RATE < high
    assert findings[0]["segments"] == ["lab"]


def as_journal(path, **words):
    """A gateway's journal, still open."""
    journal = Journal(path, max_bytes=10**8, max_age_ms=10**12)
    journal.open()
    lines = as_batches(path.with_suffix(".txt"), verbose=False, **words).read_text().splitlines()
    rows = [
        Row(n=n, t_ms=n, topic="manovac/v1/s/seg/lab/batch", payload=line.encode()) for n, line in enumerate(lines, 1)
    ]
    event = Row(n=len(rows) + 1, t_ms=0, topic="manovac/v1/s/event/alarm", payload=b'{"n": 1}', record=True)
    journal.write([*rows, event], [], now_ms=0)
    return journal


def test_the_journal_of_a_rig_and_what_sub_kept_give_the_same_as_csv(tmp_path, capsys):
    rig = tmp_path / "rig.toml"
    rig.write_text(f'{RIG}\n[journal]\npath = "{tmp_path}/journal.sqlite"\n')
    kept = store(tmp_path / "kept.sqlite")
    received = Received(kept)
    journal = as_journal(tmp_path / "journal.sqlite", leak_at=200)
    for row in journal.read(1, 10_000, limit=10_000):
        received.take(row.topic, orjson.dumps(orjson.loads(row.payload) | {"n": row.n}))
    kept.close()
    findings = []
    for words in (
        [as_csv(tmp_path / "lab.csv", leak_at=200), rig],
        [rig],
        [tmp_path / "kept.sqlite", rig],
    ):
        code, out, _ = call(capsys, "analyse", *words, "--json")
        assert code == 3
        findings.append(json.loads(out)["bodies"][0]["rate_kg_per_day"])
    journal.close()
    assert findings[1] == findings[2] == pytest.approx(findings[0], rel=0.02)
    assert (tmp_path / "rig.html").exists()


def test_a_journal_of_any_name_is_known_by_its_content(tmp_path, capsys):
    rig = tmp_path / "rig.toml"
    rig.write_text(f'{RIG}\n[journal]\npath = "{tmp_path}/journal.db"\n')
    as_journal(tmp_path / "journal.db", leak_at=200).close()
    for words in ([rig], [tmp_path / "journal.db", rig]):
        assert call(capsys, "analyse", *words).code == 3


def test_rows_that_are_none_of_ours_are_passed_over_and_counted(tmp_path, capsys, caplog):
    journal = as_journal(tmp_path / "journal.sqlite", seconds=40)
    wrong = (b"no JSON", b"[]", b"{}", b"\xff", b'{"channels": {}}', b'{"channels": [], "gw": "g", "n": 1, "t0": 1}')
    rows = [
        Row(n=n, t_ms=n, topic="manovac/v1/s/seg/lab/batch", payload=payload) for n, payload in enumerate(wrong, 1000)
    ]
    journal.write(rows, [], now_ms=0)
    journal.close()
    kept = store(tmp_path / "kept.sqlite")
    received = Received(kept)
    for line in as_batches(tmp_path / "lab.txt", verbose=False, seconds=40).read_text().splitlines():
        received.take("manovac/v1/s/seg/lab/batch", orjson.dumps(orjson.loads(line) | {"n": received.messages + 1}))
    kept.close()
    with sqlite3.connect(tmp_path / "kept.sqlite") as database:
        database.execute("INSERT INTO reading VALUES ('g', 1, 'a.pressure', 5, 1.0, 'splendid', NULL)")
        database.execute("INSERT INTO reading VALUES ('g', 1, 'a.pressure', 'x', 1.0, 'good', NULL)")
        database.execute("INSERT INTO reading VALUES ('g', 1, 'a.pressure', 5, 1.0, CAST(x'ff' AS TEXT), NULL)")
    database.close()
    for name, bad in (("journal", len(wrong)), ("kept", 3)):
        assert call(capsys, "analyse", tmp_path / f"{name}.sqlite", "--volume", "12 m3").code == 0
        assert f"{name}.sqlite: {bad} rows are none of ours and were passed over" in caplog.text


def test_only_the_time_that_was_asked_for_is_analysed(tmp_path, capsys):
    file = as_csv(tmp_path / "lab.csv", leak_at=200)
    code, out, _ = call(capsys, "analyse", file, "--to", "1700000190", "--volume", "12 m3")
    assert (code, out) == (0, "No leak is seen in these 3 min.\n")
    code, out, _ = call(capsys, "analyse", file, "--from", "2023-11-14T22:14:20", "--volume", "12 m3")
    assert code == 3
    code, _, err = call(capsys, "analyse", file, "--from", "2030-01-01")
    assert code == 2
    assert "its own go from 2023-11-14T22:13:20 to 2023-11-14T22:19:59 UTC" in err
    code, _, err = call(capsys, "analyse", file, "--from", "yesterday")
    assert code == 2
    assert "--from: time 'yesterday' is neither s nor a date" in err


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b"nonsense" * 1000), "file is not a database"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE x (y)").connection.close(), "neither a journal"),
    ],
)
def test_a_sqlite_file_that_is_none_of_ours_is_refused(tmp_path, capsys, make, why):
    make(tmp_path / "x.sqlite")
    code, _, err = call(capsys, "analyse", tmp_path / "x.sqlite")
    assert code == 2
    assert why in err


@pytest.mark.parametrize("time", ["seconds", "ms", "ns", "zoned"])
def test_parquet_gives_the_same_as_csv(tmp_path, capsys, time):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = list(record(leak_at=200))
    seconds = [time_s for time_s, _ in rows]
    if time != "seconds":
        kind = pyarrow.timestamp("ms", tz="Europe/Rome") if time == "zoned" else pyarrow.timestamp(time)
        scale = 10**9 if time == "ns" else 1000
        seconds = pyarrow.array([int(time_s) * scale + (time == "ns") for time_s in seconds], kind)
    columns = {"time": seconds, "a.temperature": [295.15] * len(rows), "b.temperature": [295.15] * len(rows)}
    columns |= {f"{name}.pressure": [each[place] for _, each in rows] for place, name in enumerate("ab")}
    columns["b.pressure"][7] = None
    parquet.write_table(pyarrow.table(columns), tmp_path / "lab.parquet")
    bodies = []
    for file in (tmp_path / "lab.parquet", as_csv(tmp_path / "lab.csv", leak_at=200)):
        code, out, _ = call(capsys, "analyse", file, "--volume", "12 m3", "--json")
        assert code == 3
        bodies.append(json.loads(out)["bodies"][0])
    assert bodies[0]["rate_kg_per_day"] == pytest.approx(bodies[1]["rate_kg_per_day"], rel=0.02)
    assert bodies[0]["since"] == pytest.approx(bodies[1]["since"], abs=5000)


def test_parquet_that_is_none_and_a_strange_column_are_told(tmp_path, capsys):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    none = tmp_path / "none.parquet"
    none.write_bytes(b"PAR1 no, not really PAR1")
    strange = tmp_path / "strange.pq"
    parquet.write_table(pyarrow.table({"time": [1.0], "p": [1.0]}), strange)
    text = tmp_path / "text.pq"
    parquet.write_table(pyarrow.table({"time": [1.0], "a.pressure": ["x"]}), text)
    for file, complaint in (
        (none, "none.parquet: not Parquet"),
        (strange, "column 'p' is neither time nor"),
        (text, "text.pq: row 1: a.pressure: 'x' is not a number"),
        (tmp_path / "absent.pq", "cannot be read: No such file"),
    ):
        code, out, err = call(capsys, "analyse", file)
        assert (code, out) == (2, "")
        assert complaint in err


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = call(capsys, "analyse", tmp_path / "lab.parquet")
    assert (code, out) == (2, "")
    assert "pip install 'manovac[parquet]'" in err


def test_samples_of_a_minute_are_enough_for_a_seep(tmp_path, capsys):
    file = as_csv(tmp_path / "slow.csv", seconds=14_400, step=60.0, leak_at=7200)
    code, out, _ = call(capsys, "analyse", file, "--volume", "12 m3", "--json")
    assert code == 3
    (body,) = json.loads(out)["bodies"]
    low, high = body["ci95"]
    assert low < RATE < high


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "there is no reading in it"),
        ("a.pressure\n1\n", ":1: no column 'time'"),
        ("time,pressure\n0,1\n", ":1: column 'pressure' is neither time nor"),
        ("time,a.temperature\n0,295\n", ":1: no column <transducer>.pressure"),
        ("time,a.pressure\n0,100\n1\n", ":3: 1 cells, but the first line has 2"),
        ("time,a.pressure\n0,x\n", ":2: a.pressure: 'x' is not a number"),
        ("time,a.pressure\nnoon,1\n", ":2: time 'noon' is neither s nor a date"),
        ("time,a.pressure\n0,-5\n", ":2: a.pressure is -5; pressures are absolute"),
        ('{"channels":{"a.pressure":{}},"t0":1}\n', ":1: not a batch of Manovac"),
    ],
)
def test_a_bad_file_is_told_where_it_is_bad(tmp_path, capsys, text, complaint):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    code, out, err = call(capsys, "analyse", file)
    assert (code, out) == (2, "")
    assert complaint in err
    assert not (tmp_path / "bad.html").exists()


def test_usage_errors(tmp_path, capsys):
    file, rig = as_csv(tmp_path / "lab.csv", seconds=20), tmp_path / "rig.toml"
    rig.write_text(RIG.replace("[transducer.a]", "[transducer.x]").replace("[transducer.b]", "[transducer.y]"))
    for words, complaint in (
        ([tmp_path / "none.csv"], "cannot be read: No such file"),
        ([file, "--volume", "12"], 'write "12 m3"'),
        ([file, rig, "--volume", "12 m3"], "--volume goes without RIG"),
        ([file, rig], "has no reading of a transducer"),
        ([file, "-o", tmp_path / "no" / "where.html"], "cannot write"),
    ):
        code, _, err = call(capsys, "analyse", *words)
        assert code in (1, 2)
        assert complaint in err
