"""B11: a 0.8 mm hole in a coolant loop of 44 L at 3 atm, while the orbit swings its temperature by 3 K."""

import math
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np

from gateway.leak.coolant import Loop, LoopNoise, LoopWatch, assess
from gateway.leak.slope import Array
from tests.benchmarks.leak.row import row

_row = partial(row, "B11 MS-22 loop")
LOOP: Final = Loop(
    pressure_pa=304e3, temperature_k=293.15, gas_m3=6e-3, liquid_m3=44e-3, expansion_per_k=1.2e-3, density_kg_m3=690.0
)
NOISE: Final = LoopNoise(white_pa=20.0, slow_pa=134.0, slow_s=1800.0)
HOLE_M: Final = 0.8e-3
_DISCHARGE: Final = 0.62
_ORBIT_S: Final = 92 * 60.0
_SWING_K: Final = 3.0
_QUIET_S: Final = 300


class Record(NamedTuple):
    """One second to the sample; `lost_m3` is the truth."""

    times_s: Array
    pressure_pa: Array
    temperature_k: Array
    lost_m3: Array


def played(
    generator: np.random.Generator, *, seconds: int, onset_s: float, rate_m3_s: float, power: float = 0.5
) -> Record:
    """Play a loop that loses liquid from `onset_s` on, like that power of the pressure."""
    times = np.arange(seconds, dtype=np.float64)
    phase = generator.uniform(0, 2 * math.pi)
    temperature = LOOP.temperature_k + _SWING_K * np.sin(2 * math.pi * times / _ORBIT_S + phase)
    lost = np.zeros(seconds)
    fine = 10  # steps a second
    for index in range(1, seconds):
        lost[index] = lost[index - 1]
        for part in range(fine):
            if times[index - 1] + part / fine >= onset_s:
                ratio = LOOP.gas_m3 / (LOOP.gas_m3 + lost[index])
                lost[index] += rate_m3_s / fine * ratio**power
    warmth = LOOP.liquid_m3 * LOOP.expansion_per_k * (temperature - LOOP.temperature_k)
    pressure = LOOP.pressure_pa * LOOP.gas_m3 / (LOOP.gas_m3 + lost - warmth)
    keep = math.exp(-1 / NOISE.slow_s)
    slow = np.empty(seconds)
    slow[0] = generator.standard_normal() * NOISE.slow_pa
    kicks = generator.standard_normal(seconds) * NOISE.slow_pa * math.sqrt(1 - keep**2)
    for index in range(1, seconds):
        slow[index] = keep * slow[index - 1] + kicks[index]
    return Record(times, pressure + slow + generator.standard_normal(seconds) * NOISE.white_pa, temperature, lost)


def hole_m3_s() -> float:
    """Return what the hole loses at the start."""
    speed = math.sqrt(2 * LOOP.pressure_pa / LOOP.density_kg_m3)
    return _DISCHARGE * math.pi * HOLE_M**2 / 4 * speed


def rows(seeds: int, first: int) -> list[dict[str, Any]]:
    """Return the rows of the benchmark's table."""
    generator = np.random.default_rng([22, first])
    delays, losses, covered, laws, false = [], [], 0, 0, 0
    watch = LoopWatch(LOOP, NOISE)
    for _ in range(seeds):
        onset_s = _QUIET_S + generator.uniform(0, 1)
        record = played(generator, seconds=_QUIET_S + 120, onset_s=onset_s, rate_m3_s=hole_m3_s())
        watch.restart()
        alarm = next(
            index
            for index, (pressure, temperature) in enumerate(zip(record.pressure_pa, record.temperature_k, strict=True))
            if watch.take(pressure, temperature).alarm
        )
        false += alarm < onset_s
        delays.append(alarm - onset_s)
        losses.append(record.lost_m3[alarm] * 1e6)
        loss = assess(LOOP, NOISE, record.times_s, record.pressure_pa, record.temperature_k)
        covered += loss.lost_ci95_m3[0] <= record.lost_m3[-1] <= loss.lost_ci95_m3[1]
        laws += loss.law == "hole"
    quiet = played(generator, seconds=60 * seeds, onset_s=math.inf, rate_m3_s=0.0)
    watch.restart()
    false += sum(watch.take(*each).alarm for each in zip(quiet.pressure_pa, quiet.temperature_k, strict=True))
    delay_s, loss_ml, coverage = float(np.mean(delays)), float(np.mean(losses)), covered / seeds
    hours = (60 + _QUIET_S) * seeds / 3600
    return [
        _row("seconds to the alarm", 3.0, delay_s, passed=delay_s <= 3, note=f"largest {max(delays):.1f}"),
        _row("mL lost by then", 28.0, loss_ml, passed=loss_ml <= 28, note=f"largest {max(losses):.0f}"),
        _row("coverage of the litres' interval", 0.95, coverage, passed=0.9 <= coverage <= 0.99, note="120 s after"),
        _row("called a hole after 120 s", 1.0, laws / seeds, passed=laws >= 0.95 * seeds),
        _row("false alarms", 0.0, float(false), passed=not false, note=f"in {hours:.1f} quiet hours"),
    ]
