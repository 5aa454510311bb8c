"""The rigs that ship: they pass the check without a word, and are what their comments say."""

import datetime as dt
from collections import Counter
from importlib.resources import as_file, files

import pytest

from drivers.rig import BusKind, HatchState, Rig
from drivers.rig_source import check_file


def checked(name: str):
    with as_file(files("hil") / "rigs" / name) as path:
        return check_file(path, today=dt.date(2100, 1, 1))


def rig(name: str) -> Rig:
    found = checked(name).rig
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["iss.toml", "bench.toml"])
def test_a_rig_that_ships_has_no_problem_on_any_day(name):
    assert [str(problem) for problem in checked(name).problems] == []


@pytest.mark.parametrize("name", ["iss.toml", "bench.toml"])
def test_a_rig_that_ships_leaves_its_lines_room(name):
    uses = checked(name).lines
    assert uses.keys() == rig(name).buses.keys()
    assert all(0 < use.fraction <= 0.6 for use in uses.values())


def test_the_station_is_one_tree_of_22_segments():
    iss = rig("iss.toml")
    assert (len(iss.segments), len(iss.hatches)) == (22, 21)
    reached = {"prk"}
    for _ in iss.hatches:
        reached |= {end for hatch in iss.hatches if reached & set(hatch.between) for end in hatch.between}
    assert reached == iss.segments.keys()


def test_the_station_has_models_and_buses_of_all_kinds_but_the_datagram():
    iss = rig("iss.toml")
    assert len(iss.transducers) >= 48
    models = Counter(transducer.model for transducer in iss.transducers.values())
    assert models.keys() == {"keller-33x", "modbus-map", "paroscientific-6000", "vaisala-ptb330", "waveshare-8ch"}
    assert {bus.kind for bus in iss.buses.values()} == set(BusKind) - {BusKind.LINE_OVER_UDP}
    watched = {transducer.segment for transducer in iss.transducers.values()}
    assert watched == iss.segments.keys() | iss.coolants.keys()
    assert {transducer.poll for transducer in iss.transducers.values()} == {1.0}


def test_prk_is_the_likeliest_place_of_a_leak_and_watched_by_three():
    iss = rig("iss.toml")
    assert max(iss.segments, key=lambda name: iss.segments[name].leak_prior) == "prk"
    assert iss.segments["prk"].volume_uncertainty == pytest.approx(0.2)
    assert sum(transducer.segment == "prk" for transducer in iss.transducers.values()) == 3
    assert next(hatch for hatch in iss.hatches if hatch.id == "prk--zvezda").state is HatchState.CLOSED


def test_each_side_reads_its_own_unit():
    units = {name: segment.display_unit for name, segment in rig("iss.toml").segments.items()}
    assert (units["zarya"], units["prk"], units["pma1"], units["destiny"]) == ("mmHg", "mmHg", "psia", "psia")


def test_no_port_of_a_rig_that_ships_can_be_somebodys():
    for name in ("iss.toml", "bench.toml"):
        for bus in rig(name).buses.values():
            assert bus.port.startswith(("/dev/serial/by-id/", "192.0.2."))


def test_the_bench_is_one_line_of_four_digital_and_two_analogue_transmitters():
    bench = rig("bench.toml")
    assert len(bench.segments) == 3
    assert Counter(transducer.model for transducer in bench.transducers.values()) == {
        "keller-33x": 4,
        "waveshare-8ch": 2,
    }
    assert list(bench.units("rs485")) == [1, 2, 3, 4, 10]
