"""Frames of every codec round-trip: what drivers ask, twins understand; what twins answer, drivers take apart."""

import re
import struct

from hypothesis import given
from hypothesis import strategies as st

from drivers.wire import keller_bus, modbus, pfeiffer
from drivers.wire.ascii_line import LineRequest
from firmware_sim.wire import ascii as twin_ascii
from firmware_sim.wire import keller_bus as twin_keller
from firmware_sim.wire import modbus as twin_modbus
from firmware_sim.wire import pfeiffer as twin_pfeiffer

units = st.integers(1, 247)
READS = frozenset({twin_modbus.Function.READ_HOLDING, twin_modbus.Function.READ_INPUT})
ECHO = frozenset({twin_modbus.Function.DIAGNOSTICS})
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)


@given(
    units, st.sampled_from([3, 4]), st.integers(0, 0xFF00), st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125)
)
def test_modbus_registers(unit: int, function: int, address: int, values: list[int]) -> None:
    request = modbus.read_registers(unit, function, address, len(values))
    frame = twin_modbus.split(request.frame)
    assert frame is not None
    question = twin_modbus.parse(frame.pdu, READS)
    assert question == twin_modbus.Read(function=twin_modbus.Function(function), address=address, count=len(values))
    answer = twin_modbus.join(frame.unit, question.answer(struct.pack(f">{len(values)}H", *values)))
    assert request.measure(answer, 0) == len(answer) == request.answer_size
    assert modbus.registers_of(answer).tolist() == values


@given(units, st.integers(1, 255))
def test_modbus_refusals(unit: int, code: int) -> None:
    request = modbus.read_registers(unit, 3, 0, 1)
    answer = twin_modbus.join(unit, twin_modbus.exception(3, code))
    assert request.measure(answer, 0) == len(answer)
    assert request.refusal(answer) == code


@given(units, st.integers(0, 0xFFFF))
def test_modbus_echo_tests(unit: int, nonce: int) -> None:
    request = modbus.echo_test(unit, nonce)
    frame = twin_modbus.split(request.frame)
    assert frame is not None
    echo = twin_modbus.parse(frame.pdu, ECHO)
    assert isinstance(echo, twin_modbus.Echo)
    assert twin_modbus.join(unit, echo.answer()) == request.frame


@given(st.integers(1, 250), st.integers(0, 255), st.floats(width=32, allow_nan=False), st.integers(0, 255))
def test_keller_floats(unit: int, channel: int, value: float, status: int) -> None:
    request = keller_bus.keller_request(unit, keller_bus.READ_FLOAT, bytes([channel]))
    frame = twin_keller.split(request.frame)
    assert frame == twin_keller.Frame(unit=unit, function=73, data=bytes([channel]))
    answer = frame.answer(twin_keller.float_value(value, status))
    assert request.measure(answer, 0) == len(answer)
    assert request.refusal(answer) is None
    assert struct.unpack(">fB", keller_bus.data_of(answer)) == (value, status)


@given(st.integers(1, 250), st.integers(-(2**31), 2**31 - 1), st.integers(0, 255))
def test_keller_integers_and_refusals(unit: int, value: int, byte: int) -> None:
    request = keller_bus.keller_request(unit, keller_bus.READ_INTEGER, b"\x01")
    frame = twin_keller.split(request.frame)
    assert frame is not None
    answer = frame.answer(twin_keller.integer_value(value, byte))
    assert request.measure(answer, 0) == len(answer)
    assert struct.unpack(">iB", keller_bus.data_of(answer)) == (value, byte)
    refusal = frame.refusal(byte)
    assert request.measure(refusal, 0) == len(refusal)
    assert request.refusal(refusal) == byte


@given(st.integers(1, 255), st.integers(0, 999), st.text(PRINTABLE, min_size=1, max_size=40))
def test_pfeiffer_telegrams(unit: int, parameter: int, data: str) -> None:
    request = pfeiffer.read_parameter(unit, parameter, re.escape(data.encode()), len(data))
    question = twin_pfeiffer.split(request.frame.decode().removesuffix("\r"))
    assert question == twin_pfeiffer.Telegram(unit=unit, writes=False, parameter=parameter, data="=?")
    answer = question.answer(unit, data)
    assert request.measure(answer, 0) == len(answer)
    assert pfeiffer.data_of(answer) == data.encode()
    for words in pfeiffer.ERRORS:
        refusal = question.answer(unit, words.decode())
        assert request.measure(refusal, 0) == len(refusal)
        assert request.refusal(refusal) == 0, "it has no code"


@given(st.integers(1, 98), st.sampled_from(["P3", "Q3", "SN", "MN"]), st.floats(-1e6, 1e6))
def test_lines_of_text_in_the_digiquartz_grammar(unit: int, name: str, value: float) -> None:
    request = LineRequest(
        unit=unit,
        frame=b"*%02d00%s\r\n" % (unit, name.encode()),
        head=b"*00%02d" % unit,
        answer=re.compile(rb"\*00\d\d[-+]?\d+\.\d+\r\n"),
        answer_size=40,
    )
    ((_, line),) = twin_ascii.Lines(limit=80).feed(request.frame)
    assert line is not None
    command = twin_ascii.digiquartz(line)
    assert command is not None
    assert (command.to, command.sender, command.name, command.value) == (unit, 0, name, None)
    answer = command.answer(f"{value:.4f}")
    assert request.measure(b"noise" + answer, 5) == len(answer)
    assert float(answer[5:]) == float(f"{value:.4f}")
