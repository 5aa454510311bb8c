"""`manovac hatch` and `manovac leak watch` against a running gateway and a broker, as their users see them."""

import json
import signal
import time
from importlib.resources import files

import pytest

from tests.commands import call, ended_by, started


@pytest.fixture
def rig_file(tmp_path, mosquitto):
    """The bench rig that ships, with this broker."""
    path = tmp_path / "bench.toml"
    text = files("hil").joinpath("rigs", "bench.toml").read_text()
    path.write_text(text.replace("mqtt://127.0.0.1:1883", mosquitto.url))
    return path


def told(capsys, rig_file, **wanted):
    """Ask `leak watch` until the gateway says that, at most 20 s."""
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        code, out, _ = call(capsys, "leak", "watch", rig_file, "--once", "--json")
        leak = json.loads(out)
        if [body["segments"] for body in leak["bodies"]] == wanted["bodies"]:
            return code, leak
        time.sleep(0.5)
    raise AssertionError(leak)


def test_a_hatch_is_told_and_the_air_bodies_follow(tmp_path, rig_file, capsys):
    with started(tmp_path, "run", "--emulated", rig_file) as gateway:
        code, leak = told(capsys, rig_file, bodies=[["cabin", "airlock"], ["tank"]])
        judged = any(body["class"] not in ("collecting", "no-data") for body in leak["bodies"])
        assert code == (0 if judged else 4), "a gateway that has just begun cannot say anything yet"
        assert leak["where"] == {}
        code, out, err = call(capsys, "hatch", rig_file, "airlock--cabin", "closed")  # named from either side
        assert (code, out, err) == (0, "cabin--airlock: closed\n", "")
        told(capsys, rig_file, bodies=[["cabin"], ["airlock"], ["tank"]])
        code, out, err = call(capsys, "event", rig_file, "repress", "--segment", "cabin", "--mass", "20 g")
        assert (code, out, err) == (0, "repress in cabin, 0.02 kg: not judged for 20 min\n", "")
        code, out, _ = call(capsys, "event", rig_file, "eva", "--segment", "airlock", "--lasts", "2 h", "--json")
        assert (code, json.loads(out)["status"]) == (0, "done")
        code, out, _ = call(capsys, "leak", "watch", rig_file, "--once")
        assert "no leak is seen; not judged: cabin; airlock" in out or "nothing can be said" in out
        assert "cabin: " in out
        assert ended_by(gateway, signal.SIGINT).code == 0


def test_without_a_gateway_both_say_so(rig_file, capsys, monkeypatch):
    monkeypatch.setattr("gateway.cli.teller._ANSWER_S", 0.5)
    monkeypatch.setattr("gateway.cli.leak_watch._FIRST_S", 0.5)
    code, out, err = call(capsys, "hatch", rig_file, "cabin--airlock", "open")
    assert (code, out) == (1, "")
    assert "gateway 'pi1' does not answer" in err
    code, out, err = call(capsys, "leak", "watch", rig_file)
    assert (code, out) == (1, "")
    assert "no gateway has said anything" in err


def test_usage_errors(rig_file, capsys, monkeypatch):
    monkeypatch.setattr("gateway.cli.teller._ANSWER_S", 0.5)
    for words, complaint in (
        (["hatch", rig_file, "cabin--airlok", "open"], "did you mean 'cabin--airlock'"),
        (["hatch", rig_file, "cabin--airlock", "ajar"], "'ajar' is not one of"),
        (["hatch", "none.toml", "cabin--airlock", "open"], "no such file"),
        (["leak", "watch", "none.toml"], "no such file"),
        (["event", rig_file, "repress", "--segment", "cabn"], "did you mean 'cabin'"),
        (["event", rig_file, "party", "--segment", "cabin"], "'party' is not one of"),
        (["event", rig_file, "repress"], "Missing option '--segment'"),
        (["event", rig_file, "eva", "--segment", "cabin", "--mass", "1 kg"], "--mass 1 kg: goes with repress only"),
        (["event", rig_file, "repress", "--segment", "cabin", "--mass", "5"], '--mass 5: needs a unit: write "5 kg"'),
        (["event", rig_file, "repress", "--segment", "cabin", "--mass", "-5 kg"], "must be greater than zero"),
        (["event", rig_file, "repress", "--segment", "cabin", "--lasts", "2 d"], "below 86400"),
    ):
        code, out, err = call(capsys, *words)
        assert (code, out) == (2, "")
        assert complaint in err
    alone = rig_file.read_text()
    rig_file.write_text(alone.replace(alone[alone.index("mqtt://") :].split('"')[0], "mqtt://127.0.0.1:1"))
    monkeypatch.setattr("gateway.cli.leak_watch._FIRST_S", 0.5)
    for words, where in (
        (["hatch", rig_file, "cabin--airlock", "open"], "no connection to the broker within 0.5 s: 127.0.0.1:1: "),
        (["leak", "watch", rig_file], "no connection to the broker: 127.0.0.1:1: "),
    ):
        code, out, err = call(capsys, *words)
        assert (code, out) == (1, "")
        assert where in err
        assert "Connection refused" in err
