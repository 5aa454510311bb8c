"""4-20 mA transmitters on the inputs of any module: pressures from currents; what a current means by NAMUR NE 43."""

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from drivers.reading import Reason
from drivers.rig import Transducer

_LIVE_ZERO: Final = (4e-3, 20e-3)  # A

# NE 43, uA: a transmitter stops at 3.8 and 20.5 mA when the pressure goes on; beyond 3.6 and 21 mA it has failed
_SATURATED: Final = (3800, 20500)
_FAILED: Final = (3600, 21000)
_STEP: Final = 10  # two steps of the 12-bit converter: a current at a limit counts as beyond it
_HYSTERESIS: Final = 20  # how far it must come back to count as better


def _beyond(current: NDArray[np.float64], margin: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return beyond how many limits (1 saturated, 2 failed) each current in uA is, low and high; shape (channels,)."""
    low = [current <= limits[0] + margin for limits in (_SATURATED, _FAILED)]
    high = [current >= limits[1] - margin for limits in (_SATURATED, _FAILED)]
    return np.sum(low, axis=0), np.sum(high, axis=0)


class LoopStates:
    """What the loop currents mean by NE 43, each input a small state machine: worse at once, better with hysteresis.

    A state is the number of limits beyond which the current is: -2 failed low (a broken wire too), -1 saturated low,
    0 measuring, 1 saturated high, 2 failed high.
    """

    def __init__(self, low_limits: NDArray[np.bool_], high_limits: NDArray[np.bool_]) -> None:
        """Take which inputs the limits hold for, both of shape (channels,): a 0-20 mA loop has no low ones."""
        self._holds = (low_limits, high_limits)
        self._depths = (np.zeros(low_limits.shape, np.intp), np.zeros(low_limits.shape, np.intp))

    def next(self, current: NDArray[np.float64]) -> NDArray[np.intp]:
        """Return the states after these currents in uA, shape (channels,)."""
        worse = _beyond(current, _STEP)
        better = _beyond(current, _STEP + _HYSTERESIS)
        low, high = (
            np.where(holds, np.minimum(strict, np.maximum(before, plain)), 0)
            for holds, before, plain, strict in zip(self._holds, self._depths, worse, better, strict=True)
        )
        self._depths = (low, high)
        return high - low


_REASON_OF_STATE: Final = np.array(
    [Reason.SENSOR_FAILURE, Reason.SATURATED_LOW, Reason.NONE, Reason.SATURATED_HIGH, Reason.SENSOR_FAILURE],
    dtype=np.uint8,
)


class CurrentLoops:
    """The transmitters of one module. Pressures are in Pa: a current alone says nothing."""

    def __init__(self, transducers: Mapping[str, Transducer]) -> None:
        currents = np.array([words.current or _LIVE_ZERO for words in transducers.values()])
        ranges = np.array([_range(name, words) for name, words in transducers.items()])
        self._slope = (ranges[:, 1] - ranges[:, 0]) / (currents[:, 1] - currents[:, 0])
        self._start = ranges[:, 0] - self._slope * currents[:, 0]
        microamps = currents * 1e6
        self._states = LoopStates(microamps[:, 0] > _SATURATED[0], microamps[:, 1] < _SATURATED[1])

    def graded(self, microamps: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return pressures in Pa, NaN where the loop has failed, and `Reason` codes; all of shape (transducers,)."""
        states = self._states.next(microamps)
        values = self._start + self._slope * (microamps * 1e-6)
        values[np.abs(states) > 1] = np.nan
        return values, _REASON_OF_STATE[states + 2]


def input_number(name: str, words: Transducer, inputs: int) -> int:
    """Return the number of a transducer's input, counted from 0.

    Raises:
        ValueError: the module has no such input.
    """
    if words.channel is None or not 1 <= words.channel <= inputs:
        raise ValueError(f"transducer {name}: channel must be 1 to {inputs}, the number of the input")
    return words.channel - 1


def _range(name: str, words: Transducer) -> tuple[float, float]:
    if words.range is None:
        raise ValueError(f"transducer {name}: needs its range, the pressures at both ends of its current")
    return words.range
