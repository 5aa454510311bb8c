"""What all families share: the lines they can be on, polls that brought nothing, numbers that mean a fault."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.exchange import Ask, Attempt, Outcome, Request
from drivers.model import Identity
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import BusKind

RTU_KINDS: Final = frozenset({BusKind.SERIAL, BusKind.RTU_OVER_TCP})
MODBUS_KINDS: Final = RTU_KINDS | {BusKind.MODBUS_TCP}
LINE_KINDS: Final = frozenset({BusKind.SERIAL, BusKind.LINE_OVER_TCP})
USUAL_BAUDS: Final = frozenset({1200, 2400, 4800, 9600, 19200, 38400, 57600, 115200})


def unanswered(channels: tuple[Channel, ...], attempt: Attempt) -> RawPoll:
    """Return the poll of an attempt that brought no value."""
    return RawPoll.nothing(channels, attempt.outcome.reason, attempt.time_s)


def one_value(channels: tuple[Channel, ...], attempt: Attempt, value: float, reason: Reason) -> RawPoll:
    """Return the poll of an attempt that brought the value of the one channel there is."""
    return RawPoll(
        channels=channels,
        values=np.array([value]),
        reasons=np.array([reason], dtype=np.uint8),
        time_s=attempt.time_s,
        uncertainty_s=attempt.uncertainty_s,
    )


def strike_non_finite(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Return the reasons of IEEE 754's non-numbers: NaN is a failed sensor, an infinity an exceeded range.

    Args:
        values: shape (channels,); the infinities become NaN in place, because they are no values.

    Returns:
        `Reason` codes, shape (channels,).
    """
    reasons = np.zeros(values.shape, dtype=np.uint8)
    if np.count_nonzero(np.isfinite(values)) < len(values):  # all() takes five times as long on a few values
        reasons[np.isnan(values)] = Reason.SENSOR_FAILURE
        reasons[values == np.inf] = Reason.SATURATED_HIGH
        reasons[values == -np.inf] = Reason.SATURATED_LOW
        values[reasons != 0] = np.nan
    return reasons


async def told(ask: Ask, questions: Iterable[Request]) -> tuple[list[bytes], Reason]:
    """Ask one question after the other; return the answers, and why the first that brought none did not (then stop)."""
    frames: list[bytes] = []
    for question in questions:
        attempt = await ask(question)
        if attempt.outcome is not Outcome.REPLY:
            return frames, attempt.outcome.reason
        frames.append(attempt.frame)
    return frames, Reason.NONE


def identity(text: str, serial_number: str, expected: int | str | None) -> Identity:
    """Return who answered, a mismatch when the rig file expects another serial number; leading zeros do not count."""
    wrong = expected is not None and serial_number.lstrip("0") != str(expected).lstrip("0")
    reason = Reason.IDENTITY_MISMATCH if wrong else Reason.NONE
    return Identity(text=text, serial_number=serial_number, reason=reason)
