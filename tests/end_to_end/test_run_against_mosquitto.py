"""`manovac run RIG --emulated` against mosquitto, as its users see it: topics, schemas, and how it ends."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from threading import Thread
from typing import Any, Final

import jsonschema
import pytest

from drivers.rig import Rig
from drivers.rig_source import load_rig
from gateway.mqtt.schemas import KINDS, Kind, schema
from tests.conftest import Mosquitto

BASE: Final = "manovac/v1/bench"
WITHIN_S: Final = 15.0


@dataclass
class Subscriber:
    """mosquitto_sub on everything; a thread collects what it prints."""

    process: subprocess.Popen[str]
    got: list[tuple[str, bool, str]] = field(default_factory=list)  # topic, retained, payload

    def __post_init__(self) -> None:
        self._thread = Thread(target=self.collect)
        self._thread.start()

    def end(self) -> None:
        """Leave nothing behind."""
        self.process.kill()
        self._thread.join()
        self.process.communicate()

    def collect(self) -> None:
        """Read until its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            retained, topic, payload = line.rstrip("\n").split(" ", 2)
            self.got.append((topic, retained == "1", payload))

    def last(self, topic: str) -> dict[str, Any] | None:
        """Return the newest payload of a topic."""
        payloads = [payload for each, _, payload in list(self.got) if each == topic]
        return json.loads(payloads[-1]) if payloads else None


@pytest.fixture
def subscribe(require_program: Callable[[str], str], mosquitto: Mosquitto) -> Iterator[Callable[[], Subscriber]]:
    program = require_program("mosquitto_sub")
    subscribers: list[Subscriber] = []

    def start() -> Subscriber:
        command = [program, "-p", str(mosquitto.port), "-q", "1", "-t", "manovac/#", "-F", "%r %t %p"]
        subscriber = Subscriber(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        subscribers.append(subscriber)
        return subscriber

    yield start
    for each in subscribers:
        each.end()


@pytest.fixture
def rig_file(tmp_path: Path, mosquitto: Mosquitto) -> Path:
    """The bench rig that ships, with this broker."""
    text = files("hil").joinpath("rigs", "bench.toml").read_text()
    path = tmp_path / "bench.toml"
    path.write_text(text.replace("mqtt://127.0.0.1:1883", mosquitto.url))
    return path


@pytest.fixture
def gateway(rig_file: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "run", str(rig_file), "--emulated"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()
    for pipe in (process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until it is so; fail when it takes far longer than it ever should."""
    deadline_s = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Say whether a process is there; one that has ended and waits for its parent is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def expected_topics(rig: Rig) -> dict[str, Kind]:
    """Every topic of the bench, with the kind of its payload."""
    quantities = {"keller-33x": ("pressure", "temperature"), "waveshare-8ch": ("pressure",)}
    readings = {
        f"{BASE}/seg/{words.segment}/{quantity}/{name}": "reading"
        for name, words in rig.transducers.items()
        for quantity in quantities[words.model]
    }
    batches = {f"{BASE}/seg/{segment}/batch": "batch" for segment in rig.segments}
    own = {f"{BASE}/gw/pi1/{kind}": kind for kind in ("status", "meta", "health")}
    states = {f"{BASE}/seg/{segment}/state": "state" for segment in rig.segments}
    hatches = {f"{BASE}/hatch/{hatch.id}": "hatch" for hatch in rig.hatches}
    return {**readings, **batches, **own, **states, **hatches, f"{BASE}/leak": "leak"}  # type: ignore[dict-item]


def test_mosquitto_sub_receives_each_topic_and_sigterm_ends_everything(
    subscribe: Callable[[], Subscriber], gateway: subprocess.Popen[str], rig_file: Path
) -> None:
    topics = expected_topics(load_rig(rig_file))
    listener = subscribe()
    wait_for(lambda: topics.keys() <= {topic for topic, _, _ in list(listener.got)})
    (emulator,) = children(gateway.pid)

    latecomer = subscribe()
    retained = {topic for topic, kind in topics.items() if kind not in {"batch", "health"}}
    wait_for(lambda: retained <= {topic for topic, kept, _ in list(latecomer.got) if kept})
    assert {topic for topic, kept, _ in latecomer.got if kept} == retained

    gateway.send_signal(signal.SIGTERM)
    out, _ = gateway.communicate(timeout=WITHIN_S)
    assert (gateway.returncode, out) == (0, "")
    assert not runs(emulator)
    status = f"{BASE}/gw/pi1/status"
    wait_for(lambda: (listener.last(status) or {})["state"] == "offline")
    assert (listener.last(status) or {})["reason"] == "stopped"

    topics[f"{BASE}/event/clock"] = "event"  # said by a gateway on a machine whose clock is not synchronised
    assert {topic for topic, _, _ in listener.got} <= topics.keys()
    seen: set[Kind] = set()
    for topic, _, payload in listener.got:
        jsonschema.validate(json.loads(payload), schema(topics[topic]))
        seen.add(topics[topic])
    quiet = {"alarm", "event", "ack", "response", *(kind for kind in KINDS if kind.startswith("command"))}
    assert seen - {"event"} == set(KINDS) - quiet, "nothing happens here"
    assert {json.loads(payload)["quality"] for topic, _, payload in listener.got if topics[topic] == "reading"} == {
        "good"
    }
    numbers = [json.loads(payload)["n"] for topic, _, payload in listener.got if topics[topic] in {"batch", "event"}]
    assert sorted(numbers) == list(range(min(numbers), max(numbers) + 1)), "each number once, none left out"


def test_after_kill_9_the_will_says_offline_and_the_emulator_ends_by_itself(
    subscribe: Callable[[], Subscriber], gateway: subprocess.Popen[str]
) -> None:
    listener = subscribe()
    status = f"{BASE}/gw/pi1/status"
    wait_for(lambda: any("/pressure/" in topic for topic, _, _ in list(listener.got)))
    (emulator,) = children(gateway.pid)
    online = listener.last(status) or {}
    assert (online["state"], online["reason"]) == ("online", None)
    gateway.kill()
    wait_for(lambda: (listener.last(status) or {})["state"] == "offline")
    will = listener.last(status) or {}
    assert (will["reason"], will["boot"]) == ("connection lost", online["boot"])
    wait_for(lambda: not runs(emulator))
