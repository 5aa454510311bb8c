"""Commands are read as they were built; whatever else comes is refused with a code, and their schemas agree."""

from contextlib import suppress

import jsonschema
import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from drivers.rig import HatchState
from drivers.rig_gateway import CommandName
from gateway.leak.event import Event
from gateway.mqtt import commands, schemas
from gateway.mqtt.commands import KINDS, Code, CommandError
from tests.gateway.mqtt.command_schemas import schema_of
from tests.gateway.mqtt.finding_examples import COMMANDS

ENVELOPE = {"v": 1, "id": "c1", "not_after": 1_731_980_031_000, "by": "anna"}


def refused(name, words):
    """Read a command that is refused; return the code and the text."""
    with pytest.raises(CommandError) as error:
        commands.read(name, words if isinstance(words, bytes) else orjson.dumps(ENVELOPE | words))
    return error.value.code, error.value.text


def refusal(look, payload):
    """Look at a payload; return the code of its refusal, None when it is taken."""
    try:
        look(payload)
    except CommandError as error:
        return error.code
    return None


@pytest.mark.parametrize("kind", KINDS.values())
def test_what_is_built_is_read(kind):
    words = COMMANDS[kind]
    payload = commands.build(kind, id="c1", not_after=1, by="anna@station", **words)
    command = commands.read(kind.topic, payload)
    assert type(command) is kind
    assert {key: getattr(command, key) for key in words} == words
    assert (command.id, command.not_after, command.by) == ("c1", 1, "anna@station")


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_the_schema_in_the_wheel_is_that_of_the_class(name, kind):
    assert schemas.schema(f"command-{name}") == schema_of(kind), "python -m tests.gateway.mqtt.command_schemas"


def test_the_rig_file_knows_each_command():
    assert {*KINDS, "*"} == set(CommandName.__args__)


@pytest.mark.parametrize(
    ("name", "words", "text"),
    [
        ("hatch", {"hatch": "prk--zvezda", "state": "ajar"}, "state must be 'open', 'closed' or 'unknown'"),
        ("hatch", {"hatch": "prk--zvezda", "state": ["open"]}, "state must be"),
        ("hatch", {"hatch": "prk--zvezda"}, "missing key 'state'"),
        ("hatch", {"hatch": 7, "state": "open"}, "hatch must be a valid string"),
        ("hatch", {"hatch": "prk--zvezda", "state": "open", "force": True}, "unknown key 'force' (known: v, id,"),
        ("hatch", {"v": 2, "hatch": "prk--zvezda", "state": "open"}, "v must be 1"),
        ("hatch", {"by": "anna and bob", "hatch": "prk--zvezda", "state": "open"}, "by must match"),
        ("hatch", {"not_after": 1.5, "hatch": "prk--zvezda", "state": "open"}, "not_after must be a valid integer"),
        ("hatch", {"hatch": "prk--zvezda", "state": None}, "state must not be null: leave it out"),
        ("event", {"kind": "party", "segment": "prk", "lasts_s": 1}, "kind must be 'repress', 'eva' or 'docking'"),
        ("event", {"kind": "eva", "segment": "prk", "lasts_s": 1, "mass_kg": 1}, "mass_kg goes with repress only"),
        ("event", {"kind": "repress", "segment": "prk", "lasts_s": 1, "mass_kg": -1}, "mass_kg must be greater than 0"),
        ("event", {"kind": "repress", "segment": "prk", "lasts_s": 1, "mass_kg": True}, "mass_kg must be a valid num"),
        ("event", {"kind": "repress", "segment": "prk", "lasts_s": 1e9}, "lasts_s must be less than or equal to 86400"),
        ("replay", {"first": 9, "last": 5}, "last must not be before first"),
        ("pause", {}, "needs either bus or transducer"),
        ("pause", {"bus": "aft", "transducer": "sm_p1"}, "needs either bus or transducer"),
    ],
)
def test_what_is_not_as_it_must_be_is_refused_with_the_reason(name, words, text):
    code, said = refused(name, words)
    assert code is Code.INVALID
    assert text in said


