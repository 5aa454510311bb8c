"""What an air body's level does in the scenarios: noise, crew and machines, events, and a leak; many paths at once.

At the level of air bodies, not of bytes: a level here is what the gateway computes from transducers and hatches, in Pa
of air, and the noise stated for it already has all transducers in it. The full stack is tested elsewhere.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.leak.detector import Detector
from gateway.leak.limit import least_delay, slope_sd
from gateway.leak.noise import Noise
from gateway.leak.whitening import Whitener
from tests.benchmarks.leak.levels import Array, quiet_levels, ramp

DAY_S: Final = 86400.0
LB_KG: Final = 0.45359237
_PA_M3_PER_KG: Final = 8.314462618 / 28.965e-3 * 295.15
_PA_M3_PER_MOL: Final = 8.314462618 * 295.15
_O2_MOL_PER_DAY: Final = 26.3  # a person takes
_CO2_MOL_PER_DAY: Final = 22.7  # and gives
_O2_CYCLE_S: Final = 12 * 3600.0  # of the generator: on for half of it
_CO2_CYCLE_S: Final = 2 * 144 * 60.0  # of the beds
_GAIN_SD: Final = 0.005  # of the meters of partial pressures
_HISTORY_S: Final = 7 * DAY_S  # from which an existing leak is known


def industrial(number: int, step_s: float, *, air_pa: float = 3.0, air_s: float = 2700.0) -> Noise:
    """Return the noise of the mean of some 0.1 % transducers (5 Pa at 1 Hz, 0.02 Pa/sqrt(s)), with an air error."""
    return Noise(
        white_pa=5.0 / math.sqrt(number * step_s),
        drift_pa=0.02 / math.sqrt(number),
        air_pa=air_pa,
        air_s=air_s,
        step_s=step_s,
    )


def slope_of(kg_per_day: float, volume_m3: float) -> float:
    """Return by how much a loss lets the level fall, Pa/s."""
    return kg_per_day / DAY_S * _PA_M3_PER_KG / volume_m3


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that moves the level, and which the gateway is told.

    Attributes:
        at_s: after the onset (before it when negative).
        lasts_s: samples in that time are not used.
        moved_pa: as metered.
        sd_pa: of what it moved beside that, in truth and as told; infinite: nothing is known (300 Pa in truth).
    """

    at_s: float
    lasts_s: float = 1200.0
    moved_pa: float = 0.0
    sd_pa: float = math.inf

    @property
    def true_sd_pa(self) -> float:
        """Standard deviation of what it moves beside `moved_pa`."""
        return self.sd_pa if math.isfinite(self.sd_pa) else 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One leak in one air body.

    Attributes:
        loss_kg_day: what begins at the onset.
        existing_kg_day: what was there before, known from a week.
    """

    name: str
    volume_m3: float
    noise: Noise
    loss_kg_day: float
    existing_kg_day: float = 0.0
    crew: int = 0
    events: tuple[Event, ...] = ()

    @property
    def loss_pa_s(self) -> float:
        """Slope of what begins at the onset."""
        return slope_of(self.loss_kg_day, self.volume_m3)

    @property
    def existing_pa_s(self) -> float:
        """Slope of what was there before."""
        return slope_of(self.existing_kg_day, self.volume_m3)


def metabolic(crew: int, volume_m3: float, times_s: Array, paths: int, rng: np.random.Generator) -> Array:
    """Return what meters with a gain error of 0.5 % leave of the swings of O2 and CO2, Pa, shape (samples, paths)."""
    left = np.zeros((len(times_s), paths))
    for mol_per_day, cycle_s in ((_O2_MOL_PER_DAY, _O2_CYCLE_S), (_CO2_MOL_PER_DAY, _CO2_CYCLE_S)):
        # made at twice the rate for half of the time: a triangle of a quarter of a cycle's gas, up and down
        swing_pa = crew * mol_per_day / DAY_S * cycle_s / 4.0 * _PA_M3_PER_MOL / volume_m3
        phase = (times_s[:, np.newaxis] / cycle_s + rng.random(paths)) % 1.0
        left += rng.standard_normal(paths) * _GAIN_SD * swing_pa * (4.0 * np.abs(phase - 0.5) - 1.0)
    return left


def levels(scenario: Scenario, warm: int, samples: int, paths: int, rng: np.random.Generator) -> Array:
    """Return what the gateway is given, Pa, NaN while events last; the onset is sample `warm`."""
    noise = scenario.noise
    times_s = (np.arange(samples) - warm) * noise.step_s
    x_pa = quiet_levels(noise, samples, paths, rng) - scenario.loss_pa_s * ramp(samples, warm, noise.step_s)
    if scenario.crew:
        x_pa += metabolic(scenario.crew, scenario.volume_m3, times_s, paths, rng)
    if scenario.existing_kg_day:
        unknown = rng.standard_normal(paths) * slope_sd(noise, _HISTORY_S)
        x_pa -= (scenario.existing_pa_s + unknown) * times_s[:, np.newaxis]
    for event in scenario.events:
        moved = event.moved_pa + rng.standard_normal(paths) * event.true_sd_pa
        x_pa += np.where(times_s[:, np.newaxis] >= event.at_s, moved, 0.0)
        x_pa[(times_s >= event.at_s) & (times_s < event.at_s + event.lasts_s)] = math.nan
    return x_pa


def least_delay_s(scenario: Scenario, false_alarm_s: float, *, events: bool = True, samples: int = 4000) -> float:
    """Return the limit of the mean delay, s: with what the events cost, or as if there were none."""
    noise, told = scenario.noise, scenario.events if events else ()
    before = math.ceil(-min([0.0, *(event.at_s for event in told)]) / noise.step_s)
    whitener = Whitener(noise, 1)
    whitener.settle()
    gathered = np.zeros(before + samples)
    for place, lost in enumerate(ramp(before + samples, before, noise.step_s)):
        since_s = (place - before) * noise.step_s
        whitener.predict(noise.step_s)
        for event in told:
            if event.at_s <= since_s < event.at_s + noise.step_s:
                whitener.loosen(event.sd_pa**2)
        if not any(event.at_s <= since_s < event.at_s + event.lasts_s for event in told):
            innovations, variance = whitener.update(-scenario.loss_pa_s * lost)
            gathered[place] = float(innovations[0]) ** 2 / variance
    return least_delay(np.cumsum(gathered[before:]), noise.step_s, false_alarm_s).mean_s


def tell(detector: Detector, scenario: Scenario, since_onset_s: float) -> None:
    """Tell a detector of what happens with the sample that comes next."""
    for event in scenario.events:
        if event.at_s <= since_onset_s < event.at_s + scenario.noise.step_s:
            detector.reset_level(event.sd_pa**2, moved_pa=event.moved_pa)
