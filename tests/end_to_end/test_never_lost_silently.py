"""Promise 2 with real programs: a broker that is killed, a gateway that is killed, and nothing missing afterwards."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.mqtt.journal import Journal
from tests.conftest import Mosquitto
from tests.end_to_end.test_run_against_mosquitto import Subscriber, wait_for

AWAY_S: Final = 5.0
KILLS: Final = 4
UNITS: Final = (  # of hil/rigs/bench.toml, a channel of each
    *("cabin_p1.pressure", "cabin_p2.pressure", "airlock_p1.pressure", "tank_p1.pressure"),
    "tank_p2.pressure",
)
POLL_S: Final = 1.0


@pytest.fixture
def subscribe(require_program: Callable[[str], str], mosquitto: Mosquitto) -> Iterator[Callable[[], Subscriber]]:
    program = require_program("mosquitto_sub")
    subscribers: list[Subscriber] = []

    def start() -> Subscriber:
        command = [program, "-p", str(mosquitto.port), "-q", "1", "-t", "manovac/#", "-F", "%r %t %p"]
        subscribers.append(Subscriber(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)))
        return subscribers[-1]

    yield start
    for each in subscribers:
        each.end()


@pytest.fixture
def rig_file(tmp_path: Path, mosquitto: Mosquitto) -> Path:
    text = files("hil").joinpath("rigs", "bench.toml").read_text().replace("mqtt://127.0.0.1:1883", mosquitto.url)
    path = tmp_path / "bench.toml"
    path.write_text(f'{text}\n[journal]\npath = "{tmp_path}/journal.sqlite"\n')
    return path


@contextmanager
def gateway(rig_file: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", str(rig_file), "--emulated"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)


def of_record(*subscribers: Subscriber) -> list[tuple[str, dict[str, Any]]]:
    """Return (topic, payload) of the messages of record, in the order in which they came."""
    return [
        (topic, json.loads(payload))
        for each in subscribers
        for topic, _, payload in list(each.got)
        if topic.rpartition("/")[2] in {"batch", "late"} or "/event/" in topic
    ]


def numbers(*subscribers: Subscriber) -> list[int]:
    return [payload["n"] for _, payload in of_record(*subscribers)]


def polls_missed(listening: Subscriber, start: int) -> int:
    """Return how many polls are missing between the numbers before a start and those after it."""
    before_ms: dict[str, int] = {}
    after_ms: dict[str, int] = {}
    for topic, payload in of_record(listening):
        if topic.endswith(("/batch", "/late")):
            for channel, column in payload["channels"].items():
                first, last = (payload["t0"] + column["dt"][place] for place in (0, -1))
                if payload["n"] < start:
                    before_ms[channel] = max(before_ms.get(channel, 0), last)
                else:
                    after_ms[channel] = min(after_ms.get(channel, first), first)
    return sum(round((after_ms[channel] - before_ms[channel]) / 1000 / POLL_S) - 1 for channel in UNITS)


def test_a_broker_that_is_killed_loses_no_reading(
    mosquitto: Mosquitto,
    subscribe: Callable[[], Subscriber],
    rig_file: Path,
    require_program: Callable[[str], str],
) -> None:
    first = subscribe()
    with gateway(rig_file) as process:
        wait_for(lambda: len(numbers(first)) >= 6)
        mosquitto.kill()
        before = max(numbers(first))
        time.sleep(AWAY_S)
        process.send_signal(signal.SIGSTOP)  # until somebody listens: what is delivered to nobody, nobody can count
        mosquitto.start()
        second = subscribe()
        here = [require_program("mosquitto_pub"), "-p", str(mosquitto.port), "-t", "manovac/here", "-m", "x"]
        wait_for(lambda: subprocess.run(here, check=True) and second.got)
        process.send_signal(signal.SIGCONT)
        back_s = time.monotonic()
        wait_for(lambda: any(not retained and topic != here[4] for topic, retained, _ in list(second.got)))
        first_live_s = time.monotonic() - back_s
        for kind in ("/late", "/batch"):
            wait_for(lambda kind=kind: any(topic.endswith(kind) for topic, _ in of_record(second)))
        wait_for(lambda: numbers(second) and set(range(before + 1, max(numbers(second)) + 1)) <= set(numbers(second)))
        late = [payload["n"] for topic, payload in of_record(second) if topic.endswith("/late")]
        assert late == sorted(late)
        assert len(set(late)) == len(late) >= AWAY_S
    assert first_live_s < 10.0, "2 s on a machine that does nothing else: docs/journal.md"
    everything = dict(sorted((payload["n"], payload) for _, payload in of_record(first, second)))
    times = [payload["t0"] for payload in everything.values() if "channels" in payload]
    assert times == sorted(times), "original times, in the order of their numbers"


def test_a_gateway_that_is_killed_goes_on_where_it_was_and_nobody_misses_a_number(
    tmp_path: Path, subscribe: Callable[[], Subscriber], rig_file: Path
) -> None:
    listening = subscribe()
    draw = random.Random(4)
    for _ in range(KILLS):
        highest = max(numbers(listening), default=0)
        with gateway(rig_file) as process:
            wait_for(lambda highest=highest: max(numbers(listening), default=0) > highest + 6)
            time.sleep(draw.random())
            process.kill()
    with gateway(rig_file):
        highest = max(numbers(listening))
        wait_for(lambda: max(numbers(listening)) > highest + 6)
    got = numbers(listening)
    assert set(got) == set(range(1, max(got) + 1)), "no gap"
    contents: dict[int, set[str]] = {}
    for _, payload in of_record(listening):
        contents.setdefault(payload["n"], set()).add(json.dumps(payload, sort_keys=True))
    assert {n for n, said in contents.items() if len(said) > 1} == set(), "a number means one message, for ever"
    starts = {payload["n"]: payload["start"] for topic, payload in of_record(listening) if topic.endswith("/start")}
    assert [(start["end"], start["skipped"]) for start in starts.values()] == [("killed", None)] * KILLS
    missed = sum(polls_missed(listening, n) for n in starts)
    assert missed > 0
    assert sum(start["polls"] for start in starts.values()) == pytest.approx(missed, rel=0.5), "it is counted"
    journal = Journal(tmp_path / "journal-emulated.sqlite", max_bytes=10**9, max_age_ms=10**12)
    wait_for(lambda: _opened(journal))
    assert journal.set_aside is None
    assert [row.n for row in journal.read(1, 10**6, limit=10**6)] == list(range(1, journal.last_n + 1))
    journal.close()


def _opened(journal: Journal) -> bool:
    """Open it once the gateway has let it go."""
    try:
        journal.open()
    except OSError:
        return False
    return True


def test_a_consumer_that_was_away_asks_for_what_it_missed(rig_file: Path, tmp_path: Path) -> None:
    store = tmp_path / "record.sqlite"

    def sub(duration: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "sub", str(rig_file), "--ack", "store"]
        return subprocess.run(
            [*command, "--to", str(store), "--duration", duration], capture_output=True, text=True, check=False
        )

    nobody = sub("0.5 s")
    assert (nobody.returncode, nobody.stdout) == (1, "")
    assert "nothing was heard at mqtt://" in nobody.stderr
    with gateway(rig_file):
        while not (first := sub("2 s")).stdout or first.stdout.startswith("0 readings"):
            pass
        assert (first.returncode, first.stderr) == (0, "")
        time.sleep(2.0)
        away = sub("1.5 s")
        second = sub("10 s")
    assert away.returncode == 3, "what was missed is named"
    assert "gap" in away.stdout
    assert (second.returncode, second.stderr) == (0, ""), second.stdout
    assert ", 0 gaps" in second.stdout
