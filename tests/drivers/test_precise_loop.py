"""The loop's waits are looked at, not timed: a test machine may be busy."""

import asyncio
import select
import socket
import time

import pytest

from drivers.precise_loop import PreciseSelector, precise_event_loop

Waits = list[float | None]


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One item: what the clock says; whoever looks at it takes 1 us."""
    now_s = [100.0]

    def look() -> float:
        now_s[0] += 1e-6
        return now_s[0]

    monkeypatch.setattr(time, "monotonic", look)
    return now_s


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch, now_s: list[float]) -> Waits:
    """What select() is asked to wait; it wakes 0.15 ms late from a wait of more than 1 ms."""
    waits: Waits = []

    def wait(_read: object, _write: object, _failed: object, timeout: float) -> tuple[list[int], list[int], list[int]]:
        waits.append(timeout)
        now_s[0] += timeout + (0.15e-3 if timeout > 1e-3 else 0.0)
        return [], [], []

    monkeypatch.setattr(select, "select", wait)
    return waits


def test_a_long_wait_ends_in_a_short_one_and_awake_and_so_in_time(waits: Waits, now_s: list[float]) -> None:
    assert PreciseSelector().select(0.005) == []
    assert waits == pytest.approx([0.00475, 0.00005], abs=3e-6)
    assert 100.005 <= now_s[0] <= 100.005 + 3e-6


def test_a_short_wait_is_one_and_ends_awake(waits: Waits, now_s: list[float]) -> None:
    assert PreciseSelector().select(0.0004) == []
    assert waits == pytest.approx([0.00035], abs=3e-6)
    assert 100.0004 <= now_s[0] <= 100.0004 + 3e-6


def test_what_comes_while_it_is_awake_goes_before_the_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair()
    selector = PreciseSelector()
    with near, far, selector:
        selector.register(near, 1)
        monkeypatch.setattr(select, "select", lambda *_: ([], [], []))  # nothing until the last 50 us
        far.send(b"x")
        assert [key.fileobj for key, _ in selector.select(0.0004)] == [near]


def test_a_look_does_not_wait(waits: Waits) -> None:
    assert PreciseSelector().select(0) == []
    assert waits == []


@pytest.mark.parametrize("timeout", [None, 0, 0.0004, 1.0])
def test_what_is_ready_ends_every_wait_at_once(timeout: float | None) -> None:
    near, far = socket.socketpair()
    selector = PreciseSelector()
    with near, far, selector:
        selector.register(near, 1)
        far.send(b"x")
        assert [key.fileobj for key, _ in selector.select(timeout)] == [near]


def test_the_loop_asks_for_less_than_a_millisecond_where_epoll_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: Waits = []
    wait = select.select

    def watched(read: list[int], write: list[int], failed: list[int], timeout: float) -> object:
        waits.append(timeout)
        return wait(read, write, failed, timeout)

    monkeypatch.setattr(select, "select", watched)
    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        runner.run(asyncio.sleep(0.0003))
    assert any(wait is not None and 0 < wait <= 0.0003 for wait in waits)
