"""What is learned of a unit: how long to wait, when to ask again, what stands still."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.exchange import Attempt, Outcome, Request
from drivers.unit_record import ROUND_TRIP_BOUNDS_S, Patience, Rest, RoundTrips, UnitRecord
from tests.drivers.scripted_line import fences, question, reply

Q = question()
LONGEST_S = 0.2
TROUBLE = (
    Outcome.TIMEOUT, Outcome.CRC, Outcome.SHORT, Outcome.FOREIGN, Outcome.ECHO_MISMATCH, Outcome.LATE
)  # fmt: skip
BLAMELESS = (Outcome.BUS_DOWN, Outcome.CANCELLED, Outcome.BUSY)


def record() -> UnitRecord:
    return UnitRecord(1, Patience(LONGEST_S), fences())


def ended(
    outcome: Outcome, *, request: Request = Q, frame: bytes = b"", sent_s: float = 0.0, latency_s: float = 0.005
) -> Attempt:
    return Attempt(
        request=request,
        outcome=outcome,
        frame=frame,
        code=None,
        heard=frame,
        sent_s=sent_s,
        answered_s=sent_s + latency_s,
    )


def test_the_first_wait_is_the_rig_files() -> None:
    assert Patience(LONGEST_S).wait_s() == LONGEST_S


def test_the_wait_follows_the_answers_with_a_margin_for_adapters() -> None:
    patience = Patience(LONGEST_S)
    for _ in range(50):
        patience.answered(0.004)
    assert 0.019 < patience.wait_s() < 0.021


@given(latencies=st.lists(st.floats(0, 10), max_size=50), silences=st.integers(0, 2000))
def test_the_wait_is_never_longer_than_the_rig_files(latencies: list[float], silences: int) -> None:
    patience = Patience(LONGEST_S)
    for latency_s in latencies:
        patience.answered(latency_s)
    for _ in range(silences):
        patience.silent()
    assert 0 < patience.wait_s() <= LONGEST_S


def test_silence_and_late_answers_make_it_more_patient_until_the_next_answer() -> None:
    unit = record()
    for _ in range(50):
        unit.ended(ended(Outcome.REPLY, frame=reply(Q)), 1.0, 0.01)
    usual_s = unit.patience.wait_s()
    for outcome in (Outcome.TIMEOUT, Outcome.LATE):
        unit.ended(ended(outcome), 1.0, 0.01)
    assert unit.patience.wait_s() == pytest.approx(4 * usual_s)
    unit.ended(ended(Outcome.REPLY, frame=reply(Q)), 1.0, 0.01)
    assert unit.patience.wait_s() < 1.1 * usual_s


def test_a_measurement_that_a_question_starts_is_no_latency() -> None:
    unit = record()
    slow = ended(Outcome.REPLY, frame=reply(Q), latency_s=0.805)
    object.__setattr__(slow, "request", _Measuring())
    for _ in range(50):
        unit.ended(slow, 1.0, 1.0)
    assert unit.patience.wait_s() < 0.03


class _Measuring:
    """A question that takes 0.8 s to answer."""

    unit, frame, answer_size, processing_s = 1, b"m", 9, 0.8


@pytest.mark.parametrize("outcome", TROUBLE)
def test_after_trouble_a_unit_rests_as_long_as_its_share_asks_for(outcome: Outcome) -> None:
    unit = record()
    unit.ended(ended(outcome), 10.0, 0.2)
    assert unit.rest.until_s >= 10.0 + 0.2 / 0.1
    assert unit.rest.until_s < 10.0 + 4.0
    assert unit.rest.cause is outcome


@pytest.mark.parametrize("outcome", BLAMELESS)
def test_what_is_not_its_fault_lets_no_unit_rest(outcome: Outcome) -> None:
    unit = record()
    unit.ended(ended(outcome), 10.0, 1.0)
    assert unit.rest.until_s <= 10.0
    assert unit.rest.failures == 0


def test_who_was_silent_and_talks_again_rests_for_its_share_only_however_often_it_failed() -> None:
    unit = record()
    for _ in range(20):
        unit.ended(ended(Outcome.TIMEOUT), 10.0, 0.02)
    assert unit.rest.until_s == 10.0 + 3.0
    unit.ended(ended(Outcome.LATE), 14.0, 0.02)
    assert unit.rest.until_s == pytest.approx(14.0 + 0.02 / 0.08)


def test_what_late_answers_cost_earlier_in_a_turn_is_rested_for_too() -> None:
    unit = record()
    unit.ended(ended(Outcome.LATE), 10.0, 0.16)
    unit.ended(ended(Outcome.TIMEOUT), 10.1, 0.1)
    assert unit.rest.until_s == pytest.approx(10.0 + 0.16 / 0.08 + 0.1 / 0.08)


@given(outcomes=st.lists(st.sampled_from(TROUBLE), min_size=1, max_size=60), cost_s=st.floats(0.005, 0.22))
def test_no_rest_is_longer_than_the_return_of_a_unit_may_stay_unnoticed(outcomes: list[Outcome], cost_s: float) -> None:
    unit = record()
    for outcome in outcomes:
        unit.ended(ended(outcome), 100.0, cost_s)
        assert unit.rest.until_s <= 100.0 + 4.0 + 1e-9
    unit.ended(ended(Outcome.REPLY, frame=reply(Q)), 100.0, cost_s)
    assert unit.rest.until_s == 0.0


def test_equal_answers_to_one_question_stand_still_until_something_else_was_heard() -> None:
    unit = record()

    def answered(request: Request, frame: bytes) -> None:
        unit.ledger.asked(request)
        unit.ledger.heard(frame, request)
        unit.compare(ended(Outcome.REPLY, request=request, frame=frame))

    answered(Q, reply(Q))
    assert not unit.still(Q)
    answered(fences()[0], reply(fences()[0]))
    answered(Q, reply(Q))
    assert unit.still(Q)
    answered(fences()[0], reply(fences()[0]))
    assert not unit.still(Q)  # a fence was heard last, so an equal answer would prove itself
    answered(Q, reply(Q, 5))
    assert not unit.still(Q)


def test_questions_that_never_come_again_take_no_memory() -> None:
    unit = record()
    for address in range(10_000):
        request = question(address=address)
        unit.compare(ended(Outcome.REPLY, request=request, frame=reply(request)))
    assert len(unit._answers) <= 64


@given(outcomes=st.lists(st.sampled_from(list(Outcome)), max_size=50))
def test_each_attempt_is_counted_once_and_its_time_with_it(outcomes: list[Outcome]) -> None:
    unit = record()
    for outcome in outcomes:
        unit.ended(ended(outcome, frame=reply(Q)), 1.0, 0.25)
    assert sum(unit.outcomes.values()) == len(outcomes)
    assert unit.line_s == 0.25 * len(outcomes)


@given(seconds=st.lists(st.floats(0, 5), min_size=1, max_size=50))
def test_round_trips_are_sorted_into_steps_none_lost(seconds: list[float]) -> None:
    trips = RoundTrips()
    for each in seconds:
        trips.add(each)
    for index, bound_s in enumerate(ROUND_TRIP_BOUNDS_S):
        assert sum(trips.counts[: index + 1]) == sum(each <= bound_s for each in seconds)
    assert sum(trips.counts) == len(seconds)
    assert trips.longest_s == max(seconds)
    assert trips.total_s == pytest.approx(sum(seconds))


def test_who_is_alone_on_its_line_rests_for_a_second_at_most_and_pays_for_no_line_time() -> None:
    rest = Rest(alone=True)
    for _ in range(6):
        rest.failed(Outcome.TIMEOUT, 10.0, 0.2)
    assert rest.until_s == 11.0
    rest.failed(Outcome.LATE, 20.0, 0.2)
    assert rest.until_s == 20.0
