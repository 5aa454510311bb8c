"""The fleet on one end of a line, the gateway on the other, as over two RS-485 adapters; pseudo-terminals stand in."""

import asyncio
import os
import shutil
import subprocess
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from drivers.reading import Quality
from drivers.rig import Rig
from firmware_sim.fleet import Fleet
from firmware_sim.physics.world import World
from tests.end_to_end.test_real_ports import run, running
from tests.end_to_end.virtual_station import FALLING, RISING, keller, rig

TWO = rig({"kind": "serial", "baud": 115200}, {"p1": keller(1, FALLING, "20 ms"), "p2": keller(2, RISING, "20 ms")})
TEXT = rig(
    {"kind": "serial", "baud": 115200},
    {"p1": {"model": "paroscientific-6000", "unit": 1, "segment": FALLING, "poll": "20 ms"}},
)

Line = Callable[[Path], AbstractContextManager[tuple[Path, Path]]]
"""Joins two ports in a folder: the gateway's, the fleet's."""


@contextmanager
def line_of_socat(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Join two pseudo-terminals by socat."""
    socat = shutil.which("socat")
    if socat is None:
        pytest.skip("socat is not installed")
    ends = folder / "gateway", folder / "fleet"
    process = subprocess.Popen([socat, *(f"pty,raw,echo=0,link={end}" for end in ends)])
    try:
        while not all(end.exists() for end in ends):
            assert process.poll() is None
        yield ends
    finally:
        process.terminate()
        process.wait()


@contextmanager
def line_of_ptys(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Join two pseudo-terminals, the fleet's behind an adapter that hears itself."""
    pairs = [os.openpty() for _ in range(2)]
    for _, other in pairs:
        tty.setraw(other)
    (gateway, _), (fleet, _) = pairs
    loop = asyncio.get_running_loop()

    def carry_to_gateway() -> None:
        data = os.read(fleet, 4096)
        os.write(gateway, data)
        os.write(fleet, data)

    loop.add_reader(gateway, lambda: os.write(fleet, os.read(gateway, 4096)))
    loop.add_reader(fleet, carry_to_gateway)
    try:
        yield Path(os.ttyname(pairs[0][1])), Path(os.ttyname(pairs[1][1]))
    finally:
        loop.remove_reader(gateway)
        loop.remove_reader(fleet)
        for fd in (*pairs[0], *pairs[1]):
            os.close(fd)


@pytest.mark.parametrize("line", [line_of_socat, line_of_ptys], ids=["socat", "adapter that hears itself"])
@pytest.mark.parametrize("words", [TWO, TEXT], ids=["keller", "text"])
def test_the_gateway_reads_a_fleet_over_a_line(line: Line, words: Rig, tmp_path: Path) -> None:
    async def main() -> None:
        with line(tmp_path) as (ours, theirs):
            fleet = Fleet(words, world=World(words), serial={"b": str(theirs)})
            async with fleet.serve():
                fleet.ports["b"] = str(ours)
                async with running(words, fleet) as (got, until, _):
                    await until(lambda got: len(got) >= 8)
                statistics = fleet.lines["b"].statistics
        assert {each.channel.transducer for each in got} == set(words.transducers)
        assert sum(each.quality is Quality.GOOD for each in got) >= 0.8 * len(got)
        assert statistics.answers >= 8

    run(main())
