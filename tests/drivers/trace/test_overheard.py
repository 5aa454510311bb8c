from hypothesis import given
from hypothesis import strategies as st

from drivers.trace.overheard import NO_FRAME, Overheard
from tests.drivers.trace.said import answer, ask
from tests.firmware_sim.devices import framed


def talkers(*runs):
    heard = Overheard()
    return [(talker, frame) for run in runs for _, talker, frame, _ in heard.frames(run)]


def test_a_question_and_its_answer_in_one_run_are_told_apart():
    assert talkers(ask(1) + answer(1, 1, 2, 3, 4)) == [("host", ask(1)), ("unit 1", answer(1, 1, 2, 3, 4))]


def test_a_question_that_nobody_answers_is_followed_by_the_next():
    assert [who for who, _ in talkers(ask(1), ask(1), ask(2), answer(2, 0, 1, 2, 3))] == 3 * ["host"] + ["unit 2"]


def test_a_write_and_its_confirmation_are_told_apart_by_their_order():
    write = framed([1, 6, 0, 1, 0, 9])
    assert [who for who, _ in talkers(write, write, write, write)] == ["host", "unit 1"] * 2


def test_refusals_and_the_keller_bus_are_known():
    refusal, f48, told = framed([1, 0x83, 2]), framed([1, 48], "big"), framed([1, 48, 5, 20, 12, 28, 10, 0], "big")
    assert [who for who, _ in talkers(ask(1), refusal, f48, told)] == ["host", "unit 1", "host", "unit 1"]


def test_what_is_no_frame_is_kept_and_said():
    pieces = [each[2:] for each in Overheard().frames(b"\xaa\xbb\xcc" + ask(1) + b"\xdd")]
    assert pieces == [(b"\xaa\xbb\xcc", NO_FRAME), (ask(1), ""), (b"\xdd", NO_FRAME)]


@given(st.lists(st.binary(max_size=60)))
def test_no_byte_is_lost_or_moved(runs):
    heard = Overheard()
    for run in runs:
        pieces = list(heard.frames(run))
        assert b"".join(frame for _, _, frame, _ in pieces) == run
        assert all(run[place : place + len(frame)] == frame for place, _, frame, _ in pieces)
