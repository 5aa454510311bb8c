"""Units: exact definitions, round trips, and messages that say what to write."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.units import UNITS, UnitError, parse_quantity, parse_range, unit


@pytest.mark.parametrize(
    ("text", "dimension", "expected"),
    [
        ("1 bar", "pressure", 100_000.0),
        ("1.01325bar", "pressure", 101_325.0),
        ("760 Torr", "pressure", 101_325.0),
        ("760 mmHg", "pressure", 101_325.0144),
        ("14.6959488 psia", "pressure", 101_325.0),
        ("1 kgf/cm2", "pressure", 98_066.5),
        ("-1e-2 kPa", "pressure", -10.0),
        ("21 C", "temperature", 294.15),
        ("70 degF", "temperature", 294.2611111),
        ("300 ms", "time", 0.3),
        ("  2 min ", "time", 120.0),
        ("80 L", "volume", 0.08),
        ("5 %", "fraction", 0.05),
        ("1 mmHg/min", "pressure rate", 2.22204),
        ("4 mA", "current", 0.004),
    ],
)
def test_a_quantity_is_its_si_value(text, dimension, expected):
    assert parse_quantity(text, dimension) == pytest.approx(expected, rel=1e-6)


@given(st.sampled_from(sorted(UNITS)), st.floats(-1e6, 1e6))
def test_to_si_and_back(symbol, number):
    assert math.isclose(UNITS[symbol].from_si(UNITS[symbol].to_si(number)), number, rel_tol=1e-9, abs_tol=1e-6)


@given(st.sampled_from(sorted(UNITS)), st.integers(-1000, 1000))
def test_every_unit_can_be_written(symbol, number):
    each = UNITS[symbol]
    assert parse_quantity(f"{number} {symbol}", each.dimension) == each.to_si(number)


@pytest.mark.parametrize(
    ("text", "dimension", "message"),
    [
        (89, "volume", 'needs a unit: write "89 m3"'),
        ("89", "volume", 'needs a unit: write "89 m3"'),
        (True, "volume", 'write a volume with its unit, such as "89 m3"'),
        ("many", "pressure", 'not a number with a unit, such as "12 Pa"'),
        ("12 kpa", "pressure", "unknown unit 'kpa', did you mean 'kPa'?"),
        ("12 s", "pressure", "'s' is a unit of time, not of pressure"),
    ],
)
def test_a_wrong_quantity_says_what_to_write(text, dimension, message):
    with pytest.raises(UnitError) as raised:
        parse_quantity(text, dimension)
    assert str(raised.value).startswith(message)


def test_a_range_is_two_rising_si_values():
    assert parse_range("0..160 kPa", "pressure") == (0.0, 160_000.0)
    assert parse_range("4..20 mA", "current") == (0.004, 0.02)
    assert parse_range("-20 .. 80 C", "temperature") == pytest.approx((253.15, 353.15))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0..160", 'needs a unit: write "0..160 kPa"'),
        ("160..0 kPa", "the range must rise"),
        ("0-160 kPa", 'not a range with a unit, such as "0..160 kPa"'),
        (160, "not a range with a unit"),
    ],
)
def test_a_wrong_range_says_what_to_write(text, message):
    with pytest.raises(UnitError) as raised:
        parse_range(text, "pressure")
    assert str(raised.value).startswith(message)


def test_a_unit_is_known_by_its_dimension():
    assert unit("mmHg", "pressure").scale == pytest.approx(133.322387415)
    with pytest.raises(UnitError):
        unit("mmHg", "temperature")
