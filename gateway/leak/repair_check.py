"""Did the repair help? Rates of a closed-off segment before and after, and whether the test could have told.

A pressure decay test is trusted by the two ratios of ASTM E2930: over the test, a leak as large as allowed must move
the pressure by ten times what the instrument resolves and by four times its accuracy; and the pressure must not fall by
a tenth of what it was, or the rate is no longer one number.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

RESOLUTION_RATIO: Final = 10.0
ACCURACY_RATIO: Final = 4.0
LARGEST_DROP: Final = 0.1
_TWO_SIDED_95: Final = 1.959964
_ONE_SIDED_95: Final = 1.644854


@dataclass(frozen=True, slots=True, kw_only=True)
class Decay:
    """One pressure decay test of a closed-off segment.

    Attributes:
        slope_pa_s: how fast the level fell, positive for a loss.
        slope_sd_pa_s: standard deviation of that.
        seconds: length of the test.
        start_pa, end_pa: pressure at its ends.
    """

    slope_pa_s: float
    slope_sd_pa_s: float
    seconds: float
    start_pa: float
    end_pa: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.slope_pa_s) or not 0 < self.slope_sd_pa_s < math.inf:
            raise ValueError("decay test: needs a finite slope and a standard deviation above zero")
        if not self.seconds > 0 or not self.start_pa > 0 or not self.end_pa >= 0:
            raise ValueError("decay test: needs a length and a starting pressure above zero")

    @property
    def drop(self) -> float:
        """How far the pressure moved, as a fraction of the start."""
        return abs(self.start_pa - self.end_pa) / self.start_pa


class Repair(StrEnum):
    """What the two tests say."""

    TIGHT = "tight"
    """The loss is below what is allowed, with 95 % confidence."""
    BETTER = "better, not tight"
    """It fell, but may still be above what is allowed."""
    WORSE = "worse"
    NO_DIFFERENCE = "no difference shown"
    NOT_VALID = "test not valid"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepairCheck:
    """What two decay tests say about a repair.

    Attributes:
        verdict: in one word.
        reasons: why the tests are not valid, in words; empty when they are.
        change_pa_s: before minus after, positive when the repair helped; with its 95 % interval.
        significance: probability of a difference this large, either way, if nothing had changed.
        resolution_ratio, accuracy_ratio: of the test afterwards (E2930 asks for 10 and 4).
        drop: the larger of the two tests' pressure changes, as a fraction.
    """

    verdict: Repair
    reasons: tuple[str, ...]
    change_pa_s: float
    change_ci95_pa_s: tuple[float, float]
    significance: float
    resolution_ratio: float
    accuracy_ratio: float
    drop: float


def check_repair(
    before: Decay, after: Decay, *, allowed_pa_s: float, resolution_pa: float, accuracy_pa: float
) -> RepairCheck:
    """Compare a segment before and after a repair.

    Args:
        before: the decay test before the repair.
        after: the one after it, which is judged.
        allowed_pa_s: the slope that is still acceptable.
        resolution_pa: the smallest change that the transducers show.
        accuracy_pa: how far a change that they show may be off.

    Raises:
        ValueError: a limit that is not above zero.
    """
    if min(allowed_pa_s, resolution_pa, accuracy_pa) <= 0:
        raise ValueError("repair check: allowed slope, resolution and accuracy must be above zero")
    change = before.slope_pa_s - after.slope_pa_s
    sd = math.hypot(before.slope_sd_pa_s, after.slope_sd_pa_s)
    resolution_ratio = allowed_pa_s * after.seconds / resolution_pa
    accuracy_ratio = allowed_pa_s * after.seconds / accuracy_pa
    reasons = _reasons(before, after, resolution_ratio, accuracy_ratio)
    significance = math.erfc(abs(change) / sd / math.sqrt(2))
    return RepairCheck(
        verdict=Repair.NOT_VALID if reasons else _verdict(change, significance, after, allowed_pa_s),
        reasons=reasons,
        change_pa_s=change,
        change_ci95_pa_s=(change - _TWO_SIDED_95 * sd, change + _TWO_SIDED_95 * sd),
        significance=significance,
        resolution_ratio=resolution_ratio,
        accuracy_ratio=accuracy_ratio,
        drop=max(before.drop, after.drop),
    )


def _verdict(change_pa_s: float, significance: float, after: Decay, allowed_pa_s: float) -> Repair:
    if after.slope_pa_s + _ONE_SIDED_95 * after.slope_sd_pa_s < allowed_pa_s:
        return Repair.TIGHT
    if significance >= 0.05:
        return Repair.NO_DIFFERENCE
    return Repair.BETTER if change_pa_s > 0 else Repair.WORSE


def _reasons(before: Decay, after: Decay, resolution_ratio: float, accuracy_ratio: float) -> tuple[str, ...]:
    reasons = []
    for ratio, least, what in (
        (resolution_ratio, RESOLUTION_RATIO, "resolution"),
        (accuracy_ratio, ACCURACY_RATIO, "accuracy"),
    ):
        if ratio < least:
            longer = least / ratio
            reasons.append(
                f"the allowed leak moves the pressure by {ratio:.1f} times the {what}, {least:.0f} are needed:"
                f" test {longer:.1f} times as long"
            )
    for decay, when in ((before, "before"), (after, "after")):
        if decay.drop >= LARGEST_DROP:
            reasons.append(
                f"the pressure moved by {decay.drop:.0%} in the test {when}, less than 10 % is needed: test less long"
            )
    return tuple(reasons)
