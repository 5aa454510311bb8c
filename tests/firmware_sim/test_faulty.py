import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.device_clock import DeviceClock
from firmware_sim.faults import Faults
from firmware_sim.faulty import FaultyFirmware
from firmware_sim.faulty_answer import SILENCE, TEXT
from firmware_sim.faulty_sensor import FaultySensor
from firmware_sim.firmware.firmware import Reply
from firmware_sim.line import Line
from firmware_sim.line_time import silence_ns, span_ns
from tests.firmware_sim.devices import MS, FrameDevice, S, Steady, TextDevice, bus, framed, question


class Bench:
    """A line with unit 1 (transducer "p1") and unit 2 ("p2"), both with faults between them and it."""

    def __init__(self, *specs, device=None, seed=1):
        self.now = 0
        self.notes = []
        self.faults = Faults(seed=seed, transducers=("p1", "p2"), buses=("b",), now_ns=lambda: self.now)
        for spec in specs:
            self.faults.inject(spec)
        self.line = Line(bus(), seed)
        self.device = device or FrameDevice(1)
        self.other = FrameDevice(2)
        for unit, each in ((1, self.device), (2, self.other)):
            faulty = FaultyFirmware(
                each,
                unit=unit,
                names={f"p{unit}", "b", "*"},
                faults=self.faults,
                note=lambda at, kinds, unit=unit: self.notes.append((unit, kinds)),
                before={f"p{number}" for number in range(1, unit + 1)},
                character_ns=span_ns(bus(), 1),
            )
            self.line.add(f"unit {unit}", faulty, faulty.baud)

    def ask(self, request=None, wait_ns=50 * MS):
        """Send a question, return what the host hears until `wait_ns` later as (ns after the question, bytes)."""
        start = self.now
        self.line.host_sends(start, question(1) if request is None else request)
        self.now += wait_ns
        return [(at - start, data) for at, data in self.line.advance(self.now)]

    def answers(self, *more, **words):
        return b"".join(data for _, data in self.ask(*more, **words))


USUAL_NS = span_ns(bus(), 5) + silence_ns(bus()) + span_ns(bus(), 9)
GOOD = FrameDevice(1).answer(0)


def test_without_faults_nothing_changes():
    bench = Bench()
    assert bench.ask() == [(USUAL_NS, GOOD)]
    assert bench.notes == []


def test_silence():
    bench = Bench("silence:p1")
    assert bench.answers() == b""
    assert bench.answers(question(2)) == bench.other.answer(0)
    assert bench.notes == [(1, "silence")]


def test_late_answers_come_in_order_and_the_device_stays_busy():
    bench = Bench("late:p1@#1,delay=400ms")
    assert bench.ask(question(1, 1)) == []
    assert bench.ask(question(2, 2))[0][1] == bench.other.answer(2)
    heard = bench.ask(question(1, 3), wait_ns=900 * MS)
    assert [data for _, data in heard] == [bench.device.answer(1), bench.device.answer(3)]
    assert heard[0][0] == USUAL_NS + 300 * MS
    assert heard[1][0] - heard[0][0] == silence_ns(bus()) + span_ns(bus(), 9)


def test_crc_flips_one_byte():
    answer = Bench("crc:p1").answers()
    assert len(answer) == len(GOOD)
    assert sum(theirs != mine for theirs, mine in zip(answer, GOOD, strict=True)) == 1


def test_truncate():
    assert Bench("truncate:p1,bytes=4").answers() == GOOD[:4]
    assert Bench("truncate:p1,bytes=0").answers() == b""


def test_noise_before_and_after():
    answer = Bench("noise:p1,before=2,after=3").answers()
    assert len(answer) == len(GOOD) + 5
    assert answer[2:-3] == GOOD


def test_duplicate_comes_again_after_the_delay():
    heard = Bench("duplicate:p1,delay=20ms").ask()
    assert heard == [(USUAL_NS, GOOD), (USUAL_NS + 20 * MS, GOOD)]


def test_foreign_has_another_address_and_a_right_checksum():
    answer = Bench("foreign:p1").answers()
    assert answer == framed([2, *GOOD[1:-2]])
    assert Bench("foreign:p1,unit=9").answers()[0] == 9


def test_a_keller_frame_keeps_its_high_byte_first():
    frame = framed(b"\x01\x49\x3f\x6d\xb1\x53\x00", "big")
    assert SILENCE.readdress(frame, 1, 7) == framed(b"\x07\x49\x3f\x6d\xb1\x53\x00", "big")


