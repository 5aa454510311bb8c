"""Where the leak is, by the slopes of bodies; and what became of a suspect that was closed off."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.leak.aim import flow_pa_m3_s
from gateway.leak.localise import Evidence, Suspect, judge, locate
from tests.benchmarks.leak import hidden_path
from tests.benchmarks.leak.search_station import aim, random_station
from tests.benchmarks.leak.searched import Search

FLOW = flow_pa_m3_s(1 / 86_400)
PRIOR = {"a": 1.0, "b": 1.0, "c": 2.0}


def body(*segments: str, volume_m3: float = 10.0, falls: float = 0.0, sigmas: float = 10.0, **words) -> Evidence:
    """Falls: share of the leak that is seen here; sigmas: how many standard deviations the whole leak would be."""
    full = FLOW / volume_m3
    return Evidence(
        segments=frozenset(segments),
        volume_m3=volume_m3,
        slope_pa_s=falls * full,
        slope_sd_pa_s=full / sigmas,
        seconds=3600.0,
        **words,
    )


@given(
    st.lists(
        st.builds(
            body,
            st.sampled_from(sorted(PRIOR)),
            volume_m3=st.floats(1, 1000),
            falls=st.floats(-5, 5),
            sigmas=st.floats(0.01, 1e4),
            volume_relative_sigma=st.sampled_from([0.0, 0.05, 0.5]),
        ),
        max_size=6,
    )
)
@settings(deadline=None)
def test_probabilities_sum_to_one_whatever_is_seen(evidence):
    where = locate(PRIOR, evidence)
    assert sum(where.probability.values()) == pytest.approx(1.0)
    assert all(0 <= each <= 1 for each in where.probability.values())
    assert all(flow > 0 for flow in where.flow_pa_m3_s.values())


def test_without_evidence_the_prior_stands():
    assert locate(PRIOR, []).probability == pytest.approx({"a": 0.25, "b": 0.25, "c": 0.5})


def test_the_body_that_falls_is_named_and_its_flow_found():
    where = locate(PRIOR, [body("a", falls=1.0), body("b"), body("c")])
    assert where.named(0.01) == "a"
    assert where.flow_pa_m3_s["a"] == pytest.approx(FLOW, rel=0.02)
    assert where.decided([["a"], ["b", "c"]], 0.01) == 0


def test_segments_that_share_a_body_keep_their_ratio():
    where = locate(PRIOR, [body("b", "c", falls=1.0), body("a")])
    assert where.probability["c"] == pytest.approx(2 * where.probability["b"])
    assert where.named(0.01) is None
    assert where.decided([["a"], ["b", "c"]], 0.01) == 1


def test_faint_evidence_decides_nothing():
    where = locate(PRIOR, [body("a", falls=1.0, sigmas=1.0), body("b", sigmas=1.0), body("c", sigmas=1.0)])
    assert where.named(0.01) is None
    assert where.decided([["a"], ["b"], ["c"]], 0.01) is None


def test_evidence_before_and_after_a_hatch_multiplies():
    once = locate(PRIOR, [body("a", falls=1.0, sigmas=2.0)])
    twice = locate(PRIOR, [body("a", falls=1.0, sigmas=2.0), body("a", "b", falls=1.0, sigmas=2.0)])
    assert twice.log_odds["a"] > once.log_odds["a"]
    assert twice.log_odds["c"] == once.log_odds["c"] == pytest.approx(0.0)


def test_the_same_answer_as_adding_up_a_dense_grid_by_hand():
    evidence = [body("a", falls=0.7, sigmas=3.0), body("b", volume_m3=20, falls=0.2, sigmas=4.0), body("c", falls=0.1)]
    flows = np.geomspace(flow_pa_m3_s(0.01 / 86_400), flow_pa_m3_s(10_000 / 86_400), 20_001)
    mass = {}
    for name, weight in PRIOR.items():
        log_likelihood = np.zeros_like(flows)
        for each in evidence:
            expected = flows / each.volume_m3 * (name in each.segments)
            log_likelihood -= ((each.slope_pa_s - expected) / each.slope_sd_pa_s) ** 2 / 2
        mass[name] = weight * float(np.exp(log_likelihood).sum())
    expected = {name: each / sum(mass.values()) for name, each in mass.items()}
    assert locate(PRIOR, evidence).probability == pytest.approx(expected, rel=0.02)


def test_a_slope_known_very_well_is_not_lost_between_the_points_of_a_grid():
    sharp = [body("a", falls=1.2345, sigmas=1e6), body("b", sigmas=1e6), body("c", sigmas=1e6)]
    where = locate(PRIOR, sharp)
    assert where.named(1e-9) == "a"
    assert where.flow_pa_m3_s["a"] == pytest.approx(1.2345 * FLOW, rel=1e-5)


def test_an_uncertain_volume_widens_what_a_slope_may_be():
    sure = locate(PRIOR, [body("a", "b", falls=1.0), body("a", volume_m3=5, falls=1.8, sigmas=40.0)])
    loose = locate(
        PRIOR, [body("a", "b", falls=1.0), body("a", volume_m3=5, falls=1.8, sigmas=40.0, volume_relative_sigma=0.3)]
    )
    assert loose.log_odds["a"] > sure.log_odds["a"]


@pytest.mark.parametrize(
    ("prior", "evidence", "message"),
    [
        ({"a": 0.0}, [], "leak priors"),
        ({"a": 1.0, "b": -1.0}, [], "leak priors"),
        ({"a": 1.0}, [body("z")], "evidence of z"),
    ],
)
def test_what_makes_no_sense_is_refused(prior, evidence, message):
    with pytest.raises(ValueError, match=message):
        locate(prior, evidence)


@pytest.mark.parametrize("word", ["volume_m3", "slope_pa_s", "slope_sd_pa_s", "volume_relative_sigma"])
def test_evidence_that_is_none_is_refused(word):
    good = {"volume_m3": 1.0, "slope_pa_s": 0.0, "slope_sd_pa_s": 1.0, "volume_relative_sigma": 0.0}
    with pytest.raises(ValueError, match="evidence of a"):
        Evidence(segments=frozenset("a"), seconds=1.0, **{**good, word: math.nan})


def judged(prk: float, rest: float) -> Suspect:
    evidence = [
        body("prk", volume_m3=6.0, falls=prk, sigmas=200.0),
        body("zvezda", "rest", volume_m3=999.0, falls=rest, sigmas=6.0),
    ]
    return judge("prk", (FLOW, 0.05 * FLOW), hidden_path._PRIOR, evidence, hidden_path._PASSAGES)


def test_a_suspect_that_holds_while_the_station_loses_is_a_hidden_path():
    found = judged(0.0, 1.0)
    assert found.verdict is Suspect.HIDDEN_PATH
    assert found.fed_through["prk--zvezda"] > 0.5
    assert found.holds < 0.01
    assert set(found.fed_through) == {"prk--zvezda"}


def test_a_suspect_that_goes_on_leaks_and_a_quiet_station_holds():
    assert judged(1.0, 0.0).verdict is Suspect.LEAKS
    assert judged(0.0, 0.0).verdict is Suspect.HOLDS
    assert judged(0.0, 0.5).verdict is Suspect.UNDECIDED


def test_a_suspect_nobody_watches_cannot_be_judged():
    with pytest.raises(ValueError, match="no evidence of the body of 'prk'"):
        judge("prk", (FLOW, FLOW / 20), hidden_path._PRIOR, [body("zvezda")], hidden_path._PASSAGES)


@pytest.mark.parametrize("flow", [(0.0, 1.0), (FLOW, 0.0), (math.nan, 1.0)])
def test_a_suspect_of_which_no_flow_is_known_cannot_be_judged(flow):
    with pytest.raises(ValueError, match="what 'prk' lost before"):
        judge("prk", flow, hidden_path._PRIOR, [body("prk")], hidden_path._PASSAGES)


def test_june_2025_is_never_called_tight():
    generator = np.random.default_rng(1)
    games = [hidden_path.judged("station", generator) for _ in range(12)]
    assert {verdict for _, verdict in games} == {Suspect.HIDDEN_PATH}
    assert np.mean([minutes for minutes, _ in games]) < 1.6 * 161


def test_searches_played_on_random_stations_name_the_leaking_segment():
    generator = np.random.default_rng(3)
    games = []
    for _ in range(6):
        tree = random_station(generator, 6).trees[0]
        search = Search(tree, aim("C sensors, 50 mK"), pace=0.2)
        games += [search.play(leaking, generator) for leaking in generator.choice(tree.segments, 2, p=tree.prior)]
    assert sum(game.named != game.leaking for game in games) <= 1
