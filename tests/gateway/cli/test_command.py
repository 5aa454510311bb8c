"""`manovac command`: how long it waits, and what it says when that was too short."""

import pytest

from gateway.cli import teller
from gateway.mqtt.commands import KINDS
from tests.commands import BENCH, call
from tests.gateway.mqtt.finding_examples import COMMANDS


@pytest.mark.parametrize("name", KINDS)
def test_it_waits_for_as_long_as_a_command_may_take(capsys, monkeypatch, name):
    waits = []

    async def answer(rig, name, command_id, payload, wait_s):
        waits.append(wait_s)
        return {"status": "done", "result": {}}

    monkeypatch.setattr(teller, "_tell", answer)
    words = {str(key): getattr(value, "value", value) for key, value in COMMANDS[KINDS[name]].items()}
    assert call(capsys, "command", BENCH, name, *(f"{key}={value}" for key, value in words.items())).code == 0
    assert waits == [{"rescan": 35.0}.get(name, KINDS[name].limit_s + 5)]
    if name == "rescan":
        call(capsys, "command", BENCH, name, "bus=rs485")
        assert waits[1] == 125.0


def test_after_that_nobody_knows_whether_it_is_obeyed(capsys, monkeypatch, mosquitto, tmp_path):
    monkeypatch.setattr("gateway.cli.command._WAY_S", -14.0)
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.read_text().replace("mqtt://127.0.0.1:1883", mosquitto.url))
    called = call(capsys, "command", rig, "pause", "transducer=cabin_p1")
    assert called.code == 1
    assert "does not answer yet" in called.err
    assert "within 1 s; if `manovac run` runs with this rig file, the command may still be obeyed" in called.err
