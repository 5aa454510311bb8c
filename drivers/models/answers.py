"""What all families share: the lines they can be on, polls that brought nothing, numbers that mean a fault."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.exchange import Attempt
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import BusKind

RTU_KINDS: Final = frozenset({BusKind.SERIAL, BusKind.RTU_OVER_TCP})
MODBUS_KINDS: Final = RTU_KINDS | {BusKind.MODBUS_TCP}
LINE_KINDS: Final = frozenset({BusKind.SERIAL, BusKind.LINE_OVER_TCP})
USUAL_BAUDS: Final = frozenset({1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200})


def unanswered(channels: tuple[Channel, ...], attempt: Attempt) -> RawPoll:
    """Return the poll of an attempt that brought no value."""
    return RawPoll.nothing(channels, attempt.outcome.reason, attempt.time_s)


def strike_non_finite(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the reasons of IEEE 754's non-numbers: NaN is a failed sensor, an infinity an exceeded range.

    Args:
        values: shape (channels,); the infinities become NaN in place, because they are no values.

    Returns:
        `Reason` codes, shape (channels,).
    """
    reasons = np.zeros(values.shape, dtype=np.uint8)
    if not np.isfinite(values).all():
        reasons[np.isnan(values)] = Reason.SENSOR_FAILURE
        reasons[values == np.inf] = Reason.SATURATED_HIGH
        reasons[values == -np.inf] = Reason.SATURATED_LOW
        values[reasons != 0] = np.nan
    return reasons
