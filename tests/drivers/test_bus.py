"""Turns, fences and rest: who is asked when, and what it costs the others."""

import asyncio
from collections.abc import Callable

import pytest

from drivers.bus import WRITE, Bus
from drivers.exchange import Attempt, Outcome
from drivers.rig import Bus as BusWords
from firmware_sim.clock import run_virtual
from tests.drivers.scripted_line import (
    CHARACTER_S,
    LATENCY_S,
    LINE,
    TCP,
    Answers,
    ScriptedLine,
    answer,
    fences,
    healthy,
    outcomes,
    question,
    refuse,
    silent,
    still,
)

Q = question()


def counts(bus: Bus, unit: int = 1) -> int:
    return sum(outcomes(bus, unit).values())


def refusing(_: int, frame: bytes) -> Answers:
    yield LATENCY_S, refuse(frame)


def test_a_healthy_unit_is_asked_once_per_turn_after_its_first_fence() -> None:
    async def main() -> None:
        line = ScriptedLine(healthy)
        async with line.opened() as bus:
            ask = bus.unit(1, fences())
            for _ in range(20):
                assert (await ask(Q)).outcome is Outcome.REPLY
            assert len(line.asked) == 21
            assert outcomes(bus) == {"reply": 21}

    run_virtual(main(), limit_s=60)


def test_a_value_that_stands_still_is_proven_with_a_fence_each_time() -> None:
    async def main() -> None:
        line = ScriptedLine(still)
        async with line.opened() as bus:
            ask = bus.unit(1, fences())
            for _ in range(20):
                assert (await ask(Q)).outcome is Outcome.REPLY
            assert len(line.asked) <= 2 * 20 + 1
            assert outcomes(bus).get("late", 0) <= 1  # once, until it is known to stand still

    run_virtual(main(), limit_s=60)


def test_two_values_that_stand_still_prove_each_other_without_fences() -> None:
    other = question(function=4, count=5)

    async def main() -> None:
        line = ScriptedLine(still)
        async with line.opened() as bus:
            ask = bus.unit(1, fences())
            for _ in range(20):
                assert (await ask(Q)).outcome is Outcome.REPLY
                assert (await ask(other)).outcome is Outcome.REPLY
            assert len(line.asked) == 1 + 2 * 20

    run_virtual(main(), limit_s=60)


def test_a_unit_that_refuses_everything_is_told_so_as_far_as_it_can_be_proven_and_never_asked_for_ever() -> None:
    async def main() -> None:
        line = ScriptedLine(refusing)
        async with line.opened() as bus:
            other_function = question(function=4)
            ask = bus.unit(1, (fences()[0], other_function))
            results = [(await ask(Q)).outcome for _ in range(10)]
            assert set(results) <= {Outcome.EXCEPTION, Outcome.LATE}
            assert results.count(Outcome.EXCEPTION) >= 9
            assert len(line.asked) <= 40

    run_virtual(main(), limit_s=60)


def test_no_turn_asks_more_than_a_handful_of_questions_whatever_comes_back() -> None:
    responses: list[Callable[[int, bytes], Answers]] = [
        silent,
        still,
        refusing,
        lambda number, frame: [(0.25, answer(frame, number))],
        lambda number, frame: [(0.01, b"\x00" * 9)],
        lambda number, frame: [(0.01, refuse(frame)), (0.02, answer(frame))],
        lambda number, frame: [(0.01, answer(frame)), (0.02, answer(frame))],
    ]

    async def main(line: ScriptedLine) -> None:
        async with line.opened() as bus:
            ask = bus.unit(1, fences())
            for _ in range(10):
                before = len(line.asked)
                await ask(Q)
                assert len(line.asked) - before <= 6
            assert counts(bus) == len(line.asked)

    for respond in responses:
        run_virtual(main(ScriptedLine(respond)), limit_s=60)


def share_of(bad: Callable[[int, bytes], Answers], *, seconds: float) -> float:
    """Poll a healthy unit and a bad one in turn; return the share of the line that the bad one takes."""

    async def main() -> float:
        line = ScriptedLine(lambda number, frame: bad(number, frame) if frame[0] == 2 else healthy(number, frame))
        async with line.opened() as bus:
            asks = {unit: bus.unit(unit, fences(unit)) for unit in (1, 2)}
            while bus.now_s() < seconds:
                for unit, ask in asks.items():
                    if bus.resting(unit) is None:
                        await ask(question(unit))
            units = bus.statistics().units
            return units[2].line_s / (units[1].line_s + units[2].line_s)

    return run_virtual(main(), limit_s=2 * seconds)


def garbage(_: int, frame: bytes) -> Answers:
    yield 0.01, bytes(range(40))


def always_late(number: int, frame: bytes) -> Answers:
    yield 0.3, answer(frame, number)


@pytest.mark.parametrize(("bad", "share"), [(silent, 0.1), (garbage, 0.1), (always_late, 0.125)])
def test_a_bad_unit_takes_a_bounded_share_of_the_line(bad: Callable[[int, bytes], Answers], share: float) -> None:
    assert share_of(bad, seconds=120.0) < share


def test_a_unit_that_was_silent_for_days_is_asked_again_within_seconds_and_costs_no_memory() -> None:
    alive = False

    async def main() -> None:
        line = ScriptedLine(lambda number, frame: healthy(number, frame) if alive else ())
        async with line.opened() as bus:
            ask = bus.unit(1, fences())
            for _ in range(20_000):
                await ask(Q)
            assert len(list(bus._records[1].ledger.owed)) < 10
            nonlocal alive
            alive, back_s = True, bus.now_s()
            await asyncio.sleep(bus._records[1].rest.until_s - back_s)
            while (await ask(Q)).outcome is not Outcome.REPLY:
                pass
            assert bus.now_s() - back_s < 5.0

    run_virtual(main(), limit_s=1e6)


