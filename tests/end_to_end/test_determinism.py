"""The same seed gives the same history, to the byte: what was said on the lines and what was published."""

import hashlib
import os
import subprocess
import sys
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

import pytest

from drivers.rig import Rig
from drivers.rig_source import load_rig
from firmware_sim.physics.world import World
from tests.end_to_end.virtual_station import observe

WHILE_S: Final = 30.0
FAULTS: Final = ("crc:aft@2%", "late:node3@1%,delay=300ms", "silence:node1@1%", "noise:reference@2%")


def iss(seed: int) -> Rig:
    with as_file(files("hil") / "rigs" / "iss.toml") as path:
        rig = load_rig(path)
    return rig.model_copy(update={"emulator": rig.emulator.model_copy(update={"seed": seed})})


@cache
def while_of(seed: int) -> tuple[str, str, set[str]]:
    """Run the station for a while; return the hashes of all that was said and published, and the buses that talked."""
    seen = observe(iss(seed), WHILE_S, faults=FAULTS, make_world=World)
    published = hashlib.sha256()
    for at_s, message in seen.messages:
        if not message.topic.endswith("/health"):  # it tells of this process' memory
            published.update(b"%r %s %b\n" % (at_s, message.topic.encode(), message.payload))
    return seen.trace.hash(), published.hexdigest(), {record.bus for record in seen.trace.records}


@pytest.mark.xdist_group("determinism")
def test_the_same_seed_gives_the_same_trace_and_the_same_messages_in_another_process_too() -> None:
    said, published, buses = while_of(1)
    assert buses == iss(1).buses.keys()
    code = "from tests.end_to_end.test_determinism import while_of; print(*while_of(1)[:2])"
    root = Path(__file__).parents[2]
    surroundings = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(root)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=surroundings, capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == [said, published]


@pytest.mark.xdist_group("determinism")
def test_another_seed_gives_another_history() -> None:
    (said, published, _), (other_said, other_published, _) = (while_of(seed) for seed in (1, 2))
    assert said != other_said
    assert published != other_published
