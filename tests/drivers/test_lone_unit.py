"""A unit with one question only: silence is its fence, and an answer that may be old says so."""

import asyncio
import itertools
import random
import re

import pytest

from drivers.bus import Bus
from drivers.exchange import Attempt, Outcome, Quiet
from drivers.rig import Bus as BusWords
from drivers.transport.memory import MemoryTransport
from drivers.wire.ascii_line import LineRequest
from firmware_sim.clock import run_virtual
from tests.drivers.in_order_device import InOrderDevice, Mishap
from tests.drivers.scripted_line import ScriptedLine

WORDS = BusWords.model_validate({"kind": "serial", "port": "memory", "baud": 9600, "timeout": "300 ms"})
QUIET = Quiet(span_s=1.0)
QUESTION = LineRequest(unit=1, frame=b"P\r", head=b"p", answer=re.compile(rb"p\d{6}\n"), answer_size=8)
KINDS = ("none", "none", "request lost", "answer lost", "late", "duplicate", "noise", "truncate")


class Gauge(InOrderDevice):
    """Brings the number of the question, or of every fourth one: so some answers equal the one before."""

    def _answer(self, frame: bytes, number: int) -> bytes:
        return b"p%06d\n" % (number // 4 * 4 if self.static else number)


async def polled(device: Gauge, times: int, period_s: float = 1.0) -> list[tuple[Attempt, tuple[float, float]]]:
    """Poll; return each attempt with the times at which its number and the next other one were asked for."""
    bus = Bus("test", WORDS, make_transport=lambda _: MemoryTransport(device.connect))
    asked_s: list[float] = []
    question = device.question

    def noted(frame: bytes) -> None:
        asked_s.append(asyncio.get_running_loop().time())
        question(frame)

    device.question = noted  # type: ignore[method-assign]
    attempts = []
    async with bus.opened():
        ask = bus.unit(1, QUIET)
        for _ in range(times):
            attempts.append(await ask(QUESTION))
            await asyncio.sleep(period_s)
    return [(each, _moment(each, asked_s)) for each in attempts]


def _moment(attempt: Attempt, asked_s: list[float]) -> tuple[float, float]:
    """When the number of an answer was measured: from the first question that it answers to the last."""
    if attempt.outcome is not Outcome.REPLY:
        return 0.0, 0.0
    number = int(attempt.frame[1:7])
    same = [at for count, at in enumerate(asked_s, 1) if count == number or count // 4 * 4 == number]
    return min(same or asked_s[:3]), max(same or asked_s[:3])


def run(mishaps: list[Mishap], times: int = 8, *, static: bool = False) -> list[Attempt]:
    return [each for each, _ in run_virtual(polled(Gauge(mishaps=mishaps, static=static), times))]


def late(delay_s: float) -> Mishap:
    return Mishap(kind="late", delay_s=delay_s)


def test_a_healthy_unit_is_asked_at_once_and_its_answers_are_of_their_moment() -> None:
    attempts = run([])
    assert [each.outcome for each in attempts] == [Outcome.REPLY] * 8
    assert max(each.uncertainty_s for each in attempts) < 0.01
    gaps = [after.sent_s - before.sent_s for before, after in itertools.pairwise(attempts)]
    assert max(gaps) < 1.02, "no silence beyond that of the polls is waited for"


def test_a_late_answer_is_dropped_and_the_next_one_says_that_it_may_be_old() -> None:
    attempts = run([Mishap(), Mishap(), late(0.8)])
    assert [each.outcome for each in attempts] == [*[Outcome.REPLY] * 2, Outcome.TIMEOUT, *[Outcome.REPLY] * 5]
    assert [int(each.frame[1:7]) for each in attempts if each.frame] == [1, 2, 4, 5, 6, 7, 8]
    widths = [each.answered_s - each.sent_s for each in attempts]
    assert widths[3] > 2.0, "from the last accepted one on"
    assert max(widths[4:]) < 0.02


def test_an_answer_equal_to_the_one_before_may_be_its_duplicate() -> None:
    attempts = run([], static=True)
    wide = [each.answered_s - each.sent_s > 0.9 for each in attempts]
    equal = [before.frame == after.frame for before, after in itertools.pairwise(attempts)]
    assert wide[1:] == equal
    assert any(equal)
    assert not all(equal)


def test_after_a_long_outage_an_answer_is_not_hours_old() -> None:
    attempts = run([Mishap(), *[Mishap(kind="request lost")] * 40], times=43)
    assert attempts[-2].outcome is Outcome.REPLY
    assert attempts[41].answered_s - attempts[41].sent_s <= 10.0


@pytest.mark.parametrize("static", [False, True])
def test_no_answer_is_older_than_it_says_in_any_of_five_hundred_sequences(static: bool) -> None:
    accepted = 0
    for seed in range(250):
        draw = random.Random(f"{seed}{static}")
        mishaps = [Mishap(kind=draw.choice(KINDS), delay_s=draw.uniform(0, 0.9), place=3) for _ in range(10)]
        for attempt, (first_s, last_s) in run_virtual(
            polled(Gauge(mishaps=mishaps, static=static), 14, draw.choice((0.1, 1.0)))
        ):
            if attempt.outcome is Outcome.REPLY:
                accepted += 1
                assert attempt.sent_s <= last_s + 0.01, f"seed {seed}"
                assert attempt.answered_s >= first_s
    assert accepted > 1700


async def test_a_second_question_is_a_mistake_of_the_driver() -> None:
    async def ask_two() -> None:
        bus = Bus("test", WORDS, make_transport=lambda _: MemoryTransport(Gauge(mishaps=[]).connect))
        async with bus.opened():
            ask = bus.unit(1, QUIET)
            await ask(QUESTION)
            other = LineRequest(unit=1, frame=b"T\r", head=b"t", answer=re.compile(rb"t\n"), answer_size=2)
            with pytest.raises(ValueError, match="a second question"):
                await ask(other)

    await ask_two()


def test_a_line_that_goes_away_while_it_must_be_silent_leaves_the_doubt() -> None:
    async def unplug() -> tuple[list[Outcome], float]:
        line = ScriptedLine(lambda number, frame: [(0.01, b"p%06d\n" % number)])
        async with line.opened(WORDS) as bus:
            ask = bus.unit(1, QUIET)
            outcomes = [(await ask(QUESTION)).outcome]
            line.say(b"unasked")
            turn = asyncio.create_task(ask(QUESTION))
            await asyncio.sleep(0.5)
            line.unplug()
            lost_s = bus.now_s()
            outcomes += [(await turn).outcome, (await ask(QUESTION)).outcome]
            return outcomes, line.asked[-1][0] - lost_s

    outcomes, waited_s = run_virtual(unplug())
    assert outcomes == [Outcome.REPLY, Outcome.BUSY, Outcome.REPLY]
    assert waited_s >= QUIET.span_s


def test_on_a_line_that_babbles_it_is_not_asked() -> None:
    async def babble() -> tuple[Outcome, int]:
        line = ScriptedLine(lambda number, frame: [])
        async with line.opened(WORDS) as bus:
            ask = bus.unit(1, QUIET)
            turn = asyncio.create_task(ask(QUESTION))
            for _ in range(20):
                await asyncio.sleep(0.4)
                line.say(b"noise")
            return (await turn).outcome, len(line.asked)

    assert run_virtual(babble()) == (Outcome.BUSY, 0)
