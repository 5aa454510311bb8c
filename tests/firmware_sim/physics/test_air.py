"""The air of a station against closed forms, and that neither steps nor readers bend it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_sim.physics.air import SECOND_NS, Air, Refill
from firmware_sim.physics.climate import STILL, Climate
from firmware_sim.physics.gas import DAY_S, GAMMA, REFERENCE_K, pascals_per_s
from firmware_sim.physics.network import Network
from firmware_sim.physics.setting import Machine, Passage, Setting, crew, gas_flow, hole, leak, repress, steady_loss
from firmware_sim.physics.stride import stride

HOUR = 3600 * SECOND_NS
DAY = 24 * HOUR
MMHG = 133.322
NAMES = ("a", "b", "c", "d")
VOLUMES = (75.0, 6.0, 63.0, 106.0)
HATCHES = {"a--b": (0, 1), "a--c": (0, 2), "c--d": (2, 3)}


def air(*, climate=STILL, shut=(), volumes=VOLUMES, hatches=HATCHES, pressure=101_325.0, seed=1, step_s=300.0):
    setting = Setting(passages={name: Passage.OPEN for name in hatches if name not in shut})
    network = Network(segments=NAMES[: len(volumes)], volume_m3=np.array(volumes), hatches=hatches)
    pressures = np.broadcast_to(np.array(pressure, float), len(volumes)).copy()
    return Air(
        network, setting, pressure_pa=pressures, temperature_k=REFERENCE_K, climate=climate, seed=seed, step_s=step_s
    )


def alone(volume_m3, *, climate=STILL, pressure=101_325.0):
    return air(volumes=(volume_m3,), hatches={}, climate=climate, pressure=pressure)


def opens(name, opening):
    return lambda setting: setting.with_opening(name, opening)


def runs(name, machine):
    return lambda setting: setting.with_machine(name, machine)


def moves(hatch, passage):
    return lambda setting: setting.with_passage(hatch, passage)


def eventful(*, step_s=300.0, hour=HOUR):
    """A day in which everything happens, or a faster one."""
    station = air(climate=Climate(error_k=0.01), step_s=step_s)
    cycles = {"period_s": 2.4e-9 * hour, "duty": 0.5}
    for at_ns, event in (
        (0, runs("crew", crew("a", 3))),
        (0, runs("oxygen", Machine(segment="d", mol_per_s=gas_flow(O2=5.9), period_s=1.5e-9 * hour, duty=0.6))),
        (0, runs("bed", Machine(segment="c", scrub_m3_s=(0, 0, 0.01, 0.002), **cycles))),
        (hour + 7, opens("hole", leak("b", 1 / DAY_S, power=1.5))),
        (3 * hour, moves("a--b", Passage.CLOSED)),
        (3 * hour, lambda setting: setting.with_seal("a--b", 1e-8)),
        (6 * hour + 11 * SECOND_NS, moves("a--b", Passage.VALVE)),
        (7 * hour, moves("a--b", Passage.OPEN)),
        (8 * hour, runs("nitrogen", repress("c", "N2", 5 / 3600))),
        (9 * hour, runs("nitrogen", None)),
        (10 * hour, moves("c--d", Passage.CLOSED)),
        (10 * hour, Refill(segment="d", pressure_pa=95_000.0)),
        (11 * hour, moves("c--d", Passage.OPEN)),
        (12 * hour, lambda setting: setting.with_ventilation("a--c", 0.0)),
        (13 * hour, opens("hole", None)),
    ):
        station.happen(at_ns, event)
    return station


MOMENTS = (1.0, 3.01, 5.0, 6.4, 8.0, 10.01, 11.02, 14.0)


def everything(station, moments=MOMENTS, hour=HOUR):
    return np.array([[station.truth(place, round(at * hour)) for place in range(4)] for at in moments])


# Closed forms


def test_a_hole_empties_a_segment_by_an_exponential():
    station = alone(89.0)
    station.happen(0, opens("hole", hole("a", 0.010)))
    emptied = np.log(101_325 / 2129.7) * np.sqrt(28.965 / station_molar(station))  # of dry air, 2129.7 Pa would be left
    assert station.truth(0, 10 * HOUR)[0] == pytest.approx(101_325 * np.exp(-emptied), abs=0.2)


def test_a_crack_empties_a_segment_by_a_hyperbola():
    station = alone(6.0, pressure=730 * MMHG)
    rate = 730 * MMHG / (110 * 3600)  # Pa/s at first
    flow = rate / pascals_per_s(1.0, 6.0)
    station.happen(0, opens("crack", leak("a", flow, power=2.0, at_pa=730 * MMHG)))
    molar = 28.965 / station_molar(station)
    for hours in (24, 72, 168):
        expected = 730 / (1 + hours / (110 * molar))
        assert station.truth(0, hours * HOUR)[0] / MMHG == pytest.approx(expected, rel=5e-3)


def station_molar(station):
    moles = station.moles(0)[0]
    return float(moles @ [28.0134, 31.998, 44.01, 18.015] / moles.sum())


def test_between_orifice_and_crack_lies_the_power():
    pressures = []
    for power in (1.0, 1.5, 2.0):
        station = alone(6.0)
        station.happen(0, opens("leak", leak("a", 1.5 / DAY_S, power=power)))
        pressures.append(station.truth(0, 3 * DAY)[0])
    assert pressures == sorted(pressures)
    assert pressures[2] - pressures[0] > 1_000


def test_one_kilogram_a_day_in_a_thousand_cubic_metres():
    station = alone(1000.0)
    station.happen(0, opens("leak", leak("a", 1 / DAY_S)))
    assert 101_325 - station.truth(0, DAY // 24)[0] == pytest.approx(84.72 / 24, rel=4e-3)


def test_prk_of_december_2020_falls_from_730_to_620_mmhg_in_18_hours():
    station = alone(6.0, pressure=730 * MMHG)
    tau_s = 18 * 3600 / np.log(730 / 620)
    flow = 730 * MMHG / tau_s / pascals_per_s(1.0, 6.0)
    station.happen(0, opens("leak", leak("a", flow, at_pa=730 * MMHG)))
    assert station.truth(0, 18 * HOUR)[0] / MMHG == pytest.approx(620.0, abs=0.3)


def test_an_equalisation_valve_fills_zvezda_in_minutes():
    station = air(
        volumes=(916.0, 89.0), hatches={"a--b": (0, 1)}, shut=("a--b",), pressure=(101_325.0, 101_325.0 - 100 * MMHG)
    )
    station.happen(0, moves("a--b", Passage.VALVE))

    def difference(seconds):
        return station.truth(0, seconds * SECOND_NS)[0] - station.truth(1, seconds * SECOND_NS)[0]

    assert difference(433) > MMHG > difference(453)
    assert difference(600) == 0


def test_air_that_rushes_into_vacuum_is_heated_by_forty_percent_and_settles():
    # a bottle's worth into a small evacuated segment: the big one hardly changes
    station = air(
        volumes=(1e6, 1.0),
        hatches={"a--b": (0, 1)},
        shut=("a--b",),
        pressure=(1e5, 1e-3),
        climate=Climate(orbit_k=0, day_k=0, wander_k=0),
    )
    station.happen(HOUR, moves("a--b", Passage.OPEN))
    assert station.truth(1, HOUR + 1)[1] == pytest.approx(GAMMA * REFERENCE_K, rel=1e-3)
    assert 30 < station.truth(1, HOUR + 900 * SECOND_NS)[1] - REFERENCE_K < 60
    assert station.truth(1, 6 * HOUR)[1] == pytest.approx(REFERENCE_K, abs=0.01)
    assert station.truth(1, 6 * HOUR)[0] == pytest.approx(station.truth(0, 6 * HOUR)[0])


def test_opening_on_a_difference_keeps_moles_and_energy():
    climate = Climate(orbit_k=0, day_k=0, wander_k=0)
    station = air(shut=("a--c",), pressure=(80_000.0, 80_000.0, 101_000.0, 101_000.0), climate=climate)
    energy, moles = 80_000.0 * 81 + 101_000.0 * 169, station.moles(HOUR).sum(0)
    station.happen(HOUR, moves("a--c", Passage.OPEN))
    after = HOUR + 1
    assert sum(station.truth(place, after)[0] * VOLUMES[place] for place in range(4)) == pytest.approx(energy)
    assert station.moles(after).sum(0) == pytest.approx(moles, rel=1e-12)
    assert station.truth(0, after)[1] > REFERENCE_K > station.truth(3, after)[1]


def test_seven_crew_without_machines_look_like_a_leak_of_five_kilograms_a_day():
    station = alone(1005.0)
    station.happen(0, runs("crew", crew("a", 7)))
    station.happen(0, runs("bed", Machine(segment="a", scrub_m3_s=(0, 0, 1.0, 1.0))))
    first, last = station.truth(0, 6 * HOUR)[0], station.truth(0, 30 * HOUR)[0]
    assert first - last == pytest.approx(449, rel=0.01)


def test_a_machine_goes_on_and_off_at_its_own_moments():
    station = alone(10.0)
    machine = Machine(segment="a", mol_per_s=(1e-3, 0, 0, 0), period_s=1000, duty=0.3, since_ns=5 * SECOND_NS)
    station.happen(5 * SECOND_NS, runs("nitrogen", machine))
    start = station.moles(0).sum()
    for seconds, on_s in ((5, 0), (205, 200), (305, 300), (1005, 300), (1105, 400), (3505, 1200)):
        assert station.moles(seconds * SECOND_NS).sum() - start == pytest.approx(on_s * 1e-3, abs=1e-9)


def test_ventilation_mixes_with_the_time_of_two_volumes_and_a_duct():
    station = air(volumes=(75.0, 75.0), hatches={"a--b": (0, 1)})
    station.happen(0, runs("oxygen", Machine(segment="a", mol_per_s=(0, 1.0, 0, 0))))
    station.happen(100 * SECOND_NS, runs("oxygen", None))

    def unevenness(seconds):
        moles = station.moles(seconds * SECOND_NS)
        shares = moles[:, 1] / moles.sum(1)
        return shares[0] - shares[1]

    tau_s = 75 / 2 / 0.066
    assert unevenness(100 + round(tau_s)) / unevenness(100) == pytest.approx(np.exp(-1), rel=0.02)


def test_a_leak_in_one_segment_lowers_all_that_open_hatches_join():
    station = air()
    station.happen(0, opens("leak", leak("b", 1 / DAY_S)))
    pressures = [station.truth(place, DAY)[0] for place in range(4)]
    assert max(pressures) - min(pressures) < 1e-9
    assert 101_325 - pressures[0] == pytest.approx(84.72 * 1000 / sum(VOLUMES), rel=0.005)


def test_a_closed_hatch_parts_and_its_seal_feeds_what_leaks_behind_it():
    tight, fed = (air(shut=("a--b",)) for _ in range(2))
    for station in (tight, fed):
        station.happen(0, opens("leak", leak("b", 0.9 / DAY_S)))
    area = 0.9 / DAY_S / np.sqrt(2 * 1.196 * 5000)  # passes it at about 5 kPa
    fed.happen(0, lambda setting: setting.with_seal("a--b", area))
    assert tight.truth(0, 3 * DAY)[0] == pytest.approx(101_325.0, rel=1e-12)
    assert tight.truth(1, 3 * DAY)[0] < 80_000
    assert 0 < fed.truth(1, 2 * DAY)[0] - fed.truth(1, 3 * DAY)[0] < 500
    assert fed.truth(0, 2 * DAY)[0] - fed.truth(0, 3 * DAY)[0] > 250


def test_expansion_cools_what_a_big_hole_empties():
    climate = Climate(orbit_k=0, day_k=0, wander_k=0)
    station = alone(89.0, climate=climate)
    station.happen(0, opens("hole", hole("a", 0.010)))
    tau_s = 89 / (0.61 * np.pi * 0.005**2 * 199.3)
    pressure, temperature = station.truth(0, HOUR)
    settle_s = climate.settle_s * pressure / 101_325
    assert temperature == pytest.approx(REFERENCE_K / (1 + (GAMMA - 1) * settle_s / tau_s), abs=1)
    assert temperature < REFERENCE_K - 5


def test_a_steady_loss_is_a_ramp_that_ends_at_nothing():
    station = alone(10.0)
    station.happen(0, opens("ramp", steady_loss("a", 100.0, 10.0, REFERENCE_K)))
    for seconds in (1, 100, 900):
        assert station.truth(0, seconds * SECOND_NS)[0] == pytest.approx(101_325 - 100 * seconds, abs=1e-3)
    assert 0 <= station.truth(0, 1200 * SECOND_NS)[0] < 1e-3


# Balance, steps, order


@pytest.mark.parametrize("step_s", [1.0, 20.0, 300.0])
def test_no_mole_is_made_or_lost_without_account(step_s):
    hour = HOUR // 12 if step_s == 1 else HOUR
    station = eventful(step_s=step_s, hour=hour)
    start = station.moles(-1).sum(0)
    content, lost, added = station.balance(14 * hour)
    assert np.abs(content + lost - added - start).max() / start.max() < 1e-12
    assert lost[0] > 0.5


def test_the_result_does_not_depend_on_the_step():
    hour = HOUR // 24
    moments = (*MOMENTS, 6.002, 6.005, 6.01, 6.05, 6.2)  # the last five while the valve equalises and after
    fine, *others = (
        everything(eventful(step_s=step_s, hour=hour), moments, hour) for step_s in (1.0, 10.0, 60.0, 300.0)
    )
    for other in others:
        assert np.abs(other / fine - 1).max() < 1e-6  # pressures and temperatures alike


def airlock(step_s=300.0):
    """Make an airlock that is emptied into space and filled through a valve again."""
    station = air(climate=Climate(), step_s=step_s)
    for at_ns, event in (
        (HOUR, moves("a--b", Passage.CLOSED)),
        (HOUR, opens("valve", hole("b", 0.04))),
        (2 * HOUR, opens("valve", None)),
        (2 * HOUR, moves("a--b", Passage.VALVE)),
        (2 * HOUR + HOUR // 2, moves("a--b", Passage.OPEN)),
    ):
        station.happen(at_ns, event)
    return station


def test_an_airlock_does_not_depend_on_the_step_either():
    moments = (1.02, 1.1, 2.0, 2.01, 2.05, 2.4, 2.6, 3.0)
    fine, usual, coarse = (everything(airlock(step_s), moments) for step_s in (20.0, 60.0, 300.0))
    assert fine[2, 1, 0] < 1
    assert fine[3:5, 1, 1].max() > 370  # what rushes into vacuum is hot
    for other in (usual, coarse):
        away = np.abs(other - fine) / np.maximum(fine, (1.0, 0.0))
        assert away.max() < 1e-6


@pytest.fixture
def strides(monkeypatch):
    """Count the steps that are done."""
    done = []

    def counted(*args, **words):
        done.append(stride(*args, **words))
        return done[-1]

    monkeypatch.setattr("firmware_sim.physics.air.stride", counted)
    return done


def test_an_airlock_of_six_cubic_metres_needs_some_hundred_steps_and_no_thousands(strides):
    airlock().truth(0, 3 * HOUR)
    assert 500 < len(strides) < 2000


def test_a_valve_holds_two_segments_even_until_a_hole_is_too_big_for_it():
    station = air(shut=("a--b",), climate=Climate())
    station.happen(0, moves("a--b", Passage.VALVE))
    station.happen(HOUR, opens("leak", leak("b", 1.5 / DAY_S)))
    station.happen(2 * HOUR, opens("hole", hole("b", 0.010)))
    station.happen(3 * HOUR, opens("hole", None))

    def difference(hours):
        at_ns = round(hours * HOUR)
        return station.truth(0, at_ns)[0] - station.truth(1, at_ns)[0]

    assert difference(0.5) == difference(1.5) == 0
    # what leaves by the hole comes by the valve: (A p 0.685)^2 = (Av)^2 2 rho dp / (R T) ...
    flow = 0.61 * np.pi * 0.005**2 * 238.36 * station.truth(1, round(2.5 * HOUR))[0] / 101_325
    density = 1.196 * station.truth(0, round(2.5 * HOUR))[0] / 101_325
    assert difference(2.5) == pytest.approx((flow / (0.61 * np.pi * 0.0125**2)) ** 2 / (2 * density), rel=0.05)
    assert difference(3.2) == 0
    content, lost, added = station.balance(4 * HOUR)
    assert np.abs(content + lost - added - station.moles(-1).sum(0)).max() < 1e-12 * content.max()


def test_a_wide_seal_costs_no_more_steps_than_a_narrow_one(strides):
    counts = []
    for area_m2 in (1e-6, 1e-3):
        station = air(shut=("a--b",), climate=Climate())
        station.happen(0, lambda setting, area_m2=area_m2: setting.with_seal("a--b", area_m2))
        station.happen(0, opens("leak", leak("b", 0.9 / DAY_S)))
        station.truth(0, 6 * HOUR)
        counts.append(len(strides))
        strides.clear()
    assert counts[1] < 1.2 * counts[0]


def test_isothermal_air_follows_its_surroundings_through_hatches_and_leaks():
    climate = Climate(settle_s=0.0)
    station = air(climate=climate)
    station.happen(0, opens("hole", hole("b", 0.005)))
    at_ns = 5 * HOUR
    pressures, temperatures = everything(station, (5.0,), HOUR)[0].T
    assert np.ptp(pressures) < 1e-6
    assert temperatures == pytest.approx(station._temperatures.at(at_ns / SECOND_NS), abs=1e-6)
    moles = station.moles(at_ns).sum(1)
    assert pressures == pytest.approx(moles * 8.314462618 * temperatures / np.array(VOLUMES), rel=1e-9)


def test_a_moment_is_the_same_whoever_asks_for_what_before():
    one, other = eventful(), eventful()
    ahead = everything(one)
    assert (everything(other, MOMENTS[::-1])[::-1] == ahead).all()
    assert (everything(one) == ahead).all()


@settings(max_examples=15, deadline=None)
@given(
    moments=st.lists(st.integers(0, 8 * HOUR), min_size=1, max_size=5),
    told=st.integers(0, 8 * HOUR),
    at=st.integers(-100 * SECOND_NS, 8 * HOUR),
)
def test_an_event_may_be_told_before_or_after_anybody_looked(moments, told, at):
    early, late = air(climate=Climate()), air(climate=Climate())
    event = opens("hole", leak("b", 50 / DAY_S))
    early.happen(at, event)
    late.truth(0, told)
    late.happen(at, event)
    assert (everything(early, moments, 1) == everything(late, moments, 1)).all()


def test_a_day_long_past_is_still_there():
    station = air(climate=Climate(orbit_k=0.2))
    early = everything(station, (0.5, 3.0))
    station.truth(0, 2 * DAY)
    assert (everything(station, (0.5, 3.0)) == early).all()


def test_pressure_and_temperature_are_smooth_between_steps():
    station = alone(6.0, climate=Climate(wander_k=0))
    station.happen(0, opens("hole", hole("a", 0.005)))
    times = np.arange(0, 120 * SECOND_NS, SECOND_NS // 4)
    pressures = np.array([station.truth(0, int(at))[0] for at in times])
    assert np.abs(np.diff(pressures, 3)).max() < 1e-3
