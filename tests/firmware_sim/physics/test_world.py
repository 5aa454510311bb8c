import pytest

from drivers.rig import Rig
from firmware_sim.physics.climate import STILL
from firmware_sim.physics.setting import Passage, hole, repress
from firmware_sim.physics.world import World

SECOND = 1_000_000_000


@pytest.fixture
def rig():
    transducer = {"model": "keller-33x", "bus": "b"}
    return Rig.model_validate(
        {
            "station": {"id": "s", "gateway": "g"},
            "segment": {"a": {"volume": "30 m3"}, "b": {"volume": "10 m3"}},
            "bus": {"b": {"kind": "serial", "port": "x"}},
            "transducer": {
                "a1": {**transducer, "segment": "a"},
                "b1": {**transducer, "segment": "b", "unit": 2},
                "lost": {**transducer, "segment": "c", "unit": 3},
            },
            "emulator": {"grade": "A"},
        }
    )


@pytest.fixture
def joined():
    return Rig.model_validate(
        {
            "station": {"id": "s", "gateway": "g"},
            "segment": {"a": {"volume": "75 m3"}, "b": {"volume": "6 m3"}},
            "hatch": [{"between": ("a", "b"), "state": "open"}],
        }
    )


def test_a_sensor_feels_its_own_segment(rig):
    world = World(rig)
    world.leak("a", 10.0, 0)
    at = 1000 * SECOND
    for name, segment in (("a1", "a"), ("b1", "b")):
        pressure_pa, temperature_k = world.sensor(name).read(at)
        assert pressure_pa == pytest.approx(world.pressure_pa(segment, at), abs=5)
        assert temperature_k == pytest.approx(world.temperature_k(segment, at), abs=2e-3)
    assert world.pressure_pa("b", at) - world.pressure_pa("a", at) > 9_900


def test_a_sensor_is_always_the_same_one(rig):
    world = World(rig)
    assert world.sensor("a1") is world.sensor("a1")


def test_sensors_do_not_depend_on_the_order_in_which_they_are_asked(rig):
    one, two = World(rig), World(rig)
    two.sensor("b1").read(0)
    assert [one.sensor("a1").read(at) for at in range(5)] == [two.sensor("a1").read(at) for at in range(5)]


def test_unknown_names_are_errors_that_name_the_known_ones(rig):
    world = World(rig)
    with pytest.raises(LookupError, match=r"no transducer 'x' .*a1, b1"):
        world.sensor("x")
    with pytest.raises(LookupError, match=r"no segment 'c' .*a, b"):
        world.sensor("lost")
    for ask in (world.pressure_pa, world.temperature_k):
        with pytest.raises(LookupError, match="no segment 'x'"):
            ask("x", 0)
    with pytest.raises(LookupError, match="no segment 'x'"):
        world.leak("x", 1.0, 0)


def test_hatches_are_found_in_either_order_and_missing_ones_are_named(joined):
    world = World(joined)
    assert world.hatch_between("a", "b") == world.hatch_between("b", "a") == "a--b"
    with pytest.raises(LookupError, match=r"no hatch 'c--a' .*a--b"):
        world.hatch_between("a", "c")
    with pytest.raises(LookupError, match="no hatch 'b--a'"):
        world.move_hatch("b--a", Passage.CLOSED, 0)
    with pytest.raises(LookupError, match="no segment 'c'"):
        World(joined, volumes_m3={"c": 1.0})


def test_a_hatch_parts_what_leaks_from_what_does_not(joined):
    world = World(joined, climate=STILL)
    world.open("hole", hole("b", 5e-3), 0)
    world.move_hatch("a--b", Passage.CLOSED, 60 * SECOND)
    assert world.pressure_pa("a", 60 * SECOND) == world.pressure_pa("b", 60 * SECOND) < 101_325
    assert world.pressure_pa("a", 600 * SECOND) == pytest.approx(world.pressure_pa("a", 60 * SECOND))
    assert world.pressure_pa("b", 600 * SECOND) < world.pressure_pa("b", 60 * SECOND) - 5_000


def test_partial_pressures_add_up(joined):
    world = World(joined)
    world.run("nitrogen", repress("a", "N2", 1e-3), 0)
    partial = world.partial_pa("b", 3600 * SECOND)
    assert sum(partial.values()) == pytest.approx(world.pressure_pa("b", 3600 * SECOND))
    assert list(partial) == ["N2", "O2", "CO2", "H2O"]
