"""Parts that fail or stand still: begun again, named, and no trouble of others."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from firmware_sim.clock import run_virtual
from gateway.supervision import Again, Supervision


@dataclass
class Scripted:
    """A part that does what the test says at each beginning, and is overdue since it last beat."""

    acts: list[Callable[["Scripted"], Awaitable[None]]]
    name: str = "bus near"
    began_s: list[float] = field(default_factory=list)
    beat_s: float = 0.0

    async def run(self) -> None:
        now_s = self.beat_s = asyncio.get_running_loop().time()
        self.began_s.append(now_s)
        await self.acts[min(len(self.began_s), len(self.acts)) - 1](self)

    def overdue_s(self) -> float:
        return asyncio.get_running_loop().time() - self.beat_s


async def beat(part: Scripted) -> None:
    while True:
        await asyncio.sleep(1.0)
        part.beat_s = asyncio.get_running_loop().time()


async def fail(part: Scripted) -> None:
    async with asyncio.TaskGroup():
        raise ZeroDivisionError("a bug")


async def hang(part: Scripted) -> None:
    began_s = part.beat_s
    part.beat_s = 0.0 if len(part.began_s) == 1 else began_s
    await asyncio.Event().wait()


def keep(seconds: float, *parts: Scripted | Again, look: Callable[[Supervision], None] = lambda _: None) -> None:
    """Keep parts for that long, then look."""

    async def main() -> None:
        supervision = Supervision()
        before = asyncio.all_tasks()
        tasks = [asyncio.create_task(supervision.keep(part)) for part in parts]
        await asyncio.sleep(seconds)
        look(supervision)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
        assert asyncio.all_tasks() == before

    run_virtual(main(), limit_s=10 * seconds)


def test_a_part_that_fails_is_begun_again_ever_later_and_named(caplog: pytest.LogCaptureFixture) -> None:
    part = Scripted([fail])

    def look(supervision: Supervision) -> None:
        told = supervision.health()["bus near"]
        assert (told.failures, told.problem) == (len(part.began_s), "ZeroDivisionError: a bug")

    keep(400.0, part, look=look)
    pauses = [later - sooner for sooner, later in zip(part.began_s, part.began_s[1:], strict=False)]
    assert pauses[:7] == pytest.approx([1, 2, 4, 8, 16, 32, 60])
    assert set(pauses[7:]) == {60.0}
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    assert caplog.text.count("Traceback") == 1, "once is enough"
    assert len(caplog.records) < 10


def test_a_part_that_works_again_is_no_problem_any_more_and_others_never_noticed() -> None:
    broken, well = Scripted([fail, beat]), Scripted([beat], name="bus far")

    def look(supervision: Supervision) -> None:
        assert {name: (each.failures, each.problem) for name, each in supervision.health().items()} == {
            "bus near": (1, "")
        }
        assert supervision.stuck() == []

    keep(200.0, broken, well, look=look)
    assert len(well.began_s) == 1


def test_a_part_that_stands_still_is_begun_again() -> None:
    part = Scripted([hang, beat])

    def look(supervision: Supervision) -> None:
        assert supervision.health()["bus near"].problem == "TimeoutError: nothing came of it for 30 s"

    keep(60.0, part, look=look)
    assert part.began_s == pytest.approx([0.0, 36.0])


def test_a_part_that_ends_or_is_cancelled_from_within_is_begun_again_too() -> None:
    async def end(part: Scripted) -> None:
        pass

    async def give_up(part: Scripted) -> None:
        raise asyncio.CancelledError

    for act in (end, give_up):
        part = Scripted([act, beat])
        keep(
            10.0, part, look=lambda told: _is([told.health()["bus near"].problem], ["RuntimeError: it ended by itself"])
        )
        assert part.began_s == [0.0, 1.0]


def test_a_process_that_was_stopped_as_a_whole_has_no_part_that_stood_still() -> None:
    class Stopped(Scripted):
        """For an hour nothing ran; by the clock it is as overdue as that, until it goes on."""

        def overdue_s(self) -> float:
            now_s = asyncio.get_running_loop().time()
            return 3600.0 if 10.0 <= now_s < 11.0 else 0.0

    part = Stopped([beat])
    keep(60.0, part, look=lambda supervision: _is(list(supervision.health()), []))
    assert part.began_s == [0.0]


def test_what_no_new_beginning_helps_is_stuck() -> None:
    @dataclass
    class Dead(Scripted):
        def overdue_s(self) -> float:
            return asyncio.get_running_loop().time()

    part = Dead([hang])
    keep(299.0, part, look=lambda supervision: _is(supervision.stuck(), []))
    keep(301.0, part, Scripted([beat], name="bus far"), look=lambda supervision: _is(supervision.stuck(), ["bus near"]))


def test_what_fails_for_minutes_is_stuck_even_if_it_is_never_overdue_until_it_has_lived_for_a_minute() -> None:
    class Prompt(Scripted):
        def overdue_s(self) -> float:
            return 0.0

    async def live_long(part: Scripted) -> None:
        await asyncio.sleep(100.0)
        raise ZeroDivisionError("a bug")

    keep(299.0, Prompt([fail]), look=lambda supervision: _is(supervision.stuck(), []))
    keep(400.0, Prompt([fail]), look=lambda supervision: _is(supervision.stuck(), ["bus near"]))
    for seconds, stuck in ((350.0, ["bus near"]), (370.0, [])):
        works_in_the_end = Prompt([*[fail] * 10, beat])
        keep(seconds, works_in_the_end, look=lambda supervision, stuck=stuck: _is(supervision.stuck(), stuck))
        assert works_in_the_end.began_s[-1] == pytest.approx(303.0)
    keep(1000.0, Prompt([live_long]), look=lambda supervision: _is(supervision.stuck(), []))


def _is(told: list[str], wanted: list[str]) -> None:
    assert told == wanted


def test_again_acts_at_the_pace_that_it_is_told_and_is_overdue_while_it_fails() -> None:
    acted: list[float] = []

    def act() -> float:
        acted.append(asyncio.get_running_loop().time())
        if len(acted) > 3:
            raise LookupError("gone")
        return 2.0

    async def main() -> None:
        part = Again("job", act, first_s=5.0)
        assert part.overdue_s() == 0.0
        with pytest.raises(LookupError):
            await part.run()
        assert acted == pytest.approx([5.0, 7.0, 9.0, 11.0])
        await asyncio.sleep(20.0)
        with pytest.raises(LookupError):
            await part.run()
        assert part.overdue_s() == pytest.approx(20.0)
        assert acted[-1] == pytest.approx(31.0), "at once"

    run_virtual(main(), limit_s=1000)


def test_an_interrupt_is_nobodys_failure() -> None:
    async def main() -> None:
        supervision = Supervision()
        part = Scripted([beat])
        kept = asyncio.create_task(supervision.keep(part))
        await asyncio.sleep(10.0)
        kept.cancel()
        with pytest.raises(asyncio.CancelledError):
            await kept
        assert supervision.health() == {}

    run_virtual(main(), limit_s=100)
