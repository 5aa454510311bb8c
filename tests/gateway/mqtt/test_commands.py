"""Commands are validated, obeyed once, and answered; whatever comes in, nothing breaks."""

import jsonschema
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rig import HatchState
from gateway.alarms import UnknownAlarmError
from gateway.mqtt import commands, schemas
from gateway.mqtt.topics import Topics

TOPICS = Topics(station="iss", gateway="pi1")
T_MS = 1_731_980_001_000


class Station:
    """What commands did."""

    def __init__(self):
        self.hatches = {}

    def move_hatch(self, hatch, state):
        if hatch != "prk--zvezda":
            raise LookupError(f"no hatch '{hatch}' in the rig (there are: prk--zvezda)")
        self.hatches[hatch] = state

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
    ("name", "words", "problem"),
    [
        ("hatch", {"hatch": "prk--zarya", "state": "open"}, "no hatch 'prk--zarya' in the rig"),
        ("hatch", {"hatch": "prk--zvezda", "state": "ajar"}, "state must be open or closed or unknown"),
        ("hatch", {"hatch": "prk--zvezda", "state": ["open"]}, "state must be"),
        ("hatch", {"hatch": "prk--zvezda"}, "state must be"),
        ("hatch", {"hatch": 7, "state": "open"}, "hatch must be a text"),
        ("hatch", {"hatch": "prk--zvezda", "state": "open", "by": "me"}, "unknown key 'by'"),
        ("hatch", {"v": 2, "hatch": "prk--zvezda", "state": "open"}, "v must be 1"),
        ("acknowledge", {"alarm": "leak-prk"}, "no alarm 'leak-prk' stands"),
        ("explode", {}, "no such command (there are: hatch, acknowledge, replay)"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_with_the_reason(name, words, problem):
    station = Station()
    _, answer = obey(name, orjson.dumps({"v": 1, "id": "c1", **words}), station)
    assert not answer["ok"]
    assert problem in answer["problem"]
    assert station.hatches == {}


@pytest.mark.parametrize(
    "payload", [b"", b"open", b"[]", b"{}", b'{"id":""}', b'{"id":"A/b"}', b'{"id":7}', b'{"id":"a"}' + b" " * 5000]
)
def test_what_has_no_usable_id_is_logged_and_nothing_else(payload, caplog):
    assert obey("hatch", payload) is None
    assert "is not obeyed" in caplog.text


@given(st.sampled_from(["hatch", "acknowledge", "x"]), st.binary(max_size=200))
def test_no_bytes_break_it(name, payload):
    obey(name, payload)