def test_a_text_answer_is_foreign_by_its_sender_only():
    assert TEXT.readdress(b"*00011013.2500\r\n", 1, 7) == b"*00071013.2500\r\n"
    assert TEXT.readdress(b"1013.25\r\n", 1, 7) == b"1013.25\r\n"


def test_echo_before_or_in_place_of_the_answer():
    assert [data for _, data in Bench("echo:p1").ask()] == [question(1), GOOD]
    assert [data for _, data in Bench("echo:p1,answer=0").ask()] == [question(1)]


def test_exception_refuses_only_while_it_strikes():
    bench = Bench("exception:p1@#2,code=6")
    refusal = framed([1, 0x83, 6])
    assert [bench.answers() for _ in range(3)] == [GOOD, refusal, GOOD]


def test_what_others_are_asked_does_not_count_as_a_request():
    bench = Bench("silence:p1@#2")
    assert bench.answers() == GOOD
    for _ in range(3):
        assert bench.answers(question(2)) == bench.other.answer(0)
    assert bench.answers() == b""
    assert bench.answers() == GOOD


def test_the_requests_of_all_targets_count_together():
    bench = Bench("silence:b@/3")
    heard = [bench.answers(question(1 + number % 2)) for number in range(6)]
    assert [bool(data) for data in heard] == [True, True, False, True, True, False]


def test_faults_join_and_are_noted():
    bench = Bench("foreign:p1", "duplicate:p1", "late:p1,delay=10ms")
    heard = bench.ask()
    assert [data[0] for _, data in heard] == [2, 2]
    assert heard[0][0] == USUAL_NS + 10 * MS
    assert bench.notes == [(1, "foreign, duplicate, late")]


def test_a_reboot_at_a_time_leaves_the_device_deaf_and_happens_once():
    bench = Bench("reboot:p1@1s,deaf=2s")
    assert bench.answers() == GOOD
    bench.now = 2 * S
    assert bench.answers() == b""
    assert bench.answers(question(2)) == bench.other.answer(0)
    bench.now = 3 * S
    assert bench.answers() == GOOD
    assert bench.device.reboots == [3 * S]
    assert bench.other.reboots == []


def test_a_reboot_that_nobody_saw_is_made_up_for():
    bench = Bench("reboot:*@1s,deaf=2s")
    bench.now = 60 * S
    assert bench.answers() == GOOD
    assert bench.device.reboots == bench.other.reboots == [3 * S]


def test_a_reboot_at_each_third_request():
    bench = Bench("reboot:p1@/3,deaf=90ms")
    heard = [bool(bench.answers()) for _ in range(10)]
    assert heard == [True, True, False, False, True, True, False, False, True, True]
    assert len(bench.device.reboots) == 2


def test_a_restarting_device_does_not_talk_on_its_own_before_it_is_back():
    class Beacon(FrameDevice):
        wakes_at_ns = 5 * S

        def wake(self, at_ns):
            self.wakes_at_ns = at_ns + 5 * S
            return ()

    beacon = Beacon(1)
    faulty = FaultyFirmware(beacon, unit=1, names={"p1"}, faults=Bench("reboot:p1@4s,deaf=3s").faults)
    assert faulty.wakes_at_ns == 5 * S
    assert faulty.wake(5 * S) == ()
    assert beacon.reboots == [7 * S]
    assert faulty.wakes_at_ns == 7 * S
    faulty.wake(7 * S)
    assert faulty.wakes_at_ns == 12 * S


def test_a_flipped_character_of_a_text_answer_leaves_its_end():
    device = TextDevice(1)
    bench = Bench("crc:p1", device=device)
    answers = [bench.answers(b"?7\r\n") for _ in range(50)]
    assert all(answer.endswith(b"\r\n") and answer != b"*00017.5\r\n" for answer in answers)
    assert all(byte < 0x80 for answer in answers for byte in answer)


def test_same_seed_same_damage():
    def damage(seed):
        bench = Bench("crc:p1@50%", "noise:p1@30%", seed=seed)
        return [bench.answers() for _ in range(20)]

    assert damage(1) == damage(1) != damage(2)


def test_another_fault_does_not_shift_the_chance_of_the_first():
    def silent(*more):
        bench = Bench("silence:p1@50%", *more)
        return [bench.answers() == b"" for _ in range(30)]

    assert silent() == silent("crc:p1@50%") == silent("late:p2@50%")


