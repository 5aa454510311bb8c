"""The loop's waits are looked at, not timed: a test machine may be busy."""

import asyncio
import selectors
import time

import pytest

from drivers.precise_loop import PreciseSelector, precise_event_loop

Waits = list[float | None]


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """One item: what the clock says."""
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    return now_s


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch, now_s: list[float]) -> Waits:
    """What select() is asked to wait; it wakes 0.15 ms late from a wait of more than 1 ms."""
    waits: Waits = []

    def select(_selector: object, timeout: float | None = None) -> list[object]:
        waits.append(timeout)
        if timeout is not None:
            now_s[0] += timeout + (0.15e-3 if timeout > 1e-3 else 0.0)
        return []

    monkeypatch.setattr(selectors.SelectSelector, "select", select)
    return waits


def test_a_long_wait_ends_in_a_short_one_and_so_in_time(waits: Waits, now_s: list[float]) -> None:
    assert PreciseSelector().select(0.005) == []
    assert waits == pytest.approx([0.00475, 0.0001])
    assert now_s[0] == pytest.approx(100.005)


@pytest.mark.parametrize("timeout", [None, 0, 0.0004])
def test_other_waits_are_left_alone(waits: Waits, timeout: float | None) -> None:
    PreciseSelector().select(timeout)
    assert waits == [timeout]


def test_what_is_ready_ends_a_long_wait_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selectors.SelectSelector, "select", lambda _selector, timeout: [("ready", timeout)])
    assert PreciseSelector().select(1.0) == [("ready", 1.0 - 250e-6)]


def test_the_loop_asks_for_less_than_a_millisecond_where_epoll_could_not(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: Waits = []
    select = selectors.SelectSelector.select

    def watched(selector: selectors.SelectSelector, timeout: float | None = None) -> list[object]:
        waits.append(timeout)
        return [*select(selector, timeout)]

    monkeypatch.setattr(selectors.SelectSelector, "select", watched)
    with asyncio.Runner(loop_factory=precise_event_loop) as runner:
        runner.run(asyncio.sleep(0.0003))
    assert any(wait is not None and 0 < wait <= 0.0003 for wait in waits)
