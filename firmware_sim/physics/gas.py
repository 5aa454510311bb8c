"""What gas does: constants of air, and how much of it passes through holes, cracks and valves.

Flows are in mol/s, pressures in Pa, temperatures in K; functions take numbers or arrays alike.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

GASES: Final = ("N2", "O2", "CO2", "H2O")
MOLAR_KG: Final[Array] = np.array([28.0134e-3, 31.998e-3, 44.01e-3, 18.015e-3])
"""Molar masses of `GASES`, kg/mol."""
DRY_AIR_KG: Final = 28.965e-3
GAS_CONSTANT: Final = 8.314462618
GAMMA: Final = 1.4
REFERENCE_PA: Final = 101_325.0
REFERENCE_K: Final = 295.15
DAY_S: Final = 86_400.0

CRITICAL_RATIO: Final = (2 / (GAMMA + 1)) ** (GAMMA / (GAMMA - 1))  # below 0.528 the flow is choked
_CHOKED: Final[float] = math.sqrt(GAMMA) * (2 / (GAMMA + 1)) ** ((GAMMA + 1) / (2 * (GAMMA - 1)))
_STRAIGHT_PA: Final = 20.0  # the orifice law is infinitely steep at equal pressures; below this it is a straight line
_VISCOSITY: Final = 1.82e-5  # of air at 295 K, Pa s


def hole_kg_per_s(diameter_m: float, coefficient: float) -> float:
    """Return what a round hole into vacuum loses from air at 101325 Pa and 295.15 K.

    Args:
        diameter_m: of the hole.
        coefficient: discharge coefficient: 0.61 sharp-edged, 0.85 in a thick wall, 1 at most.
    """
    return coefficient * math.pi * diameter_m**2 / 4 * choked_kg_per_s_m2()


def choked_kg_per_s_m2() -> float:
    """Return the mass flow of choked air at 101325 Pa and 295.15 K per effective area."""
    return _CHOKED * REFERENCE_PA / math.sqrt(GAS_CONSTANT / DRY_AIR_KG * REFERENCE_K)


def crack_kg_per_s(width_m: float, gap_m: float, depth_m: float) -> float:
    """Return what a slit with viscous flow into vacuum loses from air at 101325 Pa and 295.15 K.

    It holds while the gap is more than about 100 mean free paths, 7 um.
    """
    specific = GAS_CONSTANT / DRY_AIR_KG * REFERENCE_K
    return width_m * gap_m**3 * REFERENCE_PA**2 / (24 * _VISCOSITY * depth_m * specific)


def pascals_per_s(kg_per_s: float, volume_m3: float, temperature_k: float = REFERENCE_K) -> float:
    """Return how fast the pressure of a volume falls that loses so much dry air at a constant temperature."""
    return kg_per_s / DRY_AIR_KG * GAS_CONSTANT * temperature_k / volume_m3


def between(high_pa: Array, low_pa: Array, temperature_k: Array, molar_kg: Array, area_m2: Array) -> Array:
    """Return the flow from the higher to the lower pressure through an effective area, mol/s.

    Subsonic or choked; temperature and molar mass are those of the side it comes from.
    """
    high_pa = np.maximum(high_pa, 1e-9)
    fall_pa = high_pa - low_pa
    ratio = np.maximum(1 - np.maximum(fall_pa, _STRAIGHT_PA) / high_pa, CRITICAL_RATIO)
    swing = ratio ** (2 / GAMMA) - ratio ** ((GAMMA + 1) / GAMMA)
    speed = np.sqrt(2 * GAMMA / (GAMMA - 1) / (GAS_CONSTANT * temperature_k * molar_kg) * swing)
    flow: Array = area_m2 * high_pa * speed * np.minimum(fall_pa / _STRAIGHT_PA, 1.0)
    return flow
