"""Payloads fit their schemas, say what they were given, and nothing else fits."""

import copy
import math
import sys
import tracemalloc

import jsonschema
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.reading import Quality, Reason
from drivers.rig import Rig
from gateway.mqtt import payloads, schemas
from tests.gateway.mqtt import finding_examples

VALIDATORS = {
    kind: jsonschema.Draft202012Validator(
        schemas.schema(kind), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    for kind in schemas.KINDS
}
T_MS = 1_731_980_001_000
VALUES = st.floats(allow_nan=False, allow_infinity=False)
# a value that is there with any quality, or none with a bad one: what normalising makes
GRADES = st.one_of(
    st.tuples(VALUES, st.just(Quality.GOOD), st.just(Reason.NONE)),
    st.tuples(VALUES | st.just(math.nan), st.sampled_from(list(Quality)[1:]), st.sampled_from(list(Reason))),
)


def checked(kind, payload):
    document = orjson.loads(payload)
    VALIDATORS[kind].validate(document)
    return document


def reading(**changes):
    words = {
        "gateway": "pi1",
        "n": 918274,
        "t_ms": T_MS,
        "uncertainty_s": 0.0021,
        "value": 101325.1,
        "unit": "Pa",
        "quality": Quality.GOOD,
        "reason": Reason.NONE,
        "raw": 1.013251,
    }
    return payloads.reading(**{**words, **changes})


def test_a_reading_takes_no_more_memory_than_its_bytes():
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [reading(n=n) for n in range(100)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 2 * sum(map(sys.getsizeof, kept))


def rig():
    return Rig.model_validate(
        {
            "station": {"id": "iss", "gateway": "pi1"},
            "segment": {"zvezda": {}},
            "bus": {"aft": {"kind": "serial", "port": "/dev/null"}},
            "transducer": {
                "sm_p1": {
                    "model": "keller-33x",
                    "bus": "aft",
                    "unit": 1,
                    "segment": "zvezda",
                    "range": "0..160 kPa",
                    "serial_number": 123456,
                    "calibration": {"date": "2026-05-01", "offset": "12 Pa", "table": [["0 Pa", "1 Pa"]]},
                },
                "sm_p2": {"model": "waveshare-8ch", "bus": "aft", "unit": 2, "segment": "zvezda", "channel": 3},
            },
            "mqtt": {"username": "pi1", "password": "planted-secret"},
        }
    )


def health():
    unit = payloads.UnitHealth(
        attempts={"reply": 10, "timeout": 1}, unused={}, line_s=0.5, round_trip_mean_s=0.02, round_trip_longest_s=0.1
    )
    silent = payloads.UnitHealth(
        attempts={}, unused={"late": 1}, line_s=0.0, round_trip_mean_s=None, round_trip_longest_s=None
    )
    return payloads.Health(
        sync="ntp",
        buses={
            "aft": payloads.BusHealth(
                up=True,
                problem="",
                connects=1,
                foreign=0,
                line_use=0.25,
                overruns=3,
                longest_poll_s=1.5,
                units={1: unit, 2: silent},
            )
        },
        loop_lag_s=0.001,
        memory_bytes=30_000_000,
        queue_messages=3,
        queue_bytes=1000,
        queue_oldest_s=0.2,
        journal_rows=7,
        journal_problem="",
        losses={"queue_full": 2},
        failures={"bus aft": payloads.PartHealth(failures=1, problem="KeyError: 3")},
        commands={"ok": 3, "malformed": 1},
    )


def batch(blocks, **changes):
    words = {"gateway": "pi1", "boot": "3f9c", "n": 918273, "t0_ms": T_MS, "sync": "ntp", "blocks": blocks}
    return payloads.batch(**{**words, **changes})


def block(channels, rows):
    """Rows of (value, quality, reason): channels x samples."""
    grades = tuple(np.array([[sample[place] for sample in row] for row in rows], dtype=np.uint8) for place in (1, 2))
    return payloads.Block(
        channels=tuple(channels),
        dt_ms=[1000 * number for number in range(len(rows[0]))],
        values=np.array([[sample[0] for sample in row] for row in rows], dtype=np.float64),
        grades=grades if any(grade.any() for grade in grades) else None,
    )


GOOD = (101325.1, Quality.GOOD, Reason.NONE)
EXAMPLES = {
    "reading": reading(),
    "batch": batch([block(["sm_p1.pressure"], [[GOOD, (math.nan, Quality.BAD, Reason.TIMEOUT)]])]),
    "status": payloads.status(state="online", boot="3f9c", t_ms=T_MS, reason=None),
    "meta": payloads.meta(rig(), t_ms=T_MS, rig_hash="ab12", software="0.1.0"),
    "health": payloads.health(health(), gateway="pi1", boot="3f9c", t_ms=T_MS),
    **finding_examples.EXAMPLES,
}


def test_reading_is_that_of_the_contract():
    assert reading(uncertainty_s=0.003) == (
        b'{"v":1,"gw":"pi1","n":918274,"t":1731980001000,"u":3,"value":101325.1,"unit":"Pa",'
        b'"quality":"good","reason":null,"raw":1.013251}'
    )


def test_batch_is_that_of_the_contract():
    payload = batch([block(["sm_p1.pressure"], [[GOOD, (101324.9, Quality.GOOD, Reason.NONE)]])])
    assert payload == (
        b'{"v":1,"gw":"pi1","boot":"3f9c","n":918273,"t0":1731980001000,"sync":"ntp","channels":{"sm_p1.pressure":'
        b'{"dt":[0,1000],"value":[101325.1,101324.9],"quality":"good","reason":null}}}'
    )


def test_status_is_that_of_the_contract():
    assert EXAMPLES["status"] == b'{"v":1,"state":"online","boot":"3f9c","t":1731980001000,"reason":null}'


@given(GRADES, st.floats(0, 10), st.sampled_from(["Pa", "K"]))
def test_each_reading_fits_its_schema_and_keeps_all_digits(grade, uncertainty_s, unit):
    value, quality, reason = grade
    document = checked(
        "reading", reading(value=value, quality=quality, reason=reason, uncertainty_s=uncertainty_s, unit=unit)
    )
    assert document["value"] == (None if math.isnan(value) else value)
    assert document["quality"] == quality.word
    assert document["reason"] == reason.word
    assert document["u"] >= uncertainty_s * 1000


@st.composite
def blocks(draw):
    channels, samples = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    row = st.lists(GRADES, min_size=samples, max_size=samples)
    same = GRADES.map(lambda grade: [grade] * samples)
    return [draw(row | same) for _ in range(channels)]


@settings(max_examples=60)
@given(blocks())
def test_each_batch_fits_its_schema_and_gives_back_each_sample(rows):
    ids = [f"t{number}.pressure" for number in range(len(rows))]
    document = checked("batch", batch([block(ids, rows)]))
    for name, row in zip(ids, rows, strict=True):
        column = document["channels"][name]
        assert column["dt"] == [1000 * number for number in range(len(row))]
        assert column["value"] == [None if math.isnan(value) else value for value, _, _ in row]
        for key, words in (("quality", [q.word for _, q, _ in row]), ("reason", [r.word for _, _, r in row])):
            if len(set(words)) == 1:
                assert column[key] == words[0]
            else:
                assert column[key] == words


def test_a_batch_joins_units_with_different_numbers_of_samples():
    document = checked("batch", batch([block(["a.pressure"], [[GOOD] * 3]), block(["b.temperature"], [[GOOD]])]))
    assert [len(column["dt"]) for column in document["channels"].values()] == [3, 1]


def test_meta_names_transducers_and_calibrations_and_keeps_secrets():
    document = checked("meta", EXAMPLES["meta"])
    assert document["transducers"]["sm_p1"]["calibration"]["offset"] == 12.0
    assert document["transducers"]["sm_p1"]["range_pa"] == [0.0, 160_000.0]
    assert document["transducers"]["sm_p2"]["channel"] == 3
    assert b"planted-secret" not in EXAMPLES["meta"]


def test_health_fits_its_schema():
    document = checked("health", EXAMPLES["health"])
    assert document["buses"]["aft"]["units"]["1"]["attempts"] == {"reply": 10, "timeout": 1}
    assert document["queue_messages"] == 3


@pytest.mark.parametrize("kind", schemas.KINDS)
def test_schemas_are_valid_and_strict(kind):
    schema = schemas.schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False


def test_the_schemas_words_are_the_programs_words():
    defs = schemas.schema("reading")["$defs"]
    assert defs == {key: schemas.schema("batch")["$defs"][key] for key in ("quality", "reason")}
    assert defs["quality"]["enum"] == [quality.word for quality in Quality]
    assert defs["reason"]["enum"] == [reason.word for reason in Reason]


def paths(document, at=()):
    """All places in a document: ways to its values."""
    pairs = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in pairs:
        yield (*at, key)
        yield from paths(value, (*at, key))


def parent(document, path):
    for key in path[:-1]:
        document = document[key]
    return document


@pytest.mark.parametrize("kind", schemas.KINDS)
def test_no_property_can_be_missing_renamed_added_or_of_another_kind(kind):
    original = checked(kind, EXAMPLES[kind])
    keyed_by_ids = {"transducers", "buses", "channels", "attempts", "unused", "losses", "failures", "rejected", "where"}
    if kind == "health":
        keyed_by_ids |= {"units", "commands"}
    for path in paths(original):
        changed = copy.deepcopy(original)
        place = parent(changed, path)
        place[path[-1]] = {"an object": "fits nowhere"}
        if path[-1] != "keys":  # what a command has is its own
            assert not VALIDATORS[kind].is_valid(changed), f"{path} took an object"
        if isinstance(place, list) or (len(path) > 1 and path[-2] in keyed_by_ids):
            continue
        changed = copy.deepcopy(original)
        if path[-1] in {"keys", "digest"}:  # older records lack them
            continue
        del parent(changed, path)[path[-1]]
        assert not VALIDATORS[kind].is_valid(changed), f"{path} could be left out"
        changed = copy.deepcopy(original)
        parent(changed, path)["more"] = None
        assert not VALIDATORS[kind].is_valid(changed), f"something could stand beside {path}"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("reading", {"v": 2}),
        ("reading", {"t": 1731980001000.5}),
        ("reading", {"n": -1}),
        ("reading", {"unit": "kPa"}),
        ("reading", {"quality": "fine"}),
        ("reading", {"reason": "none"}),
        ("reading", {"value": None}),
        ("reading", {"value": "101325"}),
        ("reading", {"reason": "timeout"}),
        ("batch", {"channels": {}}),
        ("batch", {"channels": {"sm_p1": {"dt": [0], "value": [1.0], "quality": "good", "reason": None}}}),
        ("batch", {"channels": {"a.pressure": {"dt": [0.5], "value": [1.0], "quality": "good", "reason": None}}}),
        ("batch", {"channels": {"a.pressure": {"dt": [0], "value": [None], "quality": "good", "reason": None}}}),
        ("batch", {"channels": {"a.pressure": {"dt": [-1], "value": [1.0], "quality": "good", "reason": None}}}),
        ("batch", {"channels": {"a.pressure": {"dt": [0], "value": [1.0], "quality": ["good"], "reason": None}}}),
        ("status", {"state": "away"}),
        ("status", {"reason": "stopped"}),
        ("status", {"state": "offline"}),
    ],
)
def test_what_the_contract_forbids_does_not_fit(kind, change):
    document = checked(kind, EXAMPLES[kind])
    assert not VALIDATORS[kind].is_valid({**document, **change})
