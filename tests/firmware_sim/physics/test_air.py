import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.rig import Rig
from firmware_sim.physics.air import Air

SECOND = 1_000_000_000
DAY = 24 * 3600 * SECOND


def rig(seed=1, hatches=()):
    segments = {"a": {"volume": "30 m3"}, "b": {"volume": "10 m3"}, "c": {}, "d": {"volume": "1 m3"}}
    return Rig.model_validate(
        {
            "station": {"id": "s", "gateway": "g"},
            "segment": segments,
            "hatch": [{"between": pair, "state": state} for pair, state in hatches],
            "emulator": {"seed": seed, "pressure": "98 kPa", "temperature": "20 C"},
        }
    )


def test_it_starts_where_the_rig_file_says():
    air = Air(rig())
    assert air.pressure_pa("a", 0) == 98_000.0
    assert air.temperature_k("a", 0) == pytest.approx(293.15)


def test_it_drifts_by_some_pascals_and_tenths_of_a_kelvin_in_a_day():
    air = Air(rig())
    times = range(0, DAY, DAY // 500)
    pressures = [air.pressure_pa("a", at) for at in times]
    temperatures = [air.temperature_k("a", at) for at in times]
    assert 10 < max(pressures) - min(pressures) < 25
    assert 0.4 < max(temperatures) - min(temperatures) < 1.0


@given(at_ns=st.integers(0, 30 * DAY), seed=st.integers(0, 5))
def test_a_moment_is_the_same_in_any_order_and_again(at_ns, seed):
    one, two = Air(rig(seed)), Air(rig(seed))
    two.pressure_pa("a", DAY)
    assert one.pressure_pa("a", at_ns) == two.pressure_pa("a", at_ns)
    assert one.temperature_k("b", at_ns) == two.temperature_k("b", at_ns)


def test_segments_and_seeds_drift_apart():
    air, other = Air(rig(1)), Air(rig(2))
    assert air.pressure_pa("a", DAY // 3) != air.pressure_pa("b", DAY // 3)
    assert air.pressure_pa("a", DAY // 3) != other.pressure_pa("a", DAY // 3)


def test_open_hatches_make_one_pressure_and_closed_or_unknown_ones_do_not():
    air = Air(
        rig(hatches=[(("a", "b"), "open"), (("b", "c"), "open"), (("c", "d"), "unknown"), (("a", "d"), "closed")])
    )
    at = DAY // 5
    assert air.pressure_pa("a", at) == air.pressure_pa("b", at) == air.pressure_pa("c", at)
    assert air.pressure_pa("d", at) != air.pressure_pa("a", at)
    assert air.temperature_k("a", at) != air.temperature_k("b", at)


def test_a_leak_is_a_ramp_in_its_segment_alone():
    air, sound = Air(rig()), Air(rig())
    air.leak("a", 0.5, 100 * SECOND)
    assert air.pressure_pa("a", 100 * SECOND) == sound.pressure_pa("a", 100 * SECOND)
    assert air.pressure_pa("a", 300 * SECOND) == pytest.approx(sound.pressure_pa("a", 300 * SECOND) - 100, abs=1e-6)
    assert air.pressure_pa("b", 300 * SECOND) == sound.pressure_pa("b", 300 * SECOND)


def test_open_hatches_share_a_leak_by_volume():
    hatches = [(("a", "b"), "open")]
    air, sound = Air(rig(hatches=hatches)), Air(rig(hatches=hatches))
    air.leak("b", 1.0, 0)
    loss = sound.pressure_pa("a", 400 * SECOND) - air.pressure_pa("a", 400 * SECOND)
    assert loss == pytest.approx(400 * 10 / 40, abs=1e-6)


def test_a_new_rate_replaces_the_old_one_and_zero_ends_the_leak():
    air, sound = Air(rig()), Air(rig())
    air.leak("a", 1.0, 0)
    air.leak("a", 3.0, 100 * SECOND)
    air.leak("a", 0.0, 200 * SECOND)
    assert sound.pressure_pa("a", 900 * SECOND) - air.pressure_pa("a", 900 * SECOND) == pytest.approx(400, abs=1e-6)


def test_pressure_ends_at_vacuum():
    air = Air(rig())
    air.leak("a", 1e6, 0)
    assert air.pressure_pa("a", SECOND) == 0.0
