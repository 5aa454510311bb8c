"""The trip on the mid-value: fast falls trip, whatever one transducer says; noise, jumps and what was told do not."""

import numpy as np
import pytest

from drivers.rig_gateway import Leak
from gateway.leak.depress import DepressTrip

NOISE_PA = 5.0
LIMIT_PA_S = 133.322 / 60


class Segment:
    """A segment at 101325 Pa, each transducer with an offset of its own."""

    def __init__(self, number, *, seed=1, poll_s=1, noise_pa=NOISE_PA, **settings):
        self.names = tuple("abcd"[:number])
        self.poll_s = poll_s
        self.noise_pa = dict.fromkeys(self.names, noise_pa)
        self.trip = DepressTrip(dict.fromkeys(self.names, float(poll_s)), Leak(**settings))
        self.rng = np.random.default_rng(seed)
        self.pressure_pa = 101_325.0
        self.offset_pa = dict(zip(self.names, self.rng.normal(0, 80, number), strict=True))
        self.now_s = 0

    def run(self, seconds, fall_pa_s=0.0, *, lies=None, held=False, silent=()):
        """Return after how many seconds it tripped, None when it did not; `lies` are rates of single transducers."""
        tripped = None
        for step in range(1, seconds + 1):
            self.now_s += 1
            self.pressure_pa -= fall_pa_s
            for name, rate in (lies or {}).items():
                self.offset_pa[name] -= rate
            noise = {name: self.rng.normal(0, self.noise_pa[name]) for name in self.names}
            said = {
                name: self.pressure_pa + self.offset_pa[name] + noise[name]
                for place, name in enumerate(self.names)
                if name not in silent and (self.now_s + place) % self.poll_s == 0
            }
            believed = {name: self.noise_pa[name] for name in self.names if name not in silent}
            self.trip.take(said, believed, float(self.now_s), held=held)
            if self.trip.falls and tripped is None:
                tripped = step
        return tripped


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(("times", "within_s"), [(1.3, 40), (3, 28), (100, 21)])
def test_a_fast_fall_trips_soon_and_is_measured(number, times, within_s):
    segment = Segment(number)
    assert segment.run(120) is None
    assert segment.run(60, times * LIMIT_PA_S) <= within_s
    assert segment.trip.fall_pa_s == pytest.approx(times * LIMIT_PA_S, rel=0.25)
    for _ in range(120):
        segment.run(1, times * LIMIT_PA_S)
        assert segment.trip.falls, "once there it stays, whatever noise makes of it"
    segment.run(60)
    assert not segment.trip.falls, "it has ended"


@pytest.mark.parametrize("number", [1, 3])
def test_a_fall_of_half_the_limit_and_noise_do_not_trip(number):
    assert Segment(number).run(6000) is None
    assert Segment(number, noise_pa=200.0).run(6000) is None
    assert Segment(number).run(600, LIMIT_PA_S / 2) is None


@pytest.mark.parametrize("number", [3, 4])
@pytest.mark.parametrize("rate", [3.0, -3.0, 20.0])
def test_of_three_one_that_falls_never_trips_however_far(number, rate):
    for liar in "abc":
        assert Segment(number).run(300, lies={liar: rate}) is None


def test_of_two_the_one_that_falls_less_decides():
    assert Segment(2).run(300, lies={"a": 20.0}) is None
    assert Segment(2).run(60, 10.0, lies={"a": -10.0 + 1.5 * LIMIT_PA_S}) is not None


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("jump_pa", [30 * NOISE_PA, -30 * NOISE_PA, -5000.0])
def test_a_jump_is_no_fall_even_of_one_alone(number, jump_pa):
    segment = Segment(number)
    segment.run(60)
    segment.offset_pa["a"] += jump_pa
    assert segment.run(60) is None


def test_one_alone_decides_and_who_is_not_believed_does_not():
    assert Segment(1).run(60, 10.0) is not None
    three = Segment(3)
    three.run(60, silent=("b", "c"))
    assert three.run(40, 10.0, silent=("b", "c")) is not None


def test_what_is_told_holds_it_off_and_it_begins_anew_after_that():
    segment = Segment(3)
    segment.run(60)
    assert segment.run(300, 50.0, held=True) is None
    assert segment.run(60) is None, "what came meanwhile is forgotten"
    assert segment.run(60, 10.0) is not None


def test_a_pause_in_which_the_pressure_went_down_is_no_fall():
    segment = Segment(2)
    segment.run(60)
    segment.run(600, 5.0, silent=("a", "b"))
    assert segment.run(60) is None


def test_transducers_that_fall_silent_in_a_fall_leave_the_alarm():
    segment = Segment(2, low_pressure="101 kPa")
    segment.run(60)
    segment.run(60, 10.0)
    segment.run(60, 10.0, silent=("a", "b"))
    assert segment.trip.falls
    assert segment.trip.low
    segment.run(60)
    assert not segment.trip.falls


@pytest.mark.parametrize("poll_s", [2, 10, 60])
def test_slow_polls_take_longer_and_do_not_trip_for_that(poll_s):
    segment = Segment(3, poll_s=poll_s)
    assert segment.run(100 * poll_s) is None
    assert segment.run(12 * poll_s, 2 * LIMIT_PA_S) is not None


def test_the_low_limit_is_off_by_default_and_takes_the_mid_value():
    assert Segment(3).trip._settings.low_pressure is None
    segment = Segment(3, low_pressure="95 kPa")
    segment.run(30)
    assert not segment.trip.low, "nothing was said yet is no low pressure either"
    segment.run(60, lies={"a": 1000.0})
    assert not segment.trip.low
    segment.run(7000, 1.0)
    assert segment.trip.low
    assert not segment.trip.falls
    segment.run(5, held=True)
    assert not segment.trip.low
    assert Segment(3, depress_rate="10 mmHg/min").run(60, 2 * LIMIT_PA_S) is None
