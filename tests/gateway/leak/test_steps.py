"""Polls become steps of one second."""

import math

import numpy as np

from drivers.reading import Channel, Quality, Readings, Reason
from drivers.rig import Rig
from drivers.units import UNITS
from gateway.leak.steps import Steps

RIG = Rig.model_validate(
    {
        "station": {"id": "s", "gateway": "g"},
        "segment": {"lab": {}, "hall": {}},
        "bus": {"b": {"kind": "serial", "port": "-"}},
        "transducer": {
            "p1": {"model": "keller-33x", "bus": "b", "unit": 1, "segment": "lab"},
            "p2": {"model": "keller-33x", "bus": "b", "unit": 2, "segment": "hall"},
        },
    }
)


def poll(time_s, pressure_pa, *, name="p1", temperature_k=295.0, quality=Quality.GOOD, reason=Reason.NONE):
    channels = tuple(
        Channel(transducer=name, quantity=quantity, unit=UNITS[unit])
        for quantity, unit in (("pressure", "Pa"), ("temperature", "K"))
    )
    values = np.array([pressure_pa, temperature_k])
    return Readings(
        channels=channels,
        values=values,
        quality=np.array([quality, Quality.GOOD], dtype=np.uint8),
        reasons=np.array([reason, Reason.NONE], dtype=np.uint8),
        raw=values,
        time_s=time_s,
        uncertainty_s=0.0,
    )


def test_a_step_has_the_mean_of_what_came_in_it_by_segment():
    steps = Steps(RIG)
    for readings in (poll(10.1, 100.0), poll(10.6, 104.0, temperature_k=297.0), poll(10.9, 50.0, name="p2")):
        steps.take(readings)
    assert list(steps.over(11.4)) == []
    ((end_s, said),) = steps.over(11.5)
    assert end_s == 11.0
    assert (said["lab"]["p1"].pressure_pa, said["lab"]["p1"].temperature_k) == (102.0, 296.0)
    assert said["hall"]["p2"].pressure_pa == 50.0


def test_each_second_is_a_step_with_or_without_readings_and_the_late_count_for_the_next():
    steps = Steps(RIG)
    steps.take(poll(10.1, 100.0))
    assert [(end_s, dict(said) == {}) for end_s, said in steps.over(13.7)] == [
        (11.0, False),
        (12.0, True),
        (13.0, True),
    ]
    steps.take(poll(11.0, 90.0))
    ((end_s, said),) = steps.over(14.5)
    assert (end_s, said["lab"]["p1"].pressure_pa) == (14.0, 90.0)


def test_what_is_not_good_gives_its_reason_unless_only_the_calibration_is_overdue():
    steps = Steps(RIG)
    steps.take(poll(10.1, math.nan, quality=Quality.BAD, reason=Reason.TIMEOUT))
    overdue = {"quality": Quality.UNCERTAIN, "reason": Reason.CALIBRATION_OVERDUE}
    steps.take(poll(10.2, 7.0, name="p2", **overdue))
    ((_, said),) = steps.over(12.0 - 0.5)
    assert math.isnan(said["lab"]["p1"].pressure_pa)
    assert said["lab"]["p1"].problem == "timeout"
    assert (said["hall"]["p2"].pressure_pa, said["hall"]["p2"].problem) == (7.0, "")
