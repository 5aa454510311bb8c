import pytest

from firmware_sim.clock import run_virtual
from firmware_sim.line_time import span_ns
from firmware_sim.replay import Replay, ReplayError, load_replay
from tests.drivers.trace.said import MS, answer, ask, header, trace
from tests.firmware_sim.devices import Client, bus, mbap

LINE = bus(9600)
FIRST, SECOND = answer(1, 0, 1, 0, 1), answer(1, 0, 2, 0, 2)
TWICE = (
    (1000, "host", ask(1)),
    (1030, "unit 1", FIRST),
    (2000, "host", ask(1)),
    (2090, "unit 1", SECOND),
    (3000, "host", ask(2)),
)


def replayed(said, story, **words):
    """Let a client act on a replay in virtual time; return the replay and what the story returned."""
    replay = Replay(said, "trace.jsonl", **words)

    async def main():
        async with replay.fleet.serve(memory=True) as fleet:
            return await story(Client(fleet))

    return replay, run_virtual(main())


def delays_ms(client, question, data):
    """Return when each piece of an answer was over after the question's end, less the characters up to there."""
    asked_ns = span_ns(LINE, len(question))
    over = 0
    delays = []
    for t_ns, piece in client.received:
        over += len(piece)
        delays.append((t_ns - asked_ns - span_ns(LINE, over)) / MS)
    assert b"".join(piece for _, piece in client.received) == data
    return delays


def test_answers_come_in_the_recorded_order_and_then_the_last_again():
    async def story(client):
        return [await client.ask(ask(1), 0.5) for _ in range(4)]

    replay, heard = replayed(trace(*TWICE), story)
    assert heard == [FIRST, SECOND, SECOND, SECOND]
    statistics = replay.tapes["b"].statistics
    assert (statistics.answered, statistics.repeated, statistics.silent) == (2, 2, 0)


def test_strict_is_silent_where_the_record_ends():
    async def story(client):
        return [await client.ask(ask(1), 0.5) for _ in range(3)]

    replay, heard = replayed(trace(*TWICE), story, strict=True)
    assert heard == [FIRST, SECOND, b""]
    assert replay.tapes["b"].statistics.repeated == 1


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_an_answer_comes_after_the_recorded_delay_divided_by_the_speed(speed):
    async def story(client):
        await client.ask(ask(1), 0.5)
        return delays_ms(client, ask(1), FIRST)

    _, delays = replayed(trace(*TWICE), story, speed=speed)
    recorded_ms = 30 - span_ns(LINE, 8) / MS
    silence_ms = 3.5 * span_ns(LINE, 1) / MS
    assert delays == [pytest.approx(silence_ms + (recorded_ms - silence_ms) / speed, abs=0.01)]


def test_what_was_silent_or_never_asked_gets_silence_and_is_counted():
    async def story(client):
        return [await client.ask(each, 0.2) for each in (ask(2), ask(1, 7), ask(9), ask(9), ask(1))]

    replay, heard = replayed(trace(*TWICE), story)
    assert heard == [b"", b"", b"", b"", FIRST]
    statistics = replay.tapes["b"].statistics
    assert (statistics.silent, statistics.answered) == (1, 1)
    assert statistics.unknown == {ask(1, 7): 1, ask(9): 2}


def test_unknown_questions_are_counted_also_when_too_many_differ_to_be_kept(monkeypatch):
    monkeypatch.setattr("firmware_sim.replay._UNKNOWN_MOST", 2)

    async def story(client):
        for unit in (7, 8, 9, 9, 7):
            await client.ask(ask(unit))

    replay, _ = replayed(trace(*TWICE), story)
    statistics = replay.tapes["b"].statistics
    assert (statistics.unknown, statistics.unknown_others) == ({ask(7): 2, ask(8): 1}, 2)


