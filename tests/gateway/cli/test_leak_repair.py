"""`manovac leak repair`: two decay tests out of a record, a verdict that the numbers carry, and errors that help."""

import datetime as dt
import json

import numpy as np
import pytest

from tests.commands import call

DAY = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
KG_PER_PA_M3 = 0.0289652 / (8.31446 * 295.15)
VOLUME_M3 = 6.0
RIG = """
[station]
id = "s"
gateway = "g"
[segment.prk]
volume = "6 m3"
[segment.lab]
[[hatch]]
between = ["prk", "lab"]
state = "open"
[bus.b]
kind = "serial"
port = "/dev/ttyUSB0"
[transducer.p1]
model = "keller-33x"
bus = "b"
segment = "prk"
range = "0..160 kPa"
calibration = { uncertainty = "16 Pa" }
[transducer.p2]
model = "keller-33x"
bus = "b"
unit = 2
segment = "prk"
range = "0..160 kPa"
calibration = { uncertainty = "16 Pa" }
[transducer.other]
model = "keller-33x"
bus = "b"
unit = 3
segment = "lab"
range = "0..160 kPa"
"""
BEFORE, AFTER = ("2026-05-01T00:00", "2026-05-01T01:00"), ("2026-05-01T12:00", "2026-05-01T13:00")


def slope(kg_per_day):
    return kg_per_day / 86_400 / (KG_PER_PA_M3 * VOLUME_M3)


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    """Two tests of an hour: 6 kg/day are lost in the first, 0.1 in the second; the other segment tells nothing."""
    rng = np.random.default_rng(7)
    lines = ["time,p1.pressure,p1.temperature,p2.pressure,p2.temperature,other.pressure"]
    for start_h, kg_per_day in ((0, 6.0), (12, 0.1)):
        for number in range(360):
            since_s = number * 10
            when = DAY + dt.timedelta(hours=start_h, seconds=since_s)
            true_pa = 97_000.0 - slope(kg_per_day) * since_s
            p1, p2 = (round((true_pa + offset + rng.normal(0, 3)) / 2.44) * 2.44 for offset in (9.0, -14.0))
            lines.append(f"{when:%Y-%m-%dT%H:%M:%S},{p1:.2f},295.15,{p2:.2f},295.15,{rng.uniform(8e4, 1e5):.1f}")
    path = tmp_path_factory.mktemp("record") / "tests.csv"
    path.write_text("\n".join(lines) + "\n")
    (path.parent / "rig.toml").write_text(RIG)
    return path


def words(record, *more, allowed="0.6 kg/day"):
    return [
        *("leak", "repair", record, record.parent / "rig.toml", "--segment", "prk"),
        *("--before", *BEFORE, "--after", *AFTER, "--allowed", allowed, *more),
    ]


def test_a_repair_that_worked_is_tight(record, capsys):
    code, out, err = call(capsys, *words(record))
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "prk: tight, surely less than 0.6 kg/day is lost (95 %)"
    assert "before  2026-05-01 00:" in out
    assert "by chance if nothing had changed: less than 1e-06" in out


def test_as_json_it_has_the_rates_that_were_put_in_and_both_ratios(record, capsys):
    code, out, _ = call(capsys, *words(record, "--json"))
    found = json.loads(out)
    assert code == 0
    for when, rate in (("before", 6.0), ("after", 0.1)):
        each = found[when]
        assert abs(each["rate_kg_per_day"] - rate) < 3 * each["rate_sd_kg_per_day"] + 0.025 * rate
    assert found["check"]["verdict"] == "tight"
    assert found["resolution_pa"] == pytest.approx(2.44)
    moved_pa = slope(0.6) * found["after"]["decay"]["seconds"]
    assert found["check"]["resolution_ratio"] == pytest.approx(moved_pa / 2.44)
    assert found["check"]["accuracy_ratio"] == pytest.approx(moved_pa / found["accuracy_pa"])
    assert 10 < found["accuracy_pa"] < 20


