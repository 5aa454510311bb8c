"""docs/control.md lists the verbs and events that there are, and its examples are requests that can be made."""

import json
import re
from pathlib import Path

from firmware_sim.control.control import VERBS
from firmware_sim.control.server import CLIENTS, EVENTS_KEPT, LINE_LIMIT
from firmware_sim.events import KINDS

TEXT = (Path(__file__).parents[2] / "docs" / "control.md").read_text(encoding="utf-8")


def test_every_verb_and_every_kind_of_event_has_its_line_and_no_other_does() -> None:
    rows = [line.strip("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| `")]
    assert [(name.strip("`"), title) for name, title in rows] == [*VERBS.items(), *KINDS.items()]


def test_its_examples_on_the_socket_are_json_and_name_verbs_that_exist() -> None:
    rows = [json.loads(line) for line in TEXT.splitlines() if line.startswith('    {"')]
    assert {row["verb"] for row in rows if "verb" in row} <= {*VERBS, "subscribe", "stop"}
    assert {row["event"] for row in rows if "event" in row} <= set(KINDS)


def test_its_limits_are_those_of_the_code() -> None:
    words = re.sub(r"\s+", " ", TEXT)
    assert f"at most {LINE_LIMIT} bytes" in words
    assert f"{CLIENTS} clients may be connected" in words
    assert f"behind the {EVENTS_KEPT} that are kept" in words
