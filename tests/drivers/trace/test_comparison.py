import pytest

from drivers.trace.comparison import Limits, compare
from tests.drivers.trace.said import answer, ask, conversation


def line(*answers, delay_ms=20, count=2, unit=1, gap_ms=100, **words):
    """A conversation in which a question gets those answers (None: silence)."""
    said = []
    for number, each in enumerate(answers):
        said.append((number * gap_ms, "host", ask(unit, count=count)))
        if each is not None:
            said.append((number * gap_ms + delay_ms, f"unit {unit}", each))
    return conversation(*said, **words)


def difference(a, b, **limits):
    (bus,) = compare({"b": a}, {"b": b}, Limits(**limits))
    return bus


def findings(a, b, **limits):
    bus = difference(a, b, **limits)
    return [*bus.findings, *(each for question in bus.questions for each in question.findings)]


MOVING_A = [answer(1, 7, 0, 1, 1), answer(1, 7, 0, 2, 2)]
MOVING_B = [answer(1, 7, 0, 3, 3), answer(1, 7, 0, 4, 4), answer(1, 7, 0, 5, 5)]


def test_values_that_move_are_no_difference_unless_they_are_asked_for():
    assert findings(line(*MOVING_A), line(*MOVING_B)) == []
    assert findings(line(*MOVING_A), line(*MOVING_B), exact=True) == ["bytes differ at 5, 6, 7, 8"]
    assert findings(line(*MOVING_A), line(*MOVING_A), exact=True) == []


def test_a_byte_that_stands_still_in_both_and_is_not_the_same_is_a_difference():
    swapped = [answer(1, 9, 0, 3, 3), answer(1, 9, 0, 4, 4)]
    bus = difference(line(*MOVING_A), line(*swapped))
    assert not bus.equal
    (question,) = bus.questions
    assert question.places == (3,)
    assert question.findings == ("bytes differ at 3",)
    assert difference(line(*MOVING_A), line(*swapped), bytes=1).equal


def test_answers_of_other_lengths_are_a_difference():
    short = [each[:-1] for each in MOVING_B]
    assert findings(line(*MOVING_A), line(*short), bytes=9) == ["answers of 9 (2 x) bytes in A, 8 (3 x) in B"]


def test_latencies_are_compared_by_median_and_if_asked_for_by_tail():
    slow = line(*MOVING_B, delay_ms=27)
    assert findings(line(*MOVING_A), slow) == ["median latency: 11.67 ms in A, 18.67 ms in B"]
    assert findings(line(*MOVING_A), slow, latency_s=0.0071) == []
    assert findings(line(*MOVING_A), slow, latency_s=1.0, tail_s=0.005) == ["p95 latency: 11.67 ms in A, 18.67 ms in B"]
    latency = difference(line(*MOVING_A), slow).latency
    assert latency[1].longest == pytest.approx(0.027 - 8 * 10 / 9600)


def test_unanswered_questions_are_compared_by_share():
    half = line(None, MOVING_A[0])
    assert findings(line(*MOVING_A), half) == ["unanswered: 0.0% in A, 50.0% in B"]
    assert findings(line(*MOVING_A), half, unanswered=0.5) == []
    assert findings(half, line(*MOVING_A[:1], None, None, MOVING_A[1])) == []


def test_a_question_whose_answer_the_end_of_the_record_cut_off_does_not_count():
    assert findings(line(*MOVING_A), line(*MOVING_A, None)) == []
    assert findings(line(*MOVING_A), line(*MOVING_A, None, gap_ms=600)) == []
    assert findings(line(*MOVING_A), line(*MOVING_A, None, None, gap_ms=600)) == ["unanswered: 0.0% in A, 33.3% in B"]


def test_a_question_of_one_record_alone_is_a_difference_and_shown():
    bus = difference(line(*MOVING_A), line(*MOVING_B, unit=2))
    assert bus.findings == ("1 question only in A, 1 only in B",)
    assert [(each.a is None, each.b is None) for each in bus.questions] == [(False, True), (True, False)]
    assert difference(line(*MOVING_A), line(*MOVING_B, unit=2), questions=2).equal


def test_questions_before_their_silence_are_counted_where_frames_need_it():
    hasty = line(*MOVING_A, gap_ms=31)
    bus = difference(line(*MOVING_A), hasty)
    assert bus.violations == (0, 1)
    assert bus.findings == ("questions before T3.5 of silence: 0 in A, 1 in B",)
    assert bus.shortest_gap_s[1] == pytest.approx(0.031 - 0.020 - 9 * 10 / 9600)
    assert difference(line(*MOVING_A), hasty, violations=1).equal
    text = conversation((0, "host", b"P\r"), (3, "line", b"1\r"), (6, "host", b"P\r"))
    assert difference(text, text).violations is None


def test_a_bus_of_one_record_alone_is_a_difference():
    (bus,) = compare({"b": line(*MOVING_A)}, {}, Limits(questions=9))
    assert bus.findings == ("only in A",)
    (bus,) = compare({}, {"b": line(*MOVING_A)}, Limits(questions=9))
    assert bus.findings == ("only in B",)


def test_two_records_of_the_same_line_are_equal():
    assert difference(line(*MOVING_A), line(*MOVING_A), latency_s=0.0, tail_s=0.0, exact=True).equal
