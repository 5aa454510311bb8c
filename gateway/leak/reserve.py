"""Reserve time: how long until the pressure has fallen to a limit.

Through a hole into vacuum the loss is proportional to the pressure, which then falls exponentially. The straight line
through today's slope is the crew's rule of thumb; it is always sooner, so it is on the safe side for any leak that does
not grow.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """Times from now, s; infinite where the pressure does not fall.

    Attributes:
        to_pa: the limit.
        exponential_s: a hole, at the slope that is most probable: what to expect.
        linear_s: at a constant slope.
        fast_s: the fast end of the interval: a constant slope at the upper end of its interval.
        slow_s: the slow end: a hole at the lower end of the interval.
    """

    to_pa: float
    exponential_s: float
    linear_s: float
    fast_s: float
    slow_s: float


def reserve(pressure_pa: float, to_pa: float, slope_pa_s: float, ci95_pa_s: tuple[float, float]) -> Reserve:
    """Return the reserve time of an air body.

    Args:
        pressure_pa: now.
        to_pa: the limit; all times are 0 when the pressure is there already.
        slope_pa_s: how fast it falls, positive for a loss.
        ci95_pa_s: 95 % interval of the slope, low and high.

    Raises:
        ValueError: pressures that are not above zero, or an interval that does not hold the slope.
    """
    low, high = ci95_pa_s
    if not (0 < pressure_pa < math.inf and 0 < to_pa < math.inf):
        raise ValueError(f"reserve time: pressures must be above zero, not {pressure_pa} and {to_pa} Pa")
    if not low <= slope_pa_s <= high:
        raise ValueError(f"reserve time: the slope {slope_pa_s} Pa/s lies outside its interval {low}..{high}")
    return Reserve(
        to_pa=to_pa,
        exponential_s=_exponential_s(pressure_pa, to_pa, slope_pa_s),
        linear_s=_linear_s(pressure_pa, to_pa, slope_pa_s),
        fast_s=_linear_s(pressure_pa, to_pa, high),
        slow_s=_exponential_s(pressure_pa, to_pa, low),
    )


def _exponential_s(pressure_pa: float, to_pa: float, slope_pa_s: float) -> float:
    if pressure_pa <= to_pa:
        return 0.0
    return pressure_pa / slope_pa_s * math.log(pressure_pa / to_pa) if slope_pa_s > 0 else math.inf


def _linear_s(pressure_pa: float, to_pa: float, slope_pa_s: float) -> float:
    if pressure_pa <= to_pa:
        return 0.0
    return (pressure_pa - to_pa) / slope_pa_s if slope_pa_s > 0 else math.inf
