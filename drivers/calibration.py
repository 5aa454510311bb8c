"""From the value a transducer gives to the true one, as its certificate states it, a whole poll at once. Pure."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.rig import Calibration

_BEYOND: Final = 0.01  # of a table's span: how far its end pieces are extended


class CalibrationError(ValueError):
    """A calibration that is no curve; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bend:
    """The part of one channel's curve that is not a straight line: a polynomial or a table.

    Attributes:
        polynomial: coefficients c0, c1, c2 ..., None for a table.
        given, true: the table's points with its two extensions, shape (points,).
    """

    channel: int
    polynomial: tuple[float, ...] | None
    given: NDArray[np.float64]
    true: NDArray[np.float64]

    def apply(self, value: np.float64) -> float:
        """Return the true value; NaN where a table says nothing."""
        if self.polynomial is not None:
            x = float(value)  # by Horner; numpy.polynomial has it too, and takes 0.8 MB for it
            return reduce(lambda total, coefficient: total * x + coefficient, reversed(self.polynomial), 0.0)
        return float(np.interp(value, self.given, self.true, left=np.nan, right=np.nan))


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The calibrations of some channels.

    Gain and offset of a calibration that also has a polynomial or a table are applied after it, as a later correction.

    Attributes:
        gain: shape (channels,).
        offset: Pa, shape (channels,).
        uncertainty: expanded (k = 2), Pa, NaN where not stated, shape (channels,).
        due: when each calibration ends, None where not stated.
    """

    gain: NDArray[np.float64]
    offset: NDArray[np.float64]
    uncertainty: NDArray[np.float64]
    due: tuple[dt.date | None, ...]
    bends: tuple[_Bend, ...]

    @staticmethod
    def of(calibrations: Sequence[Calibration | None]) -> "Curve":
        """Build the curve of some channels; None leaves a channel as it is.

        Raises:
            CalibrationError: a table with fewer than two points, or one that does not rise, an empty polynomial, or
                both at once.
        """
        stated = [calibration or Calibration() for calibration in calibrations]
        return Curve(
            gain=np.array([each.gain for each in stated]),
            offset=np.array([each.offset for each in stated]),
            uncertainty=np.array([np.nan if each.uncertainty is None else each.uncertainty for each in stated]),
            due=tuple(each.due for each in stated),
            bends=tuple(bend for place, each in enumerate(stated) for bend in _bends(place, each)),
        )

    def apply(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the true values of one poll.

        Args:
            values: Pa, shape (channels,); NaN where there is none.

        Returns:
            Pa, shape (channels,), a new array. A value that was there and is NaN now lies more than 1 % of the table's
            span outside its table: the certificate says nothing about it, so it is out of range.
        """
        if self.bends:
            values = values.copy()
            for bend in self.bends:
                values[bend.channel] = bend.apply(values[bend.channel])
        true: NDArray[np.float64] = values * self.gain + self.offset
        return true

    def is_overdue(self, today: dt.date) -> NDArray[np.bool_]:
        """Return which calibrations have ended before that day, shape (channels,)."""
        return np.array([due is not None and due < today for due in self.due], dtype=np.bool_)


def _bends(channel: int, calibration: Calibration) -> list[_Bend]:
    nothing = np.empty(0)
    if calibration.polynomial is not None and calibration.table is not None:
        raise CalibrationError("a calibration has a polynomial or a table, not both: take one out")
    if calibration.polynomial is not None:
        if not calibration.polynomial:
            raise CalibrationError("a calibration polynomial needs at least one coefficient")
        return [_Bend(channel=channel, polynomial=calibration.polynomial, given=nothing, true=nothing)]
    if calibration.table is None:
        return []
    points = list(calibration.table)
    if len(points) < 2 or any(after[0] <= before[0] for before, after in pairwise(points)):
        raise CalibrationError(
            "a calibration table needs two points or more, the first number rising from point to point"
        )
    reach = _BEYOND * (points[-1][0] - points[0][0])
    points = [_extended(points[1], points[0], -reach), *points, _extended(points[-2], points[-1], reach)]
    given, true = np.array(points).T
    return [_Bend(channel=channel, polynomial=None, given=given, true=true)]


def _extended(inner: tuple[float, float], end: tuple[float, float], by: float) -> tuple[float, float]:
    """Return the point `by` beyond the end of a table, on the line of its last two points."""
    slope = (end[1] - inner[1]) / (end[0] - inner[0])
    return end[0] + by, end[1] + slope * by
