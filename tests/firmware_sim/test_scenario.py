"""Scenario files: the shipped ones do what was published, and mistakes are named with their place."""

from functools import cache
from pathlib import Path

import pytest

from drivers.rig import Rig
from drivers.rig_source import load_rig
from firmware_sim.deeds import DEEDS
from firmware_sim.physics.gas import DRY_AIR_KG
from firmware_sim.scenario import ScenarioError, load_scenario, parse_scenario, shipped

ISS = Path(__file__).parents[2] / "hil" / "rigs" / "iss.toml"
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
LONGEST_S = 9 * 3600  # as much of the long ones as a test has time for
POUND = 0.45359237
MMHG = 133.322387415
TITLE = 'title = "t"\n[climate]\norbit = "0 K"\nday = "0 K"\nwander = "0 K"\n'


@pytest.fixture(scope="module")
def iss():
    return load_rig(ISS)


class Played:
    """A world, and how much nitrogen its station holds with whatever is open to it."""

    def __init__(self, world):
        self.world = world

    def __getattr__(self, name):
        return getattr(self.world, name)

    def nitrogen_kg(self, at_ns):
        return self.world._air.moles(at_ns)[:, 0].sum() * 28.0134e-3


@pytest.fixture(scope="module")
def worlds(iss):
    return cache(lambda name: Played(load_scenario(name).world(iss)))


def small():
    return Rig.model_validate(
        {
            "station": {"id": "s", "gateway": "g"},
            "segment": {"a": {"volume": "75 m3"}, "b": {"volume": "6 m3"}},
            "hatch": [{"between": ("a", "b"), "state": "open"}],
            "coolant": {"radiator": {"volume": "44 L", "gas_volume": "6 L", "pressure": "304 kPa"}},
            "bus": {"x": {"kind": "serial", "port": "-"}},
            "transducer": {
                "p1": {"model": "keller-33x", "bus": "x", "segment": "a"},
                "loop": {"model": "keller-33x", "bus": "x", "unit": 2, "coolant": "radiator"},
            },
            "emulator": {"grade": "A"},
        }
    )


def played(*events, start=""):
    text = TITLE + start + "".join(f"[[event]]\n{event}\n" for event in events)
    return parse_scenario(text, "t.toml").world(small())


@pytest.mark.parametrize("name", shipped())
def test_each_shipped_scenario_plays_on_the_iss(worlds, name):
    scenario = load_scenario(name)
    world = worlds(name)
    last = max(event.at for event in scenario.events)
    assert scenario.title
    assert scenario.source
    assert 60_000 < world.pressure_pa("prk", round(min(last + 3600, LONGEST_S) * 1e9)) < 110_000


@pytest.mark.parametrize(("name", "hours", "mmhg"), [("prk-decay-2020-12", 18, 620), ("prk-decay-2021-03", 11.5, 678)])
def test_prk_decays_as_published(worlds, name, hours, mmhg):
    world = worlds(name)
    assert world.pressure_pa("prk", 0) / MMHG == pytest.approx(730, abs=0.01)
    assert world.pressure_pa("prk", round(hours * HOUR)) / MMHG == pytest.approx(mmhg, abs=1.5)
    assert world.pressure_pa("zvezda", round(hours * HOUR)) > 100_000


@pytest.mark.parametrize(
    ("name", "hours", "kg_a_day"),
    [
        ("prk-onset-2019", (1, 5), 0.27),
        ("prk-onset-2019", (7, 11), 0.54),
        ("prk-step-2020", (1, 5), 0.27),
        ("prk-step-2020", (8.5, 11), 1.36),
        ("prk-february-2024", (1, 5), 1.0 * POUND),
        ("prk-february-2024", (6.5, 8.9), 2.4 * POUND),
        ("prk-april-2024", (1, 5), 2.4 * POUND),
        ("prk-april-2024", (6.5, 7.9), 1.68),
        ("window-hose-2003", (3, 11), 0.67),
    ],
)
def test_the_station_loses_nitrogen_at_the_published_rate(worlds, name, hours, kg_a_day):
    # Crew and machines leave nitrogen alone; 0.7496 of the mass of cabin air is nitrogen.
    world = worlds(name)
    content = [world.nitrogen_kg(round(each * HOUR)) for each in hours]
    lost = (content[0] - content[1]) / (hours[1] - hours[0]) * 24
    assert lost / 0.7496 == pytest.approx(kg_a_day, rel=0.02)


