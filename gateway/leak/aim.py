"""What a search wants to know: a leak of which size, seen through which noise, named how surely."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.leak.slope import Array, SlopeNoise

GAS_CONSTANT: Final = 8.31446
REFERENCE_K: Final = 295.15
AIR_KG_PER_MOL: Final = 0.0289652


def flow_pa_m3_s(rate_kg_s: float) -> float:
    """Return what a rate takes from the product of pressure and volume at 295.15 K, Pa m3/s."""
    return rate_kg_s / AIR_KG_PER_MOL * GAS_CONSTANT * REFERENCE_K


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What a search wants to know.

    Attributes:
        flow_pa_m3_s: the leak; a body of volume V that holds it falls by flow / V, Pa/s.
        noise: of one body's slope.
        error: probability of a wrong answer that is allowed, below 1/2.
    """

    flow_pa_m3_s: float
    noise: SlopeNoise
    error: float

    def __post_init__(self) -> None:
        if not 0 < self.flow_pa_m3_s < math.inf:
            raise ValueError("the leak's rate must be above zero")
        if not 0 < self.error < 0.5:
            raise ValueError("the error must lie between 0 and 0.5")

    @property
    def information(self) -> float:
        """Mean of (difference / standard deviation)^2 at which a sequential test of two answers ends (Wald)."""
        return 2 * (1 - 2 * self.error) * math.log((1 - self.error) / self.error)

    def wait_s(self, one_m3: npt.ArrayLike, other_m3: npt.ArrayLike) -> Array:
        """Return the expected wait until it is known which of two bodies leaks, s; infinite when over 30 days.

        The smaller body decides: its level would fall faster.
        """
        per_m3 = np.hypot(1 / np.asarray(one_m3, dtype=np.float64), 1 / np.asarray(other_m3, dtype=np.float64))
        return self.noise.seconds_for(self.flow_pa_m3_s * per_m3 / math.sqrt(self.information))
