import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.firmware.firmware import Reply
from firmware_sim.line import Line
from firmware_sim.line_time import silence_ns, span_ns
from tests.firmware_sim.devices import MS, FrameDevice, S, TextDevice, bus, question

FOREVER = 1000 * S


def line_with(*devices, words=None, **more):
    line = Line(words or bus(), 1, **more)
    for device in devices:
        line.add(f"unit {device.unit}", device)
    return line


def everything(line):
    return line.advance(FOREVER)


def first_answer(line):
    heard = []
    while not heard:
        heard = line.advance(line.next_event_ns)
    return heard[0][0]


@pytest.mark.parametrize(
    ("baud", "form", "eight_ns", "silence"),
    [
        (9600, "8N1", 8_333_333, 3_645_833),
        (9600, "8E1", 9_166_667, 4_010_417),
        (19200, "8N1", 4_166_667, 1_822_917),
        (19200, "8N2", 4_583_333, 2_005_208),
        (115_200, "8N1", 694_444, 1_750_000),
        (115_200, "7E1", 694_444, 1_750_000),
        (38_400, "8E2", 2_500_000, 1_750_000),
    ],
)
def test_character_times_and_t35(baud, form, eight_ns, silence):
    words = bus(baud, form)
    assert span_ns(words, 8) == eight_ns
    assert silence_ns(words) == silence


@pytest.mark.parametrize(("baud", "asked", "answered"), [(9600, 5, 9), (19200, 5, 9), (115_200, 5, 9)])
def test_an_answer_comes_after_question_silence_delay_and_its_own_time(baud, asked, answered):
    words = bus(baud)
    device = FrameDevice(1, delay_ns=5 * MS)
    line = line_with(device, words=words)
    line.host_sends(7 * MS, question(1))
    heard_at = 7 * MS + span_ns(words, asked) + silence_ns(words)
    assert everything(line) == [(heard_at + 5 * MS + span_ns(words, answered), device.answer(0))]
    assert device.heard == [(heard_at, question(1))]


def test_next_event_is_when_something_happens_and_nothing_happens_before():
    words = bus()
    device = FrameDevice(1)
    line = line_with(device)
    assert line.next_event_ns is None
    line.host_sends(0, question(1))
    due = line.next_event_ns
    assert due == span_ns(words, 5) + silence_ns(words)
    line.advance(due - 1)
    assert device.heard == []
    line.advance(due)
    assert len(device.heard) == 1


def test_host_bytes_queue_behind_those_still_being_sent():
    words = bus()
    device = FrameDevice(1)
    line = line_with(device)
    whole = question(1)
    line.host_sends(0, whole[:2])
    line.host_sends(100, whole[2:])
    line.advance(100 * MS)
    assert device.heard == [(span_ns(words, 2) + span_ns(words, 3) + silence_ns(words), whole)]
    assert line.statistics.requests == 1
    assert line.statistics.violations == 0


def test_every_station_hears_every_other_but_not_itself():
    first, second = FrameDevice(1), FrameDevice(2)
    line = line_with(first, second)
    line.host_sends(0, question(1))
    everything(line)
    assert [data for _, data in first.heard] == [question(1)]
    assert [data for _, data in second.heard] == [question(1), first.answer(0)]


def test_a_request_that_comes_too_early_is_glued_to_the_answer_before_it():
    words = bus()
    first, second = FrameDevice(1), FrameDevice(2)
    line = line_with(first, second)
    line.host_sends(0, question(1))
    early = first_answer(line) + silence_ns(words) - 1
    line.host_sends(early, question(2))
    assert everything(line) == []
    assert [data for _, data in second.heard] == [question(1), first.answer(0) + question(2)]
    assert line.statistics.violations == 1
    assert line.statistics.gaps_ns == (silence_ns(words) - 1,)


def test_a_request_after_exactly_t35_is_heard():
    words = bus()
    first, second = FrameDevice(1), FrameDevice(2)
    line = line_with(first, second)
    line.host_sends(0, question(1))
    line.host_sends(first_answer(line) + silence_ns(words), question(2, 7))
    assert [data for _, data in everything(line)] == [second.answer(7)]
    assert line.statistics.violations == 0


def test_a_busy_station_answers_strictly_in_order():
    device = FrameDevice(1, delay_ns=100 * MS)
    line = line_with(device)
    for number in range(3):
        line.host_sends(number * 20 * MS, question(1, number))
    heard = everything(line)
    assert [data for _, data in heard] == [device.answer(number) for number in range(3)]
    times = [at for at, _ in heard]
    assert times[1] - times[0] == times[2] - times[1] == 100 * MS + span_ns(bus(), 9) + silence_ns(bus())


def test_a_late_answer_is_taken_by_whoever_asks_next():
    slow, quick = FrameDevice(1, delay_ns=60 * MS), FrameDevice(2)
    line = line_with(slow, quick)
    line.host_sends(0, question(1, 1))
    line.host_sends(58 * MS, question(2, 2))
    heard = everything(line)
    # The late answer and the second question overlap on the wire: neither arrives intact.
    assert slow.answer(1) not in b"".join(data for _, data in heard)
    assert quick.answer(2) not in b"".join(data for _, data in heard)
    assert line.statistics.collisions == 1


