"""Payloads of what was found say it in the contract's units and words, and nothing else fits their schemas."""

import math
from dataclasses import replace

import jsonschema
import orjson
import pytest

from drivers.reading import Quality, Reason
from gateway.alarms import AlarmState, Priority
from gateway.leak.finding import BodyFinding, Kind
from gateway.leak.transducer_record import Rejection
from gateway.mqtt import finding_payloads, schemas
from tests.gateway.mqtt.finding_examples import EXAMPLES, LEAK, STATE, T_MS, utc_ms


def checked(kind, payload):
    document = orjson.loads(payload)
    jsonschema.validate(document, schemas.schema(kind))
    return document


def test_state_is_that_of_the_contract():
    assert EXAMPLES["state"] == (
        b'{"v":1,"gw":"pi1","n":918275,"t":1731980001000,"pressure":101325.0,"u95":8.1,"temperature":295.2,'
        b'"used":["sm_p1","sm_p2"],"rejected":{"sm_p3":"disagrees"},"quality":"good"}'
    )


@pytest.mark.parametrize("quality", [Quality.BAD, Quality.STALE])
def test_a_segment_of_which_nothing_is_known_has_null(quality):
    nothing = replace(
        STATE, pressure_pa=math.nan, u95_pa=math.nan, temperature_k=math.nan, used=(), rejected={}, quality=quality
    )
    document = checked("state", finding_payloads.state(nothing, gateway="pi1", n=1, t_ms=T_MS))
    assert (document["pressure"], document["u95"], document["temperature"]) == (None, None, None)


def test_leak_is_in_kg_a_day_and_pa_an_hour_and_falls_are_negative():
    (body,) = checked("leak", EXAMPLES["leak"])["bodies"]
    assert body["rate_kg_per_day"] == pytest.approx(0.864)
    assert body["ci95"] == pytest.approx([0.7776, 0.9504])
    assert body["dpdt_pa_per_h"] == pytest.approx(-540.0)
    assert body["since"] == T_MS + 30_000


def test_leak_can_be_read_back():
    read = finding_payloads.read_leak(EXAMPLES["leak"])
    assert (read.where, read.next_hatch, read.time_s) == (LEAK.where, LEAK.next_hatch, (T_MS + 60_000) / 1000)
    (got,), (meant,) = read.bodies, LEAK.bodies
    assert (got.kind, got.notes, got.body.segments) == (meant.kind, meant.notes, meant.body.segments)
    assert got.slope_pa_per_s == pytest.approx(meant.slope_pa_per_s)
    assert got.rate_ci95_kg_per_s == pytest.approx(meant.rate_ci95_kg_per_s)
    assert got.reserve.fast_s == meant.reserve.fast_s
    for wrong in (b"", b"[]", b"{}", b'{"t":1,"bodies":[{}],"where":{},"next_hatch":null}'):
        with pytest.raises(ValueError, match="not a payload of topic leak"):
            finding_payloads.read_leak(wrong)


def test_a_body_of_which_nothing_is_found_has_nulls():
    quiet = replace(LEAK, bodies=(BodyFinding(body=LEAK.bodies[0].body, kind=Kind.COLLECTING),), where={})
    document = checked("leak", finding_payloads.leak(quiet, utc_ms))
    (body,) = document["bodies"]
    missing = [key for key, value in body.items() if value is None]
    assert missing == ["rate_kg_per_day", "ci95", "dpdt_pa_per_h", "since", "reserve_s"]


def test_alarm_says_since_when_and_of_when():
    document = checked("alarm", EXAMPLES["alarm"])
    assert (document["t_on"], document["t"]) == (T_MS + 30_000, T_MS + 60_000)


def test_the_schemas_words_are_the_programs_words():
    alarm = schemas.schema("alarm")["properties"]
    assert set(alarm["state"]["enum"]) == {state.value for state in AlarmState}
    assert set(alarm["priority"]["enum"]) == {priority.value for priority in Priority}
    body = schemas.schema("leak")["properties"]["bodies"]["items"]["properties"]
    assert set(body["class"]["enum"]) == {kind.value for kind in Kind}
    rejected = schemas.schema("state")["properties"]["rejected"]["additionalProperties"]["enum"]
    words = {reason.word for reason in Reason if reason.word} | {rejection.value for rejection in Rejection}
    assert set(rejected) == words - {Reason.CALIBRATION_OVERDUE.word}


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("state", {"pressure": None}),
        ("state", {"quality": "bad"}),
        ("state", {"quality": "good", "used": []}),
        ("state", {"rejected": {"sm_p3": "ugly"}}),
        ("hatch", {"state": "ajar"}),
        ("hatch", {"source": "hearsay"}),
        ("leak", {"where": {"prk": 1.5}}),
        ("leak", {"next_hatch": "prk"}),
        ("alarm", {"state": "shelved"}),
        ("alarm", {"shelved_until": T_MS}),
        ("event", {"kind": "command"}),
        ("response", {"code": "ok"}),
        ("response", {"status": "done"}),
        ("alarm", {"id": "Leak PrK"}),
    ],
)
def test_what_the_contract_forbids_does_not_fit(kind, change):
    document = checked(kind, EXAMPLES[kind])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, **change}, schemas.schema(kind))
