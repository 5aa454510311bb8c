"""A register is written at most once, ahead of all reads, and only what is read back counts."""

import asyncio
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.bus import WRITE
from drivers.exchange import Outcome
from drivers.rig import Setting
from drivers.setting import SettingError, Written, decode, encode, limits, write_setting
from drivers.wire.modbus import WRITE_MANY, WRITE_ONE, crc16, rtu_frame, write_registers
from firmware_sim.clock import run_virtual
from tests.drivers.scripted_line import CHARACTER_S, LATENCY_S, LINE, TCP, Answers, ScriptedLine, fences, question

WIDE = Setting(address=12, type="uint16", range=(0, 65535))
TYPES = ("int16", "uint16", "int32", "uint32", "float32")
ORDERS = ("ABCD", "CDAB", "BADC", "DCBA")


@dataclass
class Device:
    """A unit with holding registers, whose answers do not always come as they should, but in order.

    Attributes:
        tricks: what happens to the answers, in turn: "ok", "lost", "late" (far behind), "twice", "damaged", "deaf" (the
            question is not heard), "stuck" (a write is answered and not done).
    """

    registers: dict[int, int] = field(default_factory=dict)
    tricks: Iterator[str] = field(default_factory=lambda: iter(()))
    writes: list[bytes] = field(default_factory=list)
    refuses: bool = False
    echo: bool = False  # of the adapter, which hears itself
    over_s: float = 0.0  # when the last answer is over

    def respond(self, _: int, frame: bytes) -> Answers:
        trick = next(self.tricks, "ok")
        if self.echo:
            yield 0.0, frame
        if trick == "deaf":
            return
        answer = rtu_frame(frame[0], self._serve(frame, stuck=trick == "stuck"))
        after_s = LATENCY_S + CHARACTER_S * len(answer)
        if trick == "damaged":
            answer = answer[:-1] + bytes([answer[-1] ^ 1])
        end_s = asyncio.get_running_loop().time() + CHARACTER_S * len(frame)
        for delay_s in {"lost": (), "late": (0.4,), "twice": (after_s, 2 * after_s)}.get(trick, (after_s,)):
            self.over_s = max(end_s + delay_s, self.over_s)
            yield self.over_s - end_s, answer

    def _serve(self, frame: bytes, *, stuck: bool) -> bytes:
        function = frame[1]
        address, count = struct.unpack(">HH", frame[2:6])
        if function in (WRITE_ONE, WRITE_MANY):
            self.writes.append(frame)
            if self.refuses:
                return bytes([function | 0x80, 3])
            words = [count] if function == WRITE_ONE else list(struct.unpack(f">{count}H", frame[7:-2]))
            if not stuck:
                self.registers |= {address + place: word for place, word in enumerate(words)}
            return frame[1:6]
        held = [self.registers.get(address + place, 0) for place in range(count)]
        return bytes([function, 2 * count]) + struct.pack(f">{count}H", *held)


def asks(bus):
    return [bus.unit(1, fences(), priority=WRITE, once=once) for once in (False, True)]


def written(device, setting=WIDE, value=7.0, words=LINE):
    """Write a setting; return what came of it, the bus, and what was asked."""

    async def main():
        line = ScriptedLine(device.respond)
        async with line.opened(words) as bus:
            try:
                return await write_setting(*asks(bus), 1, setting, value), line
            except SettingError as error:
                return error, line

    return run_virtual(main(), limit_s=600)


@pytest.mark.parametrize("function", [6, 16])
def test_what_is_written_is_read_back(function):
    device = Device(registers={12: 3})
    found, _ = written(device, Setting(address=12, range=(0, 9), function=function))
    assert found == Written(before=3.0, now=7.0)
    assert [frame[1] for frame in device.writes] == [function]
    assert all(crc16(frame) == 0 for frame in device.writes)


@pytest.mark.parametrize("function", [6, 16])
def test_on_a_line_that_hears_itself_the_echo_is_no_answer(function):
    setting = Setting(address=12, range=(0, 9), function=function)
    found, _ = written(Device(registers={12: 3}, echo=True), setting)
    assert found == Written(before=3.0, now=7.0)
    stuck = Device(registers={12: 3}, echo=True, tricks=iter(["ok", "ok", "deaf"]))
    found, _ = written(stuck, setting)
    assert isinstance(found, SettingError)
    assert str(found) == "it holds 3, not 7 (write: timeout); the write may still take effect"


def test_a_write_whose_answer_repeats_it_teaches_no_echo_and_is_nobody_elses():
    device = Device(registers={place: place + 1 for place in range(20)} | {0x100: 50})

    async def main():
        line = ScriptedLine(device.respond)
        async with line.opened() as bus:
            reads = bus.unit(1, fences())
            for place in range(3):
                await reads(question(address=place, count=2))
            assert (await write_setting(*asks(bus), 1, WIDE, 7)).now == 7
            assert not bus.statistics().echo
            assert (await reads(question(address=9, count=2))).outcome is Outcome.REPLY
            statistics = bus.statistics()
            assert set(statistics.units[1].outcomes) == {"reply"}
            assert statistics.foreign == 0

    run_virtual(main(), limit_s=60)


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("order", ORDERS)
def test_each_type_and_order_is_read_as_it_was_written(kind, order):
    setting = Setting(address=0, type=kind, order=order, range=(-9, 9) if kind[0] != "u" else (0, 9))
    assert decode(setting, encode(setting, 5)) == 5.0
    device = Device()
    found, _ = written(device, setting, 5.0)
    assert found == Written(before=0.0, now=5.0)


