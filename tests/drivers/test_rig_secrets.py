"""Nothing that may be a secret is shown of a rig file, whatever is wrong with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rig_problems import RigError, brief
from drivers.rig_source import check_rig, without_secrets
from tests.drivers.test_rig_source import GOOD

SECRET = "hunter2-7f3a"
KEYS = st.sampled_from(
    [
        "password",
        "Password",
        "PASSWORD",
        '"pass\\u0077ord"',
        "mqtt_password",
        "user_password",
        "token",
        "Token",
        "auth_token",
        "bearer",
        "pwd",
        "pw",
        "secret",
        "username",
        "batch",
        "url",
        "more_urls",
        "ca_file",
        "client_cert",
        "client_key",
        "listen",
        "names",
        "zzz",
    ]
)
VALUES = st.sampled_from(
    [
        "S", '"S', '"S"', "'S'", '"""S"""', '"""\nS\n"""', '"""S', "'it\\'s S'", '"it\'s\\" S"', '"a\\" S', "my S",

        '"S" "x"', '["S"]', '[ "a" , "S"', '[\n"a"\n"S"]', '[\n  "S",\n  1]', '{ value = "S" }', '{ value = "S"',
        '{ env = "A", literal = "S" }', '{ literal = "S", env = 3 }', '{ env = "a\\" S", x = 1 }', "{ env = [1, 'S'] }",
        '"S" # and S', "1 # S", '"mqtt://u:S@h"', '"mqtt://u:S"', '"mqtt://S@h"', '"u:S@h"', "'mqtts://u:a\"S@h'",
        '"mqtts://a/b:S@h"', '"mqtt://u:a/S@h"', '"mqtt://S h"', '"mqtts://[S"', '["mqtt://u:S@h"]',
        '"-----BEGIN PRIVATE KEY-----\\nS"', '"""-----BEGIN S"""', '"a\\nS"',
    ]
)  # fmt: skip
PAIRS = st.sampled_from(
    ["{} = {}", "{}={}", "{}: {}", "{} {}", "{} == {}", "{}.value = {}", "# {} = {}", "{} = {}\nx = 1"]
)
TABLES = st.sampled_from(
    ["[mqtt]\n{}\n", "[http]\n{}\n", "[mqtt.password]\n{}\n", "[mqt]\n{}\n", "[[mqtt]]\n{}\n", "[mqtt\n{}\n",
     "[mqtt]\nurl = 3\n{}\n", "mqtt = {{ {}, zzz = 1 }}\n", "mqtt = {{ zzz = 1, {} }}\n", "http = {{ {} }}\n",
     "[zzz] # {}\n", "[bus.z]\n{}\n", "bus.z = {{ {}, baud = 1 }}\n", "[bus]\nz = {{ baud = 1, {} }}\n",
     "[segment.z.title]\n{}\n", "[journal]\nkeep = 'x' # {}\n", "[commands]\n{}\n"]
)  # fmt: skip


@given(KEYS, VALUES, PAIRS, TABLES, st.booleans(), st.booleans())
def test_no_secret_is_shown_however_and_wherever_it_stands(key, value, pair, table, first, private):
    planted = table.format(pair.format(key, value.replace("S", SECRET)))
    text = planted + GOOD if first else GOOD + planted
    checked = check_rig(text, "rig.toml", private=private)
    said = f"{checked.problems!r} {brief(checked.problems)} {RigError(checked.problems)}"
    assert SECRET not in said, planted


@pytest.mark.parametrize(
    "line",
    [
        'password = "hunter2"',
        "password = 'hunter2'",
        "password = hunter2",
        'password = "hunter2',
        'password = """hunter2"""',
        'password = """\nhunter2\n"""',
        'password = """\nhunter2',
        'url = "mqtt://pi1:hunter2@broker"',
        'url = "mqtt://pi1:hunter2/x@broker"',
        'pasword="hunter2"',
        'url = 3\npassword = "hunter2"',
        "password = 1234567",
    ],
)
def test_a_report_never_shows_a_literal_password(line):
    problems = check_rig(f"{GOOD}[mqtt]\n{line}\n", "rig.toml").problems
    assert problems
    said = "".join(map(str, problems))
    assert "hunter2" not in said
    assert "1234567" not in said


@pytest.mark.parametrize(
    ("line", "shown", "message"),
    [
        ('password = { env = "A", file = "B" }', "password = ...", "password: give either env, file or credential"),
        ('url = "http://a"  # b', "url = ...", "url: must begin with mqtt:// or mqtts://"),
        ('batch = "5 pieces"', "batch = ...", 'batch: must be a time with its unit, such as "300 ms"'),
        ('password = { value = "A", env = "B" }', "", "unknown key 'value'"),
        ('pasword = "A"', "pasword = ...", "unknown key 'pasword', did you mean 'password'?"),
    ],
)
def test_in_mqtt_keys_are_shown_and_no_values(line, shown, message):
    (problem,) = check_rig(f"{GOOD}[mqtt]\n{line}\n", "rig.toml").problems
    assert (problem.source, problem.message) == (shown, message)


def test_an_unknown_key_is_shown_without_its_value_and_a_line_without_its_comment():
    text = GOOD.replace('poll = "1 s"', 'pol = "1 s" # a', 1).replace("19200", "1 # b")
    assert [problem.source for problem in check_rig(text, "rig.toml").problems] == ["baud = 1", "pol = ..."]


def test_in_brief_there_are_lines_and_messages():
    text = GOOD.replace("19200", "1").replace("unit = 1", "unit = 1\nx = 1", 1)
    assert (
        brief(check_rig(text, "rig.toml").problems)
        == "rig.toml:19: baud: must be at least 300; rig.toml:26: unknown key 'x'"
    )
    many = brief(check_rig(GOOD + "".join(f"x{n} = 1\n" for n in range(30)), "rig.toml").problems)
    assert many.endswith("; 10 more")


@pytest.mark.parametrize(
    "mqtt",
    [
        '[mqtt]\npassword = "S"\n',
        "[mqtt]\npassword = 'it\"s S' # S\n",
        '[mqtt]\npassword = "it\'s\\" S"\n',
        '[mqtt]\n"pass\\u0077ord" = """\na\nS"""\n',
        'mqtt.password = "S"\n',
        'mqtt = { username = "S", password = "S" }\n'.replace('"S",', '"u",'),
        '[mqtt]\npassword = "x"\n# password = "S"\n',
    ],
)
def test_no_secret_is_left_in_what_is_hashed(mqtt):
    def left(secret):
        text = mqtt.replace("S", secret) + GOOD if mqtt.startswith("mqtt") else GOOD + mqtt.replace("S", secret)
        assert check_rig(text, "rig.toml", private=True).rig
        return without_secrets(text)

    assert SECRET not in left(SECRET)
    assert left(SECRET) == left("another"), "its length neither"


def test_what_is_hashed_is_the_file_where_it_has_no_secret():
    assert without_secrets(GOOD) == GOOD
    assert without_secrets(GOOD + '[mqtt]\npassword = { env = "A" }\n').endswith('{ env = "A" }\n')


def test_an_unclosed_quote_in_a_comment_hides_nothing_but_its_line():
    text = GOOD + '# password = "hunter2\n[leak]\ngas_error = "1 m"\n'
    (problem,) = check_rig(text, "rig.toml").problems
    assert problem.source == 'gas_error = "1 m"'
