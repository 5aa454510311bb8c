"""The whole watch on levels with known noise: finds what is there, says where, and announces one leak once."""

import math

import numpy as np
import pytest

from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import HatchState, Rig
from drivers.units import UNITS
from gateway.leak.finding import Kind
from gateway.leak.watch import StationWatch

NOISE_PA = 5.0
EACH = 3


class Station:
    """Three segments in a row, three transducers each; the truth is a pressure and a temperature for each segment."""

    def __init__(self, *, seed=1, volumes=("6 m3", "75 m3", "70 m3"), warm=True, transducers=EACH, **leak):
        names = ("prk", "zvezda", "zarya")
        self.rig = Rig.model_validate(
            {
                "station": {"id": "s", "gateway": "g"},
                "segment": {
                    name: {} if volume is None else {"volume": volume}
                    for name, volume in zip(names, volumes, strict=True)
                },
                "hatch": [
                    {"between": ["prk", "zvezda"], "state": "open"},
                    {"between": ["zvezda", "zarya"], "state": "open"},
                ],
                "bus": {"b": {"kind": "serial", "port": "-"}},
                "transducer": {
                    f"{name}_{number}": {"model": "keller-33x", "bus": "b", "unit": 1 + number, "segment": name}
                    for name in names
                    for number in range(transducers)
                },
                "leak": {"depress_rate": "100 mmHg/min"} | leak,
            }
        )
        self.rng = np.random.default_rng(seed)
        self.watch = StationWatch(self.rig, 0.0)
        self.warm = warm
        self.now_s = 0.0
        self.pressure = dict.fromkeys(names, 101325.0)
        self.kelvin = dict.fromkeys(names, 295.15)
        self.offset = {name: self.rng.normal(0, 20) for name in self.rig.transducers}
        self.noise = NOISE_PA
        self.silent = set()
        self.findings = []
        self.there = []

    def run(self, seconds, lost_pa_m3_per_s=0.0, where="prk"):
        """Run; the loss is shared by what open hatches join to `where`."""
        for _ in range(round(seconds)):
            self.now_s += 1.0
            body = self.joined(where)
            volume = sum(self.rig.segments[name].volume or 10.0 for name in body)
            for name in body:
                self.pressure[name] -= lost_pa_m3_per_s / volume
            for name, words in self.rig.transducers.items():
                if name not in self.silent:
                    self.watch.take(self.poll(name, words.segment))
            for _ in self.watch.advance(self.now_s + 0.5):
                pass
            if (finding := self.watch.news()) is not None:
                self.findings.append(finding)
            now = {each.condition.id: each for each in self.watch.observations() if each.there}
            self.there.append(now)
        return self

    def joined(self, segment):
        return next(watch.body.segments for watch in self.watch.watches if segment in watch.body.segments)

    def move(self, hatch, state):
        self.watch.move_hatch(hatch, HatchState(state), "command", self.now_s)
        for watch in self.watch.watches:  # an open hatch makes pressures equal
            names = watch.body.segments
            volumes = [self.rig.segments[name].volume or 10.0 for name in names]
            mean = np.average([self.pressure[name] for name in names], weights=volumes)
            self.pressure.update(dict.fromkeys(names, mean))

    def poll(self, name, segment):
        quantities = (("pressure", "Pa"), ("temperature", "K")) if self.warm else (("pressure", "Pa"),)
        channels = tuple(Channel(transducer=name, quantity=what, unit=UNITS[unit]) for what, unit in quantities)
        values = np.array(
            [
                self.pressure[segment] * self.kelvin[segment] / 295.15
                + self.offset[name]
                + self.rng.normal(0, self.noise),
                self.kelvin[segment] + self.rng.normal(0, 0.002),
            ][: len(channels)]
        )
        nothing = np.zeros(len(channels), dtype=np.uint8)
        return Readings(
            channels=channels,
            values=values,
            quality=nothing + np.uint8(Quality.GOOD),
            reasons=nothing + np.uint8(Reason.NONE),
            raw=values,
            time_s=self.now_s - 0.5,
            uncertainty_s=0.0,
        )

    def alarms(self, since=0):
        return {alarm for now in self.there[since:] for alarm in now}


