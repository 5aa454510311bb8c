"""A NATS cluster of three servers of which one is killed every 10 s for three minutes: what the consumer misses.

`python -m tests.benchmarks.nats_cluster` prints it; `--write` keeps it in docs/fleet.md.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.benchmarks.harness import Check, Table, machine, write
from tests.nats_cluster import Cluster, Station, Verdict, cluster

_DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "fleet.md"
_KILLS: Final = 18
_EVERY_S: Final = 10.0
_AWAY_S: Final = 3.0
_START_S: Final = 60.0
_END_S: Final = 180.0
_LOAD: Final = {"units": 4, "values": 10, "batch": "0.2 s", "poll": "0.2 s"}


def measure(seed: int) -> Table:
    """Measure it."""
    with tempfile.TemporaryDirectory(prefix="manovac-nats-") as name:
        folder = Path(name)
        with cluster(folder, **_LOAD) as servers:
            station = Station(servers, folder)
            try:
                longest_s, verdict = _kill_and_see(servers, station, random.Random(seed))
            finally:
                station.close()
    return Table(
        conditions=(
            "Three nats-server with the settings of `manovac broker-config`, TLS and access rules included; a gateway"
            f" with its journal, {_LOAD['units']} units of {_LOAD['values']} channels five times a second, and as many"
            f" batches; `manovac sub --ack`. Each {_EVERY_S:g} s, {_KILLS} times, one server drawn at random"
            f" (seed {seed}) was killed with kill -9, and started again {_AWAY_S:g} s later."
        ),
        columns=("numbers given", "stored", "the consumer's verdict", "gateway connections", "longest without news, s"),
        rows=(
            (
                str(verdict.given),
                str(verdict.stored),
                verdict.text,
                str(verdict.connections),
                f"{longest_s:.0f}",
            ),
        ),
        checks=(Check(text="nothing lost", met=verdict.nothing_lost),),
    )


def _kill_and_see(servers: Cluster, station: Station, draw: random.Random) -> tuple[float, Verdict]:
    """Return the longest time in which nothing reached the consumer's file, and the verdict."""
    station.wait_stored(100, _START_S)
    watched = _Watched(station)
    for _ in range(_KILLS):
        host = draw.choice(servers.hosts)
        servers.kill(host)
        watched.sleep(_AWAY_S)
        servers.start(host)
        watched.sleep(_EVERY_S - _AWAY_S)
    station.wait_complete(station.stored + 500, _END_S)  # the backlog comes beside what is new
    given = station.end_gateway()
    station.wait_stored(given, _END_S)
    return watched.longest_s, station.verdict(given)


class _Watched:
    """Looks each half second whether the consumer has stored anything new."""

    def __init__(self, station: Station) -> None:
        self._station = station
        self._stored = station.stored
        self._since_s = time.monotonic()
        self.longest_s = 0.0

    def sleep(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while (now_s := time.monotonic()) < end_s:
            if (stored := self._station.stored) > self._stored:
                self._stored, self._since_s = stored, now_s
            self.longest_s = max(self.longest_s, now_s - self._since_s)
            time.sleep(0.5)


def main() -> int:
    """Return 0 when nothing was lost, else 3."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.nats_cluster", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="draws the servers that are killed")
    parser.add_argument("--write", action="store_true", help=f"keep the table in docs/{_DOCUMENT.name}")
    words = parser.parse_args()
    load = os.getloadavg()[0]
    table = measure(words.seed)
    text = f"{table.markdown()}\n\n{machine(load)}"
    print(text, flush=True)
    if words.write:
        write(_DOCUMENT, "nats-cluster", text)
    return 0 if all(check.met for check in table.checks) else 3


if __name__ == "__main__":
    sys.exit(main())
