import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.trace.spoken import spoken, spoken_tcp
from tests.drivers.trace.said import answer, ask
from tests.firmware_sim.devices import framed


@pytest.mark.parametrize(
    ("frame", "asks", "words"),
    [
        (ask(1, 100), True, "unit 1 read 2 holding registers at 100"),
        (answer(1, 1, 2, 3, 4), False, "unit 1 holding registers: 0102 0304"),
        (framed([1, 6, 0, 1, 0, 9]), True, "unit 1 write register at 1: 9"),
        (framed([1, 16, 0, 1, 0, 1, 2, 0, 9]), True, "unit 1 write registers at 1: 0009"),
        (framed([1, 8, 0, 0, 1, 2]), True, "unit 1 diagnostics 0: 01 02"),
        (framed([1, 0x83, 2]), False, "unit 1 function 3 refused: 2 illegal address"),
        (framed([1, 0x2B, 14, 1]), True, "unit 1 function 43: 0e 01"),
        (framed([1, 73, 1], "big"), True, "unit 1 KELLER F73 01"),
        (framed([1, 0xC9, 32], "big"), False, "unit 1 KELLER F73 refused: 32 not initialised"),
        (b"*0001P3\r\n", True, r"'*0001P3\r\n'"),
        (b"\1\3\0\0\0\2\0\0", True, "no valid checksum"),
        (b"\x80\x81", True, ""),
        (b"", True, ""),
    ],
)
def test_a_frame_in_words(frame, asks, words):
    assert spoken(frame, asks=asks) == words


def test_a_tcp_message_in_words():
    assert spoken_tcp(bytes([0, 0, 0, 6, 7, 4, 0, 1, 0, 2]), asks=True) == "unit 7 read 2 input registers at 1"
    assert spoken_tcp(b"\0\0\0\2\1", asks=True) == "no whole message"


@given(st.binary(max_size=300), st.booleans(), st.sampled_from(["little", "big"]))
def test_any_bytes_have_words(data, asks, order):
    assert isinstance(spoken(data, asks=asks), str)
    assert isinstance(spoken_tcp(data, asks=asks), str)
    assert "checksum" not in spoken(framed(data[:250] or b"\1\3", order), asks=asks) or len(data) < 2
