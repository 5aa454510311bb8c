"""From a unit's raw poll to readings: SI, calibrated, checked for plausibility, graded; all channels at once.

Only array operations over the channels of a unit: a poll of sixty registers costs hardly more than one of two.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.calibration import Curve
from drivers.reading import ALL_GOOD, QUALITY_OF, Channel, Quality, RawPoll, Readings, Reason
from drivers.rig import Transducer

_OVERRANGE: Final = 0.1  # of the span: transducers measure a little beyond their range, and say so
_LIMITS: Final = {
    "temperature": (173.15, 423.15),  # K, what a pressure transducer can survive
    "contact": (0.0, 1.0),
}
_NEVER_MS: Final = np.iinfo(np.int64).max


class Normaliser:
    """The channels of one unit with their calibrations, limits and recent past.

    Attributes:
        channels: as its driver gives them.
    """

    def __init__(self, channels: Sequence[Channel], transducers: Mapping[str, Transducer]) -> None:
        words = [transducers[channel.transducer] for channel in channels]
        pressure = np.array([channel.quantity == "pressure" for channel in channels])
        self.channels = tuple(channels)
        self._scale = np.array([channel.unit.scale for channel in channels])
        self._offset = np.array([channel.unit.offset for channel in channels])
        self._converts = any(channel.unit.scale != 1.0 or channel.unit.offset != 0.0 for channel in channels)
        calibrations = [
            word.calibration if is_pressure else None for word, is_pressure in zip(words, pressure, strict=True)
        ]
        self._curve = Curve.of(calibrations) if any(calibrations) else None
        limits = [_limits(word, channel.quantity) for word, channel in zip(words, channels, strict=True)]
        self._low, self._high = np.array(limits).T
        self._max_rate = np.array(
            [
                word.max_rate or np.inf if is_pressure else np.inf
                for word, is_pressure in zip(words, pressure, strict=True)
            ]
        )
        self._frozen_after_s = np.array(
            [
                np.inf if channel.quantity == "contact" else word.frozen_after or np.inf
                for word, channel in zip(words, channels, strict=True)
            ]
        )
        self._due_ms = np.array([_due_ms(word) for word in words])
        self._limits_rate = bool(np.isfinite(self._max_rate).any())
        self._limits_frozen = bool(np.isfinite(self._frozen_after_s).any())
        self._has_memory = self._limits_rate or self._limits_frozen
        self._all_good = ALL_GOOD[: len(words)]
        self._first_due_ms = int(self._due_ms.min())
        self._last = np.full(len(words), np.nan)
        self._last_s = np.full(len(words), -np.inf)
        self._last_raw = np.full(len(words), np.nan)
        self._same_since_s = np.zeros(len(words))

    def __call__(self, raw: RawPoll, *, now_ms: int) -> Readings:
        """Return the readings of one poll.

        Args:
            raw: the channels in the order given at construction.
            now_ms: UTC, for calibrations that fall due.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # nonsense of a device ends as infinity, out of range
            values = raw.values * self._scale + self._offset if self._converts else raw.values
            if self._curve is not None:
                values = self._curve.apply(values)
            reasons = self._judge(values, raw, now_ms)
        if reasons is self._all_good:
            quality = reasons
        else:
            quality = QUALITY_OF[reasons]
            quality[np.isnan(values)] = Quality.BAD
        return Readings(
            channels=self.channels,
            values=values,
            quality=quality,
            reasons=reasons,
            raw=raw.values,
            time_s=raw.time_s,
            uncertainty_s=raw.uncertainty_s,
        )

    def _judge(self, values: NDArray[np.float64], raw: RawPoll, now_ms: int) -> NDArray[np.uint8]:
        """Return a reason per channel: the driver's own where it gave one, else the gravest that plausibility finds."""
        within = (values >= self._low) & (values <= self._high)
        plausible = np.count_nonzero(within) == len(within)  # all() takes five times as long on a few values
        if plausible and now_ms < self._first_due_ms and not (self._has_memory or np.count_nonzero(raw.reasons)):
            return self._all_good
        found = np.zeros(len(values), dtype=np.uint8)
        if now_ms >= self._first_due_ms:
            found[now_ms >= self._due_ms] = Reason.CALIBRATION_OVERDUE
        if self._limits_frozen:
            found[self._frozen(raw)] = Reason.FROZEN
        if self._limits_rate:
            found[self._too_fast(values, raw.time_s)] = Reason.SPIKE
        if not plausible:
            found[~within] = Reason.OUT_OF_RANGE  # that is also what a calibration's table does not reach
            found[np.isnan(raw.values)] = Reason.SENSOR_FAILURE
        return np.where(raw.reasons, raw.reasons, found)  # NONE is 0

    def _too_fast(self, values: NDArray[np.float64], time_s: float) -> NDArray[np.bool_]:
        """Say which channels have moved faster than they may since their last value."""
        fast: NDArray[np.bool_] = np.abs(values - self._last) > self._max_rate * (time_s - self._last_s)
        present = ~np.isnan(values)
        np.copyto(self._last, values, where=present)
        np.copyto(self._last_s, time_s, where=present)
        return fast

    def _frozen(self, raw: RawPoll) -> NDArray[np.bool_]:
        """Say which channels have given the very same raw value for longer than they may."""
        moved = raw.values != self._last_raw  # NaN counts as moved: silence is not a frozen value
        np.copyto(self._same_since_s, raw.time_s, where=moved)
        self._last_raw = raw.values
        frozen: NDArray[np.bool_] = raw.time_s - self._same_since_s >= self._frozen_after_s
        return frozen


def _limits(words: Transducer, quantity: str) -> tuple[float, float]:
    if quantity in _LIMITS:
        return _LIMITS[quantity]
    if quantity != "pressure" or words.range is None:
        return -np.inf, np.inf
    low, high = words.range
    margin = _OVERRANGE * (high - low)
    return low - margin, high + margin


def _due_ms(words: Transducer) -> int:
    """Return the end of the day on which the calibration falls due, ms UTC."""
    if words.calibration is None or words.calibration.due is None:
        return int(_NEVER_MS)
    end = dt.datetime.combine(words.calibration.due + dt.timedelta(days=1), dt.time(), dt.UTC)
    return int(end.timestamp() * 1000)
