"""One question at a time on a line: what is heard, what it is taken for, and that each attempt ends."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from drivers.exchange import Attempt, Outcome, Request
from drivers.half_duplex import HalfDuplex
from drivers.rig import Bus as BusWords
from drivers.wire.ascii_line import LineRequest
from drivers.wire.modbus import rtu_frame
from firmware_sim.clock import run_virtual
from tests.drivers.scripted_line import (
    CHARACTER_S,
    LATENCY_S,
    LINE,
    Answers,
    ScriptedLine,
    answer,
    fences,
    healthy,
    outcomes,
    question,
    refuse,
    reply,
    silent,
)

Q = question()
OTHER = question(2, count=125)
FOREIGN = rtu_frame(77, bytes((3, 4, 1, 2, 3, 4)))
SOON_S = LATENCY_S + 20 * CHARACTER_S


def probe(line: ScriptedLine, request: Request = Q, words: BusWords = LINE) -> Attempt:
    """Ask once, with nothing before."""

    async def main() -> Attempt:
        async with line.opened(words) as bus:
            return await bus.probe(request)

    return run_virtual(main(), limit_s=60)


def heard(*pieces: tuple[float, bytes]) -> Attempt:
    return probe(ScriptedLine(lambda number, frame: pieces))


def test_an_answer_is_stamped_between_question_and_answer() -> None:
    frame = reply(Q)
    attempt = heard((LATENCY_S + len(frame) * CHARACTER_S, frame))
    assert attempt.outcome is Outcome.REPLY
    assert attempt.frame == frame
    assert attempt.answered_s - attempt.sent_s == pytest.approx(LATENCY_S, abs=1e-6)
    assert attempt.time_s == pytest.approx(attempt.sent_s + LATENCY_S / 2, abs=1e-6)
    assert attempt.uncertainty_s == pytest.approx(LATENCY_S / 2, abs=1e-6)


def test_a_refusal_is_an_exception_with_its_code() -> None:
    attempt = heard((SOON_S, refuse(Q.frame, 4)))
    assert (attempt.outcome, attempt.code) == (Outcome.EXCEPTION, 4)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_an_answer_in_pieces_behind_noise_is_found(size: int) -> None:
    data = b"\x01\x03\x00\xff" + reply(Q, 7)
    pieces = [(SOON_S + 0.002 * at, data[at : at + size]) for at in range(0, len(data), size)]
    attempt = heard(*pieces)
    assert (attempt.outcome, attempt.frame) == (Outcome.REPLY, reply(Q, 7))


@pytest.mark.parametrize(
    ("pieces", "outcome"),
    [
        ((), Outcome.TIMEOUT),
        (((SOON_S, reply(Q)[:5]),), Outcome.SHORT),
        (((SOON_S, reply(Q)[:-1] + b"\x00"),), Outcome.CRC),
        (((SOON_S, b"\x55\xaa\x55"),), Outcome.CRC),
        (((SOON_S, FOREIGN),), Outcome.FOREIGN),
        (((SOON_S, FOREIGN[:4]), (SOON_S + 0.001, FOREIGN[4:])), Outcome.FOREIGN),
        (((SOON_S, reply(question(count=9))),), Outcome.FOREIGN),
        (((0.0, Q.frame),), Outcome.TIMEOUT),  # the adapter's echo alone is silence
        (((0.0, Q.frame[:3]),), Outcome.CRC),
    ],
)
def test_what_is_no_answer_has_its_own_outcome(pieces: Answers, outcome: Outcome) -> None:
    assert heard(*pieces).outcome is outcome


def conversation(
    line: ScriptedLine, act: Callable[[Callable[[Request], Awaitable[Attempt]], ScriptedLine], Awaitable[None]]
) -> dict[str, object]:
    """Talk to unit 1 with fences; return the statistics of the line and of the unit."""

    async def main() -> dict[str, object]:
        async with line.opened() as bus:
            await act(bus.unit(1, fences()), line)
            statistics = bus.statistics()
        return {"echo": statistics.echo, "foreign": statistics.foreign, **outcomes(bus), **statistics.units[1].unused}

    return run_virtual(main(), limit_s=600)


def echoing(respond: Callable[[int, bytes], Answers]) -> Callable[[int, bytes], Answers]:
    """Let the adapter hear itself."""
    return lambda number, frame: [(0.0, frame), *respond(number, frame)]


def test_an_adapter_that_hears_itself_is_learned_and_forgotten() -> None:
    echo_for = 6

    def respond(number: int, frame: bytes) -> Answers:
        return echoing(healthy)(number, frame) if number <= echo_for else healthy(number, frame)

    async def act(ask: Callable[[Request], Awaitable[Attempt]], line: ScriptedLine) -> None:
        for _ in range(8):
            assert (await ask(Q)).outcome is Outcome.REPLY

    assert not conversation(ScriptedLine(respond), act)["echo"]
    echo_for = 100
    assert conversation(ScriptedLine(respond), act)["echo"]


def test_a_known_echo_that_comes_back_otherwise_is_a_collision() -> None:
    def respond(number: int, frame: bytes) -> Answers:
        return echoing(healthy)(number, frame) if number <= 5 else [(0.0, bytes(len(frame)))]

    async def act(ask: Callable[[Request], Awaitable[Attempt]], line: ScriptedLine) -> None:
        for _ in range(4):
            assert (await ask(Q)).outcome is Outcome.REPLY
        assert (await ask(Q)).outcome is Outcome.ECHO_MISMATCH

    assert conversation(ScriptedLine(respond), act)["echo"]


def test_a_late_answer_of_the_same_unit_is_late_not_foreign_and_makes_the_bus_more_patient() -> None:
    def respond(number: int, frame: bytes) -> Answers:  # from the sixth question on it is slow, one after the other
        yield (0.003 if number <= 5 else 0.060) + len(answer(frame)) * CHARACTER_S, answer(frame, number)

    async def act(ask: Callable[[Request], Awaitable[Attempt]], line: ScriptedLine) -> None:
        for _ in range(4):
            assert (await ask(Q)).outcome is Outcome.REPLY
        for _ in range(3):
            await ask(Q)
            await asyncio.sleep(3.0)
        assert (await ask(Q)).outcome is Outcome.REPLY

    counts = conversation(ScriptedLine(respond), act)
    assert "foreign" not in {name for name, number in counts.items() if name != "foreign" or number}
    assert counts["late"]


def test_a_device_that_is_always_one_answer_behind_is_waited_for_in_the_end() -> None:
    free_s = 0.0

    def respond(number: int, frame: bytes) -> Answers:  # each answer takes 60 ms of its processor, in order
        nonlocal free_s
        now_s = asyncio.get_running_loop().time()
        free_s = max(free_s, now_s) + (0.060 if number > 6 else 0.004)
        yield free_s - now_s, answer(frame, number)

    async def act(ask: Callable[[Request], Awaitable[Attempt]], line: ScriptedLine) -> None:
        answered = [(await ask(Q)).outcome is Outcome.REPLY for _ in range(30)]
        assert all(answered[:5])
        assert all(answered[-10:])

    conversation(ScriptedLine(respond), act)


def test_an_answer_to_an_older_question_of_another_unit_is_foreign_here_and_late_there() -> None:
    async def main() -> None:
        line = ScriptedLine(lambda number, frame: [(0.3, answer(frame))] if frame[0] == 2 else ())
        async with line.opened() as bus:
            assert (await bus.probe(OTHER)).outcome is Outcome.TIMEOUT
            assert (await bus.probe(Q)).outcome is Outcome.FOREIGN
            assert bus.statistics().units[2].unused == {"late": 1}
            assert bus.statistics().foreign == 0

    run_virtual(main(), limit_s=60)


def test_a_line_that_never_falls_silent_ends_questions_unasked_and_heals_at_once() -> None:
    async def main() -> None:
        line = ScriptedLine(healthy)
        async with line.opened() as bus:
            asks = {unit: bus.unit(unit, fences(unit)) for unit in range(1, 9)}
            for unit, ask in asks.items():
                assert (await ask(question(unit))).outcome is Outcome.REPLY
            babbling = asyncio.create_task(babble(line))
            await asyncio.sleep(0.1)
            asked, start_s = len(line.asked), bus.now_s()
            for unit, ask in asks.items():
                attempt = await ask(question(unit))
                assert attempt.outcome is Outcome.BUSY
                assert attempt.heard
            assert len(line.asked) == asked
            assert bus.now_s() - start_s < 2.5  # all of them are told bad within seconds
            babbling.cancel()
            await asyncio.sleep(0.01)
            for unit, ask in asks.items():
                assert bus.resting(unit) is None  # none of them is to blame
                assert (await ask(question(unit))).outcome is Outcome.REPLY

    async def babble(line: ScriptedLine) -> None:
        while True:
            line.say(b"\x55")
            await asyncio.sleep(0.001)

    run_virtual(main(), limit_s=60)


@pytest.mark.parametrize("data", [b"\x02\x03\xfa", b"\x55", FOREIGN, reply(Q)[:3], Q.frame])
def test_an_attempt_ends_however_long_somebody_babbles_into_it(data: bytes) -> None:
    async def main() -> float:
        line = ScriptedLine(silent)
        async with line.opened() as bus:
            await bus.probe(OTHER)  # so that the head of its long answer is waited for
            asking = asyncio.create_task(bus.probe(Q))
            await asyncio.sleep(0.01)
            start_s = bus.now_s()
            while not asking.done():
                line.say(data)
                await asyncio.sleep(0.005)
            assert (await asking).outcome is not Outcome.REPLY
            return bus.now_s() - start_s

    assert run_virtual(main(), limit_s=60) < 1.0


def test_a_flood_is_looked_at_only_in_part() -> None:
    attempt = heard((SOON_S, bytes(range(256)) * 400), (0.19, reply(Q)))
    assert attempt.outcome is Outcome.CRC
    assert attempt.answered_s < 0.1


def test_bytes_without_a_question_take_no_memory() -> None:
    async def main() -> None:
        line = ScriptedLine(healthy)
        async with line.opened() as bus:
            for _ in range(1000):
                line.say(bytes(1000))
            assert len(bus._line._heard) <= 4096  # type: ignore[attr-defined]
            await asyncio.sleep(1)
            assert (await bus.probe(Q)).outcome is Outcome.REPLY

    run_virtual(main(), limit_s=60)


@pytest.mark.parametrize("when", ["while it waits for silence", "after the question"])
def test_a_line_that_is_lost_ends_the_attempt_as_bus_down(when: str) -> None:
    async def main() -> Attempt:
        line = ScriptedLine(silent)
        async with line.opened() as bus:
            line.say(b"\x55")
            asking = asyncio.create_task(bus.probe(Q))
            await asyncio.sleep(0.0005 if when.startswith("while") else 0.01)
            assert len(line.asked) == (0 if when.startswith("while") else 1)
            line.unplug()
            return await asking

    attempt = run_virtual(main(), limit_s=60)
    assert attempt.outcome is Outcome.BUS_DOWN


def broken_check(line: bytes) -> bool:
    raise KeyError(line)


BROKEN = LineRequest(
    unit=9, frame=b"p?\n", head=b"p", answer=re.compile(rb"p=\d+\n"), answer_size=9, intact=broken_check
)


@pytest.mark.parametrize("pieces", [[(SOON_S, b"p=12\n")], [(SOON_S, b"p=1"), (SOON_S + 0.001, b"2\n")]])
def test_a_grammar_that_fails_is_its_askers_error_and_the_line_goes_on(pieces: list[tuple[float, bytes]]) -> None:
    async def main() -> None:
        line = ScriptedLine(lambda number, frame: pieces if frame == BROKEN.frame else healthy(number, frame))
        async with line.opened() as bus:
            with pytest.raises(KeyError):
                await bus.probe(BROKEN)
            assert (await bus.probe(Q)).outcome is Outcome.REPLY
            assert outcomes(bus, 9) == {"cancelled": 1}

    run_virtual(main(), limit_s=60)


def test_what_came_while_the_process_stood_still_is_heard_before_the_next_question(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A timeout rings late, and the answer lies in the port already: the loop reads it in its next turn, not before."""
    line = ScriptedLine(lambda number, frame: () if number == 1 else healthy(number, frame))
    overdue = HalfDuplex._overdue
    said_s: list[float] = []

    def say() -> None:
        said_s.append(asyncio.get_running_loop().time())
        line.say(answer(Q.frame))

    def overdue_while_bytes_wait(self: HalfDuplex, waiting: Any) -> None:
        overdue(self, waiting)
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, say)

    monkeypatch.setattr(HalfDuplex, "_overdue", overdue_while_bytes_wait)

    async def main() -> None:
        async with line.opened() as bus:
            await bus.probe(Q)
            await bus.probe(OTHER)

    run_virtual(main(), limit_s=60)
    assert len(said_s) == 1
    assert line.asked[1][0] - said_s[0] >= LINE.silence_s
