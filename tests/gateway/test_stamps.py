"""UTC of moments on the event loop's clock."""

import asyncio

import pytest

from firmware_sim.clock import run_virtual
from gateway.stamps import ClockChange, Stamps, kernel_sync


class Wall:
    """A wall clock that runs with the loop until somebody sets it."""

    def __init__(self) -> None:
        self.offset_s = 1_750_000_000.0

    def __call__(self) -> float:
        return asyncio.get_running_loop().time() + self.offset_s


def test_a_step_of_the_wall_clock_is_told_once_and_moves_later_stamps_only() -> None:
    async def story() -> None:
        wall = Wall()
        stamps = Stamps(wall=wall, sync=lambda: "free")
        await asyncio.sleep(100.0)
        before = stamps.utc_ms(50.0)
        wall.offset_s += 7200.0
        assert stamps.utc_ms(60.0) - before == 10_000, "no rate is bent between two checks"
        assert stamps.check() == ClockChange(before="free", after="free", step_s=7200.0)
        assert stamps.check() is None
        assert stamps.utc_ms(60.0) - before == 7_210_000
        assert stamps.utc_ms(61.0) - stamps.utc_ms(60.0) == 1000

    run_virtual(story())


def test_slewing_is_followed_and_is_no_step() -> None:
    async def story() -> None:
        wall = Wall()
        stamps = Stamps(wall=wall, sync=lambda: "ntp")
        wall.offset_s += 0.05
        assert stamps.check() is None
        assert stamps.utc_ms(0.0) == 1_750_000_000_050

    run_virtual(story())


@pytest.mark.parametrize("asked_first", [False, True])
def test_what_happens_between_the_two_questions_of_a_look_loses_no_step_of_a_free_clock(asked_first: bool) -> None:
    """Whatever sets the clock says "synchronised" no sooner than it steps."""

    async def story() -> None:
        wall, states = Wall(), ["free", "free"]

        def come_right() -> None:
            if len(states) == 2:
                wall.offset_s += 1e9
                states.append("ntp")

        def sync() -> str:
            state = states[-1]
            if armed and asked_first:
                come_right()
            return state

        def now() -> float:
            now_s = wall()
            if armed and not asked_first:
                come_right()
            return now_s

        armed = False
        stamps = Stamps(wall=now, sync=sync)
        armed = True
        changes = [change for change in (stamps.check(), stamps.check()) if change is not None]
        assert sum(change.step_s for change in changes) == 1e9
        assert all(change.step_s == 0.0 for change in changes if change.before == "ntp"), "it was corrected while free"
        assert stamps.sync == "ntp"

    run_virtual(story())


def test_a_free_clock_is_followed_once_a_minute_and_at_once_when_it_is_synchronised() -> None:
    async def story() -> None:
        wall, state = Wall(), "free"
        stamps = Stamps(wall=wall, sync=lambda: state)
        first_ms = stamps.utc_ms(0.0)
        wall.offset_s += 10.0
        assert stamps.check() == ClockChange(before="free", after="free", step_s=10.0)
        wall.offset_s += 5.0
        await asyncio.sleep(59.0)
        assert stamps.check() is None
        assert stamps.utc_ms(0.0) == first_ms + 10_000, "stamps stay as they were told"
        await asyncio.sleep(1.0)
        assert stamps.check() == ClockChange(before="free", after="free", step_s=5.0)
        wall.offset_s += 3.0
        assert stamps.check() is None
        state = "ntp"
        assert stamps.check() == ClockChange(before="free", after="ntp", step_s=3.0)
        wall.offset_s += 1.0
        assert stamps.check() == ClockChange(before="ntp", after="ntp", step_s=1.0), "one that was right is followed"

    run_virtual(story())


def test_nothing_is_too_old_while_the_clock_may_be_wrong() -> None:
    async def story() -> None:
        wall, state = Wall(), "free"
        stamps = Stamps(wall=wall, sync=lambda: state)
        await asyncio.sleep(7200.0)
        assert stamps.age_ms() == 0, "it runs free"
        state = "ntp"
        assert stamps.check() == ClockChange(before="free", after="ntp", step_s=0.0)
        assert stamps.age_ms() == stamps.utc_ms(7200.0)
        wall.offset_s += 1e9
        stamps.check()
        await asyncio.sleep(3599.0)
        assert stamps.age_ms() == 0, "it has stepped"
        await asyncio.sleep(1.0)
        assert stamps.age_ms() == stamps.utc_ms(10_800.0)

    run_virtual(story())


def test_the_kernel_tells_whether_its_clock_is_synchronised() -> None:
    assert kernel_sync() in {"ntp", "free", "unknown"}
