"""Who of a segment's transducers is believed, who is named, and what the pressure does meanwhile."""

import math

import numpy as np
import pytest

from drivers.reading import Quality
from gateway.leak.segment_state import SegmentVote
from gateway.leak.transducer_record import Member, Sample

NOISE_PA = 5.0
OFFSETS = {"a": 50.0, "b": -30.0, "c": 10.0}


class Segment:
    """A segment at 101325 Pa, its transducers 5 Pa noisy and each with its own offset."""

    def __init__(self, *names, seed=1):
        self.names = names or tuple(OFFSETS)
        self.vote = SegmentVote("s", [Member(name=name, u_pa=80.0, silent_after_s=3.0) for name in self.names])
        self.rng = np.random.default_rng(seed)
        self.now_s = 0.0
        self.states = []

    def run(self, steps, change=None, *, slope=0.0):
        """Run for that many steps; `change(samples, step)` may spoil them. Return the last state."""
        for step in range(steps):
            self.now_s += 1.0
            noise = dict(zip(self.names, self.rng.normal(0, NOISE_PA, len(self.names)), strict=True))
            samples = {
                name: Sample(
                    pressure_pa=101325.0 + OFFSETS[name] + slope * step + noise[name],
                    temperature_k=295.0 + self.rng.normal(0, 0.002),
                )
                for name in self.names
            }
            if change is not None:
                change(samples, step)
            self.states.append(self.vote.take(samples, self.now_s))
        return self.states[-1]


def adds(name, pa):
    def change(samples, step):
        more = pa(step) if callable(pa) else pa
        samples[name] = Sample(pressure_pa=samples[name].pressure_pa + more, temperature_k=samples[name].temperature_k)

    return change


def says(name, sample):
    def change(samples, step):
        samples[name] = sample

    return change


def named(segment, since=0):
    """Everybody who was rejected, and why."""
    return {item for state in segment.states[since:] for item in state.rejected.items()}


def test_healthy_ones_are_never_named_and_their_mean_is_the_best():
    segment = Segment()
    last = segment.run(8000)
    assert named(segment) == set()
    assert last.used == ("a", "b", "c")
    assert last.quality is Quality.GOOD
    pressures = np.array([state.pressure_pa for state in segment.states[100:]])
    assert pressures.mean() == pytest.approx(101335.0, abs=0.5), "the mean of the three, offsets and all"
    assert pressures.std() == pytest.approx(NOISE_PA / math.sqrt(3), rel=0.03)
    assert last.white_pa == pytest.approx(NOISE_PA / math.sqrt(3), rel=0.1)
    assert last.temperature_k == pytest.approx(295.0, abs=0.002)
    assert last.u95_pa == pytest.approx(2 * math.hypot(80.0, NOISE_PA) / math.sqrt(3), rel=0.02)


@pytest.mark.parametrize("lost", [1, 2])
def test_the_pressure_does_not_step_when_transducers_fall_silent(lost):
    segment = Segment()
    segment.run(300)

    def silence(samples, step):
        for name in ("a", "b")[:lost]:
            del samples[name]

    segment.run(200, silence)
    pressures = np.array([state.pressure_pa for state in segment.states])
    sigma = NOISE_PA * math.sqrt(1 / 300 + 1 / 195)
    assert pressures[305:].mean() == pytest.approx(pressures[100:300].mean(), abs=4 * sigma)
    assert segment.states[-1].rejected == dict.fromkeys(("a", "b")[:lost], "stale")


def test_one_that_jumps_is_named_at_once_the_pressure_stays_and_it_comes_back_by_itself():
    segment = Segment()
    segment.run(100)
    segment.run(20, adds("c", 45.0))
    assert [state.rejected for state in segment.states[102:120]] == [{"c": "jumped"}] * 18
    assert np.mean([state.pressure_pa for state in segment.states[100:120]]) == pytest.approx(101335.0, abs=5)
    assert segment.run(12).rejected == {}
    assert named(segment) == {("c", "jumped")}


def test_one_that_stays_where_it_has_jumped_to_is_a_witness_again_after_ten_minutes():
    segment = Segment()
    segment.run(100)
    segment.run(500, adds("c", 60.0))
    assert segment.states[-1].rejected == {"c": "jumped"}
    last = segment.run(300, adds("c", 60.0))
    assert last.used == ("a", "b", "c")
    assert np.mean([state.pressure_pa for state in segment.states[-100:]]) == pytest.approx(101335.0, abs=3)


