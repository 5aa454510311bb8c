"""What a recording knows of a line: when bytes went out and came in, and what became of the recorder."""

import asyncio
import io
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from drivers.rig import Bus
from drivers.trace.records import Record, Trace
from drivers.transport.memory import MemoryTransport
from drivers.transport.tap import Recording
from firmware_sim.clock import run_virtual
from tests.drivers.trace.said import MS, answer, ask

LINE = Bus(kind="serial", port="-", baud=9600, format="8N1")
NET = Bus(kind="modbus-tcp", port="-")
CHARACTER_MS = 10 / 9.6


class Wire:
    """The far end of a memory transport, and the near one's receiver."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.received_data: list[bytes] = []
        self.losses: list[str] = []
        self.bring: Callable[[bytes], None]
        self.unplug: Callable[[], None]

    def connect(self, receive: Callable[[bytes], None], lost: Callable[[], None]) -> Callable[[bytes], None]:
        self.bring, self.unplug = receive, lost
        return self.sent.append

    def received(self, data: bytes) -> None:
        self.received_data.append(data)

    def lost(self, why: str) -> None:
        self.losses.append(why)


Story = Callable[[Wire, MemoryTransport], Coroutine[Any, Any, None]]


def recorded(story: Story, bus: Bus = LINE, trace: Trace | None = None) -> tuple[Wire, Trace, Recording]:
    """Let a story happen on a recorded transport, in virtual time."""
    wire, taken = Wire(), trace or Trace()

    async def main() -> Recording:
        recording = Recording(taken, {"b": bus})
        transport: Any = recording.over(lambda _: MemoryTransport(wire.connect))(bus)
        await transport.connect(wire)
        await story(wire, transport)
        recording.close()
        return recording

    return wire, taken, run_virtual(main())


def times_ms(trace: Trace) -> list[tuple[float, str, bytes]]:
    return [(round(each.t_ns / MS, 3), each.talker, each.data) for each in trace.records]


def test_bytes_pass_both_ways_and_so_does_the_loss() -> None:
    async def story(wire: Wire, transport: MemoryTransport) -> None:
        transport.write(b"ask")
        wire.bring(b"an")
        wire.bring(b"swer")
        wire.unplug()
        transport.close()

    wire, trace, _ = recorded(story)
    assert (wire.sent, wire.received_data, wire.losses) == ([b"ask"], [b"an", b"swer"], ["unplugged"])
    assert trace.records[-1].note == "port lost: unplugged"


def test_what_came_in_is_dated_back_by_its_characters_and_pieces_are_one_run() -> None:
    async def story(wire: Wire, transport: MemoryTransport) -> None:
        await asyncio.sleep(0.1)
        transport.write(ask(1))
        await asyncio.sleep(0.05)
        wire.bring(b"abcd")
        await asyncio.sleep(0.007)
        wire.bring(b"efgh")  # after 4.2 ms of characters and 2.8 ms in the adapter: still the same run
        await asyncio.sleep(0.02)
        wire.bring(b"ij")

    _, trace, _ = recorded(story)
    expected = [(100.0, "host", ask(1)), (145.833, "line", b"abcdefgh"), (174.917, "line", b"ij")]
    assert times_ms(trace) == expected


def test_a_line_that_is_never_silent_is_written_in_pieces() -> None:
    async def story(wire: Wire, transport: MemoryTransport) -> None:
        for _ in range(40):
            await asyncio.sleep(0.1)
            wire.bring(bytes(96))

    _, trace, _ = recorded(story)
    assert sum(len(each.data) for each in trace.records) == 40 * 96
    assert max(len(each.data) for each in trace.records) < 1200


def test_the_piece_that_came_soonest_dates_the_run() -> None:
    async def story(wire: Wire, transport: MemoryTransport) -> None:
        await asyncio.sleep(0.02)
        wire.bring(b"a")  # held back
        await asyncio.sleep(0.001)
        wire.bring(b"bcdef")

    _, trace, _ = recorded(story)
    assert times_ms(trace) == [(round(21 - 6 * CHARACTER_MS, 3), "line", b"abcdef")]


def test_an_echo_and_the_answer_that_follows_closely_are_two_runs() -> None:
    async def story(wire: Wire, transport: MemoryTransport) -> None:
        transport.write(ask(1))
        await asyncio.sleep(0.005)
        wire.bring(ask(1)[:4])
        await asyncio.sleep(0.015)
        wire.bring(ask(1)[4:] + answer(1, 1, 2))

    _, trace, _ = recorded(story)
    assert times_ms(trace) == [
        (0.0, "host", ask(1)),
        (round(5 - 4 * CHARACTER_MS, 3), "line", ask(1)),
        (round(20 - 7 * CHARACTER_MS, 3), "line", answer(1, 1, 2)),
    ]


def test_nothing_comes_in_before_the_question() -> None:
    async def story(wire: Wire, transport: MemoryTransport) -> None:
        transport.write(ask(1))
        wire.bring(answer(1, 1, 2))  # sooner than its characters can be: a device that keeps no time

    _, trace, _ = recorded(story)
    assert times_ms(trace) == [(0.0, "host", ask(1)), (0.0, "line", answer(1, 1, 2))]


def test_on_tcp_pieces_stay_as_they_came() -> None:
    async def story(wire: Wire, transport: MemoryTransport) -> None:
        transport.write(b"q")
        wire.bring(b"a")
        wire.bring(b"b")

    _, trace, _ = recorded(story, NET)
    assert times_ms(trace) == [(0.0, "host", b"q"), (0.0, "line", b"a"), (0.0, "line", b"b")]


def test_a_full_disk_ends_the_recording_and_not_the_bus() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            if self.tell() > 100:
                raise OSError(28, "No space left on device")
            return super().write(data)

    async def story(wire: Wire, transport: MemoryTransport) -> None:
        for _ in range(5):
            transport.write(ask(1))
            wire.bring(answer(1, 1, 2))

    wire, trace, recording = recorded(story, trace=Trace(Full()))
    assert (len(wire.sent), len(wire.received_data)) == (5, 5)
    assert recording.problem == f"the recording ended after {trace.count} records: No space left on device"


def test_a_transport_of_another_bus_is_left_alone() -> None:
    async def main() -> None:
        plain = MemoryTransport(Wire().connect)
        assert Recording(Trace(), {"b": LINE}).over(lambda _: plain)(LINE.model_copy()) is plain

    run_virtual(main())


def test_a_listener_gives_each_frame_its_own_time_and_talker() -> None:
    async def main() -> list[Record]:
        trace = Trace()
        recording = Recording(trace, {"b": LINE})
        listener = recording.listener("b")
        await asyncio.sleep(0.1)
        listener.received(ask(1) + answer(1, 1, 2))
        listener.lost("unplugged")
        recording.close()
        return trace.records

    question, reply, loss = run_virtual(main())
    assert [each.talker for each in (question, reply)] == ["host", "unit 1"]
    assert (reply.t_ns - question.t_ns) / MS == pytest.approx(8 * CHARACTER_MS, abs=0.001)
    assert loss.note == "port lost: unplugged"
