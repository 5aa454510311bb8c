"""A transducer that knows one question only, through the whole gateway: no good reading is older than it says."""

from typing import Final

import pytest

from drivers.reading import Quality, Reading
from tests.end_to_end.virtual_station import FALLING, MovingAir, Observed, observe, rig

RIG: Final = rig(
    {"kind": "serial", "baud": 2400, "timeout": "600 ms"},
    {"p1": {"model": "setra-470", "segment": FALLING, "poll": "1 s"}},
)
LAST_DIGIT_PA: Final = 0.7
TROUBLE: Final = "@8s+16s"
HEALED_S: Final = 30.0
END_S: Final = 40.0


def untrue(seen: Observed) -> list[Reading]:
    sensor = MovingAir(RIG).sensor("p1")
    lies = []
    for _, reading in seen.readings:
        moments_s = (reading.time_s - reading.uncertainty_s, reading.time_s + reading.uncertainty_s)
        low, high = sorted(sensor.read(round(moment_s * 1e9))[0] for moment_s in moments_s)
        true = reading.value is not None and low - LAST_DIGIT_PA <= reading.value <= high + LAST_DIGIT_PA
        if reading.quality is Quality.GOOD and not true:
            lies.append(reading)
    return lies


@pytest.mark.parametrize("condition", ["@40%", "@/3"])
@pytest.mark.parametrize(
    "fault",
    [
        "silence",
        "late,delay=400ms",
        "late,delay=900ms",
        "duplicate,delay=400ms",
        "duplicate,delay=900ms",
        "exception",
        "truncate,bytes=9",
        "noise,before=3,after=2",
        "echo",
        "reboot,deaf=700ms",
    ],
)
def test_no_reading_is_older_than_it_says_and_all_is_well_again_after(fault: str, condition: str) -> None:
    kind, comma, parameters = fault.partition(",")
    seen = observe(RIG, END_S, faults=[f"{kind}:p1{TROUBLE}{condition}{comma}{parameters}"])
    assert kind in seen.struck()
    assert untrue(seen) == []
    assert len(seen.good("p1", end_s=8.0)) >= 5
    healed = seen.of("p1", start_s=HEALED_S)
    assert len(healed) >= 8
    assert {each.quality for each in healed} == {Quality.GOOD}