def test_what_is_not_tight_or_not_valid_fails_the_check(record, capsys):
    code, out, _ = call(capsys, *words(record, allowed="0.06 kg/day"))
    assert (code, out.splitlines()[-1]) == (3, "prk: test not valid")
    assert "times the resolution, 10 are needed: test" in out or "times the accuracy, 4 are needed: test" in out
    code, out, _ = call(
        capsys, *words(record, "--resolution", "0.001 Pa", "--accuracy", "0.001 Pa", allowed="0.1 kg/day")
    )
    assert (code, out.splitlines()[-1]) == (3, "prk: better, not tight")
    swapped = words(record)
    swapped[7:9] = ["2026-05-01T00:00", "2026-05-01T00:30"]
    swapped[10:12] = ["2026-05-01T00:30", "2026-05-01T01:00"]
    code, out, _ = call(capsys, *swapped, "--accuracy", "1 Pa")
    assert (code, out.splitlines()[-1]) == (3, "prk: no difference shown")


def test_without_a_rig_file_all_transducers_are_one_segment_and_without_a_volume_rates_are_in_pascals(record, capsys):
    text = record.read_text().splitlines()
    path = record.parent / "alone.csv"
    path.write_text("\n".join(line.rpartition(",")[0] for line in text) + "\n")
    plain = ["leak", "repair", path, "--before", *BEFORE, "--after", *AFTER, "--allowed"]
    code, out, _ = call(capsys, *plain, "90 Pa/h", "--accuracy", "16 Pa")
    assert code == 0
    assert "Pa/h (95 %:" in out
    code, _, err = call(capsys, *plain, "0.6 kg/day")
    assert code == 2
    assert "a mass needs a volume" in err
    code, out, _ = call(capsys, *plain, "0.6 kg/day", "--volume", "6 m3", "--accuracy", "16 Pa")
    assert (code, out.splitlines()[-1]) == (0, "all: tight, surely less than 0.6 kg/day is lost (95 %)")


def test_a_loss_that_grew_is_told_as_more(capsys, tmp_path):
    rng = np.random.default_rng(7)
    lines = ["time,p1.pressure"]
    for start_h, pa_h in ((0, 20.0), (12, 92.0)):
        for number in range(360):
            level = 97_000.0 - pa_h * number / 360 + rng.normal(0, 0.3)
            lines.append(f"{DAY + dt.timedelta(hours=start_h, seconds=number * 10):%Y-%m-%dT%H:%M:%S},{level:.2f}")
    path = tmp_path / "tests.csv"
    path.write_text("\n".join(lines))
    out = call(capsys, "leak", "repair", path, "--before", *BEFORE, "--after", *AFTER, "--allowed", "10 Pa/h").out
    (change,) = (line for line in out.splitlines() if line.startswith("change"))
    assert change.startswith("change  7")
    assert ") more; by chance" in change


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"--segment": ["prq"]}, "--segment prq: no such segment, did you mean 'prk'?"),
        ({"--segment": [""]}, "--segment: say which; there are: prk, lab"),
        ({"--before": ["2025-01-01", "2025-01-02"]}, "its own go from 2026-05-01T00:00:00 to 2026-05-01T12:59:50 UTC"),
        ({"--before": ["2026-05-01T00:00", "2026-05-01T00:05"]}, "16 moments with a usable pressure"),
        ({"--before": ["yesterday", "2026-05-01"]}, "time 'yesterday' is neither s nor a date"),
        ({"--before": list(BEFORE)[::-1]}, "--before 2026-05-01T01:00 2026-05-01T00:00: the later time stands first"),
        ({"--after": ["2025-01-01", "2025-01-02"]}, "--after: "),
        ({"--after": ["foo", "bar"]}, "--after: time 'foo' is neither s nor a date"),
        ({"--before": list(AFTER), "--after": list(BEFORE)}, "--before must end before --after begins"),
        ({"--allowed": ["0.1"]}, '--allowed 0.1: needs a unit: write "0.1 kg/day"'),
        ({"--allowed": ["0 Pa/h"]}, "must be greater than zero"),
        ({"--accuracy": ["5 K"]}, "--accuracy 5 K"),
    ],
)
def test_errors_say_what_to_do(record, capsys, changes, complaint):
    options = {"--segment": ["prk"], "--before": list(BEFORE), "--after": list(AFTER), "--allowed": ["0.6 kg/day"]}
    given = [word for option, values in (options | changes).items() for word in (option, *values)]
    code, out, err = call(capsys, "leak", "repair", record, record.parent / "rig.toml", *given)
    assert (code, out) == (2, "")
    assert complaint in err