KG_PER_PA_M3 = 0.0289652 / (8.31446 * 295.15)


def rate_kg_per_day(pa_m3_per_s):
    return pa_m3_per_s * KG_PER_PA_M3 * 86400


def test_a_quiet_station_collects_and_then_says_nothing():
    station = Station().run(900)
    assert station.findings[0].bodies[0].kind is Kind.COLLECTING
    assert station.findings[-1].bodies[0].kind is Kind.NONE
    assert station.alarms() == set()


def test_a_hole_is_announced_once_with_its_rate_and_closing_hatches_names_its_segment():
    station = Station().run(300).run(120, 40.0)
    (body,) = station.findings[-1].bodies
    assert body.kind is Kind.PUNCTURE
    low, high = (end * 86400 for end in body.rate_ci95_kg_per_s)
    assert low < rate_kg_per_day(40.0) < high
    assert body.reserve.fast_s < body.reserve.exponential_s
    assert 280.0 < body.since_s < 330.0
    assert station.alarms() == {"leak-station"}
    hatch = station.findings[-1].next_hatch
    assert hatch == "prk--zvezda", "the small one decides soonest"
    closed_at = len(station.there)
    station.move(hatch, "closed")
    station.run(3, 40.0)
    kinds = {body.kind for body in station.findings[-1].bodies}
    assert kinds == {Kind.COLLECTING}, "that nothing is seen yet is no word that nothing is lost"
    assert station.findings[-1].where
    station.run(120, 40.0)
    assert station.watch.case.named == "prk"
    assert set(station.there[-1]) == {"leak-prk"}
    assert station.there[-1]["leak-prk"].condition.segment == "prk"
    assert all(len(now) == 1 for now in station.there[closed_at:]), "one leak, one alarm"
    opened_at = len(station.there)
    station.move(hatch, "open")
    station.run(300, 40.0)
    assert station.alarms(opened_at) == {"leak-prk"}


def test_reserve_times_stand_while_readings_pause():
    station = Station().run(300).run(120, 40.0)
    station.now_s += 6.0
    assert list(station.watch.advance(station.now_s + 0.5))
    (body,) = station.watch.news().bodies
    assert body.reserve is not None


def test_a_leak_that_is_mended_ends_and_its_alarm_goes():
    station = Station().run(200).run(300, 100.0).run(1500)
    assert station.watch.case is None
    assert station.there[-1] == {}
    assert station.findings[-1].bodies[0].kind is Kind.NONE


def test_a_repress_is_a_gain_and_no_leak():
    station = Station().run(200).run(300, -100.0)
    assert station.findings[-1].bodies[0].kind is Kind.GAIN
    assert station.alarms() == {"gain-station"}


@pytest.mark.parametrize("hold", [True, False])
def test_an_expected_disturbance_is_no_gain(hold):
    station = Station().run(200)
    if hold:
        station.watch.disturb("zvezda", 400.0)
    station.run(200, -100.0).run(400)
    assert ("gain-station" in station.alarms()) is not hold


def test_while_an_event_lasts_nothing_is_judged_and_a_hatch_that_moves_does_not_end_it():
    station = Station().run(200)
    station.watch.disturb("zvezda", 300.0)
    station.run(5)
    assert station.findings[-1].bodies[0].kind is Kind.COLLECTING
    station.move("prk--zvezda", "closed")
    station.run(200, -100.0, where="zvezda")
    assert {body.kind for body in station.findings[-1].bodies} == {Kind.COLLECTING}
    station.run(500)
    assert {body.kind for body in station.findings[-1].bodies} == {Kind.NONE}
    assert station.alarms() == set()


@pytest.mark.parametrize("said_kg", [10.0, 30.0])
def test_a_metered_repress_is_no_news_and_a_meter_that_lies_makes_no_leak(said_kg):
    station = Station().run(200)
    station.watch.disturb("zvezda", 60.0, said_kg)
    station.run(50, -10.0 / KG_PER_PA_M3 / 50.0).run(700)  # 10 kg in 50 s
    assert station.alarms() == set()


