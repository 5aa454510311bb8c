"""The schedule of a bus."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schedule import Schedule


def run(schedule: Schedule, *, poll_s: float, until_s: float) -> list[tuple[float, int]]:
    """Poll whatever is due, each taking `poll_s`; return when each unit was polled."""
    polls, now_s = [], 0.0
    while (due_s := schedule.next_due_s()) is not None and max(due_s, now_s) < until_s:
        now_s = max(due_s, now_s)
        unit = schedule.take()
        polls.append((now_s, unit))
        now_s += poll_s
        schedule.done(unit, now_s=now_s)
    return polls


def test_units_of_one_period_are_spread_over_it() -> None:
    polls = run(Schedule({1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}, start_s=0.0), poll_s=0.01, until_s=1.0)
    assert polls == [(0.0, 1), (0.25, 2), (0.5, 3), (0.75, 4)]


@given(st.floats(0.0, 1e5), st.sampled_from([0.1, 1.0, 60.0]), st.integers(1, 40))
def test_polls_that_go_together_fall_on_a_common_grid_and_are_spread_all_the_same(
    start_s: float, period_s: float, units: int
) -> None:
    step_s = min(period_s / 10, 0.1)
    schedule = Schedule(dict.fromkeys(range(units), period_s), start_s=start_s, together=True)
    moments: dict[int, int] = {}
    for unit in range(units):
        due_s = schedule.next_due_s()
        assert due_s is not None
        assert schedule.take() == unit
        assert due_s / step_s == pytest.approx(round(due_s / step_s))
        assert -1e-9 <= due_s - (start_s + period_s * unit / units) < 1.001 * step_s
        moments[round(due_s / step_s)] = moments.get(round(due_s / step_s), 0) + 1
    places = min(round(period_s / step_s), units)
    assert max(moments.values()) <= -(-units // places) + 1


def test_periods_stay_on_their_grid_however_long_a_poll_takes() -> None:
    polls = run(Schedule({7: 0.5}, start_s=2.0), poll_s=0.3, until_s=5.0)
    assert [at for at, _ in polls] == [2.0, 2.5, 3.0, 3.5, 4.0, 4.5]


def test_lateness_and_overruns_are_counted() -> None:
    schedule = Schedule({1: 1.0}, start_s=0.0)
    for end_s in (0.25, 1.5, 3.1):  # in time, in time, behind the next one
        schedule.take()
        schedule.done(1, now_s=end_s)
    assert (schedule.overruns, schedule.longest_s, schedule.missed) == (1, pytest.approx(1.1), {1: 0})


def test_on_a_line_that_is_too_slow_everyone_has_its_turn_and_misses_are_counted() -> None:
    schedule = Schedule(dict.fromkeys(range(8), 0.1), start_s=0.0)
    polls = run(schedule, poll_s=0.1, until_s=40.0)
    turns = [sum(unit == each for _, unit in polls) for each in range(8)]
    assert max(turns) - min(turns) <= 1
    for unit in range(8):
        assert turns[unit] + schedule.missed[unit] in range(392, 402)  # due = polled + missed


def test_a_unit_being_polled_is_not_due_again() -> None:
    schedule = Schedule({1: 1.0, 2: 1.0}, start_s=0.0)
    assert {schedule.take(), schedule.take()} == {1, 2}
    assert schedule.next_due_s() is None


def test_units_that_are_given_back_are_as_due_as_before() -> None:
    schedule = Schedule({1: 1.0, 2: 1.0}, start_s=0.0)
    schedule.take()
    schedule.take()
    assert schedule.oldest_due_s() == 0.0
    schedule.give_back()
    assert schedule.next_due_s() == 0.0
    assert schedule.take() == 1
    schedule.done(1, now_s=3.2)
    assert (schedule.missed, schedule.oldest_due_s()) == ({1: 2, 2: 0}, 0.5)


@given(
    periods=st.dictionaries(st.integers(1, 247), st.sampled_from([0.1, 0.25, 1.0, 3.0]), min_size=1, max_size=12),
    poll_s=st.floats(0.001, 0.2),
)
def test_every_due_poll_is_made_or_counted_as_missed(periods: dict[int, float], poll_s: float) -> None:
    schedule = Schedule(periods, start_s=0.0)
    polls = run(schedule, poll_s=poll_s, until_s=30.0)
    for unit, period_s in periods.items():
        accounted = sum(each == unit for _, each in polls) + schedule.missed[unit]
        assert abs(accounted - 30.0 / period_s) <= 2 + len(periods) * poll_s / period_s


def test_another_period_counts_from_now_on_and_misses_nothing():
    schedule = Schedule({1: 10.0, 2: 1.0}, start_s=0.0)
    assert {schedule.take(), schedule.take()} == {1, 2}
    schedule.done(1, now_s=0.1)
    schedule.done(2, now_s=0.1)
    schedule.change(1, 0.5, now_s=3.2)
    assert schedule.next_due_s() == 1.0
    assert schedule.take() == 2
    schedule.done(2, now_s=3.2)
    schedule.change(1, 0.25, now_s=3.3)
    schedule.change(2, 60.0, now_s=9.0)
    for _ in range(4):
        due_s = schedule.next_due_s()
        assert schedule.take() == 1
        schedule.done(1, now_s=due_s + 0.01)
    assert schedule.next_due_s() == 3.3 + 4 * 0.25
    assert schedule.missed[1] == 0


def test_a_unit_in_a_hurry_is_next_even_while_it_is_polled():
    schedule = Schedule({1: 10.0, 2: 1.0, 3: 1.0}, start_s=0.0)
    for unit in (1, 2, 3):
        schedule.take()
        schedule.done(unit, now_s=0.1)
    schedule.hurry(1, now_s=5.0)
    assert schedule.take() == 1
    schedule.hurry(1, now_s=5.1)
    schedule.done(1, now_s=5.2)
    assert schedule.next_due_s() <= 5.2
    assert {schedule.take() for _ in range(3)} == {1, 2, 3}
    assert schedule.missed[1] == 0