def test_there_is_no_other_command():
    assert refused("explode", {}) == (Code.UNKNOWN, f"no such command (there are: {', '.join(KINDS)})")


@pytest.mark.parametrize("depth", [200, 1900])
def test_deep_json_is_refused(depth):
    deep = orjson.dumps(ENVELOPE | {"state": "open"})[:-1] + b',"hatch":' + b"[" * depth + b"]" * depth + b"}"
    assert refusal(commands.named, deep) in (None, Code.MALFORMED)
    assert refused("hatch", deep)[0] is Code.INVALID


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", Code.MALFORMED),
        (b"open", Code.MALFORMED),
        (b"[]", Code.MALFORMED),
        (b"{}", Code.MALFORMED),
        (b'{"id":""}', Code.MALFORMED),
        (b'{"id":"A/b"}', Code.MALFORMED),
        (b'{"id":7}', Code.MALFORMED),
        (b'{"id":"a","by":"\xff"}', Code.MALFORMED),
        (b'{"id":"a","v":NaN}', Code.MALFORMED),
        (b'{"id":"a"}' + b" " * 5000, Code.TOO_LARGE),
    ],
)
def test_what_has_no_usable_id_is_told_apart(payload, code):
    with pytest.raises(CommandError) as error:
        commands.named(payload)
    assert error.value.code is code


def test_what_cannot_be_meant_is_not_built():
    with pytest.raises(ValueError, match="poll_s must be greater than or equal to"):
        commands.build(commands.Rate, id="c1", not_after=1, by="anna", transducer="sm_p1", poll_s=0)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 10**6), st.floats(0.25, 0.75), st.text("ab-_ 7A", max_size=4),
    st.sampled_from([*(state.value for state in HatchState), *(event.value for event in Event)]),
)  # fmt: skip
KEYS = [*sorted({key for kind in KINDS.values() for key in kind.model_fields} - set(ENVELOPE)), "more"]


@st.composite
def documents(draw):
    """A command of that name, with some of its keys changed, lost, or beside others."""
    name = draw(st.sampled_from(sorted(KINDS)))
    words = ENVELOPE | orjson.loads(orjson.dumps(COMMANDS[KINDS[name]]))
    for key in draw(st.lists(st.sampled_from([*words, *KEYS]), max_size=3)):
        if draw(st.booleans()):
            words.pop(key, None)
        else:
            words[key] = draw(LEAVES | st.lists(LEAVES, max_size=1))
    return name, words


@given(documents())
@example(("acknowledge", ENVELOPE | {"alarm": "leak-prk", "v": True}))
def test_the_schema_takes_what_the_class_takes(document):
    """What JSON Schema cannot say is a rule of two keys: those the class alone knows."""
    name, words = document
    fits = jsonschema.Draft202012Validator(schemas.schema(f"command-{name}")).is_valid(words)
    with suppress(CommandError):
        commands.read(name, orjson.dumps(words))
        assert fits
        return
    _, text = refused(name, orjson.dumps(words))
    assert text
    assert not fits or "mass_kg goes with" in text or "last must not be" in text, text


@given(st.sampled_from([*KINDS, "x"]), st.binary(max_size=300))
def test_no_bytes_break_it(name, payload):
    for look in (commands.named, lambda each: commands.read(name, each)):
        code = refusal(look, payload)
        assert code is None or code.status == "rejected"


def test_each_code_has_one_status_and_the_schema_knows_it():
    rules = schemas.schema("response")["allOf"]
    said = {rule["if"]["properties"]["status"]["const"]: rule["then"]["properties"]["code"]["enum"] for rule in rules}
    assert {code: status for status, codes in said.items() for code in codes} == {
        code.value: code.status for code in Code
    }
