"""docs/leak.md shows words that a rig file can have, and commands that there are."""

import re
from pathlib import Path

from drivers.rig_source import check_rig
from gateway.cli import _commands

TEXT = (Path(__file__).parents[2] / "docs" / "leak.md").read_text(encoding="utf-8")
HEAD = """
[station]
id = "s"
gateway = "g"
[bus.rs485]
kind = "serial"
port = "/dev/ttyUSB0"
[transducer.p]
model = "keller-33x"
bus = "rs485"
segment = "prk"
range = "0..160 kPa"
"""


def test_its_settings_pass_the_check() -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    checked = check_rig(HEAD + example, "docs/leak.md")
    assert checked.rig is not None
    assert not checked.problems


def test_its_defaults_are_the_defaults() -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    with_words, without = (check_rig(HEAD + text, "docs/leak.md").rig for text in (example, "[segment.prk]"))
    assert with_words is not None
    assert without is not None
    assert with_words.leak == without.leak


def test_its_commands_exist() -> None:
    named = set(re.findall(r"`manovac (\w+)", TEXT))
    assert named >= {"run", "leak", "hatch", "analyse", "demo", "check"}
    assert named <= set(_commands())