@pytest.mark.parametrize("mass_kg", [None, 0.5])
def test_an_event_in_the_middle_of_a_minute_is_no_news_to_the_slow_channel(mass_kg):
    station = Station().run(235)  # most of a minute
    station.watch.disturb("zvezda", 60.0, mass_kg)
    station.run(50, -0.5 / KG_PER_PA_M3 / 50.0).run(500)
    assert station.alarms() == set()
    assert station.watch.watches[0].margins["slow"] < -5.0


def test_evidence_from_before_a_metered_repress_still_counts():
    margins = []
    for mass_kg in (0.02, None):
        station = Station().run(200).run(90, 5.0)
        station.watch.disturb("zvezda", 20.0, mass_kg)
        station.run(10, 5.0 - 0.02 / KG_PER_PA_M3 / 10.0).run(30, 5.0)
        (watch,) = station.watch.watches
        margins.append(watch.margins["fast"])
    assert margins[0] > margins[1] + 1.0


def test_a_repress_during_a_leak_does_not_end_it():
    station = Station().run(300).run(200, 40.0)
    station.watch.disturb("zvezda", 300.0)
    announced_at = len(station.there)
    station.run(300, -100.0).run(30, 40.0).run(300, 40.0)
    assert all("leak-station" in now for now in station.there[announced_at:])
    (body,) = station.findings[-1].bodies
    low, high = (end * 86400 for end in body.rate_ci95_kg_per_s)
    assert low < rate_kg_per_day(40.0) < high


def test_what_cannot_be_expected_is_refused():
    station = Station(volumes=("6 m3", None, "70 m3")).run(20)
    with pytest.raises(LookupError, match="there are: prk, zvezda, zarya"):
        station.watch.disturb("mir")
    with pytest.raises(LookupError, match="a mass says nothing without a volume, and zvezda has none"):
        station.watch.disturb("prk", mass_kg=5.0)
    with pytest.raises(LookupError, match="no transducer measures the air of segment 'prk'"):
        Station(transducers=0).watch.disturb("prk")


def test_opening_a_hatch_between_different_pressures_is_no_leak():
    station = Station()
    station.move("prk--zvezda", "closed")
    station.pressure["prk"] = 90_000.0
    station.run(300)
    station.move("prk--zvezda", "open")
    station.run(60)
    assert station.findings[-1].bodies[0].kind is Kind.COLLECTING
    station.run(1300)
    assert station.findings[-1].bodies[0].kind is Kind.NONE
    assert station.alarms() == set()


def test_pressures_that_differ_prove_an_unknown_hatch_closed():
    station = Station()
    station.watch.move_hatch("prk--zvezda", HatchState.UNKNOWN, "command", 0.0)
    station.pressure["prk"] = 95_000.0
    station.run(15)
    assert station.watch.hatches["prk--zvezda"].state is HatchState.UNKNOWN
    station.run(10)
    now = station.watch.hatches["prk--zvezda"]
    assert (now.state, now.source) == (HatchState.CLOSED, "pressure")
    assert "prk--zvezda" in station.watch.moved()
    with pytest.raises(LookupError, match="there are: prk--zvezda, zvezda--zarya"):
        station.watch.move_hatch("prk--zarya", HatchState.OPEN, "command", 0.0)


def test_without_a_volume_there_is_a_slope_and_a_word_why_there_is_no_rate():
    station = Station(volumes=("6 m3", None, "70 m3")).run(200).run(200, 60.0)
    (body,) = station.findings[-1].bodies
    assert body.loses
    assert body.slope_pa_per_s > 0
    assert body.rate_kg_per_s is None
    assert any("volume is missing" in note for note in body.notes)
    assert station.alarms() == {"leak-station"}


def test_without_temperatures_it_says_so_and_the_limit_grows():
    cold = Station(warm=False).run(200)
    warm = Station().run(200)
    assert any("no temperature" in note for note in cold.findings[-1].bodies[0].notes)
    assert warm.findings[-1].bodies[0].notes == ()
    assert cold.watch.watches[0].noise.air_pa > 20 * warm.watch.watches[0].noise.air_pa


