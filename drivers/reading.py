"""What a gateway knows after one poll: values with quality, reason and time.

A `RawPoll` is what a driver brings home (the transducer's own units), `Readings` are the same after normalising (Pa, K,
graded). Both are columns over the channels of one unit, so that a poll of sixty registers costs a few array operations;
`Reading` is one row of it, for people.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.units import Unit


class Quality(IntEnum):
    """How far a value can be trusted; the word on the wire is `word`."""

    GOOD = 0
    UNCERTAIN = 1
    BAD = 2
    STALE = 3

    @property
    def word(self) -> str:
        """The word that topics and pages use."""
        return _QUALITY_WORDS[self]


class Reason(IntEnum):
    """Why a value is not good; NONE is null on the wire."""

    NONE = 0
    TIMEOUT = 1
    CRC = 2
    EXCEPTION = 3
    FOREIGN = 4
    LATE = 5
    OUT_OF_RANGE = 6
    SATURATED_LOW = 7
    SATURATED_HIGH = 8
    SENSOR_FAILURE = 9
    WARMING_UP = 10
    RESTARTED = 11
    IDENTITY_MISMATCH = 12
    CALIBRATION_OVERDUE = 13
    DISAGREES = 14
    FROZEN = 15
    SPIKE = 16
    BUS_DOWN = 17
    CONFIG = 18

    @property
    def word(self) -> str | None:
        """The word that topics and pages use, None for NONE."""
        return _REASON_WORDS[self]


_QUALITY_WORDS: Final = tuple(quality.name.lower() for quality in Quality)
_REASON_WORDS: Final = (None, *(reason.name.lower() for reason in Reason if reason))
_UNCERTAIN: Final = frozenset(
    {
        Reason.SATURATED_LOW,
        Reason.SATURATED_HIGH,
        Reason.WARMING_UP,
        Reason.RESTARTED,
        Reason.CALIBRATION_OVERDUE,
        Reason.DISAGREES,
        Reason.FROZEN,
        Reason.SPIKE,
    }
)
QUALITY_OF: Final[NDArray[np.uint8]] = np.array(
    [
        Quality.GOOD if reason is Reason.NONE else Quality.UNCERTAIN if reason in _UNCERTAIN else Quality.BAD
        for reason in Reason
    ],
    dtype=np.uint8,
)
"""Quality of a value that is there, by reason; a missing value is always bad. Shape (len(Reason),)."""

ALL_GOOD: Final[NDArray[np.uint8]] = np.zeros(1 << 16, dtype=np.uint8)
"""Qualities or reasons of a poll without a fault, for as many channels as a slice of it has; nobody can write to it."""
ALL_GOOD.flags.writeable = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One quantity of one transducer.

    Attributes:
        transducer: id in the rig file.
        quantity: one of `drivers.units.SI_UNITS`.
        unit: unit of the raw value.
    """

    transducer: str
    quantity: str
    unit: Unit

    @property
    def id(self) -> str:
        """`<transducer>.<quantity>`, as in the batch payload."""
        return f"{self.transducer}.{self.quantity}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RawPoll:
    """The channels of one unit as its driver decoded them.

    Attributes:
        values: shape (channels,), each in its channel's unit, NaN where the transducer gave none.
        reasons: shape (channels,), `Reason` codes.
        time_s: when it was measured, on the event loop's clock.
        uncertainty_s: half the span in which it was measured.
    """

    channels: tuple[Channel, ...]
    values: NDArray[np.float64]
    reasons: NDArray[np.uint8]
    time_s: float
    uncertainty_s: float

    @staticmethod
    def nothing(channels: tuple[Channel, ...], reason: Reason, time_s: float) -> "RawPoll":
        """Return a poll that brought no value for that reason."""
        return RawPoll(
            channels=channels,
            values=np.full(len(channels), np.nan),
            reasons=np.full(len(channels), reason, dtype=np.uint8),
            time_s=time_s,
            uncertainty_s=0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One normalised value: Pa or K, None when there is none, with quality, reason and time.

    `time_s` is on the event loop's clock; `raw` is in the channel's own unit.
    """

    channel: Channel
    value: float | None
    quality: Quality
    reason: Reason
    time_s: float
    uncertainty_s: float
    raw: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """One poll of one unit, normalised.

    Attributes:
        values: shape (channels,), Pa or K, NaN where there is none.
        quality: shape (channels,), `Quality` codes.
        reasons: shape (channels,), `Reason` codes.
        raw: shape (channels,), the channels' own units.
    """

    channels: tuple[Channel, ...]
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]
    reasons: NDArray[np.uint8]
    raw: NDArray[np.float64]
    time_s: float
    uncertainty_s: float

    @property
    def all_good(self) -> bool:
        """Whether every channel has a good value."""
        return not np.count_nonzero(self.quality)

    def __iter__(self) -> Iterator[Reading]:
        rows = zip(
            self.channels,
            self.values.tolist(),
            self.quality.tolist(),
            self.reasons.tolist(),
            self.raw.tolist(),
            strict=True,
        )
        for channel, value, quality, reason, raw in rows:
            yield Reading(
                channel=channel,
                value=value if value == value else None,  # noqa: PLR0124 - NaN is the one number unequal to itself
                quality=Quality(quality),
                reason=Reason(reason),
                time_s=self.time_s,
                uncertainty_s=self.uncertainty_s,
                raw=raw if raw == raw else None,  # noqa: PLR0124
            )
