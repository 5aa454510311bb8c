"""Lets random faults loose on a whole station for hours, and says whether anything was lost unexplained, or grew."""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Final

from gateway import process
from gateway.cli import INTERRUPTED
from gateway.mqtt.journal import Journal
from tests.benchmarks.harness import Table, machine, write
from tests.soak.deeds import Deeds
from tests.soak.station import Station, station
from tests.soak.verdict import Outcome, Sample, read_record, table

_DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "soak.md"
_SAMPLE_S: Final = 10.0
_TOLD_S: Final = 300.0
_QUIET_S: Final = 30.0  # at both ends nothing is done: all that waits arrives, and health is told once more


async def soak(folder: Path, *, seconds: float, seed: int, quiet_s: float = _QUIET_S) -> Table:
    """Run it and return the verdict; its folder keeps logs, journal and the consumer's file."""
    async with station(folder, seed=seed) as running:
        deeds = Deeds(running, seed)
        samples: list[Sample] = []
        begin_s = time.monotonic()
        await _sample(running, samples, begin_s, quiet_s)
        async with deeds.going_on():
            await _sample(running, samples, begin_s, max(seconds - 2 * quiet_s, 0.0))
        await _sample(running, samples, begin_s, 2 * quiet_s)
        return table(running.rig, await _ended(running, deeds, samples), seed=seed)


async def _sample(running: Station, samples: list[Sample], begin_s: float, seconds: float) -> None:
    """Look at the gateway's process every now and then for that time, or until it has ended."""
    end_s = time.monotonic() + seconds
    while (now_s := time.monotonic()) < end_s and running.gateway.code is None:
        await asyncio.sleep(min(_SAMPLE_S, end_s - now_s))
        if running.gateway.code is not None:
            return
        sample = Sample(
            time_s=time.monotonic() - begin_s,
            memory_bytes=running.gateway.memory_bytes(),
            descriptors=running.gateway.descriptors(),
            cpu_s=running.gateway.cpu_s(),
        )
        if not samples or int(sample.time_s / _TOLD_S) > int(samples[-1].time_s / _TOLD_S):
            losses = running.health.last.get("losses")
            print(f"{sample.time_s:6.0f} s  {sample.memory_bytes / 2**20:.1f} MiB  {losses}", file=sys.stderr)
        samples.append(sample)
        with (running.folder / "samples.csv").open("a") as file:
            file.write(f"{sample.time_s:.1f},{sample.memory_bytes},{sample.descriptors},{sample.cpu_s:.2f}\n")


async def _ended(running: Station, deeds: Deeds, samples: list[Sample]) -> Outcome:
    """End the gateway, then everybody else, and collect what they have left."""
    seconds = time.monotonic() - running.began_s
    programs = (running.gateway, running.consumer, running.emulator)
    codes = {}
    for program in programs:
        codes[program.name] = await program.end()
        await asyncio.sleep(2.0)  # what the gateway said last gets to the consumer
    journal = Journal(running.journal, max_bytes=2**62, max_age_ms=2**62)
    journal.open()
    journal.close()
    got, polls = read_record(running.record, running.rig)
    return Outcome(
        seconds=seconds,
        samples=samples,
        deeds=deeds.done,
        undone=deeds.failed,
        losses=running.health.last["losses"],
        last_n=journal.last_n,
        got=got,
        polls=polls,
        consumer_said=running.consumer.out,
        trouble={program.name: program.trouble for program in programs},
        codes=codes,
        boots=len(running.health.boots),
        longest_lag_s=running.health.longest_lag_s,
    )


def main() -> int:
    """Return 0 when every requirement was met, else 3."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep logs, journal and record here (a new folder)")
    parser.add_argument("--write", action="store_true", help=f"keep the table in docs/{_DOCUMENT.name}")
    words = parser.parse_args()
    load = os.getloadavg()[0]
    if words.folder is not None:
        words.folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() if words.folder is None else nullcontext(str(words.folder)) as folder:
        found = process.run(soak(Path(folder), seconds=words.hours * 3600, seed=words.seed))
    if found is None:
        return INTERRUPTED
    text = f"{found.markdown()}\n\n{machine(load)}"
    print(text, flush=True)
    if words.write:
        write(_DOCUMENT, "soak", text)
    return 0 if all(check.met for check in found.checks) else 3


if __name__ == "__main__":
    sys.exit(main())
