"""`manovac run --http-port`: where it answers, and what it says when it cannot."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

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
