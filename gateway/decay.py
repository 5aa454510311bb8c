"""Makes a pressure decay test out of recorded readings of one segment, behind closed hatches."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from drivers.rig import Rig
from gateway.leak.bodies import AirBody, BodyLevel, Level, bodies, level_noise
from gateway.leak.estimator import estimate
from gateway.leak.gases import Gases
from gateway.leak.repair_check import Decay
from gateway.leak.segment_state import SegmentState, SegmentVote
from gateway.leak.steps import STEP_S, Steps
from gateway.leak.transducer_record import Member
from gateway.recorded_readings import Row, readings

_SETTLING: Final = 15  # steps with a value until offsets between transducers are known
_FEWEST: Final = 30
_END: Final = 10  # levels at an end that make its pressure
_SIGMAS_95: Final = 1.959964


class DecayTestError(ValueError):
    """The readings make no test; the message says why and what would."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecayTest:
    """A test and what it was made with.

    Attributes:
        body: the segment alone.
        resolution_pa: the coarsest of its transducers' smallest steps.
        accuracy_pa: expanded uncertainty of its pressure.
        begin_s, end_s: of the readings that count.
    """

    decay: Decay
    body: AirBody
    resolution_pa: float
    accuracy_pa: float
    begin_s: float
    end_s: float


def decay_test(rig: Rig, segment: str, rows: Sequence[Row]) -> DecayTest:
    """Fit the loss of one segment.

    Args:
        rig: settings, volume, transducers.
        segment: which; nothing else is looked at.
        rows: in order of time.

    Raises:
        DecayTestError: too few readings, or nothing that moves in them.
    """
    alone = _only(rig, segment)
    (body,) = bodies(alone.segments, ())
    times, levels, state, last = _levels(alone, body, rows)
    if len(times) < _FEWEST or last is None or state is None:
        raise DecayTestError(
            f"{len(times)} moments with a usable pressure of {segment} make no test, {_FEWEST} are needed behind the"
            f" first {_SETTLING}: take a longer time"
        )
    measured = () if math.isnan(last.temperature_k) else (segment,)
    try:
        noise = level_noise(last, body, alone.segments, measured, rig.leak)
    except ValueError as error:
        raise DecayTestError(f"the noise of {segment}'s transducers cannot be learned from so few readings") from error
    found = estimate(np.array(times), np.array([each.x_pa for each in levels]), noise, onset_s=times[0])
    low, high = found.ci95
    start_pa, end_pa = (sum(each.pressure_pa for each in end) / len(end) for end in (levels[:_END], levels[-_END:]))
    return DecayTest(
        decay=Decay(
            slope_pa_s=found.slope_pa_s,
            slope_sd_pa_s=(high - low) / (2 * _SIGMAS_95),
            seconds=times[-1] - times[0],
            start_pa=start_pa,
            end_pa=end_pa,
        ),
        body=body,
        resolution_pa=_resolution_pa(alone, rows),
        accuracy_pa=state.u95_pa,
        begin_s=times[0],
        end_s=times[-1],
    )


def _only(rig: Rig, segment: str) -> Rig:
    """Return the rig with that segment and nothing else."""
    transducers = {name: words for name, words in rig.transducers.items() if words.segment == segment}
    return rig.model_copy(
        update={"segments": {segment: rig.segments[segment]}, "transducers": transducers, "hatches": ()}
    )


def _levels(
    rig: Rig, body: AirBody, rows: Sequence[Row]
) -> tuple[list[float], list[Level], SegmentState | None, Level | None]:
    """Return times and levels behind the first few, and the last state and level."""
    (segment,) = body.segments
    members = [Member.of(name, words) for name, words in rig.transducers.items() if words.measures_pressure]
    vote, steps, gases = SegmentVote(segment, members), Steps(rig), Gases(rig)
    level = BodyLevel(body, rig.segments)
    times: list[float] = []
    levels: list[Level] = []
    state = None

    def look(now_s: float) -> None:
        nonlocal state
        for end_s, said in steps.over(now_s):
            state = vote.take(said.get(segment, {}), end_s)
            now = level.take({segment: state}, gases.of(body.segments, end_s))
            if math.isnan(now.x_pa):
                continue
            if levels and now.basis != levels[-1].basis:  # what was taken off no gas before is another level
                times.clear()
                levels.clear()
            times.append(end_s)
            levels.append(now)

    for each in readings(rows):
        if each.channels[0].transducer in rig.transducers:
            look(each.time_s)
            steps.take(each)
            gases.take(each, {} if state is None else {segment: state})
    look(rows[-1][0] + 2 * STEP_S)
    return times[_SETTLING:], levels[_SETTLING:], state, levels[-1] if levels else None


def _resolution_pa(rig: Rig, rows: Sequence[Row]) -> float:
    """Return the smallest step of the transducer that resolves least; the smallest number when none ever moved."""
    steps = []
    for name in rig.transducers:
        values = [values[f"{name}.pressure"][0] for _, values in rows if f"{name}.pressure" in values]
        moved = [step for one, other in pairwise(values) if (step := abs(other - one)) > 0]
        steps += [min(moved)] if moved else []
    return max(steps, default=math.ulp(1.0))
