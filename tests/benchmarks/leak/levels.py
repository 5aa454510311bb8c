"""Levels of an air body as its noise makes them, many paths at once."""

import math

import numpy as np
from numpy.typing import NDArray

from gateway.leak.noise import Noise

Array = NDArray[np.float64]

START_PA = 1e5


def wandering_air(sd: float, correlation_s: float, step_s: float, shape: tuple[int, int], rng: np.random.Generator):
    """Return an Ornstein-Uhlenbeck process, stationary from the start, shape (samples, paths)."""
    air = rng.standard_normal(shape) * sd
    keep = math.exp(-step_s / correlation_s)
    air[1:] *= math.sqrt(1.0 - keep * keep)
    for place in range(1, len(air)):
        air[place] += keep * air[place - 1]
    return air


def quiet_levels(noise: Noise, samples: int, paths: int, rng: np.random.Generator) -> Array:
    """Return levels without a leak, Pa, shape (samples, paths)."""
    shape = (samples, paths)
    levels = rng.standard_normal(shape)
    levels *= noise.drift_pa * math.sqrt(noise.step_s)
    np.cumsum(levels, axis=0, out=levels)
    levels += wandering_air(noise.air_pa, noise.air_s, noise.step_s, shape, rng)
    levels += rng.standard_normal(shape) * noise.white_pa
    return START_PA + levels


def ramp(samples: int, onset: int, step_s: float) -> Array:
    """Return what 1 Pa/s takes away, Pa, shape (samples, 1): sample `onset` is the first that has lost any."""
    return np.maximum(np.arange(samples) - onset + 1, 0)[:, np.newaxis] * step_s
