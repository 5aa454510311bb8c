import pytest

from tests.drivers.trace.said import MS, answer, ask, conversation


def pairs(said):
    return [(each.question, [run.data for run in each.runs]) for each in said.exchanges]


def test_each_answer_goes_to_the_question_before_it_with_latency_and_silence():
    said = conversation(
        (0, "host", ask(1)), (20, "unit 1", answer(1, 1, 2, 3, 4)), (40, "host", ask(2)), (60, "host", ask(1))
    )
    assert pairs(said) == [(ask(1), [answer(1, 1, 2, 3, 4)]), (ask(2), []), (ask(1), [])]
    first, second, _ = said.exchanges
    character_ns = 10 / 9600 * 1e9
    assert first.latency_ns == pytest.approx(20 * MS - 8 * character_ns, abs=2)
    assert second.gap_ns == pytest.approx(20 * MS - 9 * character_ns, abs=2)
    assert (first.gap_ns, second.latency_ns, said.unasked) == (None, None, [])


def test_a_late_answer_goes_to_its_own_unit_and_to_the_question_that_it_fits():
    late, fence, other = answer(1, 1, 2, 3, 4), answer(1, 9, 9), answer(2, 5, 6, 7, 8)
    said = conversation(
        (0, "host", ask(1)),
        (200, "host", ask(1, count=1)),
        (220, "host", ask(2)),
        (240, "line", late),
        (260, "line", other),
        (280, "line", fence),
    )
    assert pairs(said) == [(ask(1), [late]), (ask(1, count=1), [fence]), (ask(2), [other])]


def test_a_refusal_and_a_frame_that_answers_nothing_belong_to_the_newest_question_of_their_unit():
    refusal, odd = b"\1\x83\2\xc0\xf1", answer(1, 1)
    said = conversation((0, "host", ask(1)), (20, "line", refusal), (40, "host", ask(1)), (60, "line", odd))
    assert [each[1] for each in pairs(said)] == [[refusal], [odd]]


def test_what_comes_before_any_question_or_after_long_silence_is_unasked():
    said = conversation((0, "line", b"a"), (10, "host", b"q\r"), (20, "line", b"b"), (2500, "line", b"c"))
    assert [run.data for run in said.unasked] == [b"a", b"c"]
    assert pairs(said) == [(b"q\r", [b"b"])]


def test_a_question_written_in_pieces_is_one():
    said = conversation((0, "host", b"\1\3"), (2.1, "host", b"\0\0"), (10, "host", b"\1\3"))
    assert [each.question for each in said.exchanges] == [b"\1\3\0\0", b"\1\3"]


def test_faults_are_counted_from_the_notes():
    said = conversation((0, "host", ask(1)), (9, "unit 1", b"", "late, crc"), (10, "unit 1", b"x", "crc"))
    assert said.notes == {"late": 1, "crc": 2}
    assert pairs(said) == [(ask(1), [b"x"])]


@pytest.mark.parametrize("view", ["host", "line"])
def test_echoes_are_taken_away_where_the_adapter_heard_itself(view):
    said = conversation(
        *((t, "host", ask(unit)) for t, unit in ((0, 1), (100, 2))),
        (0.5, "line", ask(1)),
        (30, "line", answer(1, 1, 1, 1, 1)),
        (100.5, "line", ask(2) + answer(2, 2, 2, 2, 2)),
        view=view,
    )
    assert said.echo is (view == "host")
    answers = [b"".join(runs) for _, runs in pairs(said)]
    if view == "host":
        assert answers == [answer(1, 1, 1, 1, 1), answer(2, 2, 2, 2, 2)]
        assert said.exchanges[1].latency_ns == pytest.approx(0.5 * MS, abs=2)
    else:
        assert answers[0] == ask(1) + answer(1, 1, 1, 1, 1)


def test_one_question_that_is_answered_by_itself_is_no_echo():
    echo = b"\1\x08\0\0\1\2\x61\x98"
    assert not conversation((0, "host", echo), (20, "line", echo), (40, "host", echo), (60, "line", echo)).echo


def mbap(transaction, *body):
    return bytes([0, transaction, 0, 0, 0, len(body), *body])


def test_modbus_tcp_is_paired_by_transaction_whatever_the_order_and_the_pieces():
    one, two = mbap(1, 7, 3, 0, 0, 0, 1), mbap(2, 8, 3, 0, 0, 0, 1)
    first, second, stray = mbap(1, 7, 3, 2, 1, 1), mbap(2, 8, 3, 2, 2, 2), mbap(9, 9, 3, 2, 3, 3)
    said = conversation(
        (0, "host", one + two), (1, "line", second[:4]), (2, "line", second[4:] + first + stray), kind="modbus-tcp"
    )
    assert pairs(said) == [(one[2:], [first[2:]]), (two[2:], [second[2:]])]
    assert [run.data for run in said.unasked] == [stray[2:]]
    assert [each.latency_ns for each in said.exchanges] == [2 * MS, MS]
    assert not said.framed


def test_a_bus_whose_questions_are_all_text_has_no_frames_of_silence():
    assert not conversation((0, "host", b"*0100P3\r\n")).framed
    assert conversation((0, "host", b"*0100P3\r\n"), (90, "host", ask(1))).framed
