"""What the gateway tells of itself."""

import asyncio

import pytest

from drivers.reader import UnitReader
from drivers.rig import Bus as BusWords
from firmware_sim.clock import run_virtual
from gateway.health import HealthCheck, memory_bytes
from gateway.mqtt.outbox import LinkStatistics, Outbox
from gateway.mqtt.payloads import Health
from gateway.poller import Poller
from gateway.supervision import Again, Supervision
from tests.drivers.scripted_line import LINE, TCP, ScriptedLine, healthy, silent
from tests.gateway.test_poller import Gauge, over_tcp


def link() -> LinkStatistics:
    return LinkStatistics(
        connected=True,
        protocol="5",
        published=3,
        acknowledged=3,
        refused=0,
        reconnects=0,
        in_flight=0,
        outbox=Outbox(clock=lambda: 0.0).statistics(),
    )


def healths(line: ScriptedLine, words: BusWords, periods: dict[int, float], *times_s: float) -> list[Health]:
    """Poll, and take a snapshot at each of these times."""

    async def main() -> list[Health]:
        bus = line.bus(words)
        readers = {unit: UnitReader(bus, unit, Gauge(unit)) for unit in periods}
        poller = Poller(bus, readers, periods, lambda unit, raw: None)
        check = HealthCheck([poller], Supervision(), commands={}, lost_before={})
        taken = []
        tasks = [asyncio.create_task(poller.run()), asyncio.create_task(Again("loop lag", check.watch_loop).run())]
        for time_s in times_s:
            await asyncio.sleep(time_s - bus.now_s())
            taken.append(check.snapshot(link(), sync="ntp"))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        return taken

    return run_virtual(main(), limit_s=10 * max(times_s))


def test_attempts_and_round_trips_are_told_by_unit() -> None:
    (health,) = healths(ScriptedLine(healthy), LINE, {1: 1.0, 2: 1.0}, 10.2)
    bus = health.buses["test"]
    assert (bus.up, bus.problem, bus.connects, bus.foreign) == (True, "", 1, 0)
    for unit in (1, 2):
        assert bus.units[unit].attempts["reply"] >= 10
        mean_s = bus.units[unit].round_trip_mean_s
        assert mean_s == pytest.approx(0.003, rel=0.01)
    assert (health.sync, health.queue_messages, health.losses) == ("ntp", 0, {})
    assert health.loop_lag_s < 1e-3


def test_line_use_is_that_since_the_time_before() -> None:
    first, second = healths(ScriptedLine(healthy), LINE, {1: 0.1}, 10.0, 20.0)
    assert first.buses["test"].line_use == pytest.approx(second.buses["test"].line_use, rel=0.05)
    assert 0.05 < second.buses["test"].line_use < 0.2


def test_the_use_of_a_connection_with_a_window_is_a_fraction_too() -> None:
    line = ScriptedLine(over_tcp)
    words = TCP.model_copy(update={"window": 4})
    (health,) = healths(line, words, dict.fromkeys(range(1, 9), 0.01), 10.0)
    assert 0.9 < health.buses["test"].line_use <= 1.0


def test_a_unit_that_never_answered_has_no_round_trip() -> None:
    (health,) = healths(ScriptedLine(silent), LINE, {1: 1.0}, 10.0)
    unit = health.buses["test"].units[1]
    assert (unit.round_trip_mean_s, unit.round_trip_longest_s) == (None, None)
    assert unit.attempts["timeout"] > 0


def test_polls_that_the_line_had_no_time_for_are_losses() -> None:
    (health,) = healths(ScriptedLine(healthy), LINE, dict.fromkeys(range(1, 8), 0.01), 10.0)
    assert health.losses["missed_polls"] > 1000
    assert health.buses["test"].overruns > 100
    assert health.buses["test"].longest_poll_s > 0.01


def test_a_bus_that_is_down_says_why() -> None:
    (health,) = healths(ScriptedLine(healthy, refusals=10**6), LINE, {1: 1.0}, 10.0)
    bus = health.buses["test"]
    assert (bus.up, bus.problem, bus.connects) == (False, "memory: no such port", 0)
    assert bus.units[1].attempts["bus_down"] > 0
    assert bus.line_use == 0


def test_the_memory_of_this_process_is_known() -> None:
    assert memory_bytes() > 10_000_000
