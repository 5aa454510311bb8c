"""The transducer that leaves its neighbours slowly is named, and only that one; of two nobody can say which."""

import numpy as np
import pytest

from drivers.reading import Quality
from gateway.leak.drift_watch import DriftWatch
from gateway.leak.segment_state import SegmentVote
from gateway.leak.transducer_record import Member, Sample

DAY_S = 86_400.0
NOISE_PA = 5.0


class Segment:
    """Transducers of 5 Pa noise, each with an offset of its own; the first one drifts."""

    def __init__(self, number, seed):
        self.names = tuple("abcd"[:number])
        self.vote = SegmentVote("s", [Member(name=name, u_pa=80.0, silent_after_s=3.0) for name in self.names])
        self.watch = DriftWatch(self.vote, 30 * DAY_S)
        self.rng = np.random.default_rng(seed)
        self.levels = 101_325.0 + self.rng.normal(0.0, 40.0, number)
        self.now_s = 0.0
        self.noise_pa = NOISE_PA
        self.silent_from_s = np.inf

    def run(self, minutes, pa_s=0.0, all_pa_s=0.0):
        """Run until somebody is named or doubted, at most so many minutes; return who is rejected."""
        for _ in range(round(minutes * 60)):
            self.now_s += 1.0
            self.levels += all_pa_s
            self.levels[0] += pa_s
            values = self.levels + self.rng.normal(0.0, self.noise_pa, len(self.names))
            said = {name: Sample(pressure_pa=float(value)) for name, value in zip(self.names, values, strict=True)}
            if self.now_s > self.silent_from_s:
                said = {"a": said["a"]}
            self.state = self.vote.take(said, self.now_s)
            self.watch.take(said)
            if "a" in self.state.rejected:
                break
        return dict(self.state.rejected)


@pytest.mark.parametrize("number", [3, 4])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("seed", range(2))
def test_the_one_that_drifts_is_named_and_no_other(number, sign, seed):
    segment = Segment(number, seed)
    assert segment.run(20) == {}
    assert segment.run(60, sign * 1500.0 / DAY_S) == {"a": "drifts"}
    assert segment.state.quality is Quality.GOOD


def test_a_drift_is_not_taken_for_noise_for_a_loud_half_minute():
    segment = Segment(3, 1)
    assert segment.run(20) == {}
    segment.vote.unrest = lambda *_names: 2.0  # 30 values say 1.6 by chance once in 50 minutes
    assert segment.run(60, 1500.0 / DAY_S) == {"a": "drifts"}


def test_noise_that_grows_is_no_drift():
    segment = Segment(3, 1)
    assert segment.run(20) == {}
    segment.noise_pa = 4 * NOISE_PA
    assert segment.run(60) == {}


def test_of_two_nobody_is_named_but_there_is_doubt():
    segment = Segment(2, 1)
    assert segment.run(20) == {}
    assert segment.state.quality is Quality.GOOD
    assert segment.run(60, 1500.0 / DAY_S) == {}
    assert segment.state.quality is Quality.UNCERTAIN


def test_a_leak_moves_all_alike_and_names_nobody():
    segment = Segment(3, 1)
    assert segment.run(20) == {}
    assert segment.run(60, all_pa_s=-0.1) == {}
    assert segment.state.quality is Quality.GOOD


@pytest.mark.parametrize("seconds", [25, 300])
def test_one_that_is_left_alone_is_compared_with_nobody(seconds):
    segment = Segment(2, 1)
    segment.silent_from_s = seconds
    assert segment.run(20, 1500.0 / DAY_S) == {"b": "stale"}


@pytest.mark.parametrize("seed", [0, 3])
def test_one_that_jumps_and_is_believed_again_makes_nobody_else_drift(seed):
    segment = Segment(3, seed)
    assert segment.run(5) == {}
    segment.levels[0] += 150.0
    assert segment.run(1) == {"a": "jumped"}
    named = set()
    for _ in range(30 * 60):
        segment.run(1 / 60)
        named |= segment.state.rejected.keys()
    assert segment.state.rejected == {}
    assert named == {"a"}
