"""Scenario files: the shipped ones do what was published, and mistakes are named with their place."""

from pathlib import Path

import pytest

from drivers.rig import Rig
from drivers.rig_source import load_rig
from firmware_sim.deeds import DEEDS
from firmware_sim.scenario import ScenarioError, load_scenario, parse_scenario, shipped

ISS = Path(__file__).parents[2] / "hil" / "rigs" / "iss.toml"
SECOND = 1_000_000_000
HOUR = 3600 * SECOND
MMHG = 133.322387415
TITLE = 'title = "t"\n[climate]\norbit = "0 K"\nday = "0 K"\nwander = "0 K"\n'


@pytest.fixture(scope="module")
def iss():
    return load_rig(ISS)


def small():
    return Rig.model_validate(
        {
            "station": {"id": "s", "gateway": "g"},
            "segment": {"a": {"volume": "75 m3"}, "b": {"volume": "6 m3"}},
            "hatch": [{"between": ("a", "b"), "state": "open"}],
            "bus": {"x": {"kind": "serial", "port": "-"}},
            "transducer": {"p1": {"model": "keller-33x", "bus": "x", "segment": "a"}},
            "emulator": {"grade": "A"},
        }
    )


def played(*events, start=""):
    text = TITLE + start + "".join(f"[[event]]\n{event}\n" for event in events)
    return parse_scenario(text, "t.toml").world(small())


@pytest.mark.parametrize("name", shipped())
def test_each_shipped_scenario_plays_on_the_iss(iss, name):
    scenario = load_scenario(name)
    world = scenario.world(iss)
    last = max(event.at for event in scenario.events)
    assert scenario.title
    assert 60_000 < world.pressure_pa("prk", round((last + 3600) * 1e9)) < 110_000


@pytest.mark.parametrize(("name", "hours", "mmhg"), [("prk-decay-2020-12", 18, 620), ("prk-decay-2021-03", 11.5, 678)])
def test_prk_decays_as_published(iss, name, hours, mmhg):
    world = load_scenario(name).world(iss)
    assert world.pressure_pa("prk", 0) / MMHG == pytest.approx(730, abs=0.01)
    assert world.pressure_pa("prk", round(hours * HOUR)) / MMHG == pytest.approx(mmhg, abs=1.5)
    assert world.pressure_pa("zvezda", round(hours * HOUR)) > 100_000


def test_the_hidden_path_holds_prk_and_empties_the_station(iss):
    world = load_scenario("hidden-path-2025").world(iss)
    nitrogen = [world.partial_pa("zvezda", hours * HOUR)["N2"] for hours in (6, 18)]
    assert abs(world.pressure_pa("prk", 18 * HOUR) - world.pressure_pa("zvezda", 18 * HOUR)) < 200
    assert nitrogen[0] - nitrogen[1] > 20


def test_every_deed_can_be_done():
    events = {
        "hole": 'segment = "a"\ndiameter = "2 mm"',
        "crack": 'segment = "b"\nwidth = "45 mm"\ngap = "9.4 um"\ndepth = "2 mm"',
        "leak": 'segment = "b"\nrate = "1 kg/day"\npower = 1.5',
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
