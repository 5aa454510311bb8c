"""Stations as trees: bodies, sides of a hatch, rings, and what is refused."""

import pytest

from gateway.leak.tree import Passage, forest


def passage(one: str, other: str, close_s: float = 900.0) -> Passage:
    return Passage(hatch=f"{one}--{other}", ends=(one, other), close_s=close_s)


VOLUMES = {"a": 10.0, "b": 20.0, "c": 30.0, "d": 40.0}
EVEN = dict.fromkeys(VOLUMES, 1.0)
CHAIN = [passage("a", "b"), passage("b", "c"), passage("c", "d")]


def test_open_hatches_make_one_body_and_closed_ones_part_it():
    (whole,) = forest(VOLUMES, EVEN, CHAIN).trees
    assert whole.segments == ("a", "b", "c", "d")
    bodies = forest(VOLUMES, {**EVEN, "d": 5.0}, CHAIN, closed=["b--c"])
    assert [tree.segments for tree in bodies.trees] == [("a", "b"), ("c", "d")]
    assert bodies.probability == pytest.approx((2 / 8, 6 / 8))
    assert bodies.trees[1].prior == pytest.approx([1 / 6, 5 / 6])


def test_the_first_side_of_a_hatch_is_that_of_its_first_end():
    (tree,) = forest(VOLUMES, EVEN, [passage("c", "b"), passage("b", "a"), passage("d", "c")]).trees
    assert [tree.names(side) for side in tree.first_side] == [("c", "d"), ("b", "c", "d"), ("d",)]


def test_of_a_ring_the_hatch_that_is_closed_soonest_comes_first():
    ring = [*CHAIN[:2], passage("c", "a", 60.0), CHAIN[2]]
    bodies = forest(VOLUMES, EVEN, ring)
    assert [each.hatch for each in bodies.rings] == ["c--a"]
    assert [each.hatch for each in bodies.trees[0].passages] == ["a--b", "b--c", "c--d"]
    assert not forest(VOLUMES, EVEN, ring, closed=["b--c"]).rings


def test_two_hatches_between_the_same_segments_are_a_ring():
    second = Passage(hatch="a--b-2", ends=("b", "a"), close_s=30.0)
    assert [each.hatch for each in forest(VOLUMES, EVEN, [*CHAIN, second]).rings] == ["a--b-2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"volume_m3": {}}, "no segments"),
        ({"volume_m3": {**VOLUMES, "b": 0.0}}, "segment 'b': its volume"),
        ({"prior": {**EVEN, "b": -1.0}}, "segment 'b': its leak prior"),
        ({"prior": dict.fromkeys(VOLUMES, 0.0)}, "no segment has a leak prior"),
        ({"closed": ["a--d"]}, "no hatch named a--d"),
        ({"passages": [passage("a", "z")]}, "leads to 'z'"),
        ({"passages": [passage("a", "b", -1.0)]}, "its closing time"),
    ],
)
def test_what_makes_no_sense_is_named(words, message):
    with pytest.raises(ValueError, match=message):
        forest(**{"volume_m3": VOLUMES, "prior": EVEN, "passages": CHAIN} | words)
