"""docs/fleet.md: its settings are what the command writes, its words pass the check, its paths are there."""

import re
from pathlib import Path

import pytest

from drivers.rig_source import check_rig
from gateway.display.metrics import exposition
from gateway.mqtt.outbox import LinkStatistics, OutboxStatistics
from gateway.mqtt.payloads import BusHealth, Health
from tests.commands import call

TEXT = (Path(__file__).parents[2] / "docs" / "fleet.md").read_text(encoding="utf-8")
STATION = '[station]\nid = "iss"\ngateway = "pi1"\n'
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("words", [text for language, text in BLOCKS if language == "toml"])
def test_its_words_pass_the_check(words) -> None:
    assert check_rig(STATION + words, "docs/fleet.md").problems == ()


def test_a_server_is_as_the_command_writes_it(tmp_path, capsys) -> None:
    (mqtt,) = (text for language, text in BLOCKS if "more_urls" in text)
    (shown,) = (text for language, text in BLOCKS if "server_name" in text)
    rig = tmp_path / "rig.toml"
    rig.write_text(STATION + mqtt)
    called = call(capsys, "broker-config", rig, "--broker", "nats", "--to", tmp_path)
    assert called.code == 0, called.err
    files = sorted(path.name for path in tmp_path.glob("*.nats.conf"))
    assert files == [f"manovac.nats{number}.example.nats.conf" for number in (1, 2, 3)]
    assert shown in (tmp_path / files[0]).read_text()


def test_every_metric_that_it_names_exists() -> None:
    outbox = OutboxStatistics(losses={}, superseded=0, messages=0, size=0, oldest_s=0.0)
    link = LinkStatistics(
        connected=True, protocol="5", published=0, acknowledged=0, refused=0, reconnects=0, in_flight=0, outbox=outbox
    )
    bus = BusHealth(up=True, problem="", connects=1, foreign=0, line_use=0.0, overruns=0, longest_poll_s=0.0, units={})
    health = Health(
        sync="ntp",
        buses={"b": bus},
        loop_lag_s=0.0,
        memory_bytes=0,
        queue_messages=0,
        queue_bytes=0,
        queue_oldest_s=0.0,
        journal_rows=0,
        journal_problem="",
        losses={"refused": 1},
        failures={},
        commands={},
    )
    given = exposition(health, link, {"gateway": "g"}).decode()
    named = set(re.findall(r"manovac_\w+", TEXT))
    assert len(named) >= 5
    for name in named:
        assert f"\n{name}" in given, name
