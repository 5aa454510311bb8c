"""docs/commands.md has the commands, codes and limits of the code, and its examples work."""

import re

import orjson

from drivers.rig_source import check_rig
from gateway.desk import BURST, RATE_PER_S, RUNNING
from gateway.mqtt import schemas
from gateway.mqtt.commands import LONGEST, LONGEST_LIFE_S, Code, read
from gateway.operations import _ZERO_READINGS
from tests.docs import command_table
from tests.gateway.mqtt.test_payloads import VALIDATORS

TEXT = command_table.PAGE.read_text(encoding="utf-8")
HEAD = """
[station]
id = "s"
gateway = "g"
[segment.tank]
[bus.rs485]
kind = "serial"
port = "/dev/ttyUSB0"
[transducer.p1]
model = "generic-int"
bus = "rs485"
unit = 1
segment = "tank"
"""


def test_the_tables_are_what_the_code_makes() -> None:
    assert command_table.page() == TEXT, "run python -m tests.docs.command_table"


def test_its_limits_are_those_of_the_code() -> None:
    assert f"more than {LONGEST} bytes" in TEXT
    assert f"More than {BURST} came at once, or {RATE_PER_S:g} a second" in TEXT
    assert f"At most {RUNNING} commands" in TEXT
    assert LONGEST_LIFE_S == 3600
    assert _ZERO_READINGS == 5


def test_its_words_of_the_rig_file_pass_the_check() -> None:
    blocks = re.findall(r"^```toml\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert check_rig(HEAD + "".join(blocks), "docs/commands.md").problems == ()


def test_its_command_is_read_and_its_answer_fits_the_schema() -> None:
    (sent,) = re.findall(r'-m "(\{.*?\})"$', TEXT, flags=re.MULTILINE | re.DOTALL)
    payload = sent.replace("$(($(date +%s) + 30))", "1731980031").replace('\\"', '"').encode()
    assert read("rate", payload).not_after == 1731980031000
    (answer,) = re.findall(r"^```\n(\{.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    VALIDATORS["response"].validate(orjson.loads(answer))
    assert {f"`{code.value}`" for code in Code} <= set(re.findall(r"`\w+`", TEXT))
    assert "command-rate" in schemas.KINDS
