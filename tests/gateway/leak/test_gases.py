"""Breathing is no leak where oxygen and carbon dioxide are measured, and a leak beneath it is found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import Rig, Segment
from drivers.units import SI_UNITS, UNITS
from gateway.leak.bodies import AirBody, BodyLevel
from gateway.leak.finding import Kind
from gateway.leak.gases import GasNow, GasSensor
from gateway.leak.watch import StationWatch
from tests.gateway.leak.test_bodies import state

CREW_PA_S = 10 * 449.0 / 86_400  # seven people in 100 m3, oxygen not made up and carbon dioxide scrubbed
POUND_PA_S = 10 * 38.2 / 86_400  # 1 lb/day from 100 m3
HOUR_S = 3_600
NOISE_PA = 1.0
GAS_NOISE_PA = 1.0


class Cabin:
    """A station of one segment in which people breathe; `poll` s between readings, time goes in such steps."""

    def __init__(self, *, gases=("o2", "co2"), seed=1, poll=10, volume="100.5 m3", **leak):
        self.poll_s = poll
        names = ("p1", "p2", "p3", "p4")
        gas = {"model": "modbus-map", "map": {f"partial_{gas}": {"address": 0, "unit": "Pa"} for gas in gases}}
        transducers = {name: {"model": "keller-33x"} for name in names} | ({"gas": gas} if gases else {})
        self.rig = Rig.model_validate(
            {
                "station": {"id": "s", "gateway": "g"},
                "segment": {"cabin": {"volume": volume}},
                "bus": {"b": {"kind": "serial", "port": "-"}},
                "transducer": {
                    name: {"bus": "b", "unit": unit, "segment": "cabin", "poll": f"{poll} s", **words}
                    for unit, (name, words) in enumerate(transducers.items(), 1)
                },
                "leak": leak,
            }
        )
        self.rng = np.random.default_rng(seed)
        self.watch = StationWatch(self.rig, 0.0)
        self.now_s = 0
        self.partial = {"n2": 79_000.0, "o2": 21_200.0, "co2": 400.0, "h2o": 1_000.0}
        self.silent = set()
        self.gas_offset_pa = 0.0
        self.there = {}
        self.findings = []

    def run(self, seconds, *, leak_pa_s=0.0, crew_pa_s=0.0):
        for _ in range(round(seconds / self.poll_s)):
            total = sum(self.partial.values())
            for gas in self.partial:
                self.partial[gas] *= 1 - leak_pa_s * self.poll_s / total
            self.partial["o2"] -= crew_pa_s * self.poll_s
            self.now_s += self.poll_s
            for name, words in self.rig.transducers.items():
                if words.measures_pressure:
                    self.tell(name, pressure=total + self.rng.normal(0, NOISE_PA), temperature=295.15)
                elif name not in self.silent:
                    heard = {each: self.partial[each.removeprefix("partial_")] for each in words.map}
                    self.tell(
                        name,
                        **{
                            each: pa + self.gas_offset_pa + self.rng.normal(0, GAS_NOISE_PA)
                            for each, pa in heard.items()
                        },
                    )
            for _ in self.watch.advance(self.now_s + 1.5):
                pass
            if (finding := self.watch.news()) is not None:
                self.findings.append(finding)
            for each in self.watch.observations():
                if each.there:
                    self.there.setdefault(each.condition.id, self.now_s)
        return self

    def tell(self, transducer, **values):
        channels = tuple(Channel(transducer=transducer, quantity=each, unit=UNITS[SI_UNITS[each]]) for each in values)
        numbers = np.array(list(values.values()))
        none = np.zeros(len(numbers), dtype=np.uint8)
        self.watch.take(
            Readings(
                channels=channels,
                values=numbers,
                quality=none + np.uint8(Quality.GOOD),
                reasons=none + np.uint8(Reason.NONE),
                raw=numbers,
                time_s=self.now_s + 0.5,
                uncertainty_s=0.0,
            )
        )

    @property
    def notes(self):
        return " ".join(self.findings[-1].bodies[0].notes)


def test_breathing_looks_like_a_leak_to_total_pressure():
    cabin = Cabin(gases=())
    while not cabin.there and cabin.now_s < 2 * HOUR_S:
        cabin.run(60, crew_pa_s=CREW_PA_S)
    assert cabin.there.keys() == {"leak-cabin"}


def test_with_partial_pressures_breathing_is_no_leak_and_a_pound_a_day_beneath_it_is_found_with_its_rate():
    cabin = Cabin().run(1.5 * HOUR_S, crew_pa_s=CREW_PA_S)
    assert cabin.there == {}
    assert cabin.findings[-1].bodies[0].kind is Kind.NONE
    assert cabin.notes == "nitrogen is watched: o2, co2 taken off, h2o not measured"
    cabin.run(2.5 * HOUR_S, crew_pa_s=CREW_PA_S, leak_pa_s=POUND_PA_S)
    assert cabin.there.keys() == {"leak-cabin"}
    (body,) = cabin.findings[-1].bodies
    low, high = (end * 86_400 for end in body.rate_ci95_kg_per_s)
    assert low < 0.4536 < high < 0.9, "of air, not of nitrogen"
    assert "people who breathe" not in cabin.notes


def test_a_gas_sensor_that_falls_silent_makes_no_leak_nor_does_its_return():
    cabin = Cabin().run(HOUR_S, crew_pa_s=CREW_PA_S)
    cabin.silent = {"gas"}
    cabin.run(HOUR_S, crew_pa_s=CREW_PA_S)
    assert "what measures o2, co2 is silent" in cabin.notes
    assert cabin.there == {}
    cabin.silent = set()
    cabin.run(HOUR_S / 4, crew_pa_s=CREW_PA_S)
    assert cabin.notes.startswith("nitrogen is watched")
    assert cabin.there == {}


@pytest.mark.parametrize("jump_pa", [5.0, 12.0, 800.0, -150.0])
def test_a_gas_sensor_that_jumps_makes_no_leak(jump_pa):
    cabin = Cabin().run(1800)
    cabin.gas_offset_pa = jump_pa
    cabin.run(1800)
    assert cabin.there == {}
    assert cabin.notes.startswith("nitrogen is watched")


def test_a_single_wild_reading_is_passed_over():
    sensor = GasSensor(1.0)
    for second in range(120):
        sensor.take(400.0 + second % 3, 1e5, float(second))
    before = sensor.now(119.0).part
    sensor.take(9_000.0, 1e5, 120.0)
    assert sensor.now(120.0).part == before
    assert not sensor.now(120.0).held


def test_a_hole_is_found_while_a_gas_sensor_is_silent():
    cabin = Cabin(poll=1).run(900, crew_pa_s=CREW_PA_S)
    cabin.silent = {"gas"}
    cabin.run(120, crew_pa_s=CREW_PA_S)
    cabin.run(60, crew_pa_s=CREW_PA_S, leak_pa_s=1.0)
    assert cabin.there.keys() == {"leak-cabin"}


def test_a_hole_has_the_rate_of_its_air_from_the_beginning():
    cabin = Cabin(poll=1).run(600).run(60, leak_pa_s=2.0)
    (body,) = cabin.findings[-1].bodies
    low, high = body.ci95_pa_per_s
    assert low < 2.0 < high
    assert high - low < 0.2, "nitrogen alone would be 0.4 off"


def test_with_hardly_any_nitrogen_gases_are_not_taken_off():
    cabin = Cabin(gases=("o2",))
    cabin.partial = {"n2": 10_000.0, "o2": 90_000.0}
    cabin.run(900)
    assert cabin.notes == ""
    assert cabin.findings[-1].bodies[0].kind is Kind.NONE


def test_one_of_two_sensors_may_fall_silent_without_a_step_whatever_their_offsets():
    level = BodyLevel(AirBody(segments=("a",), volume_m3=1.0, volume_relative_sigma=0.0), {"a": Segment(volume="1 m3")})

    def taken(**says):
        gases = {"o2": {name: GasNow(part=part, white=1e-5, sd=1e-6, held=False) for name, part in says.items()}}
        return level.take({"a": state("a")}, gases)

    def x_pa(**says):
        now = taken(**says)
        assert not now.anew
        return now.x_pa

    assert taken(one=0.21, other=0.215).anew, "the first level of all"
    both = [x_pa(one=0.21, other=0.215) for _ in range(20)]
    assert both == pytest.approx([101_325.0] * 20)
    assert x_pa(other=0.215) == pytest.approx(101_325.0)
    assert x_pa(one=0.17, other=0.215) == pytest.approx(101_325.0), "it has been away, and may have jumped"
    assert taken(one=0.17).anew, "nobody knows yet what it would have said before"
    assert taken(other=0.215).anew
    level_pa = [x_pa(one=0.17, other=0.215) for _ in range(100)]
    assert level_pa == pytest.approx([level_pa[0]] * 100)
    assert x_pa(one=0.17) == pytest.approx(level_pa[0])
    assert x_pa(one=0.169) > level_pa[0] + 75.0, "less oxygen in the same pressure is more nitrogen"


@settings(max_examples=30)
@given(st.floats(0, 0.5), st.floats(-5e-7, 5e-7), st.sampled_from((5.0, 60.0)), st.integers(0, 2**31), st.booleans())
def test_a_steady_change_is_followed_without_lag_and_goes_on_when_nobody_says_anything(
    start, per_s, poll_s, seed, noisy
):
    rng = np.random.default_rng(seed)
    sensor = GasSensor(poll_s)
    times = np.arange(0.0, 5400.0, poll_s)
    truth = 0.01 + start + per_s * times
    for time_s, part in zip(times.tolist(), (truth + noisy * rng.normal(0, 2e-5, len(times))).tolist(), strict=True):
        sensor.take(part * 1e5, 1e5, time_s)
    now = sensor.now(times[-1])
    assert not now.held
    assert abs(now.part - truth[-1]) < 6 * now.sd + 1e-6, "smoothing once would lag by 300 s of the change"
    assert now.sd < 2e-5 + 60.0 * abs(per_s)
    later = sensor.now(times[-1] + 3600.0)
    assert later.held
    assert abs(later.part - max(truth[-1] + 3600.0 * per_s, 0.0)) < 1.2e-4 * noisy + 100.0 * abs(per_s) + 1e-6
    assert sensor.now(times[-1] + 90_000.0) is None


def test_a_gas_sensor_is_known_after_a_minute_and_again_after_a_silence():
    sensor = GasSensor(1.0)
    for second in range(60):
        sensor.take(400.0, 1e5, float(second))
    assert sensor.now(59.0) is None
    sensor.take(400.0, 1e5, 60.0)
    assert not sensor.now(60.0).held
    assert not sensor.now(120.0).held
    assert sensor.now(121.0).held
    for second in range(200, 260):
        sensor.take(500.0, 1e5, float(second))
        assert sensor.now(float(second)).part == pytest.approx(0.004)
    sensor.take(500.0, 1e5, 260.0)
    assert sensor.now(260.0).part == pytest.approx(0.005)


def test_air_that_is_lost_fast_is_no_gas_that_moves():
    sensor = GasSensor(1.0)
    for second in range(600):
        pressure_pa = 1e5 - 10.0 * max(second - 300, 0)
        sensor.take(0.21 * pressure_pa, pressure_pa, float(second))
        if second > 60:
            assert sensor.now(float(second)).part == pytest.approx(0.21, abs=1e-12)
