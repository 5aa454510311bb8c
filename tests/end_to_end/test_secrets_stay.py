"""Secrets that a gateway was given are in nothing that it says or leaves behind, its own debug log included."""

import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from tests.end_to_end.test_run_against_mosquitto import Subscriber, wait_for

PLANTED = ("planted-password-81c", "planted-token-52e")


@pytest.fixture
def listening(require_program: Callable[[str], str], mosquitto: Mosquitto) -> Iterator[Subscriber]:
    command = [require_program("mosquitto_sub"), "-p", str(mosquitto.port), "-q", "1", "-t", "#", "-F", "%r %t %p"]
    subscriber = Subscriber(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    yield subscriber
    subscriber.end()


def test_a_run_leaves_no_secret_anywhere(
    tmp_path: Path, mosquitto: Mosquitto, listening: Subscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in zip(("password", "token"), PLANTED, strict=True):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    left = tmp_path / "left"
    left.mkdir()
    text = files("hil").joinpath("rigs", "bench.toml").read_text()
    mqtt = f'url = "{mosquitto.url}"\nusername = "pi1"\npassword = {{ file = "{tmp_path}/password" }}'
    text = text.replace('url = "mqtt://127.0.0.1:1883"', mqtt)
    text += f'\n[journal]\npath = "{left}/journal.sqlite"\n[http]\nport = 0\ntoken = {{ credential = "token" }}\n'
    rig = tmp_path / "bench.toml"
    rig.write_text(text)
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", rig, "--emulated", "--verbose"]
    with (
        (left / "out").open("wb") as out,
        subprocess.Popen([*command, "--record", left / "trace"], stdout=out, stderr=out) as process,
    ):
        try:
            wait_for(lambda: listening.last("manovac/v1/bench/gw/pi1/health"))
            said = (left / "out").read_text()
            (address,) = re.findall(r"http://[\d.:]+", said)
            with urllib.request.urlopen(f"{address}/metrics", timeout=10) as answer:
                (left / "metrics").write_bytes(answer.read())
        finally:
            process.terminate()
    wait_for(lambda: any('"offline"' in payload for _, _, payload in listening.got))
    (left / "messages").write_text(repr(listening.got))
    heard = {path.name: path.read_bytes() for path in left.rglob("*") if path.is_file()}
    assert {"out", "trace", "journal-emulated.sqlite", "messages", "metrics"} <= set(heard)
    assert b"/meta" in heard["messages"]
    for planted in PLANTED:
        assert [name for name, data in heard.items() if planted.encode() in data] == []
