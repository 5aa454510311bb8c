"""`manovac run --http-port`: where it answers, and what it says when it cannot."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from drivers.rig_source import load_rig
from gateway.app import Gateway, Handover
from gateway.cli import run as run_module
from gateway.mqtt.credentials import MqttSettingsError
from gateway.mqtt.journal import Journal
from gateway.stamps import ClockState
from tests.commands import BENCH, call, started

RUN = ("run", BENCH, "--emulated", "--http-port")


def test_a_port_that_is_taken_ends_it_with_a_message(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        called = call(capsys, *RUN, port)
    assert called.code == 1
    assert f"http: cannot listen on 127.0.0.1, port {port}: " in called.err


def test_that_its_packages_are_missing_is_the_only_thing_it_says(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gateway.display.server", None)
    code, out, err = call(capsys, *RUN, 0)
    assert (code, out) == (2, "")
    assert err.startswith("manovac: http.port needs ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("port", ["-1", "65536"])
def test_what_is_no_port_is_refused(capsys, port):
    called = call(capsys, "run", BENCH, f"--http-port={port}")
    assert called.code == 2
    assert "a number from 0 to 65535" in called.err


def test_it_says_where_it_answers_and_ends_with_the_gateway(tmp_path):
    with started(tmp_path, *RUN, "0") as process:
        said = ""
        while not (found := re.search(r"(http://127\.0\.0\.1:\d+)/metrics", said)):
            said += process.stderr.readline()
        with urllib.request.urlopen(f"{found[1]}/healthz", timeout=10) as answer:
            assert answer.read() == b"alive\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_nobody_pays_for_it_who_does_not_ask():
    code = (
        "import sys, gateway.app, gateway.cli.run; sys.exit(bool({'aiohttp', 'prometheus_client'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture
def rig_file(tmp_path):
    """A rig file with a journal on disk; calling it writes the file anew, with that `[http]`."""
    path = tmp_path / "rig.toml"

    def write(http=""):
        path.write_text(f'{BENCH.read_text()}\n[journal]\npath = "{tmp_path}/j.sqlite"\n\n[http]\n{http}\n')
        return path

    return write


def test_a_new_rig_file_that_cannot_answer_by_http_lets_the_old_one_run_on(rig_file, monkeypatch, caplog):
    path = rig_file()
    old, rigs = load_rig(path), []

    async def run(gateway):
        await gateway._keeper.close()
        rigs.append(gateway._rig)
        if len(rigs) == 2:
            raise asyncio.CancelledError
        new = load_rig(rig_file(f"port = {port}"))
        clock = ClockState(offset_s=0.0, sync="ntp")
        return Handover(
            rig=new, rig_hash="new", boot="0001", newest_n=0, losses={}, clock=clock, free_since=None, alarms=(),
            hatches={}, seen={}, counts={}, retained=frozenset(), uncounted=None, ended_s=0.0,
        )  # fmt: skip

    monkeypatch.setattr(Gateway, "run", run)
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with taken, pytest.raises(asyncio.CancelledError):
        asyncio.run(run_module._run_on(path, old, None, None, emulated=False))
    assert rigs == [old, old]
    assert f"reload: http: cannot listen on 127.0.0.1, port {port}: " in caplog.text


def test_a_rig_file_that_could_not_answer_by_http_is_a_bad_one(rig_file):
    ours = load_rig(rig_file()).http
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = rig_file(f"port = {port}")
        with pytest.raises(ValueError, match=f"http: cannot listen on 127.0.0.1, port {port}: "):
            run_module._reloaded(path, None, ours)
        at_ours = ours.model_copy(update={"port": port})
        assert run_module._reloaded(path, None, at_ours).rig.http.port == port, "it is we who have it"
        with pytest.raises(ValueError, match=r"http: cannot listen on 192\.0\.2\.1, port "):
            run_module._reloaded(
                rig_file(f'port = {port}\nlisten = "192.0.2.1"\ntoken = {{ env = "PATH" }}'), None, at_ours
            )
        with pytest.raises(ValueError, match=f"port {port}"):
            run_module._reloaded(rig_file(), port, ours)
    with pytest.raises(MqttSettingsError, match="NO_SUCH_TOKEN"):
        run_module._reloaded(rig_file(f'port = {port}\ntoken = {{ env = "NO_SUCH_TOKEN" }}'), None, ours)


def test_a_journal_that_another_gateway_has_is_no_mistake_of_the_rig_file(rig_file, capsys, tmp_path):
    other = Journal(tmp_path / "j.sqlite", max_bytes=10**8, max_age_ms=10**9)
    other.open()
    try:
        called = call(capsys, "run", rig_file())
    finally:
        other.close()
    assert called.code == 1, "systemd is to try again"
    assert "j.sqlite: another gateway uses it" in called.err