def test_a_closed_hatch_through_which_both_sides_fall_alike_is_told_and_no_segment_is_named():
    station = Station().run(300).run(120, 40.0)
    station.watch.move_hatch("prk--zvezda", HatchState.CLOSED, "command", station.now_s)  # it is open, in truth
    station.joined = lambda where: ("prk", "zvezda", "zarya")
    station.run(280, 40.0)
    assert station.watch.case.named is None
    assert {"hatch-prk--zvezda", "leak-station"} <= set(station.there[-1])
    assert "leak-prk" not in station.there[-1]
    assert station.findings[-1].where == {}
    assert all("does air pass it?" in " ".join(body.notes) for body in station.findings[-1].bodies)


def test_across_a_hatch_that_nobody_knows_both_sides_fall_alike_and_somebody_is_sent_to_look():
    station = Station()
    station.watch.move_hatch("prk--zvezda", HatchState.UNKNOWN, "command", 0.0)
    station.joined = lambda where: ("prk", "zvezda", "zarya")  # it is open, in truth
    station.run(200).run(200, 40.0)
    assert station.watch.case.named is None
    assert not any(alarm.startswith("hatch-") for alarm in station.alarms()), "nobody said that it is closed"
    notes = {note for body in station.findings[-1].bodies for note in body.notes}
    assert "nobody knows whether prk--zvezda is open, and both sides fall alike: look, and tell" in notes


def test_sides_that_differ_across_a_hatch_that_is_said_to_be_open_are_told():
    station = Station().run(30)
    assert station.findings[-1].bodies[0].notes == ()
    station.pressure["prk"] -= 2000.0
    station.run(90)
    assert any(
        "prk--zvezda is said to be open, yet its two sides differ" in note
        for note in station.findings[-1].bodies[0].notes
    )


@pytest.mark.parametrize(("gas_error", "said"), [("0 Pa", True), ("0.1 Pa", False)])
def test_a_slow_loss_may_be_people_who_breathe_when_no_room_is_made_for_them(gas_error, said):
    station = Station(gas_error=gas_error)
    station.run(2400, 2.0)
    assert station.watch.watches[0].found.channel == "slow"
    notes = " ".join(station.watch._find().bodies[0].notes)
    assert ("people who breathe" in notes) is said


def test_a_segment_with_one_transducer_says_so():
    station = Station(transducers=1).run(60)
    assert "one transducer to go by" in station.findings[-1].bodies[0].notes[0]


def test_noise_that_grows_is_noticed_said_and_is_no_leak():
    station = Station().run(200)
    station.noise = 3 * NOISE_PA
    station.run(1500)
    assert any("times what was expected" in note for note in station.findings[-1].bodies[0].notes)
    assert not any(alarm.startswith(("leak", "gain")) for alarm in station.alarms())


def test_a_transducer_that_drifts_is_named_and_is_no_leak():
    station = Station().run(200)
    for _ in range(60):
        station.offset["zvezda_1"] -= 3.0
        station.run(60)
        if station.watch.states["zvezda"].rejected:
            break
    assert station.watch.states["zvezda"].rejected == {"zvezda_1": "drifts"}
    station.run(20)
    assert station.alarms() == {"transducers-zvezda"}


def test_a_body_that_falls_silent_has_no_data():
    station = Station().run(100)
    for _ in range(120):
        station.now_s += 1.0
        list(station.watch.advance(station.now_s + 0.5))
        station.watch.news()
    assert station.watch.news() is None or True
    station.watch._next_news_s = 0.0
    assert station.watch.news().bodies[0].kind is Kind.NO_DATA
    assert station.watch.states["prk"].quality is Quality.STALE
    assert math.isclose(station.watch.states["prk"].pressure_pa, 101325.0, abs_tol=60)