def test_the_window_hose_costs_425_cubic_metres_a_millimetre_a_day():
    assert pytest.approx(1.0, abs=0.01) == 0.67 / 86_400 / DRY_AIR_KG * 8.314462618 * 295.15 / 425 * 86_400 / MMHG


def test_ms09_loses_what_two_millimetres_lose_and_ten_millimetres_are_added(worlds):
    world = worlds("ms09-hole-2018")
    content = [world.nitrogen_kg(round(hours * HOUR)) for hours in (1, 8, 11.9, 14.1)]
    assert (content[0] - content[1]) / 0.7496 / 7 * 24 == pytest.approx(39.5, rel=0.02)
    before, after = (world.pressure_pa("zvezda", round(hours * HOUR)) for hours in (11.9, 14.1))
    assert (after - before) / MMHG == pytest.approx(10, abs=1)


def test_ms22_is_empty_of_pressure_in_half_an_hour_and_sprays_for_hours(worlds):
    loop = worlds("ms22-coolant-2022").loop("soyuz_loop")
    hole_s = 600
    whole, after, late = (loop.feel(round((hole_s + seconds) * 1e9))[0] for seconds in (0, 1, 1800))
    assert whole == pytest.approx(304e3, rel=0.06)  # the orbit's swing
    assert 150 < whole - after < 1500
    assert late == 3000
    flowing = [loop.lost_m3(round((hole_s + hours * 3600) * 1e9)) for hours in (3, 3.1)]
    assert flowing[0] < flowing[1] < 0.044


def test_the_radiator_of_nauka_sweats_for_a_day_before_it_is_holed(worlds):
    loop = worlds("rtod-coolant-2023").loop("nauka_rtod")
    lost = [loop.lost_m3(hours * HOUR) * 690 for hours in (1, 25, 26)]
    assert lost[0] == 0
    assert lost[1] == pytest.approx(0.24, rel=0.05)
    assert lost[2] > 6


def test_thirty_days_lose_no_nitrogen_but_what_ships_and_airlocks_take(worlds):
    world = worlds("soak-30-days")
    content = [world.nitrogen_kg(round(hours * HOUR)) for hours in (1, 31, 34)]
    assert content[0] == pytest.approx(content[1], rel=1e-9)
    assert content[2] - content[1] == pytest.approx(2.0, rel=1e-6)  # metered


def test_transducers_of_zvezda_fail_one_after_the_other(worlds):
    world = worlds("sensor-faults")

    def errors(hours):
        true_pa = world.pressure_pa("zvezda", hours * HOUR)
        return [world.sensor(f"zvezda_p{number}").read(hours * HOUR)[0] - true_pa for number in (1, 2, 3)]

    assert errors(1) == pytest.approx([0, 0, 0], abs=5)
    assert errors(12) == pytest.approx([50 * 10 / 24, 0, 0], abs=5)
    assert errors(25) == pytest.approx([0, 0, 150], abs=5)
    assert world.pressure_pa("zvezda", 36 * HOUR) - world.pressure_pa("zvezda", 42 * HOUR) > 90


def test_the_hidden_path_holds_prk_and_empties_the_station(worlds):
    world = worlds("hidden-path-2025")
    nitrogen = [world.partial_pa("zvezda", hours * HOUR)["N2"] for hours in (6, 18)]
    assert abs(world.pressure_pa("prk", 18 * HOUR) - world.pressure_pa("zvezda", 18 * HOUR)) < 200
    assert nitrogen[0] - nitrogen[1] > 20