@pytest.mark.parametrize("target", ["p1", "b", "*"])
def test_a_stuck_sensor_keeps_its_value_and_goes_on_afterwards(target):
    now = 0
    faults = Faults(seed=1, transducers=("p1",), buses=("b",), now_ns=lambda: now)
    faults.inject(f"stuck:{target}@10s+5s")
    sensor = FaultySensor(Steady(), names={"p1", "b", "*"}, faults=faults)
    values = [sensor.read(at * S)[0] for at in range(9, 17)]
    assert len(set(values[1:6])) == 1
    assert len(set(values)) == 4


def test_a_sensor_that_gets_stuck_again_keeps_its_new_value():
    faults = Faults(seed=1, transducers=("p1",), buses=(), now_ns=lambda: 0)
    sensor = FaultySensor(Steady(), names={"p1"}, faults=faults)
    faults.inject("stuck:p1")
    first = sensor.read(0)
    faults.clear()
    faults.inject("stuck:p1")
    second = sensor.read(1)
    assert second == sensor.read(2) != first


def test_the_head_of_an_answer_is_lost_only_when_it_comes_too_soon():
    assert Bench("head:p1,bytes=2,within=2ms").answers() == GOOD[2:]
    slow = FrameDevice(1, delay_ns=2 * MS)
    assert Bench("head:p1,bytes=2,within=2ms", device=slow).answers() == GOOD


def test_a_split_answer_pauses_and_is_whole():
    heard = Bench("split:p1,bytes=4,pause=20ms").ask()
    assert b"".join(data for _, data in heard) == GOOD
    assert [data for _, data in heard] == [GOOD[:4], GOOD[4:]]
    assert heard[1][0] - heard[0][0] == pytest.approx(span_ns(bus(), 5) + 20 * MS, abs=2)
    assert Bench("split:p1,bytes=9").answers() == GOOD


def test_another_function_comes_with_a_right_checksum():
    assert Bench("function:p1").answers() == framed([1, 4, *GOOD[2:-2]])
    assert Bench("function:p1,code=16").answers() == framed([1, 16, *GOOD[2:-2]])
    assert TEXT.refunction(b"*0001\r\n", 4) == b"*0001\r\n"


def test_a_fault_waits_for_the_request_that_it_is_meant_for():
    bench = Bench("silence:p1@=0103..@#2")
    assert bench.answers(question(1, 7)) == bench.device.answer(7)
    assert bench.answers(question(2, 7)) == bench.other.answer(7)
    assert bench.answers(question(1, 7)) == b""
    exact = Bench("silence:p1@=010307")
    assert [exact.answers(question(1, number)) == b"" for number in (6, 7, 8, 7)] == [False, True, False, True]


def test_a_moved_device_answers_at_its_new_address_and_no_longer_at_its_old():
    bench = Bench("address:p1@1s+1s,unit=9")
    assert bench.answers(question(1)) == GOOD
    bench.now = S
    assert bench.answers(question(1)) == b""
    assert bench.answers(question(9)) == framed([9, *GOOD[1:-2]])
    broken = question(9)[:-1] + bytes([question(9)[-1] ^ 1])
    assert bench.answers(broken) == b""
    bench.now = 2 * S
    assert bench.answers(question(1)) == GOOD


def test_two_at_one_address_garble_each_other():
    bench = Bench("address:p1,unit=2")
    bench.answers(question(2))
    assert bench.line.statistics.collisions == 1


def test_a_device_at_another_speed_is_heard_by_who_takes_that_speed():
    bench = Bench("baud:p1@0s+1s,baud=4800")
    assert bench.answers(question(1)) == b""
    bench.line.set_host(4800, "8N1")
    assert bench.answers(question(1)) == GOOD
    assert bench.answers(question(2)) == b""
    bench.line.set_host(19200, "8N1")
    bench.now = S
    assert bench.answers(question(1)) == GOOD


def test_a_cut_cable_takes_those_beyond_it():
    bench = Bench("cut:p2@1s+1s")
    bench.now = S
    assert (bench.answers(question(1)), bench.answers(question(2))) == (GOOD, b"")
    bench.faults.clear()
    bench.faults.inject("cut:p1")
    assert (bench.answers(question(1)), bench.answers(question(2))) == (b"", b"")


class Stream(FrameDevice):
    """Says its time each second of its own clock."""

    def __init__(self, unit):
        super().__init__(unit)
        self.wakes_at_ns = S
        self.own_times = []

    def wake(self, at_ns):
        self.own_times.append(at_ns)
        self.wakes_at_ns += S
        return [Reply(data=b"tick")]


