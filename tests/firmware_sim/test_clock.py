import asyncio
import threading
import time

import pytest

from firmware_sim import EmulatorError
from firmware_sim.clock import (
    Alarm,
    EmulatorClock,
    NothingToWaitForError,
    VirtualEventLoop,
    now_ns,
    run_virtual,
)
from tests.firmware_sim.devices import S


def test_a_virtual_day_starts_at_zero_and_ends_to_the_nanosecond():
    async def day():
        loop = asyncio.get_running_loop()
        start = now_ns(loop)
        for _ in range(24):
            await asyncio.sleep(3600)
        return start, now_ns(loop)

    assert run_virtual(day(), limit_s=100_000) == (0, 86_400 * 10**9)


def test_timers_fire_in_order_and_at_their_own_time():
    async def main():
        loop = asyncio.get_running_loop()
        fired = []
        for at_ns in (5_000_002, 3, 5_000_000, 1_234_567_891):
            loop.call_at(at_ns / 1e9, lambda at_ns=at_ns: fired.append((at_ns, now_ns(loop))))
        await asyncio.sleep(2)
        return fired

    fired = run_virtual(main())
    assert fired == [(at, at) for at in (3, 5_000_000, 5_000_002, 1_234_567_891)]


def test_a_wait_for_nothing_is_an_error_and_not_a_hang():
    async def stuck():
        await asyncio.sleep(1.5)
        await asyncio.Event().wait()

    with pytest.raises(NothingToWaitForError, match=r"1\.500000 virtual s") as caught:
        run_virtual(stuck())
    assert isinstance(caught.value, EmulatorError)


def test_work_in_a_thread_takes_no_virtual_time_though_a_timer_waits():
    async def main():
        loop = asyncio.get_running_loop()
        late = asyncio.create_task(asyncio.sleep(1e-6))
        await asyncio.to_thread(time.sleep, 0.02)
        at = loop.time()
        await late
        return at

    assert run_virtual(main()) == 0


def test_a_foreign_thread_can_wake_the_loop():
    async def main():
        loop = asyncio.get_running_loop()
        called = asyncio.Event()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(called.set,))
        thread.start()
        thread.join()
        await called.wait()
        return loop.time()

    assert run_virtual(main()) == 0


def test_the_limit_is_virtual_and_says_so():
    with pytest.raises(TimeoutError, match="10 virtual seconds"):
        run_virtual(asyncio.sleep(11), limit_s=10)


def test_a_timeout_of_the_coroutine_itself_is_not_taken_for_the_limit():
    async def main():
        async with asyncio.timeout(1):
            await asyncio.sleep(2)

    with pytest.raises(TimeoutError) as caught:
        run_virtual(main(), limit_s=10)
    assert "limit_s" not in str(caught.value)


def test_left_over_tasks_are_cancelled():
    cancelled = []

    async def forever():
        try:
            await asyncio.sleep(1e9)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    async def main():
        task = asyncio.create_task(forever())
        await asyncio.sleep(0)
        return task

    assert run_virtual(main()).cancelled()
    assert cancelled == [True]


def test_two_virtual_loops_have_their_own_time():
    first, second = VirtualEventLoop(), VirtualEventLoop()
    first.run_until_complete(asyncio.sleep(5))
    assert (first.time(), second.time()) == (5, 0)
    first.close()
    second.close()


def test_the_emulators_clock_counts_from_its_start():
    async def main():
        clock = EmulatorClock()
        before = clock.now_ns()
        await asyncio.sleep(7)
        clock.start()
        rung = []
        alarm = Alarm(clock, rung.append)
        alarm.set(3_000)
        alarm.set(2_000)
        alarm.set(2_000)
        await asyncio.sleep(1)
        alarm.set(2_000_000_000)
        alarm.set(None)
        await asyncio.sleep(9)
        return before, rung, clock.now_ns()

    assert run_virtual(main()) == (0, [2_000], 10_000_000_000)


def test_a_clock_that_was_not_started_says_what_to_do():
    with pytest.raises(EmulatorError, match=r"fleet\.start"):
        EmulatorClock().call_at(0, lambda: None)


