"""Runs the leak watch over recorded readings and keeps what a report needs: the same code as live, in seconds."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from drivers.rig import Rig
from gateway.alarms import Alarm, Alarms
from gateway.leak.contacts import delay_s
from gateway.leak.finding import StationFinding
from gateway.leak.steps import STEP_S
from gateway.leak.told import names
from gateway.leak.watch import StationWatch
from gateway.recorded_readings import Row, readings

Curve = list[tuple[float, float]]
"""Points (s, value)."""


@dataclass(kw_only=True)
class Analysis:
    """What came of it; times are those of the record, s.

    Attributes:
        pressure_pa: segment -> curve.
        level_pa: air body -> curve, its pressure referred to 295.15 K.
        margin: air body -> curve, logarithm of the statistic above its threshold: an alarm from 0 on.
        where: segment -> curve of probabilities, from the announcement of a leak on.
        findings: as they came; the last one stands.
        announced: alarms as they came.
    """

    begin_s: float
    end_s: float
    pressure_pa: dict[str, Curve] = field(default_factory=lambda: defaultdict(list))
    level_pa: dict[str, Curve] = field(default_factory=lambda: defaultdict(list))
    margin: dict[str, Curve] = field(default_factory=lambda: defaultdict(list))
    where: dict[str, Curve] = field(default_factory=lambda: defaultdict(list))
    findings: list[StationFinding] = field(default_factory=list)
    announced: list[Alarm] = field(default_factory=list)


def analyse(rig: Rig, rows: Sequence[Row]) -> Analysis:
    """Watch a record.

    Args:
        rig: segments, hatches and settings; transducers of the record that it does not name are passed over.
        rows: in order of time.
    """
    begin_s, end_s = rows[0][0], rows[-1][0]
    watch = StationWatch(rig, begin_s)
    alarms = Alarms()
    found = Analysis(begin_s=begin_s, end_s=end_s)
    for each in readings(rows):
        if each.channels[0].transducer in rig.transducers:
            _look(watch, alarms, each.time_s, found)
            watch.take(each)
    _look(watch, alarms, end_s + 2 * STEP_S + delay_s(rig), found)
    return found


def _look(watch: StationWatch, alarms: Alarms, now_s: float, found: Analysis) -> None:
    for states in watch.advance(now_s):
        for state in states:
            if state.fresh:
                found.pressure_pa[state.segment].append((state.time_s, state.pressure_pa))
        at_s = max(state.time_s for state in states)
        for each in watch.watches:
            name = names(each.body.segments)
            if each.level is not None and not math.isnan(each.level.x_pa):
                found.level_pa[name].append((at_s, each.level.x_pa))
            if each.margins:
                found.margin[name].append((at_s, max(each.margins.values())))
        finding = watch.news()
        if finding is not None:
            found.findings.append(finding)
            for segment, probability in finding.where.items():
                found.where[segment].append((finding.time_s, probability))
        for seen in watch.observations():
            found.announced += alarms.take(seen, at_s)