def test_a_device_whose_clock_runs_fast_talks_more_often_and_stays_ahead_afterwards():
    bench = Bench("skew:p1@0s+4s,speed=200%", device=Stream(1))
    heard = [at // MS for at, data in bench.ask(b"", wait_ns=7_100 * MS) if data]
    assert heard == [502, 1002, 1502, 2002, 2502, 3002, 3502, 4002, 5002, 6002, 7002]
    assert bench.device.own_times == [S * number for number in range(1, 12)]


def test_delays_follow_the_devices_clock_and_its_sensor_is_read_at_the_true_time():
    slow = FrameDevice(1, delay_ns=10 * MS)
    assert Bench("skew:p1,speed=50%", device=slow).ask()[-1][0] == USUAL_NS + 20 * MS
    faults = Faults(seed=1, transducers=("p1",), buses=(), now_ns=lambda: 0)
    faults.inject("skew:p1,speed=50%")
    clock = DeviceClock(names={"p1"}, faults=faults)
    clock.keep_up(10 * S)
    assert clock.own_ns(10 * S) == 5 * S
    read = []

    class Watch:
        def read(self, at_ns):
            read.append(at_ns)
            return 0.0, 0.0

    FaultySensor(Watch(), names={"p1"}, faults=faults, clock=clock).read(5 * S)
    assert read == [10 * S]


@given(
    skews=st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 20), st.integers(20, 500)), min_size=1, max_size=3, unique=True
    ),
    steps=st.lists(st.integers(1, 9_999_999_999), min_size=1, max_size=9),
)
def test_a_devices_clock_never_goes_back_and_true_time_is_its_inverse(skews, steps):
    faults = Faults(seed=1, transducers=("p1",), buses=(), now_ns=lambda: 0)
    for begin, length, percent in skews:
        faults.inject(f"skew:p1@{begin}s+{length}s,speed={percent}%")
    clock = DeviceClock(names={"p1"}, faults=faults)
    at = shown = 0
    for step in steps:
        at += step
        clock.keep_up(at)
        before, shown = shown, clock.own_ns(at)
        assert shown >= before
        assert clock.true_ns(shown) <= at
        assert clock.own_ns(clock.true_ns(shown + S)) >= shown + S


def test_a_babbling_device_talks_for_its_time_and_answers_too():
    bench = Bench("babble:p1@1s+300ms,every=100ms,bytes=5")
    assert bench.answers() == GOOD
    heard = bench.ask(b"", wait_ns=2 * S)
    assert [len(data) for _, data in heard] == [5, 5, 5]
    assert [kinds for _, kinds in bench.notes] == ["babble"] * 3


def test_a_device_can_babble_its_last_answer():
    bench = Bench("babble:p1@0s+10s,every=1s,bytes=0")
    assert bench.answers(question(1, 5)) == bench.device.answer(5)
    assert bench.answers(b"", wait_ns=S) == bench.device.answer(5)


def test_low_supply_restarts_again_and_again_and_once_more_at_the_end():
    bench = Bench("brownout:p1@1s+4s,every=2s,deaf=500ms,garbage=0%")
    for now in (0, 1.2, 1.6, 2.9, 3.2, 3.6, 5.2, 5.6):
        bench.now = round(now * S)
        assert bench.answers() == (GOOD if now not in {1.2, 3.2, 5.2} else b""), now
    assert bench.device.reboots == [1_500 * MS, 3_500 * MS, 5_500 * MS]


def test_low_supply_garbles_a_share_of_the_answers():
    bench = Bench("brownout:p1,every=1h,deaf=0s,garbage=50%")
    answers = [bench.answers() for _ in range(100)]
    assert all(len(answer) == len(GOOD) for answer in answers)
    assert 30 < sum(answer == GOOD for answer in answers) < 70


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ("offset:p1@1s+2s,by=-20Pa", [0, -20, -20, 0]),
        ("drift:p1@1s+2s,rate=3Pa/s", [0, 0, 3, 0]),
        ("spike:p1@#2,by=5kPa", [0, 5000, 0, 0]),
        ("spike:p1,count=1,by=1Pa", [1, 0, 0, 0]),
    ],
)
def test_sensors_that_lie(spec, errors):
    faults = Faults(seed=1, transducers=("p1",), buses=(), now_ns=lambda: 0)
    faults.inject(spec)
    sensor = FaultySensor(Still(), names={"p1"}, faults=faults)
    assert [sensor.read(at * S)[0] - 100_000.0 for at in range(4)] == errors


class Still:
    def read(self, at_ns):
        return 100_000.0, 295.0
