"""The polls of one bus: on their grid, fair, and never ended by a device or a driver."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from drivers.bus import Bus
from drivers.exchange import Ask, Outcome, Request
from drivers.model import Identity
from drivers.reader import UnitReader
from drivers.reading import Channel, RawPoll, Reason
from drivers.transport.memory import MemoryTransport
from drivers.units import UNITS
from firmware_sim.clock import run_virtual
from gateway.poller import Poller
from tests.drivers.scripted_line import LINE, TCP, Answers, ScriptedLine, fences, healthy, question, silent

CHANNELS = (Channel(transducer="p", quantity="pressure", unit=UNITS["Pa"]),)


@dataclass
class Gauge:
    """A driver of one question; `error` is what its polls raise."""

    unit: int
    error: Exception | None = None
    channels: tuple[Channel, ...] = CHANNELS

    @property
    def requests(self) -> tuple[Request, ...]:
        return (question(self.unit),)

    @property
    def fences(self) -> tuple[Request, ...]:
        return fences(self.unit)

    async def identify(self, ask: Ask) -> Identity:
        return Identity()

    async def poll(self, ask: Ask) -> RawPoll:
        if self.error is not None:
            raise self.error
        attempt = await ask(self.requests[0])
        if attempt.outcome is not Outcome.REPLY:
            return RawPoll.nothing(self.channels, attempt.outcome.reason, attempt.time_s)
        return RawPoll(
            channels=self.channels,
            values=np.zeros(1),
            reasons=np.zeros(1, dtype=np.uint8),
            time_s=attempt.time_s,
            uncertainty_s=0.0,
        )


class Run:
    """What a poller delivered in a while."""

    def __init__(self) -> None:
        self.polls: list[tuple[float, int, Reason]] = []
        self.poller: Poller | None = None
        self.overdue_s = 0.0

    def look(self) -> None:
        assert self.poller is not None
        self.overdue_s = self.poller.overdue_s()

    def times(self, unit: int) -> list[float]:
        return [at_s for at_s, each, _ in self.polls if each == unit]

    def reasons(self, unit: int) -> list[Reason]:
        return [reason for _, each, reason in self.polls if each == unit]

    def take(self, bus: Bus, unit: int, raw: RawPoll) -> None:
        """Note a poll."""
        self.polls.append((bus.now_s(), unit, Reason(int(raw.reasons[0]))))

    async def of(
        self, bus: Bus, gauges: list[Gauge], periods: dict[int, float], seconds: float, look_s: float = 0.0
    ) -> "Run":
        """Poll for that long, and at a moment look for how long the bus is overdue."""
        readers = {gauge.unit: UnitReader(bus, gauge.unit, gauge) for gauge in gauges}

        self.poller = Poller(bus, readers, periods, lambda unit, raw: self.take(bus, unit, raw))
        asyncio.get_running_loop().call_later(look_s, self.look)
        try:
            async with asyncio.timeout(seconds):
                await self.poller.run()
        except TimeoutError:
            pass
        await asyncio.sleep(0)
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        return self


def over_tcp(number: int, frame: bytes) -> Answers:
    count = frame[11]
    data = bytes((number >> 8, number & 0xFF)) * count
    yield 0.02, frame[:4] + (3 + len(data)).to_bytes(2, "big") + frame[6:7] + bytes((3, 2 * count)) + data


def poll(
    line: ScriptedLine,
    periods: dict[int, float],
    seconds: float,
    *,
    window: int = 0,
    errors: dict[int, Exception] | None = None,
) -> Run:
    words = TCP.model_copy(update={"window": window}) if window else LINE
    gauges = [Gauge(unit, (errors or {}).get(unit)) for unit in periods]

    async def main() -> Run:
        return await Run().of(line.bus(words), gauges, periods, seconds)

    return run_virtual(main(), limit_s=10 * seconds)


def test_each_unit_is_polled_on_its_grid() -> None:
    run = poll(ScriptedLine(healthy), {1: 1.0, 2: 1.0, 3: 0.25}, 20.0)
    for unit, polls in ((1, 20), (2, 20), (3, 80)):
        assert abs(len(run.times(unit)) - polls) <= 1
        assert set(run.reasons(unit)) == {Reason.NONE}
    assert run.poller is not None
    assert run.poller.schedule is not None
    assert sum(run.poller.schedule.missed.values()) == 0
    assert run.poller.heartbeat_s > 19


def test_a_dead_unit_among_eight_costs_the_others_no_poll() -> None:
    line = ScriptedLine(lambda number, frame: silent(number, frame) if frame[0] == 3 else healthy(number, frame))
    run = poll(line, dict.fromkeys(range(1, 9), 1.0), 60.0)
    assert set(run.reasons(3)) == {Reason.TIMEOUT}
    assert len(run.times(3)) >= 59  # each poll of it is told bad, also while it rests
    for unit in (1, 2, 4, 5, 6, 7, 8):
        assert set(run.reasons(unit)) == {Reason.NONE}
        assert len(run.times(unit)) >= 59


def test_when_every_unit_is_silent_all_are_told_bad_and_the_line_is_mostly_left_alone() -> None:
    line = ScriptedLine(silent)
    run = poll(line, dict.fromkeys(range(1, 9), 1.0), 60.0)
    for unit in range(1, 9):
        assert set(run.reasons(unit)) == {Reason.TIMEOUT}
        assert len(run.times(unit)) >= 57
    assert len(line.asked) < 8 * 60 / 2


def test_a_port_that_does_not_exist_yields_bad_readings_until_it_does() -> None:
    run = poll(ScriptedLine(healthy, refusals=5), {1: 1.0}, 20.0)
    reasons = run.reasons(1)
    assert reasons[0] is Reason.BUS_DOWN
    assert reasons[-1] is Reason.NONE
    back = reasons.index(Reason.NONE)
    assert set(reasons[:back]) == {Reason.BUS_DOWN}
    assert set(reasons[back:]) == {Reason.NONE}


def test_an_adapter_that_is_pulled_out_in_the_middle_of_a_question_comes_back_by_itself() -> None:
    line = ScriptedLine(healthy)

    def respond(number: int, frame: bytes) -> Answers:
        if number == 30:
            asyncio.get_running_loop().call_later(0.001, line.unplug)
            return ()
        return healthy(number, frame)

    line.respond = respond
    run = poll(line, {1: 1.0, 2: 1.0}, 60.0)
    told = run.reasons(1) + run.reasons(2)
    assert Counter(told)[Reason.BUS_DOWN] in {1, 2}
    assert set(told) == {Reason.NONE, Reason.BUS_DOWN}
    assert line.connects == 2


@pytest.mark.parametrize("window", [0, 1, 4])
def test_units_of_a_bus_that_is_too_slow_have_their_turns(window: int) -> None:
    line = ScriptedLine(over_tcp if window else healthy)
    run = poll(line, dict.fromkeys(range(1, 8), 0.01), 20.0, window=window)
    turns = [len(run.times(unit)) for unit in range(1, 8)]
    assert max(turns) - min(turns) <= 1
    assert min(turns) > 50


def test_several_polls_are_under_way_at_once_on_modbus_tcp_and_each_unit_keeps_its_period() -> None:
    periods = {1: 0.05, 2: 0.05, 3: 1.0, 4: 1.0, 5: 0.2}
    run = poll(ScriptedLine(over_tcp), periods, 20.0, window=4)
    for unit, period_s in periods.items():
        assert abs(len(run.times(unit)) - 20.0 / period_s) <= 2
        assert set(run.reasons(unit)) == {Reason.NONE}


def test_a_silent_unit_on_modbus_tcp_holds_up_no_other() -> None:
    line = ScriptedLine(lambda number, frame: silent(number, frame) if frame[6] == 1 else over_tcp(number, frame))
    run = poll(line, dict.fromkeys(range(1, 6), 0.1), 20.0, window=2)
    for unit in range(2, 6):
        assert len(run.times(unit)) >= 198


def test_a_driver_that_fails_is_its_own_trouble_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    class NumberedError(RuntimeError):
        count = 0

        def __str__(self) -> str:
            self.count += 1
            return f"error {self.count}"

    with caplog.at_level(logging.ERROR):
        run = poll(ScriptedLine(healthy), {1: 0.5, 2: 0.5}, 60.0, errors={1: NumberedError()})
    assert set(run.reasons(1)) == {Reason.CONFIG}
    assert set(run.reasons(2)) == {Reason.NONE}
    assert run.poller is not None
    assert run.poller.crashes == len(run.times(1)) > 100
    assert len([record for record in caplog.records if "the driver failed" in record.message]) == 1


def test_readings_that_nobody_can_take_are_counted_and_no_trouble_of_other_units(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Choosy(Run):
        def take(self, bus: Bus, unit: int, raw: RawPoll) -> None:
            if unit == 1:
                raise ValueError
            super().take(bus, unit, raw)

    async def main() -> Run:
        return await Choosy().of(ScriptedLine(healthy).bus(LINE), [Gauge(1), Gauge(2)], {1: 1.0, 2: 1.0}, 20.0)

    run = run_virtual(main(), limit_s=200)
    assert len(run.times(2)) >= 19
    assert run.poller is not None
    assert run.poller.undelivered in {19, 20}
    assert caplog.text.count("Traceback") == 1


def test_a_poll_that_never_ends_makes_its_bus_overdue_however_well_the_others_do() -> None:
    @dataclass
    class Stuck(Gauge):
        async def poll(self, ask: Ask) -> RawPoll:
            return await asyncio.get_running_loop().create_future()

    async def main() -> Run:
        words = TCP.model_copy(update={"window": 2})
        gauges = [Stuck(1), Gauge(2)]
        return await Run().of(ScriptedLine(over_tcp).bus(words), gauges, {1: 1.0, 2: 1.0}, 60.0, look_s=50.0)

    run = run_virtual(main(), limit_s=600)
    assert len(run.times(2)) >= 59
    assert run.overdue_s == pytest.approx(46.0, abs=1.5)


def test_a_bus_that_was_ended_by_a_bug_goes_on_with_its_schedule_and_each_poll_is_accounted_for() -> None:
    class Fragile(Bus):
        async def run(self) -> None:
            async with asyncio.timeout(20.3):
                await super().run()

    async def main() -> tuple[Run, Poller]:
        run, bus = Run(), Fragile("test", LINE, make_transport=lambda _: MemoryTransport(ScriptedLine(healthy).connect))
        readers = {unit: UnitReader(bus, unit, Gauge(unit)) for unit in (1, 2)}
        poller = Poller(bus, readers, {1: 1.0, 2: 0.5}, lambda unit, raw: run.take(bus, unit, raw))
        for _ in range(3):
            with pytest.raises(ExceptionGroup) as ended:
                await poller.run()
            assert ended.group_contains(TimeoutError)
            await asyncio.sleep(3.5)
            assert poller.overdue_s() == 0.0, "that a poll may take"
            await asyncio.sleep(6.5)
            assert 0.0 < poller.overdue_s() < 10.0
        return run, poller

    run, poller = run_virtual(main(), limit_s=1000)
    assert poller.schedule is not None
    for unit, period_s in ((1, 1.0), (2, 0.5)):
        due = run.times(unit)[-1] / period_s
        assert len(run.times(unit)) + poller.schedule.missed[unit] == pytest.approx(due, abs=2)
        assert poller.schedule.missed[unit] == pytest.approx(20.0 / period_s, abs=4)


def test_a_bus_that_goes_down_and_comes_back_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    line = ScriptedLine(healthy)

    def respond(number: int, frame: bytes) -> Answers:
        if number == 20:
            line.refusals = 5
            line.unplug()
            return ()
        return healthy(number, frame)

    line.respond = respond
    with caplog.at_level(logging.INFO):
        poll(line, {1: 1.0}, 60.0)
    told = [record.message.split(":")[0] for record in caplog.records if record.name == "gateway.poller"]
    assert told == ["bus test is down", "bus test is back"]


async def test_a_unit_that_rests_lets_others_run_however_late_everything_is() -> None:
    class Late(Bus):
        """A bus on which each look at the clock takes as long as two polls may, and whose only unit rests."""

        late_s = 0.0

        def now_s(self) -> float:
            self.late_s += 0.02
            return self.late_s

        def resting(self, unit: int) -> Outcome | None:
            return Outcome.TIMEOUT

    bus = Late("tcp", TCP, make_transport=lambda _: MemoryTransport(ScriptedLine(silent).connect))
    polls = 0

    def deliver(unit: int, raw: RawPoll) -> None:
        nonlocal polls
        polls += 1
        if polls > 1000:
            pytest.fail("nobody else had a turn")

    poller = Poller(bus, {1: UnitReader(bus, 1, Gauge(1))}, {1: 0.01}, deliver)
    running = asyncio.create_task(poller.run())
    while polls < 10:  # noqa: ASYNC110 - a turn of the loop is what is looked at
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])
    assert polls < 1000
