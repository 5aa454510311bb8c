"""What moves the level of an air body when nothing leaks, and how to find it out from quiet data.

Three parts: *white* from sample to sample, *drift* (random walk of the transducers), and *air* (the unknown error of
the bulk temperature, an Ornstein-Uhlenbeck process). With good transducers the air sets what can be found: 10 mK are
3.4 Pa.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_FEWEST: Final = 500
_MOST_MISSING: Final = 0.05
_TAPERS: Final = 3
_STARTS_S: Final = (600.0, 2700.0, 10800.0)
_USUAL_AIR_S: Final = 2700.0
_PRIOR_SD: Final = np.array([4.0, 4.0, 4.0, 1.0])  # of logarithms: what the data do not show stays where it is
_ROUNDS: Final = 60
_SETTLED: Final = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise of the level of one air body, sampled at a fixed step.

    Attributes:
        white_pa: standard deviation of one sample around the true level, Pa.
        drift_pa: random walk of the level, Pa/sqrt(s).
        air_pa: standard deviation of the level that the unknown error of the bulk temperature makes, Pa.
        air_s: correlation time of that, s.
        step_s: from sample to sample, s.
    """

    white_pa: float
    drift_pa: float = 0.0
    air_pa: float = 0.0
    air_s: float = _USUAL_AIR_S
    step_s: float = 60.0

    def __post_init__(self) -> None:
        for name, above in (("white_pa", 0.0), ("air_s", 0.0), ("step_s", 0.0), ("drift_pa", None), ("air_pa", None)):
            value = getattr(self, name)
            if not math.isfinite(value) or value < 0.0 or value == above:
                wanted = "greater than 0" if above is not None else "0 or greater"
                raise ValueError(f"{name} of a level's noise is {value}; give a finite number, {wanted}")

    def resampled(self, step_s: float) -> "Noise":
        """Return the same noise for samples that are means over another step, s."""
        return replace(self, white_pa=self.white_pa * math.sqrt(self.step_s / step_s), step_s=step_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """Noise found in quiet data, with how well it is known.

    Attributes:
        noise: the most plausible one.
        relative_sd: of white_pa, drift_pa, air_pa and air_s: standard deviation of the logarithm. Near 2 (0.7 for
            air_s) says that the data do not show that part.
    """

    noise: Noise
    relative_sd: tuple[float, float, float, float]

    @property
    def cautious(self) -> Noise:
        """One standard deviation louder in each part that the data show: too small a noise costs false alarms."""
        white, drift, air = (math.exp(sd) if sd < 1.0 else 1.0 for sd in self.relative_sd[:3])
        noise = self.noise
        return replace(
            noise, white_pa=noise.white_pa * white, drift_pa=noise.drift_pa * drift, air_pa=noise.air_pa * air
        )


def identify(x_pa: Array, step_s: float) -> Identified:
    """Find the noise of a level by Whittle's likelihood of its differences (sine tapers, Fisher scoring).

    Three quiet days of one sample a minute know white and air to some 10 %; a steady slope does no harm.

    Args:
        x_pa: levels at a fixed step, Pa, shape (samples,); NaN = missing, up to 5 %.
        step_s: from sample to sample, s.

    Raises:
        ValueError: fewer than 500 samples, more than 5 % missing, or a level that never moves.
    """
    differences = np.diff(_gapless(x_pa))
    differences -= differences.mean()
    found = _periodogram(differences)
    angles = 2.0 * np.pi * np.arange(1, len(found) + 1) / len(differences)
    spectrum = _Spectrum(angles=angles, step_s=step_s)
    power = float(differences @ differences) / len(differences)
    low = float(np.mean(found[: max(len(found) // 100, 4)]))
    fits = [
        _scored(spectrum, found, np.log([power / 4.0, low / 4.0, power * start_s / step_s / 8.0, start_s]))
        for start_s in _STARTS_S
    ]
    _, best, covariance = max(fits, key=lambda fit: fit[0])
    white2, drift2, air2, air_s = np.exp(best)
    sd = np.sqrt(np.diag(covariance)) * np.array([0.5, 0.5, 0.5, 1.0])
    return Identified(
        noise=Noise(
            white_pa=math.sqrt(white2),
            drift_pa=math.sqrt(drift2 / step_s),
            air_pa=math.sqrt(air2),
            air_s=float(air_s),
            step_s=step_s,
        ),
        relative_sd=(float(sd[0]), float(sd[1]), float(sd[2]), float(sd[3])),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spectrum:
    """Of a level's differences: as a function of the logarithms of white, drift (a step) and air variance and air_s."""

    angles: Array
    step_s: float

    def __call__(self, logs: Array) -> Array:
        white2, drift2, air2, air_s = np.exp(logs)
        keep = math.exp(-self.step_s / air_s)
        differencing = 2.0 - 2.0 * np.cos(self.angles)
        air = air2 * (1.0 - keep**2) / (1.0 - 2.0 * keep * np.cos(self.angles) + keep**2)
        spectrum: Array = differencing * (white2 + air) + drift2
        return spectrum


def _gapless(x_pa: Array) -> Array:
    there = np.isfinite(x_pa)
    if len(x_pa) < _FEWEST or np.mean(there) < 1.0 - _MOST_MISSING:
        raise ValueError(
            f"noise cannot be identified from {int(there.sum())} of {len(x_pa)} samples;"
            f" give at least {_FEWEST}, with at most {_MOST_MISSING:.0%} missing"
        )
    steps = np.arange(len(x_pa), dtype=np.float64)
    filled = np.interp(steps, steps[there], x_pa[there])
    if np.ptp(filled) == 0.0:
        raise ValueError(f"noise cannot be identified from a level that never moves ({filled[0]} Pa); is it frozen?")
    return filled


def _periodogram(differences: Array) -> Array:
    """Return the mean power of some sine tapers, at the frequencies above 0, shape (samples // 2,)."""
    n = len(differences)
    times = np.arange(1, n + 1)
    power = np.zeros(n // 2)
    for order in range(1, _TAPERS + 1):
        taper = math.sqrt(2.0 / (n + 1)) * np.sin(math.pi * order * times / (n + 1))
        power += np.abs(np.fft.rfft(taper * differences)[1 : n // 2 + 1]) ** 2
    return power / _TAPERS


def _scored(spectrum: _Spectrum, found: Array, start: Array) -> tuple[float, Array, Array]:
    """Climb from `start`; return the logarithm of the posterior, the place and its covariance."""
    prior = np.array([*start[:3], math.log(_USUAL_AIR_S)])

    def height(logs: Array) -> float:
        model = spectrum(logs)
        return float(-np.sum(np.log(model) + found / model) - 0.5 * np.sum(((logs - prior) / _PRIOR_SD) ** 2))

    logs, best, damping = start, height(start), 1e-3
    information = np.eye(4)
    for _ in range(_ROUNDS):
        model = spectrum(logs)
        slopes = np.array([_log_derivative(spectrum, logs, place) for place in range(4)])
        gradient = slopes @ (found / model - 1.0) - (logs - prior) / _PRIOR_SD**2
        information = slopes @ slopes.T + np.diag(1.0 / _PRIOR_SD**2)
        moved = np.clip(np.linalg.solve(information + damping * np.diag(np.diag(information)), gradient), -2.0, 2.0)
        reached = height(logs + moved)
        if reached < best:
            damping *= 10.0
            if damping > 1e9:
                break
            continue
        done = reached - best < _SETTLED * abs(best)
        logs, best, damping = logs + moved, reached, max(damping / 10.0, 1e-9)
        if done:
            break
    return best, logs, np.asarray(np.linalg.inv(information), dtype=np.float64)


def _log_derivative(spectrum: _Spectrum, logs: Array, place: int) -> Array:
    move = np.zeros(4)
    move[place] = 1e-4
    slope: Array = (np.log(spectrum(logs + move)) - np.log(spectrum(logs - move))) / 2e-4
    return slope
