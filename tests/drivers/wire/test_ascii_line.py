"""Lines of text: found among echo and prompt, never accepted when damaged beyond their grammar or checksum."""

import re

from hypothesis import given
from hypothesis import strategies as st

from drivers.wire.ascii_line import LineRequest
from drivers.wire.modbus import read_registers

NUMBER = LineRequest(
    unit=1, frame=b"*0100P3\r\n", head=b"*0001", answer=re.compile(rb"\*0001\d+\.\d+\r\n"), answer_size=20
)
CHECKED = LineRequest(
    unit=1,
    frame=b"?\r",
    head=b"V",
    answer=re.compile(rb"V\d+ [0-9A-F]{2}\r\n"),
    answer_size=20,
    intact=lambda line: int(line[-4:-2], 16) == sum(line[:-4]) % 256,
)


def checked(number: int) -> bytes:
    text = b"V%d " % number
    return text + b"%02X\r\n" % (sum(text) % 256)


def test_a_line_is_found_behind_echo_and_prompt() -> None:
    heard = b">*0100P3\r\n*00011013.25\r\n"
    found = [(start, length) for start in range(len(heard)) if (length := NUMBER.measure(heard, start)) > 0]
    assert found == [(10, len(heard) - 10)]


def test_the_beginning_of_a_line_is_waited_for_as_long_as_it_can_be_one() -> None:
    line = b"*00011013.25\r\n"
    assert [NUMBER.measure(line[:size], 0) for size in range(len(line))] == [-1] * len(line)
    assert NUMBER.measure(b"*0001" + b"1" * 20, 0) == 0
    assert NUMBER.measure(b"*0002", 0) == 0


def test_a_line_of_another_grammar_or_with_a_wrong_checksum_is_none() -> None:
    assert NUMBER.measure(b"*0001SN=7\r\n", 0) == 0
    assert CHECKED.measure(checked(5), 0) == len(checked(5))
    assert CHECKED.measure(checked(5).replace(b"5", b"6", 1), 0) == 0


@given(st.integers(0, 10**9), st.data())
def test_a_flipped_bit_of_a_checked_line_is_never_accepted(number: int, data: st.DataObject) -> None:
    damaged = bytearray(checked(number))
    bit = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[bit // 8] ^= 1 << bit % 8
    assert CHECKED.measure(bytes(damaged), 0) <= 0


@given(st.binary(max_size=60), st.integers(0, 60))
def test_random_bytes_never_raise(heard: bytes, start: int) -> None:
    for request in (NUMBER, CHECKED):
        assert -1 <= request.measure(heard, start) <= max(len(heard) - start, 0)


def test_an_answer_without_a_head_can_be_made_to_begin_a_line() -> None:
    bare = LineRequest(
        unit=1, frame=b".P\r", head=b"", answer=re.compile(rb"\d+\.\d+\r\n"), answer_size=20, starts_line=True
    )
    assert bare.measure(b".P\r1013.25\r\n", 3) == 9
    assert bare.measure(b"1013.25\r\n", 0) == 9
    assert bare.measure(b"\x811013.25\r\n", 1) == 0
    assert bare.measure(b"1013.25\r\n", 1) == 0


def test_confusable_is_same_form_of_answer() -> None:
    other = LineRequest(unit=1, frame=b"*0100Q3\r\n", head=NUMBER.head, answer=NUMBER.answer, answer_size=20)
    assert NUMBER.confusable(other)
    assert not NUMBER.confusable(CHECKED)
    assert not NUMBER.confusable(read_registers(1, 3, 0, 1))
    assert NUMBER.refusal(b"*00011013.25\r\n") is None


ACKNOWLEDGED = LineRequest(
    unit=1,
    frame=b"@001X?;FF",
    head=b"@001",
    answer=re.compile(rb"@001ACK\d+;FF"),
    refused=re.compile(rb"@001NAK(\d{0,3});FF"),
    answer_size=20,
    terminator=b";FF",
)
TABLE = LineRequest(
    unit=1,
    frame=b"A?\r",
    head=b"A ",
    answer=re.compile(rb"A D00\r(?:A D\d\d\r)*?A D\d\d end\r"),
    answer_size=80,
    terminator=b"\r",
    lines=4,
)


def test_a_refusal_is_an_answer_with_a_code() -> None:
    assert ACKNOWLEDGED.measure(b"@001NAK160;FF", 0) == 13
    assert ACKNOWLEDGED.refusal(b"@001NAK160;FF") == 160
    assert ACKNOWLEDGED.refusal(b"@001NAK;FF") == 0
    assert ACKNOWLEDGED.refusal(b"@001ACK5;FF") is None
    assert ACKNOWLEDGED.measure(b"@001NUL160;FF", 0) == 0


def test_an_answer_of_several_lines_ends_with_the_first_that_makes_it_whole() -> None:
    table = b"A D00\rA D01\rA D02 end\r"
    assert TABLE.measure(table + b"A D03 end\r", 0) == len(table)
    assert [TABLE.measure(table[:size], 0) for size in range(len(table))] == [-1] * len(table)
    assert TABLE.measure(b"A D01\r" * 4, 0) == 0
    assert TABLE.measure(b"A D00\r" + b"A D01\r" * 2, 0) == -1
