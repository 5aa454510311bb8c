from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.wire.ascii import Lines, digiquartz


def complete(lines, data):
    return [line for _, line in lines.feed(data) if line is not None]


def test_lines_end_with_cr_and_lf_is_skipped():
    lines = Lines(limit=10)
    assert complete(lines, b"\nab\r\nc") == ["ab"]
    assert complete(lines, b"d\r\r") == ["cd", ""]


def test_a_line_over_the_limit_is_dropped_and_the_next_one_is_not():
    lines = Lines(limit=3)
    assert complete(lines, b"abc\rabcd\rab") == ["abc"]
    assert complete(lines, b"cd\rx\r") == ["x"]


def test_clear_forgets_what_has_begun():
    lines = Lines(limit=9)
    assert complete(lines, b"rub") == []
    lines.clear()
    assert complete(lines, b"x\r") == ["x"]


@given(data=st.binary(max_size=60), cut=st.integers(0, 60))
def test_it_does_not_matter_how_characters_are_cut(data, cut):
    whole, parts = Lines(limit=12), Lines(limit=12)
    assert complete(whole, data) == complete(parts, data[:cut]) + complete(parts, data[cut:])


@given(data=st.binary(max_size=60))
def test_the_pieces_are_all_that_was_heard_but_lf(data):
    assert b"".join(piece for piece, _ in Lines(limit=5).feed(data)) == data.replace(b"\n", b"")


def test_digiquartz_question_and_setting():
    question = digiquartz("*0100P3")
    assert (question.to, question.sender, question.name, question.value, question.enabled) == (1, 0, "P3", None, False)
    setting = digiquartz("*0100EW*0100UN=2")
    assert (setting.name, setting.value, setting.enabled) == ("UN", "2", True)
    assert not digiquartz("*0200EW*0100UN=2").enabled
    assert question.answer("1.5") == b"*00011.5\r\n"


@given(line=st.text(max_size=20))
def test_any_text_is_a_command_or_none(line):
    command = digiquartz(line)
    assert command is None or line.startswith("*")