def test_orders_are_those_of_the_map():
    number = Setting(address=0, type="uint32", range=(0, 2**32 - 1))
    for order, data in (("ABCD", "01020304"), ("CDAB", "03040102"), ("BADC", "02010403"), ("DCBA", "04030201")):
        setting = number.model_copy(update={"order": order})
        assert encode(setting, 0x01020304).hex() == data


@given(st.sampled_from(TYPES), st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**33), 2**33))
def test_what_no_register_holds_is_not_asked(kind, value):
    setting = Setting(address=0, type=kind, range=(-1e30, 1e30))
    low, high = limits(setting)
    setting = setting.model_copy(update={"range": (low, high)})
    if low <= value <= high and (kind == "float32" or value == int(value)):
        assert math.isclose(decode(setting, encode(setting, value)), value, rel_tol=1e-6, abs_tol=1e-44)
    else:
        with pytest.raises(ValueError, match=r"beyond its range|whole numbers"):
            encode(setting, value)


def test_beyond_its_range_nothing_is_asked():
    device = Device()

    async def main():
        line = ScriptedLine(device.respond)
        async with line.opened() as bus:
            with pytest.raises(ValueError, match="10 is beyond its range, 0 to 9"):
                await write_setting(*asks(bus), 1, Setting(address=12, range=(0, 9)), 10)
            assert line.asked == []

    run_virtual(main(), limit_s=60)


def test_a_refusal_is_said_with_its_code():
    found, _ = written(Device(refuses=True))
    assert isinstance(found, SettingError)
    assert found.outcome is Outcome.EXCEPTION
    assert str(found) == "it holds 0, not 7 (write: refused with code 3)"


def test_a_write_that_is_answered_and_not_done_is_no_success():
    tricks = iter(["ok", "ok", "stuck"])  # a fence, the first read, the write
    found, _ = written(Device(registers={12: 3}, tricks=tricks))
    assert isinstance(found, SettingError)
    assert found.outcome is Outcome.REPLY
    assert str(found) == "it holds 3, not 7 (write: answered)"


def test_a_write_whose_answer_is_lost_but_that_is_done_counts_as_done():
    device = Device(registers={12: 3}, tricks=iter(["ok", "ok", "lost"]))
    found, _ = written(device)
    assert found == Written(before=3.0, now=7.0)
    assert len(device.writes) == 1


def test_without_a_first_answer_nothing_is_written():
    device = Device(tricks=iter(["deaf"] * 9))
    found, _ = written(device)
    assert isinstance(found, SettingError)
    assert "nothing was written" in str(found)
    assert device.writes == []


def test_modbus_tcp_writes_too():
    device = Device()

    def respond(number, frame):
        for after_s, answer in device.respond(number, rtu_frame(frame[6], frame[7:])):
            yield after_s, frame[:4] + (len(answer) - 2).to_bytes(2, "big") + answer[:-2]

    async def main():
        line = ScriptedLine(respond)
        async with line.opened(TCP) as bus:
            return await write_setting(*asks(bus), 1, WIDE, 7)

    assert run_virtual(main(), limit_s=60) == Written(before=0.0, now=7.0)


@settings(max_examples=100)
@given(
    st.lists(st.sampled_from(["ok", "ok", "ok", "lost", "late", "twice", "damaged", "deaf", "stuck"]), max_size=14),
    st.integers(1, 5),
)
def test_whatever_becomes_of_answers_success_is_the_truth_and_nothing_is_written_twice(tricks, value):
    device = Device(registers={12: 3}, tricks=iter(tricks))
    found, _ = written(device, value=float(value))
    assert len(device.writes) <= 1
    if isinstance(found, Written):
        assert device.registers[12] == found.now == value
        assert found.before == 3
    elif "nothing was written" in str(found):
        assert device.writes == []


def test_an_answer_to_an_earlier_write_is_not_taken_for_this_ones():
    """Function 16 repeats only where it wrote: a late answer to an older write looks like that to a newer one."""
    device = Device(tricks=iter(["ok", "ok", "late", *["ok"] * 20]))
    setting = Setting(address=12, range=(0, 9), function=16)

    async def main():
        line = ScriptedLine(device.respond)
        async with line.opened() as bus:
            _, once = asks(bus)
            for value in (4, 5):
                attempt = await once(write_registers(1, 16, 12, encode(setting, value)))
                assert attempt.outcome is not Outcome.LATE or value == 4
            return await write_setting(*asks(bus), 1, setting, 6)

    assert run_virtual(main(), limit_s=60).now == 6
    assert device.registers[12] == 6


def test_a_command_takes_the_next_turn_ahead_of_reads():
    device = Device()

    async def main():
        line = ScriptedLine(device.respond)
        async with line.opened() as bus:
            reads = bus.unit(1, fences())
            await reads(question())
            line.asked.clear()
            waiting = [asyncio.create_task(reads(question(address=place))) for place in range(0, 40, 2)]
            await asyncio.sleep(0.001)
            command = asyncio.create_task(write_setting(*asks(bus), 1, WIDE, 7))
            await command
            done = [frame[1] for _, frame in line.asked]
            assert command.result().now == 7
            assert done.index(WRITE_ONE) <= 5, "no read that was waiting goes first, but the one whose turn it was"
            assert not all(task.done() for task in waiting)
            await asyncio.gather(*waiting)

    run_virtual(main(), limit_s=60)


@pytest.mark.parametrize(
    ("function", "address", "data"),
    [(6, 0, b""), (6, 0, b"1234"), (16, 0, b"1"), (16, 0xFFFF, b"1234"), (16, 0, bytes(248)), (5, 0, b"12")],
)
def test_no_such_write(function, address, data):
    with pytest.raises(ValueError, match="cannot write"):
        write_registers(1, function, address, data)