@pytest.mark.parametrize("seed", range(3))
def test_one_that_comes_back_makes_no_step(seed):
    """Its offset is learned before it counts: what is left is a small part of the mean's own noise."""
    segment = Segment(seed=seed)
    segment.run(500)
    segment.run(30, adds("c", 60.0))
    assert segment.run(60).used == ("a", "b")
    assert segment.run(500).used == ("a", "b", "c")
    assert not any(state.anew for state in segment.states[20:])
    pressures = np.array([state.pressure_pa for state in segment.states])
    chance = NOISE_PA * math.sqrt(2 / 400 / 3 + 1 / 60 / 6)
    assert pressures[-400:].mean() == pytest.approx(pressures[100:500].mean(), abs=2.5 * chance)


def test_when_all_others_are_gone_the_one_that_is_left_counts_at_once_and_says_that_it_is_another_level():
    segment = Segment()
    segment.run(300, lambda samples, step: samples.pop("c"))
    segment.run(5)
    assert segment.states[-1].used == ("a", "b")
    last = segment.run(6, lambda samples, step: [samples.pop(name) for name in ("a", "b")])
    assert last.used == ("c",)
    assert sum(state.anew for state in segment.states[20:]) == 1
    assert last.u95_pa == pytest.approx(2 * math.hypot(80.0, NOISE_PA), rel=0.1)
    again = segment.run(100)
    assert again.used == ("a", "b", "c")
    assert not again.anew
    assert again.pressure_pa == pytest.approx(101335.0, abs=4 * NOISE_PA)


def test_one_beyond_what_calibrations_allow_is_named_from_the_start():
    segment = Segment()
    last = segment.run(100, adds("b", 3000.0))
    assert last.rejected == {"b": "disagrees"}
    assert last.pressure_pa == pytest.approx(101355.0, abs=15)


def test_one_whose_noise_is_gone_is_stuck_until_it_moves():
    segment = Segment()
    segment.run(200)
    assert segment.run(40, says("a", Sample(pressure_pa=101375.0))).rejected == {"a": "frozen"}
    assert segment.run(12).rejected == {}
    assert named(segment) == {("a", "frozen")}


def test_a_coarse_resolution_is_not_taken_for_a_stuck_transducer():
    segment = Segment()

    def rounds(samples, step):
        for name, sample in samples.items():
            samples[name] = Sample(pressure_pa=round(sample.pressure_pa / 20) * 20)

    segment.run(3000, rounds)
    assert named(segment) == set()


def test_one_wild_value_is_left_out_and_nobody_named():
    segment = Segment()
    segment.run(200)
    spoilt = segment.run(1, adds("b", 900.0))
    assert spoilt.rejected == {}
    assert spoilt.pressure_pa == pytest.approx(101335.0, abs=4 * NOISE_PA)


def test_two_that_contradict_each_other_are_both_kept_and_the_quality_says_so():
    segment = Segment("a", "b")
    segment.run(100)
    last = segment.run(20, adds("b", 100.0))
    assert (last.agreed, last.quality, last.rejected) == (False, Quality.UNCERTAIN, {})
    again = segment.run(12)
    assert (again.agreed, again.quality) == (True, Quality.GOOD)


def test_of_two_a_stuck_one_is_named_since_that_shows_without_the_other():
    segment = Segment("a", "b")
    segment.run(100)
    last = segment.run(40, says("a", Sample(pressure_pa=101375.0)))
    assert last.rejected == {"a": "frozen"}
    assert last.used == ("b",)
    assert (last.alone, last.quality) == (True, Quality.UNCERTAIN), "one of two is left: nothing to compare it with"


def test_one_alone_says_so():
    last = Segment("a").run(100)
    assert last.alone
    assert last.quality is Quality.GOOD, "nothing is wrong; there never was another"
    assert last.white_pa == pytest.approx(NOISE_PA, rel=0.3)
    assert last.pressure_pa == pytest.approx(101375.0, abs=5 * NOISE_PA)


def test_a_puncture_rejects_nobody_and_does_not_pass_for_noise():
    segment = Segment()
    segment.run(100)
    last = segment.run(60, slope=-300.0)
    assert named(segment) == set()
    assert last.white_pa == pytest.approx(NOISE_PA / math.sqrt(3), rel=0.2)


def test_a_dead_bus_is_bad_and_silence_is_stale():
    segment = Segment("a", "b")
    segment.run(50)

    def dead(samples, step):
        for name in samples:
            samples[name] = Sample(problem="bus_down")

    last = segment.run(1, dead)
    assert (last.quality, last.rejected) == (Quality.BAD, {"a": "bus_down", "b": "bus_down"})
    silent = Segment("a", "b")
    silent.run(50)
    last = silent.run(5, lambda samples, step: samples.clear())
    assert (last.quality, last.time_s, last.used) == (Quality.STALE, 50.0, ())
    assert not last.fresh
    assert silent.run(5).quality is Quality.GOOD


def test_the_middle_value_stands_while_one_lies():
    segment = Segment()
    segment.run(100)
    first = segment.run(1, adds("a", 50_000.0))
    assert first.pressure_pa == pytest.approx(101335.0, abs=40)
