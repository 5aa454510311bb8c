"""`manovac command` against a running gateway and mosquitto: pause, rate, zero, a new rig file, and who may not."""

import json
import signal
import subprocess
import time
from importlib.resources import files

import pytest

from drivers.rig_source import load_rig
from gateway.mqtt import commands
from tests.commands import call, ended_by, started

BASE = "manovac/v1/bench"


@pytest.fixture
def rig_file(tmp_path, mosquitto):
    """The bench rig that ships, with this broker; anna may command everything."""
    path = tmp_path / "bench.toml"
    text = files("hil").joinpath("rigs", "bench.toml").read_text()
    path.write_text(text.replace("mqtt://127.0.0.1:1883", mosquitto.url) + '\n[commands.anna]\nallow = ["*"]\n')
    return path


@pytest.fixture
def heard(mosquitto, require_program):
    """Everything that is said, by topic."""
    program = require_program("mosquitto_sub")
    command = [program, "-p", str(mosquitto.port), "-q", "1", "-t", f"{BASE}/#", "-F", "%t %p"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as listener:

        def end():
            time.sleep(0.5)
            listener.terminate()
            lines = (line.partition(" ") for line in listener.communicate(timeout=10)[0].splitlines())
            said = ((topic.removeprefix(f"{BASE}/"), payload) for topic, _, payload in lines)
            return [(topic, json.loads(payload)) for topic, payload in said if payload and not topic.startswith("cmd/")]

        yield end
        listener.kill()


def published(require_program, mosquitto, name, payload, *options):
    program = require_program("mosquitto_pub")
    words = ["-p", str(mosquitto.port), "-q", "1", "-t", f"{BASE}/cmd/pi1/{name}", "-m", payload, *options]
    subprocess.run([program, *words], check=True, timeout=10)


@pytest.mark.timeout(180)
def test_commands_are_obeyed_refused_and_put_on_record(tmp_path, rig_file, mosquitto, capsys, heard, require_program):
    def command(*words, by="anna"):
        return call(capsys, "command", mine, *words, "--by", by)

    mine = tmp_path / "mine.toml"
    mine.write_text(rig_file.read_text())

    assert load_rig(rig_file).station.gateway == "pi1"
    name = next(iter(load_rig(rig_file).transducers))
    published(require_program, mosquitto, "reload", _command(commands.Reload, "r0"), "-r")
    with started(tmp_path, "run", "--emulated", rig_file) as gateway:
        _wait_until_online(require_program, mosquitto, after_ms=0)
        assert command("pause", f"transducer={name}").code == 0
        assert command("resume", f"transducer={name}") == (0, "resume: done  paused=[]\n", "")
        code, out, _ = command("rate", f"transducer={name}", "poll_s=0.5", "--json")
        assert (code, json.loads(out)["result"]["poll_s"]) == (0, 0.5)
        code, out, err = command("rate", f"transducer={name}", "poll_s=0.5", by="bob")
        assert (code, out) == (1, "")
        assert err.startswith("manovac: the gateway refuses: 'bob' may not command rate")
        published(require_program, mosquitto, "hatch", "open sesame")
        twice = _command(commands.Hatch, "h2", hatch="cabin--airlock", state="open")
        published(require_program, mosquitto, "hatch", twice)
        published(require_program, mosquitto, "hatch", twice)
        kept = rig_file.read_text()
        rig_file.write_text(kept + "[segment\n")
        code, out, err = command("reload")
        assert (code, out) == (1, "")
        assert "the gateway refuses: the old one runs on:" in err
        assert "bench.toml" in err
        assert "(bad_rig)" in err
        rig_file.write_text(kept.replace('title = "', 'title = "new ', 1))
        before = _status(require_program, mosquitto)
        assert command("reload").code == 0
        _wait_until_online(require_program, mosquitto, after_ms=before["t"])
        assert command("hatch", "hatch=cabin--airlock", "state=closed").code == 0
        assert ended_by(gateway, signal.SIGINT).code == 0
    messages = heard()
    statuses = [payload for topic, payload in messages if topic == "gw/pi1/status"]
    assert [(each["state"], each["reason"]) for each in statuses if each["reason"] != "stopped"][:3] == [
        ("online", None), ("offline", "reload"), ("online", None),
    ]  # fmt: skip
    assert len({each["boot"] for each in statuses}) == 1
    answers = [payload for topic, payload in messages if topic == "rsp/pi1/h2"]
    assert answers in ([answers[0]], [answers[0]] * 2), "one for both, if the second comes before it"
    codes = [payload["command"]["code"] for topic, payload in messages if topic == "event/command"]
    assert {"ok", "not_allowed", "bad_rig", "malformed", "retained"} <= set(codes)
    assert [payload["command"]["id"] for topic, payload in messages if topic == "event/command"].count("h2") == 1
    numbers = sorted({payload["n"] for topic, payload in messages if topic.startswith("event/")})
    assert {payload["n"] for topic, payload in messages if topic.startswith("rsp/")} <= set(numbers)
    batches = {payload["n"] for topic, payload in messages if topic.endswith(("/batch", "/late"))}
    assert set(range(numbers[0], numbers[-1] + 1)) <= {*numbers, *batches}, "numbers go on, none is left out"


def _status(require_program, mosquitto):
    words = [require_program("mosquitto_sub"), "-p", str(mosquitto.port), "-C", "1", "-t", f"{BASE}/gw/pi1/status"]
    return json.loads(subprocess.run(words, check=True, timeout=60, capture_output=True).stdout)


def _wait_until_online(require_program, mosquitto, *, after_ms):
    """Wait for a gateway that has started since; until then commands go to nobody."""
    end_s = time.monotonic() + 60
    while True:
        now = _status(require_program, mosquitto)
        if (now["state"], now["t"] > after_ms) == ("online", True):
            return
        assert time.monotonic() < end_s, now
        time.sleep(0.1)


def _command(kind, command_id, /, **words):
    not_after = round((time.time() + 30) * 1000)
    return commands.build(kind, id=command_id, not_after=not_after, by="anna", **words).decode()


def test_usage_errors(rig_file, capsys):
    for words, complaint in (
        (["command", rig_file, "pauze"], "no command 'pauze', did you mean 'pause'?"),
        (["command", rig_file, "pause", "p1"], "'p1': write KEY=VALUE"),
        (["command", rig_file, "pause"], "pause: needs either bus or transducer"),
        (["command", rig_file, "rate", "transducer=p1", "poll_s=1 s"], "poll_s=1 s: must be a number, in SI units"),
        (["command", rig_file, "rate", "transducer=p1"], "rate: missing key 'poll_s'"),
        (["command", rig_file, "reload", "--by", "anna b"], "reload: by must match"),
        (["command", "none.toml", "reload"], "no such file"),
    ):
        code, out, err = call(capsys, *words)
        assert (code, out) == (2, "")
        assert complaint in err
