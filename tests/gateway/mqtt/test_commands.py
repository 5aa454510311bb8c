"""Commands are validated, obeyed once, and answered; whatever comes in, nothing breaks."""

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rig import HatchState
from gateway.alarms import UnknownAlarmError
from gateway.leak.event import Event
from gateway.mqtt import commands, schemas
from gateway.mqtt.topics import Topics

TOPICS = Topics(station="iss", gateway="pi1")
T_MS = 1_731_980_001_000


class Station:
    """What commands did."""

    def __init__(self):
        self.hatches = {}
        self.expected = []

    def move_hatch(self, hatch, state):
        if hatch != "prk--zvezda":
            raise LookupError(f"no hatch '{hatch}' in the rig (there are: prk--zvezda)")
        self.hatches[hatch] = state

    def expect(self, event, segment, *, lasts_s, mass_kg):
        if segment != "prk":
            raise LookupError(f"no segment '{segment}' in the rig (there are: prk)")
        self.expected.append((event, segment, lasts_s, mass_kg))

    def acknowledge(self, alarm_id):
        raise UnknownAlarmError(f"no alarm '{alarm_id}' stands (none does)")


def obey(name, payload, station=None):
    """Obey a command; return the answer's topic and content, None when there is none."""
    message = commands.obey(TOPICS.command(name), payload, station or Station(), topics=TOPICS, t_ms=T_MS)
    if message is None:
        return None
    document = orjson.loads(message.payload)
    jsonschema.validate(document, schemas.schema("response"))
    assert not message.retain
    return message.topic, document


def test_a_hatch_command_is_obeyed_and_answered_on_its_own_topic():
    station = Station()
    payload = commands.hatch(command_id="c1", hatch_id="prk--zvezda", state=HatchState.CLOSED)
    topic, answer = obey("hatch", payload, station)
    assert topic == "manovac/v1/iss/rsp/pi1/c1"
    assert answer == {"v": 1, "id": "c1", "t": T_MS, "ok": True, "problem": None}
    assert station.hatches == {"prk--zvezda": HatchState.CLOSED}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ({"kind": "eva", "mass_kg": None}, (Event.EVA, "prk", 60.0, None)),
        ({"kind": "docking"}, (Event.DOCKING, "prk", 60.0, None)),
        ({"kind": "repress", "mass_kg": 5.5}, (Event.REPRESS, "prk", 60.0, 5.5)),
    ],
)
def test_an_event_is_told_and_may_be_metered(words, expected):
    station = Station()
    _, answer = obey("event", orjson.dumps({"v": 1, "id": "c1", "segment": "prk", "lasts_s": 60, **words}), station)
    assert answer["ok"]
    assert station.expected == [expected]


def test_the_event_that_is_built_is_obeyed():
    station = Station()
    payload = commands.event(command_id="c1", kind=Event.REPRESS, segment="prk", lasts_s=900.0, mass_kg=5.0)
    assert obey("event", payload, station)[1]["ok"]
    assert station.expected == [(Event.REPRESS, "prk", 900.0, 5.0)]


@pytest.mark.parametrize(
    ("name", "words", "problem"),
    [
        ("hatch", {"hatch": "prk--zarya", "state": "open"}, "no hatch 'prk--zarya' in the rig"),
        ("hatch", {"hatch": "prk--zvezda", "state": "ajar"}, "state must be open or closed or unknown"),
        ("hatch", {"hatch": "prk--zvezda", "state": ["open"]}, "state must be"),
        ("hatch", {"hatch": "prk--zvezda"}, "state must be"),
        ("hatch", {"hatch": 7, "state": "open"}, "hatch must be a text"),
        ("hatch", {"hatch": "prk--zvezda", "state": "open", "by": "me"}, "unknown key 'by'"),
        ("hatch", {"v": 2, "hatch": "prk--zvezda", "state": "open"}, "v must be 1"),
        ("event", {"kind": "party", "segment": "prk"}, "kind must be repress or eva or docking"),
        ("event", {"kind": "eva"}, "segment must be a text"),
        ("event", {"kind": "eva", "segment": "prk"}, "lasts_s must be a number above 0, up to 86400"),
        ("event", {"kind": "eva", "segment": "mir", "lasts_s": 1}, "no segment 'mir' in the rig"),
        ("event", {"kind": "eva", "segment": "prk", "lasts_s": 1, "mass_kg": 1}, "mass_kg goes with repress only"),
        (
            "event",
            {"kind": "repress", "segment": "prk", "lasts_s": 1, "mass_kg": -1},
            "mass_kg must be a number above 0, up to",
        ),
        ("event", {"kind": "repress", "segment": "prk", "lasts_s": 1, "mass_kg": True}, "mass_kg must be a number"),
        ("event", {"kind": "repress", "segment": "prk", "lasts_s": "1 h"}, "lasts_s must be a number"),
        ("event", {"kind": "repress", "segment": "prk", "lasts_s": 1e9}, "up to 86400"),
        ("event", {"kind": "repress", "segment": "prk", "kg": 1}, "known: v, id, kind, segment, lasts_s, mass_kg"),
        ("acknowledge", {"alarm": "leak-prk"}, "no alarm 'leak-prk' stands"),
        ("explode", {}, "no such command (there are: hatch, event, acknowledge, replay)"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_the_reason(name, words, problem):
    station = Station()
    _, answer = obey(name, orjson.dumps({"v": 1, "id": "c1", **words}), station)
    assert not answer["ok"]
    assert problem in answer["problem"]
    assert (station.hatches, station.expected) == ({}, [])


@pytest.mark.parametrize(
    "payload", [b"", b"open", b"[]", b"{}", b'{"id":""}', b'{"id":"A/b"}', b'{"id":7}', b'{"id":"a"}' + b" " * 5000]
)
def test_what_has_no_usable_id_is_logged_and_nothing_else(payload, caplog):
    assert obey("hatch", payload) is None
    assert "is not obeyed" in caplog.text


@given(st.sampled_from(["hatch", "event", "acknowledge", "x"]), st.binary(max_size=200))
def test_no_bytes_break_it(name, payload):
    obey(name, payload)
