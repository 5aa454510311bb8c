"""Curves of certificates: gain and offset, polynomial, table; none guesses beyond what the certificate says."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.calibration import CalibrationError, Curve
from drivers.rig import Calibration

pressures = st.floats(-1e6, 1e9)


def calibration(**words: object) -> Calibration:
    return Calibration.model_validate(words)


TABLE = calibration(table=[["0 kPa", "1 kPa"], ["100 kPa", "102 kPa"], ["200 kPa", "201 kPa"]])


def true(curve: Curve, value: float) -> float:
    return float(curve.apply(np.array([value]))[0])


@given(st.lists(pressures, min_size=1, max_size=8))
def test_no_calibration_changes_nothing(values: list[float]) -> None:
    given_values = np.array(values)
    np.testing.assert_array_equal(Curve.of([None] * len(values)).apply(given_values), given_values)


def test_gain_comes_before_offset() -> None:
    assert true(Curve.of([calibration(gain=2.0, offset="12 Pa")]), 100.0) == 212.0


def test_polynomial_begins_with_the_constant() -> None:
    assert true(Curve.of([calibration(polynomial=[5.0, 2.0, 0.5])]), 10.0) == 5 + 20 + 50


def test_gain_and_offset_correct_what_polynomial_or_table_gave() -> None:
    assert true(Curve.of([calibration(polynomial=[0.0, 2.0], gain=3.0, offset="1 Pa")]), 10.0) == 61.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(0.0, 1e3, id="first point"),
        pytest.param(50e3, 51.5e3, id="between"),
        pytest.param(200e3, 201e3, id="last point"),
        pytest.param(-1e3, 1e3 - 1e3 * 1.01, id="extended below along the first piece"),
        pytest.param(201e3, 201e3 + 1e3 * 0.99, id="extended above along the last piece"),
        pytest.param(-2.1e3, np.nan, id="too far below"),
        pytest.param(202.1e3, np.nan, id="too far above"),
        pytest.param(np.nan, np.nan, id="no value"),
    ],
)
def test_table_is_followed_and_extended_by_one_percent_only(value: float, expected: float) -> None:
    assert true(Curve.of([TABLE]), value) == pytest.approx(expected, nan_ok=True)


def test_each_channel_has_its_own_curve_and_the_input_stays_as_it_was() -> None:
    values = np.array([10.0, 20.0, 50e3, 40.0])
    curve = Curve.of([None, calibration(offset="1 Pa"), TABLE, calibration(polynomial=[1.0])])
    assert curve.apply(values).tolist() == [10.0, 21.0, 51.5e3, 1.0]
    assert values.tolist() == [10.0, 20.0, 50e3, 40.0]


def test_overdue_begins_the_day_after() -> None:
    due = dt.date(2027, 5, 1)
    curve = Curve.of([calibration(due=due), calibration(), None])
    assert curve.is_overdue(due).tolist() == [False, False, False]
    assert curve.is_overdue(due + dt.timedelta(days=1)).tolist() == [True, False, False]


def test_uncertainty_is_unknown_unless_stated() -> None:
    curve = Curve.of([calibration(uncertainty="16 Pa"), None])
    np.testing.assert_array_equal(curve.uncertainty, [16.0, np.nan])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ({"table": [["0 Pa", "0 Pa"]]}, "two points"),
        ({"table": [["1 Pa", "0 Pa"], ["1 Pa", "2 Pa"]]}, "rising"),
        ({"polynomial": []}, "at least one coefficient"),
        ({"polynomial": [1.0], "table": [["0 Pa", "0 Pa"], ["1 Pa", "1 Pa"]]}, "not both"),
    ],
)
def test_what_is_no_curve_is_refused(words: dict[str, object], complaint: str) -> None:
    with pytest.raises(CalibrationError, match=complaint):
        Curve.of([calibration(**words)])