def test_why_a_unit_rests_is_remembered() -> None:
    async def main() -> None:
        line = ScriptedLine(garbage)
        async with line.opened() as bus:
            ask = bus.unit(1, fences())
            assert bus.resting(1) is None
            assert (await ask(Q)).outcome is Outcome.CRC
            assert bus.resting(1) is Outcome.CRC
            assert bus.silent(1)

    run_virtual(main(), limit_s=60)


def test_a_command_goes_ahead_of_reads_that_wait() -> None:
    async def main() -> None:
        line = ScriptedLine(healthy)
        async with line.opened() as bus:
            read, command = bus.unit(1, fences()), bus.unit(1, fences(), priority=WRITE)
            done: list[str] = []

            async def note(name: str, asking: asyncio.Future[Attempt]) -> None:
                await asking
                done.append(name)

            async with asyncio.TaskGroup() as tasks:
                for name, ask in [("r1", read), ("r2", read), ("r3", read), ("w", command)]:
                    tasks.create_task(note(name, asyncio.ensure_future(ask(Q))))
                    await asyncio.sleep(0)
            assert done == ["r1", "w", "r2", "r3"]

    run_virtual(main(), limit_s=60)


@pytest.mark.parametrize("words", [LINE, TCP])
def test_askers_who_go_away_leave_the_line_to_the_others(words: BusWords) -> None:
    """Cancel waiting and asking tasks at every moment: no place is lost, and each attempt has one outcome."""

    async def main(after_s: float) -> None:
        line = ScriptedLine(silent)
        async with line.opened(words) as bus:
            ask = bus.unit(1, fences())
            asking = [asyncio.ensure_future(ask(Q)) for _ in range(6)]
            await asyncio.sleep(after_s)
            for task in (asking[0], asking[3], asking[5]):
                task.cancel()
            results = await asyncio.gather(*asking, return_exceptions=True)
            assert sum(isinstance(each, Attempt) for each in results) >= 3
            assert counts(bus) == len(line.asked)
            line.respond = lambda number, frame: [(LATENCY_S, to_words(frame, words))]
            await asyncio.sleep(10)
            last = [await asyncio.wait_for(ask(Q), 5) for _ in range(3)][-1]
            assert last.outcome is Outcome.REPLY  # a fence that was asked many times is proven by another one

    for step in range(12):
        run_virtual(main(0.0045 + 0.05 * step), limit_s=60)


def to_words(frame: bytes, words: BusWords) -> bytes:
    """Answer a read as such a bus brings it."""
    if words is LINE:
        return answer(frame)
    pdu = answer(frame[6:] + b"\x00\x00")[1:-2]
    return frame[:4] + (len(pdu) + 1).to_bytes(2, "big") + frame[6:7] + pdu


def test_a_probe_beforehand_takes_no_fences_away() -> None:
    async def main() -> None:
        line = ScriptedLine(healthy)
        async with line.opened() as bus:
            assert (await bus.probe(Q)).outcome is Outcome.REPLY
            ask = bus.unit(1, fences())
            assert {(await ask(Q)).outcome for _ in range(3)} == {Outcome.REPLY}
            line.respond = silent
            await ask(Q)
            assert line.asked[-1][1] in {fence.frame for fence in fences()}

    run_virtual(main(), limit_s=60)


def test_a_driver_without_fences_is_refused_where_they_are_needed() -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="bus test, unit 1: its driver names no fences"):
            ScriptedLine(healthy).bus().unit(1, ())
        ScriptedLine(healthy).bus(TCP).unit(1, ())

    run_virtual(main())


def test_a_unit_whose_line_was_away_is_asked_a_fence_first() -> None:
    """Whoever used the line meanwhile may have left a question whose answer is still to come."""

    async def main() -> None:
        line = ScriptedLine(healthy)
        async with line.opened() as bus:
            ask = bus.unit(1, fences())
            await ask(Q)
            line.unplug()
            assert (await ask(Q)).outcome is Outcome.BUS_DOWN
            await bus.changed()
            while not bus.up:
                await bus.changed()
            asked = len(line.asked)
            asyncio.get_running_loop().call_later(0.008, line.say, answer(Q.frame, 9999))
            attempt = await ask(Q)
            assert line.asked[asked][1] != Q.frame
            assert attempt.outcome is Outcome.REPLY
            assert attempt.frame != answer(Q.frame, 9999)

    run_virtual(main(), limit_s=60)


def test_an_answer_that_takes_as_long_as_its_characters_is_waited_for() -> None:
    longest = question(count=125)

    async def main() -> None:
        line = ScriptedLine(lambda _, frame: [(LATENCY_S + 255 * CHARACTER_S, answer(frame))])
        async with line.opened() as bus:
            ask = bus.unit(1, fences())
            for _ in range(5):
                assert (await ask(longest)).outcome is Outcome.REPLY

    run_virtual(main(), limit_s=60)


def test_a_port_that_does_not_open_is_told_with_its_reason() -> None:
    async def main() -> None:
        line = ScriptedLine(healthy, refusals=1000)
        with pytest.raises(ConnectionError, match="bus test: memory: no such port"):
            async with line.opened():
                pass
        assert (await line.bus().unit(1, fences())(Q)).outcome is Outcome.BUS_DOWN
        assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    run_virtual(main(), limit_s=60)
