import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.copper import PATIENCE_NS, CopperInbox
from tests.firmware_sim.devices import MS, framed, question

CHARACTER_NS = 520_833
ANSWER = framed(b"\x01\x03\x04\x11\x22\x33\x44")


def inbox(*, framed=True):
    return CopperInbox(framed=framed, character_ns=CHARACTER_NS)


@pytest.mark.parametrize("order", ["little", "big"])
@given(cuts=st.lists(st.integers(1, 7), max_size=4))
def test_a_frame_in_pieces_is_handed_on_when_its_checksum_fits(order, cuts):
    frame, heard, at = framed([1, 3, 0, 0, 0, 2], order), [], 0
    ends = sorted({*cuts, len(frame)})
    box = inbox()
    for first, end in zip([0, *ends], ends, strict=False):
        at += 16 * MS
        heard.append(box.heard(at, frame[first:end]))
    assert heard == [b""] * (len(ends) - 1) + [frame]
    assert box.due_ns is None


def test_what_never_becomes_a_frame_is_handed_on_after_a_while():
    box = inbox()
    assert box.heard(0, b"\x01\x03\x00") == b""
    assert box.heard(5 * MS, b"\x00") == b""
    assert box.due_ns == 5 * MS + PATIENCE_NS
    assert box.flush(box.due_ns - 1) == b""
    assert box.flush(box.due_ns) == b"\x01\x03\x00\x00"
    assert box.due_ns is None


def test_characters_are_handed_on_as_they_come_where_frames_end_by_a_terminator():
    box = inbox(framed=False)
    assert [box.heard(0, b"*0100"), box.heard(1, b"P3\r")] == [b"*0100", b"P3\r"]


@given(cuts=st.lists(st.integers(1, 8), max_size=4))
def test_an_adapter_that_hears_itself_asks_nothing(cuts):
    box = inbox()
    box.sent(0, ANSWER)
    ends = sorted({*cuts, len(ANSWER)})
    assert [box.heard(MS, ANSWER[a:b]) for a, b in zip([0, *ends], ends, strict=False)] == [b""] * len(ends)
    assert box.echoes is True
    assert box.heard(9 * MS, question(1)) == question(1)


def test_an_echo_and_the_next_request_in_one_piece():
    box = inbox()
    box.sent(0, ANSWER)
    assert box.heard(20 * MS, ANSWER + question(2)) == question(2)


def test_an_adapter_without_echo_is_known_at_the_next_request_though_that_begins_like_the_answer():
    box = inbox()
    box.sent(0, ANSWER)
    request = framed([1, 3, 0, 0, 0, 2])
    assert request[:2] == ANSWER[:2]
    assert box.heard(MS, request[:2]) == b""
    assert box.heard(2 * MS, request[2:]) == request
    assert box.echoes is False
    box.sent(3 * MS, ANSWER)
    assert box.heard(4 * MS, ANSWER) == ANSWER


def test_what_looks_like_an_echo_long_after_it_is_a_request():
    box = inbox()
    box.sent(0, ANSWER)
    assert box.heard(10**9, ANSWER) == ANSWER


def test_the_beginning_of_an_echo_that_stops_is_handed_on():
    box = inbox()
    box.sent(0, ANSWER)
    assert box.heard(MS, ANSWER[:3]) == b""
    assert box.flush(box.due_ns) == ANSWER[:3]


def test_another_adapter_may_echo_again():
    box = inbox()
    box.sent(0, ANSWER)
    box.heard(MS, question(1))
    box.forget()
    box.sent(2 * MS, ANSWER)
    assert box.heard(3 * MS, ANSWER) == b""
