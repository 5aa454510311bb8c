"""Columns of a unit's polls."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.columns import PerUnit, columns
from drivers.reading import Channel
from drivers.units import unit_for

PASCAL = unit_for("Pa", "pressure")


def channels(*transducers: str) -> tuple[Channel, ...]:
    return tuple(Channel(transducer=name, quantity="pressure", unit=PASCAL) for name in transducers)


@given(st.lists(st.integers(0, 30), max_size=8, unique=True))
def test_columns_take_what_was_asked_for_in_that_order(numbers: list[int]) -> None:
    assert np.arange(31)[columns(numbers)].tolist() == numbers


@pytest.mark.parametrize(
    ("numbers", "run"), [([3, 4, 5], True), ([3], True), ([], True), ([3, 5], False), ([4, 3], False)]
)
def test_those_in_a_row_are_a_slice(numbers: list[int], *, run: bool) -> None:
    assert isinstance(columns(numbers), slice) == run


def test_what_follows_from_a_units_channels_is_found_at_its_first_poll_and_when_they_change() -> None:
    found: list[tuple[str, ...]] = []

    def find(of: tuple[Channel, ...]) -> int:
        found.append(tuple(channel.transducer for channel in of))
        return len(of)

    per_unit = PerUnit(find)
    one, other = channels("a", "b"), channels("c")
    assert [per_unit(each) for each in (one, other, one, channels("a", "b"), other)] == [2, 1, 2, 2, 1]
    assert found == [("a", "b"), ("c",)]
    assert per_unit(channels("a")) == 1
    assert found[-1] == ("a",)
