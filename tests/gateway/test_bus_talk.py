"""What an engineer is told of a bus while the gateway runs, in virtual time."""

import asyncio
import logging

import pytest

from drivers.bus import Bus
from drivers.reader import reader
from drivers.rig_source import load_rig
from drivers.transport.memory import MemoryTransport
from firmware_sim.clock import run_virtual
from firmware_sim.testing import emulated
from gateway.poller import Poller
from tests.commands import BENCH


def told(caplog, faults, for_s):
    """Run the bench's bus with faults for a while; return level and text of what was logged."""
    rig = load_rig(BENCH)

    async def main():
        async with emulated(rig, memory=True, faults=faults) as fleet:
            memory = fleet.memory["rs485"]
            bus = Bus("rs485", rig.buses["rs485"], make_transport=lambda _: MemoryTransport(memory.connect))
            units = rig.units("rs485")
            readers = {unit: reader(bus, unit, words) for unit, words in units.items()}
            poller = Poller(bus, readers, dict.fromkeys(units, 1.0), lambda unit, raw: None)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(for_s):
                    await poller.run()

    caplog.set_level(logging.INFO, "gateway")
    run_virtual(main())
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_a_healthy_bus_says_nothing(caplog):
    assert told(caplog, [], 30) == []


def test_a_bus_that_goes_down_and_comes_back_says_both_once(caplog):
    down, back = told(caplog, ["unplug:rs485@10s+20s"], 60)
    assert down[0] == "WARNING"
    assert down[1].startswith("bus rs485 is down: ")
    assert back == ("INFO", "bus rs485 is back")


def test_a_bus_that_is_down_from_the_start_says_so_once(caplog):
    (line,) = told(caplog, ["unplug:rs485@0s"], 60)
    assert line[0] == "WARNING"


def test_a_loose_plug_fills_no_log_and_its_last_state_is_told(caplog):
    flaps = [f"unplug:rs485@{second}s+500ms" for second in range(10, 40)]
    lines = told(caplog, flaps, 60)
    assert 2 <= len(lines) <= 8
    assert lines[0][0] == "WARNING"
    assert lines[-1] == ("INFO", "bus rs485 is back")