def test_what_was_said_unasked_is_said_at_its_time_without_a_question():
    said = trace((1000, "line", b"hello\r\n"), (1250, "line", b"again\r\n"))

    async def story(client):
        await client.ask(b"", 1.0)
        return client.received

    replay, heard = replayed(said, story)
    assert [data for _, data in heard] == [b"hello\r\n", b"again\r\n"]
    assert heard[1][0] - heard[0][0] == pytest.approx(250 * MS, abs=2)
    assert replay.tapes["b"].statistics.unasked == 2
    assert replay.tapes["b"].statistics.unknown == {}


def test_a_device_that_is_late_holds_up_no_other():
    said = trace((0, "host", ask(1)), (500, "unit 1", FIRST), (600, "host", ask(2)), (620, "unit 2", answer(2, 9, 9)))

    async def story(client):
        client.write(ask(1))
        return await client.ask(ask(2), 0.1), await client.ask(b"", 0.6)

    # Both questions go out in one go: the line has no silence between them, so nobody hears a frame.
    replay, (glued, _) = replayed(said, story)
    assert glued == b""
    assert replay.tapes["b"].statistics.unknown == {ask(1) + ask(2): 1}

    async def apart(client):
        await client.ask(ask(1), 0.05)
        return await client.ask(ask(2), 0.1), await client.ask(b"", 0.6)

    _, heard = replayed(said, apart)
    assert heard == (answer(2, 9, 9), FIRST)


def test_text_is_answered_from_its_last_character_on():
    question, reply = b"*0100P3\r\n", b"*00011013.25\r\n"
    said = trace((0, "host", question), (span_ns(LINE, 9) / MS + 0.5, "line", reply))

    async def story(client):
        await client.ask(question[:4], 0.1)
        await client.ask(question[4:], 0.3)
        typed = client.bytes
        await client.ask(question, 0.3)
        delays = delays_ms(client, question, reply)
        return typed, delays, await client.ask(b"*0100VR\r\n", 0.3)

    replay, (typed, delays, unknown) = replayed(said, story)
    assert (typed, unknown) == (reply, b"")
    assert delays == [pytest.approx(400 + 0.5, abs=0.01)]  # asked at 400 ms
    assert replay.tapes["b"].statistics.unknown == {b"*0100VR\r\n": 1}


def test_modbus_tcp_answers_under_the_transaction_that_asks_and_unknown_units_are_silent():
    reply = bytes([3, 4, 1, 2, 3, 4])
    said = trace((0, "host", mbap(7, 500)), (40, "unit 7", mbap(7, 500, reply)), kind="modbus-tcp")

    async def story(client):
        answered = await client.ask(mbap(7, 9), 0.1)
        return answered, client.received[0][0], await client.ask(mbap(8, 10), 0.1)

    replay, (answered, at_ns, silent) = replayed(said, story)
    assert (answered, at_ns, silent) == (mbap(7, 9, reply), 40 * MS, b"")
    assert replay.tapes["b"].statistics.unknown == {mbap(8, 0)[2:]: 1}


def test_faults_and_unplugging_are_those_of_any_emulated_line():
    async def story(client):
        return [await client.ask(ask(1), 0.5) for _ in range(2)]

    _, heard = replayed(trace(*TWICE), story, faults=["silence:b_1@#1"])
    assert heard == [b"", SECOND]


def test_what_cannot_be_replayed_is_refused(tmp_path):
    with pytest.raises(ReplayError, match="nothing was said"):
        Replay(trace((0, "unit 1", b"", "late")), "trace.jsonl")
    with pytest.raises(ReplayError, match="speed nan: must be greater than zero"):
        Replay(trace(*TWICE), "trace.jsonl", speed=float("nan"))
    path = tmp_path / "old.jsonl"
    path.write_bytes(trace(*TWICE).records[0].line())
    with pytest.raises(ReplayError, match="no header, so kind, baud and format"):
        load_replay(path)
    with pytest.raises(FileNotFoundError):
        load_replay(tmp_path / "none.jsonl")
    assert header().buses["b"].port == "-"