async def started():
    clock = EmulatorClock()
    await asyncio.sleep(3)
    clock.start()
    return clock


def test_a_paused_clock_stands_and_its_alarms_wait():
    async def main():
        clock, rung = await started(), []
        alarm = Alarm(clock, rung.append)
        alarm.set(5 * S)
        await asyncio.sleep(2)
        clock.pause()
        await asyncio.sleep(100)
        stood = clock.now_ns(), clock.paused, list(rung)
        clock.resume()
        await asyncio.sleep(2.9)
        early = list(rung)
        await asyncio.sleep(0.2)
        return stood, early, rung, clock.now_ns()

    assert run_virtual(main()) == ((2 * S, True, []), [], [5 * S], 5_100_000_000)


def test_an_alarm_that_is_set_while_time_stands_rings_later():
    async def main():
        clock, rung = await started(), []
        clock.pause()
        Alarm(clock, rung.append).set(1 * S)
        await asyncio.sleep(9)
        clock.resume()
        await asyncio.sleep(1)
        return rung

    assert run_virtual(main()) == [1 * S]


@pytest.mark.parametrize("speed", [0.001, 0.25, 3.0, 1000.0])
def test_alarms_follow_the_speed(speed):
    async def main():
        clock, rung = await started(), []
        await asyncio.sleep(1)
        Alarm(clock, rung.append).set(4 * S)
        clock.set_speed(speed)
        await asyncio.sleep(3 / speed * 0.999)
        early = list(rung)
        await asyncio.sleep(3 / speed * 0.002)
        return early, rung, clock.now_ns() - 4 * S

    early, rung, over_ns = run_virtual(main())
    assert early == []
    assert rung[0] == pytest.approx(4 * S, abs=2 * speed + 1)
    assert 0 < over_ns < 4_000_000


def test_a_paused_clock_keeps_a_new_speed_for_later():
    async def main():
        clock = await started()
        clock.pause()
        clock.set_speed(10.0)
        await asyncio.sleep(5)
        stood = clock.now_ns(), clock.paused
        clock.resume()
        await asyncio.sleep(5)
        return stood, clock.now_ns()

    assert run_virtual(main()) == ((0, True), 50 * S)


def test_a_step_rings_each_alarm_at_its_time_while_the_loop_stands():
    async def main():
        clock, rung = await started(), []

        def again(now_ns):
            rung.append(("again", now_ns))
            often.set(now_ns + 2 * S)

        often, once = Alarm(clock, again), Alarm(clock, lambda now_ns: rung.append(("once", now_ns)))
        often.set(2 * S)
        once.set(5 * S)
        await asyncio.sleep(1)
        before_s = asyncio.get_running_loop().time()
        await clock.step(5 * S)
        passed_s = asyncio.get_running_loop().time() - before_s
        await asyncio.sleep(60)
        return rung, clock.now_ns(), clock.paused, passed_s

    rung, now_ns, paused, passed_s = run_virtual(main())
    assert rung == [("again", 2 * S), ("again", 4 * S), ("once", 5 * S), ("again", 6 * S)]
    assert (now_ns, paused, passed_s) == (6 * S, True, 0)


def test_nothing_interferes_with_a_step():
    async def main():
        clock = await started()
        complaints = []

        def interfere(now_ns):
            for act in (clock.pause, clock.resume, lambda: clock.set_speed(2.0), lambda: clock.put(0)):
                with pytest.raises(EmulatorError, match="a step is under way"):
                    act()
                complaints.append(now_ns)

        Alarm(clock, interfere).set(1 * S)
        await clock.step(2 * S)
        clock.resume()
        return complaints, clock.now_ns()

    assert run_virtual(main()) == ([1 * S] * 4, 2 * S)


def test_put_elsewhere_an_alarm_waits_for_its_own_time():
    async def main():
        clock, rung = await started(), []
        Alarm(clock, rung.append).set(10 * S)
        await asyncio.sleep(9)
        clock.put(4 * S)
        await asyncio.sleep(5)
        early = list(rung)
        await asyncio.sleep(1)
        return early, rung

    assert run_virtual(main()) == ([], [10 * S])