def test_every_deed_can_be_done():
    events = {
        "hole": 'segment = "a"\ndiameter = "2 mm"',
        "crack": 'segment = "b"\nwidth = "45 mm"\ngap = "9.4 um"\ndepth = "2 mm"',
        "leak": 'segment = "b"\nrate = "1 kg/day"\npower = 1.5',
        "coolant-hole": 'coolant = "radiator"\ndiameter = "0.8 mm"',
        "coolant-seep": 'coolant = "radiator"\nname = "sweat"\nrate = "10 g/h"',
        "shut": 'name = "a"',
        "hatch": 'between = ["b", "a"]\nstate = "closed"',
        "seal": 'between = ["a", "b"]\narea = "1 mm2"',
        "ventilation": 'between = ["a", "b"]\nflow = "30 L/s"',
        "crew": 'segment = "a"\ncount = 3',
        "oxygen": 'segment = "a"\nrate = "2.5 kg/day"\nperiod = "90 min"',
        "scrubber": 'segment = "a"\ngas = "CO2"\nflow = "10 L/s"',
        "stop": 'name = "scrubber"',
        "repress": 'segment = "a"\ngas = "N2"\nrate = "3 kg/h"\nlasts = "1 h"',
        "docking": 'between = ["a", "b"]\nsegment = "b"\npressure = "95 kPa"\nchecks = "1 h"',
        "eva": 'between = ["a", "b"]\nsegment = "b"\nlasts = "2 h"',
        "air": 'segment = "b"\ntemperature = "30 C"\nCO2 = "700 Pa"',
        "sensor": 'transducer = "p1"\ndrift = "50 Pa/day"',
    }
    assert set(events) == set(DEEDS)
    world = played(*(f'at = "10 s"\ndo = "{do}"\n{words}' for do, words in events.items()))
    assert 0 < world.pressure_pa("b", HOUR) < world.pressure_pa("a", HOUR)


def test_a_hole_opens_and_is_shut_at_its_times():
    world = played(
        'at = "10 s"\ndo = "hole"\nsegment = "a"\ndiameter = "20 mm"', 'at = "60 s"\ndo = "shut"\nname = "a"'
    )
    before, during, shut, after = (world.pressure_pa("a", at * SECOND) for at in (10, 35, 60, 61))
    assert before == pytest.approx(101_325)
    assert before - during > 900
    assert during - shut > 900
    assert after == pytest.approx(shut, abs=5)


def test_a_loop_is_holed_and_mended_and_its_transducer_feels_it():
    world = played(
        'at = "10 s"\ndo = "coolant-hole"\ncoolant = "radiator"\ndiameter = "0.8 mm"',
        'at = "70 s"\ndo = "shut"\nname = "radiator"',
        start='loop = "0 K"\n',
    )
    sensor = world.sensor("loop")
    before, during, mended, later = (sensor.read(at * SECOND)[0] for at in (5, 40, 70, 3600))
    assert before == pytest.approx(304e3, abs=2)
    assert before - during > 10e3
    assert during - mended > 10e3
    assert later == pytest.approx(mended, abs=5)


def test_an_airlock_is_emptied_and_the_station_behind_its_hatch_keeps_its_air():
    world = played('at = "0 s"\ndo = "eva"\nbetween = ["a", "b"]\nsegment = "b"\nlasts = "30 min"')
    out = HOUR // 2
    assert world.pressure_pa("b", out) < 10
    assert world.pressure_pa("a", out) == pytest.approx(101_325, abs=1)


def test_a_ship_comes_with_its_own_air():
    world = played(
        'at = "60 s"\ndo = "docking"\nbetween = ["a", "b"]\nsegment = "b"\npressure = "95 kPa"\nchecks = "1 h"'
    )
    assert world.pressure_pa("b", HOUR) == pytest.approx(95_000, abs=1)
    mixed = (101_325 * 75 + 95_000 * 6) / 81
    assert world.pressure_pa("b", 3 * HOUR) == pytest.approx(mixed, rel=1e-3)


def test_metered_nitrogen_raises_nitrogen_alone():
    world = played('at = "0 s"\ndo = "repress"\nsegment = "a"\ngas = "N2"\nrate = "1 kg/h"\nlasts = "1 h"')
    before, after = world.partial_pa("a", 0), world.partial_pa("a", 6 * HOUR)
    assert after["N2"] - before["N2"] == pytest.approx(1 / 28.0134e-3 * 8.314462618 * 295.15 / 81, rel=0.01)
    assert after["O2"] == pytest.approx(before["O2"], rel=1e-3)