def test_only_the_characters_that_overlap_are_garbled_for_all_hearers():
    words = bus(9600)
    talker = FrameDevice(1, payload=bytes(30))
    witness = FrameDevice(9)
    line = line_with(talker, witness, words=words)
    line.host_sends(0, question(1))
    start = span_ns(words, 5) + silence_ns(words)
    # Two characters of the host, from the middle of the answer's fifth character on, so over its 5th, 6th and 7th.
    line.host_sends(start + span_ns(words, 9) // 2, b"\xaa\xbb")
    heard = b"".join(data for _, data in everything(line))
    clean = talker.answer(0)
    assert [place for place, byte in enumerate(clean) if heard[place] != byte] == [4, 5, 6]
    assert len(heard) == len(clean)
    seen = witness.heard[1][1]
    assert seen.startswith(heard)
    assert seen[-2:] != b"\xaa\xbb"
    assert line.statistics.collisions == 1
    assert line.statistics.gaps_ns[0] < 0


def test_two_stations_that_answer_at_once_garble_each_other():
    twins = FrameDevice(1), FrameDevice(1)
    line = line_with(*twins)
    line.host_sends(0, question(1))
    answers = [data for _, data in everything(line)]
    assert len(answers) == 2
    clean = twins[0].answer(0)
    assert all(heard != theirs for answer in answers for heard, theirs in zip(answer, clean, strict=True))
    assert line.statistics.collisions == 1


def test_an_adapter_with_echo_hears_itself_first():
    device = FrameDevice(1)
    line = line_with(device, echo=True)
    line.host_sends(0, question(1))
    assert everything(line)[0] == (span_ns(bus(), 5), question(1))


def test_an_echo_shows_a_collision():
    device = FrameDevice(1, payload=bytes(30))
    line = line_with(device, echo=True)
    line.host_sends(0, question(1))
    line.advance(8 * MS)
    line.host_sends(8 * MS, question(2))
    heard = b"".join(data for _, data in everything(line))
    assert question(2) not in heard


@pytest.mark.parametrize(("baud", "form"), [(9600, "8N1"), (19200, "7E1"), (19200, "8E1")])
def test_a_host_with_other_settings_hears_and_sends_garbage(baud, form):
    talker, witness = FrameDevice(1), FrameDevice(2)
    line = line_with(talker, witness)
    line.set_host(baud, form)
    line.host_sends(0, question(1))
    assert everything(line) == []
    heard = talker.heard[0][1]
    assert all(theirs != mine for theirs, mine in zip(heard, question(1), strict=True))
    line.set_host(19200, "8N1")
    line.host_sends(FOREVER, question(1))
    line.set_host(baud, form)
    answer = line.advance(2 * FOREVER)[0][1]
    assert all(theirs != mine for theirs, mine in zip(answer, talker.answer(0), strict=True))
    assert witness.heard[-1][1] == talker.answer(0)


def test_a_second_stop_bit_of_the_host_does_no_harm():
    device = FrameDevice(1)
    line = line_with(device)
    line.set_host(19200, "8N2")
    line.host_sends(0, question(1))
    assert [data for _, data in everything(line)] == [device.answer(0)]


def test_garbage_comes_from_the_seed():
    def garbled(seed):
        line = Line(bus(), seed)
        device = FrameDevice(1)
        line.add("unit 1", device)
        line.set_host(9600, "8N1")
        line.host_sends(0, question(1))
        line.advance(FOREVER)
        return device.heard[0][1]

    assert garbled(1) == garbled(1) != garbled(2)


def test_a_terminator_station_hears_at_once_and_answers_at_its_own_end_mark():
    device = TextDevice(1)
    line = line_with(device)
    line.host_sends(0, b"?7\r\n")
    assert everything(line) == [(span_ns(bus(), 4) + span_ns(bus(), 10), b"*00017.5\r\n")]
    assert device.heard == [(span_ns(bus(), 4), b"?7\r\n")]
    assert line.statistics.violations == 0


def test_a_terminator_station_hears_each_of_several_commands_written_at_once_by_itself():
    device = TextDevice(1)
    line = line_with(device)
    line.host_sends(0, b"!1\r!2\r\n!")
    line.advance(FOREVER)
    assert [data for _, data in device.heard] == [b"!1\r", b"!2\r\n", b"!"]


def test_a_terminator_station_needs_no_silence_between_requests():
    device = TextDevice(1)
    line = line_with(device)
    line.host_sends(0, b"?1\r")
    line.host_sends(first_answer(line) + 1, b"?2\r")
    assert [data for _, data in everything(line)] == [b"*00012.5\r\n"]
    assert line.statistics.violations == 0


def test_both_kinds_of_station_share_a_line():
    frames, text = FrameDevice(1), TextDevice(2)
    line = line_with(frames, text)
    line.host_sends(0, question(1))
    line.host_sends(100 * MS, b"?3\r")
    assert b"".join(data for _, data in everything(line)) == frames.answer(0) + b"*00023.5\r\n"


def test_a_long_answer_reaches_the_host_in_pieces_as_a_uart_hands_them_over():
    device = FrameDevice(1, payload=bytes(range(40)))
    line = line_with(device)
    line.host_sends(0, question(1))
    heard = everything(line)
    start = span_ns(bus(), 5) + silence_ns(bus())
    assert [len(data) for _, data in heard] == [16, 16, 13]
    assert [at for at, _ in heard] == [start + span_ns(bus(), count) for count in (16, 32, 45)]
    assert b"".join(data for _, data in heard) == device.answer(0)


def test_statistics_count_what_was_sent():
    device = FrameDevice(1)
    line = line_with(device)
    line.host_sends(0, question(1))
    line.host_sends(100 * MS, question(2))
    everything(line)
    statistics = line.statistics
    assert (statistics.requests, statistics.answers, statistics.violations, statistics.collisions) == (2, 1, 0, 0)
    assert (statistics.host_bytes, statistics.station_bytes) == (10, 9)
    assert statistics.busy_ns == 2 * span_ns(bus(), 5) + span_ns(bus(), 9)


class Beacon(TextDevice):
    """Talks on its own, every 100 ms, `rounds` times."""

    def __init__(self, rounds, text=b"hello\r\n", period_ns=100 * MS):
        super().__init__()
        self.rounds = rounds
        self.text = text
        self.period_ns = period_ns
        self.wakes_at_ns = period_ns

    def wake(self, at_ns):
        self.rounds -= 1
        self.wakes_at_ns = at_ns + self.period_ns if self.rounds else None
        return [Reply(data=self.text)]


def test_a_station_can_talk_on_its_own():
    line = line_with(Beacon(3))
    assert line.next_event_ns == 100 * MS
    assert [at for at, _ in everything(line)] == [count * 100 * MS + span_ns(bus(), 7) for count in (1, 2, 3)]


def test_a_station_that_talks_faster_than_the_line_is_held_back_by_it():
    line = line_with(Beacon(3, text=bytes(16), period_ns=MS))
    spans = span_ns(bus(), 16)
    assert [at for at, _ in everything(line)] == [MS + spans, MS + 2 * spans, MS + 3 * spans]


def test_firmware_that_wakes_for_ever_at_one_moment_is_named():
    class Sleepless(TextDevice):
        wakes_at_ns = 5

        def wake(self, at_ns):
            return ()

    line = line_with(Sleepless(1))
    with pytest.raises(RuntimeError, match="unit 1"):
        line.advance(10)


def test_a_line_that_is_never_silent_forgets_what_is_long_over():
    device = FrameDevice(1)
    line = line_with(device)
    character = span_ns(bus(), 1)
    at = 0
    for _ in range(2000):
        line.host_sends(at, b"x")
        at += 2 * character
    everything(line)
    assert len(device.heard) == 1
    assert len(device.heard[0][1]) < 300
    assert line.statistics.host_bytes == 2000


def test_the_listener_is_told_of_every_run():
    told = []
    device = FrameDevice(1)
    line = Line(bus(), 1, listener=lambda *words: told.append(words))
    line.add("unit 1", device)
    line.host_sends(0, question(1))
    everything(line)
    start = span_ns(bus(), 5) + silence_ns(bus())
    assert told == [(0, "host", question(1), ""), (start, "unit 1", device.answer(0), "")]


@given(
    sends=st.lists(
        st.tuples(
            st.integers(0, 40 * MS), st.binary(min_size=1, max_size=20) | st.sampled_from([question(1), question(2)])
        ),
        max_size=12,
    ),
    steps=st.lists(st.integers(1, 30 * MS), max_size=30),
)
def test_the_same_history_results_however_often_the_line_is_looked_at(sends, steps):
    def play(looks):
        line = line_with(FrameDevice(1, delay_ns=30 * MS), FrameDevice(2), TextDevice(3), echo=True)
        heard, at = [], 0
        for gap, data in sends:
            at += gap
            for look in looks:
                if look < at:
                    heard += line.advance(look)
            line.host_sends(at, data)
        return heard + line.advance(FOREVER), line.statistics

    looks = [sum(steps[: count + 1]) for count in range(len(steps))]
    assert sorted(play([])[0]) == sorted(play(looks)[0])
    assert play([])[1] == play(looks)[1]


@given(sends=st.lists(st.tuples(st.integers(0, 10 * MS), st.binary(min_size=1, max_size=40)), max_size=20))
def test_no_character_is_lost_or_invented_on_the_way_to_a_listening_host(sends):
    line = line_with(TextDevice(1), echo=True)
    at = 0
    for gap, data in sends:
        at += gap
        line.host_sends(at, data)
    heard = everything(line)
    statistics = line.statistics
    assert sum(len(data) for _, data in heard) == statistics.host_bytes + statistics.station_bytes
    assert [when for when, _ in heard] == sorted(when for when, _ in heard)
