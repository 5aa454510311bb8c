"""A broker that is killed (-9) and comes back, under load: what is missing, and how soon and late live messages are."""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

import orjson

from tests.benchmarks.harness import Check, Table
from tests.benchmarks.line import Emulator
from tests.benchmarks.tcp_load import SERVER, load_text
from tests.conftest import Mosquitto

_OUTAGES_S: Final = (5.0, 60.0)
_UNITS: Final = 8
_BATCH_S: Final = 0.1
_BEFORE_S: Final = 15.0
_AFTER_S: Final = 30.0
_COMMAND: Final = [sys.executable, "-c", "from gateway.cli import main; main()"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Came:
    """A message at a subscriber: when (s UTC), its kind, its number, and its newest reading (s UTC)."""

    at_s: float
    kind: str
    n: int
    newest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one outage brought: latencies in s of live messages, and what `manovac sub` says at the end."""

    first_s: float
    late: int
    in_order: bool
    before_s: list[float]
    backfill_s: list[float]
    verdict: str


def _came(lines: Path) -> list[_Came]:
    """Return the batches and replay commands that came."""
    came = []
    for line in lines.read_bytes().splitlines():
        at, _, rest = line.partition(b" ")
        topic, _, payload = rest.partition(b" ")
        kind = topic.decode().rpartition("/")[2]
        if kind == "replay":
            came.append(_Came(at_s=float(at), kind=kind, n=0, newest_s=0.0))
        elif kind in {"batch", "late"}:
            document = orjson.loads(payload)
            newest_ms = document["t0"] + max(max(column["dt"]) for column in document["channels"].values())
            came.append(_Came(at_s=float(at), kind=kind, n=document["n"], newest_s=newest_ms / 1000))
    return came


def _run(outage_s: float) -> _Run:
    text = load_text(units=_UNITS, values=8, batch=f"{_BATCH_S} s", poll=f"{_BATCH_S} s")
    emulator = Emulator(text, program=SERVER)
    with tempfile.TemporaryDirectory() as name, emulator.running():
        folder, quiet = Path(name), subprocess.DEVNULL
        broker = Mosquitto("/usr/sbin/mosquitto", folder, "max_queued_messages 0")
        broker.start()
        rig = folder / "rig.toml"
        text = text.replace('"127.0.0.1:1"', f'"{emulator.rig.buses["b1"].port}"')
        text = text.replace("[mqtt]\n", f'[mqtt]\nurl = "{broker.url}"\n')
        rig.write_text(f'{text}[journal]\npath = "{folder}/journal.sqlite"\n')
        consumer = [*_COMMAND, "sub", str(rig), "--ack", "store", "--to", f"{folder}/record.sqlite"]
        said = folder / "verdict"
        gateway = subprocess.Popen([*_COMMAND, "run", str(rig)], stderr=quiet)
        try:
            with said.open("wb") as out:
                store = subprocess.Popen([*consumer, "--duration", f"{_BEFORE_S + 5} s"], stdout=out, stderr=quiet)
            time.sleep(5.0)
            with _listening(broker, folder / "before"):
                time.sleep(_BEFORE_S)
            store.wait()
            broker.kill()
            time.sleep(outage_s)
            broker.start()
            back_s = time.time()
            with _listening(broker, folder / "after"), said.open("wb") as out:
                store = subprocess.Popen([*consumer, "--duration", f"{_AFTER_S} s"], stdout=out, stderr=quiet)
                store.wait()
        finally:
            gateway.terminate()
            gateway.wait()
            broker.kill()
        before, after = _came(folder / "before"), _came(folder / "after")
        late = [each for each in after if each.kind == "late"]
        until_s = max((each.at_s for each in late), default=back_s)
        live = [each for each in after if each.kind == "batch"]
        asked_s = min((each.at_s for each in after if each.kind == "replay"), default=until_s)  # and comes again then
        in_turn = [each.n for each in late if each.at_s <= asked_s]
        return _Run(
            first_s=min(each.at_s for each in live) - back_s,
            late=len({each.n for each in late}),
            in_order=in_turn == sorted(in_turn),
            before_s=[each.at_s - each.newest_s for each in before if each.kind == "batch"],
            backfill_s=[each.at_s - each.newest_s for each in live if each.at_s <= until_s],
            verdict=said.read_text().strip(),
        )


def _listening(broker: Mosquitto, lines: Path) -> "subprocess.Popen[bytes]":
    words = ["mosquitto_sub", "-p", str(broker.port), "-q", "1", "-t", "manovac/#", "-F", "%U %t %p"]
    return _Listener(words, stdout=lines.open("wb"))


class _Listener(subprocess.Popen[bytes]):
    """Ends with its `with` block."""

    def __exit__(self, *how: object) -> None:
        self.kill()
        super().__exit__(None, None, None)


def measure() -> Table:
    """Kill the broker for 5 s and for 60 s."""
    rows, checks = [], []
    for outage_s in _OUTAGES_S:
        run = _run(outage_s)
        before_s, backfill_s = median(run.before_s), median(run.backfill_s)
        rows.append(
            (
                f"{outage_s:g}",
                run.verdict,
                f"{run.late:,}",
                f"{run.first_s:.2f}",
                *(f"{1000 * value:.0f}" for value in (before_s, quantiles(run.before_s, n=20)[-1])),
                *(f"{1000 * value:.0f}" for value in (backfill_s, quantiles(run.backfill_s, n=20)[-1])),
            )
        )
        checks += [
            Check(text=f"{outage_s:g} s: nothing is missing", met=", 0 gaps" in run.verdict),
            Check(
                text=f"{outage_s:g} s: late ones in order, until one is asked for again",
                met=run.in_order and run.late > 0,
            ),
            Check(text=f"{outage_s:g} s: first live message within 2 s", met=run.first_s < 2.0),
            Check(text=f"{outage_s:g} s: live latency at most doubles", met=backfill_s <= 2 * before_s),
        ]
    return Table(
        conditions=(
            f"`manovac run` with {_UNITS} units on Modbus TCP, {_UNITS / _BATCH_S:.0f} messages of record a second,"
            " journal on disk with `commit` 1 s; mosquitto killed (-9), without persistence; the verdict is that of"
            " `manovac sub --ack`, which was away as long as the broker. Latency: from the newest reading of a live"
            " message to the subscriber, while the backlog comes beside it."
        ),
        columns=(
            "away, s",
            "verdict of the consumer",
            "late messages",
            "first live message, s",
            "latency before, ms, median",
            "95 %",
            "latency beside the backlog, ms, median",
            "95 %",
        ),
        rows=tuple(rows),
        checks=tuple(checks),
    )