def test_that_a_body_has_no_data_any_more_is_said_at_once():
    station = Station().run(119)
    station.silent = set(station.rig.transducers)
    before = len(station.findings)
    station.run(70)
    told = [each.time_s for each in station.findings[before:] if each.bodies[0].kind is Kind.NO_DATA]
    assert told[0] <= 119 + 65, "60 s after the last level, and not with the next minute's word"


def test_a_suspect_that_holds_while_the_rest_loses_is_a_hidden_path_and_never_mended():
    station = Station().run(300).run(120, 40.0)
    station.move("prk--zvezda", "closed")
    station.run(200, 40.0)
    assert station.watch.case.named == "prk"
    station.move("prk--zvezda", "open")
    station.run(120, 40.0)
    station.move("prk--zvezda", "closed")
    station.run(
        1600, 40.0, where="zvezda"
    )  # 20 min for the air to settle after it was open; the seal feeds what escapes from PrK
    kinds = {body.body.segments: body.kind for body in station.findings[-1].bodies}
    assert kinds["zvezda", "zarya"] is Kind.HIDDEN_PATH
    assert kinds["prk",] is not Kind.LEAK
    assert station.watch.case is not None


def test_a_transducer_that_takes_over_begins_a_new_level_and_is_no_leak():
    station = Station(transducers=2)
    station.move("prk--zvezda", "closed")
    station.offset["prk_0"], station.offset["prk_1"] = 60.0, -60.0
    station.silent = {"prk_1"}
    station.run(300)
    station.silent = set()
    station.run(5)
    station.silent = {"prk_0"}
    station.run(900)
    assert station.watch.states["prk"].used == ("prk_1",)
    assert station.alarms() == set()
    station.run(200, 5.0)
    assert station.alarms() == {"leak-prk"}, "it is watched as before"


@pytest.mark.parametrize("transducers", [1, 3])
def test_a_fast_fall_trips_one_alarm_of_its_body_beside_the_leak(transducers):
    station = Station(transducers=transducers, depress_rate="1 mmHg/min").run(120).run(60, 500.0)
    assert station.alarms() == {"leak-station", "depress-station"}
    tripped = station.there[-1]["depress-station"]
    assert tripped.value == pytest.approx(500.0 / 151.0, rel=0.25)
    assert tripped.condition.limit == pytest.approx(133.322387415 / 60)
    station.move("prk--zvezda", "closed")
    station.run(10, 100.0)
    assert station.there[-1]["depress-prk"].condition.segment == "prk"
    station.run(60)
    assert not any(alarm.startswith("depress") for alarm in station.there[-1])


def test_what_is_told_and_one_that_lies_trip_nothing():
    station = Station(depress_rate="1 mmHg/min", low_pressure="70 kPa").run(60)
    station.watch.disturb("zvezda", 400.0)
    station.run(120, 2000.0)
    station.run(300)
    for _ in range(200):
        station.offset["zvezda_1"] -= 20.0
        station.run(1)
    station.move("prk--zvezda", "closed")
    station.pressure["prk"] = 90_000.0
    station.run(60)
    station.move("prk--zvezda", "open")  # a whole bar less in a second
    station.run(200)
    assert {alarm for alarm in station.alarms() if alarm.startswith(("depress", "low"))} == set()


def test_a_low_pressure_is_an_alarm_of_its_own():
    station = Station(low_pressure="95 kPa").run(30)
    station.pressure = dict.fromkeys(station.pressure, 94_000.0)
    station.run(10)
    assert "low-station" in station.there[-1]
    station.pressure = dict.fromkeys(station.pressure, 95_500.0)
    station.run(10)
    assert "low-station" not in station.there[-1]


def test_transducers_that_are_polled_in_turn_are_no_noise_and_no_gain():
    station = Station(seed=2)

    def run(seconds, lost=0.0):
        for _ in range(seconds):
            station.silent = {name for name in station.rig.transducers if (int(name[-1]) - station.now_s) % EACH}
            station.run(1, lost)

    run(600)
    assert station.watch.watches[0].inflated < 2.5, "fewer speak in a step, but of one level"
    run(200, 40.0)
    assert station.alarms() == {"leak-station"}