def test_a_sensor_drifts_sticks_and_recovers():
    world = played(
        'at = "0 s"\ndo = "hole"\nsegment = "a"\ndiameter = "10 mm"',
        'at = "60 s"\ndo = "sensor"\ntransducer = "p1"\noffset = "500 Pa"\ndrift = "10 Pa/s"',
        'at = "120 s"\ndo = "sensor"\ntransducer = "p1"\nstuck = true',
        'at = "180 s"\ndo = "sensor"\ntransducer = "p1"',
    )
    sensor = world.sensor("p1")

    def error(seconds):
        return sensor.read(seconds * SECOND)[0] - world.pressure_pa("a", seconds * SECOND)

    assert error(30) == pytest.approx(0, abs=2)
    assert error(90) == pytest.approx(800, abs=2)
    assert error(150) == pytest.approx(
        world.pressure_pa("a", 120 * SECOND) - world.pressure_pa("a", 150 * SECOND), abs=3
    )
    assert error(200) == pytest.approx(0, abs=2)


def test_how_it_starts():
    closed = 'at = "0 s"\ndo = "hatch"\nbetween = ["a", "b"]\nstate = "closed"'
    world = played(closed, start='[start.b]\npressure = "730 mmHg"\nvolume = "3 m3"\n')
    assert world.pressure_pa("b", 0) == pytest.approx(730 * MMHG)
    assert world.pressure_pa("a", HOUR) == pytest.approx(101_325)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "t.toml: not TOML"),
        ("", 'needs a title: title = "'),
        ('title = "t"\nevents = 1', "t.toml:2:1: error: unknown key 'events', did you mean 'event'?"),
        ('title = "t"\nevent = 1', "two brackets"),
        ('title = "t"\n[[event]]\nat = "1 s"', "an event needs `do`"),
        (
            'title = "t"\n[[event]]\nat = "1 s"\ndo = "hol"',
            "t.toml:4:6: error: nothing is called 'hol', did you mean 'hole'?",
        ),
        ('title = "t"\n[[event]]\ndo = "hole"\nsegment = "a"\ndiameter = "2 mm"', "missing key 'at'"),
        (
            'title = "t"\n[[event]]\nat = "1"\ndo = "stop"\nname = "x"',
            't.toml:3:6: error: at: needs a unit: write "1 s"',
        ),
        ('title = "t"\n[[event]]\nat = "1 s"\ndo = "stop"\nnam = "x"', "unknown key 'nam', did you mean 'name'?"),
        ('title = "t"\n[[event]]\nat = "-1 s"\ndo = "stop"\nname = "x"', "at: must not be negative"),
        ('title = "t"\n[climate]\nerror = "20 C"', "error: is a difference of temperatures"),
        ('title = "t"\n[start]\na = 1', "error: "),
        ('title = "t"\nstart = 1', "'start' must be a table"),
    ],
)
def test_mistakes_are_named_with_their_place(text, message):
    with pytest.raises(ScenarioError) as raised:
        parse_scenario(text, "t.toml")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            'do = "hole"\nsegment = "c"\ndiameter = "2 mm"',
            "t.toml: event 1, hole: no segment 'c' in the rig (known: a, b)",
        ),
        ('do = "hatch"\nbetween = ["a", "c"]\nstate = "open"', "event 1, hatch: no hatch"),
        ('do = "coolant-seep"\ncoolant = "x"\nrate = "1 g/h"', "event 1, coolant-seep: no coolant 'x'"),
        ('do = "sensor"\ntransducer = "p9"', "event 1, sensor: no transducer 'p9'"),
    ],
)
def test_what_the_rig_does_not_have_is_named(event, message):
    with pytest.raises(ScenarioError) as raised:
        played(f'at = "1 s"\n{event}')
    assert message in str(raised.value)


def test_a_start_in_a_segment_that_is_not_there():
    with pytest.raises(ScenarioError, match=r"\[start\]: no segment 'c'"):
        played(start='[start.c]\nvolume = "1 m3"\n')


def test_an_unknown_name_lists_those_that_ship(tmp_path):
    with pytest.raises(ScenarioError, match=r"did you mean 'ms09-hole-2018'.*window-hose-2003"):
        load_scenario("ms09-hole-2019")
    path = tmp_path / "own.toml"
    path.write_text('title = "mine"\n')
    assert load_scenario(str(path)).title == "mine"
