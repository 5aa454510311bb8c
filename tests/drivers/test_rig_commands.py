"""What the rig file says of commands is checked: who may give which, and which registers may be written."""

import pytest

from drivers.rig_source import check_rig

HEAD = """
[station]
id = "s"
gateway = "g"
[segment.tank]
[bus.rs485]
kind = "serial"
port = "/dev/ttyUSB0"
[transducer.p1]
model = "{model}"
bus = "rs485"
unit = 1
segment = "tank"
"""


def problems(text, model="generic-int"):
    """Check a rig with those lines; return its mistakes as "what is underlined: message"."""
    found = check_rig(HEAD.format(model=model) + text, "rig.toml").problems
    return [f"{each.source[each.column - 1 :][: each.width]}: {each.message}" for each in found]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[commands.anna]\nallow = ["hach"]', "\"hach\": allow: must be 'hatch', 'event'"),
        ('[commands."anna b"]\nallow = []', "[commands.\"anna b\"]: 'anna b' is the name of a user: letters, digits"),
        ("[commands.anna]", "[commands.anna]: missing key 'allow'"),
        ('[commands.anna]\nallow = "hatch"', '"hatch": allow: must be an array: [ ... ]'),
        ("[commands.anna]\nallow = []\nmay = 1", "may: unknown key 'may'"),
        ("settings = { a = { address = 1 } }", "a: missing key 'range'"),
        ("settings = { a = { address = 1, range = [9, 0] } }", "[9, 0]: range: the first number must not be above"),
        (
            'settings = { a = { address = 1, type = "int16", range = [0, 40000] } }',
            "[0, 40000]: range: int16 holds -32768 to 32767",
        ),
        (
            'settings = { a = { address = 1, type = "uint32", range = [0, 1], function = 6 } }',
            "6: function 6 writes one register, a uint32 needs 2: 16",
        ),
        (
            'settings = { a = { address = 65535, type = "uint32", range = [0, 1] } }',
            "65535: a uint32 does not fit there: registers end at 65535",
        ),
    ],
)
def test_what_does_not_fit_is_said_once_and_where_it_stands(text, message):
    (problem,) = problems(text)
    assert problem.startswith(message)


def test_what_fits_has_no_problem():
    assert problems('settings = { a = { address = 1, range = [0, 65535] } }\n[commands."*"]\nallow = ["*"]') == []
    assert problems('[commands."anna@station.example"]\nallow = ["hatch", "write"]') == []


def test_a_device_without_a_map_has_no_settings():
    (problem,) = problems("settings = { a = { address = 1, range = [0, 1] } }", model="keller-33x")
    assert problem == "settings: keller-33x has no use for 'settings'"
