"""Breathing and a leak beneath it, with and without gas sensors, at the scale of the ISS."""

from typing import Final

from tests.benchmarks.harness import Check, Table
from tests.gateway.leak.test_gases import Cabin

_VOLUME: Final = "1005 m3"
_CREW_PA_S: Final = 449.0 / 86_400
_LEAK_PA_S: Final = 38.2 / 86_400
_LONGEST_S: Final = 86_400
_STEP_S: Final = 600
_RATE: Final = 0.4536  # kg/day


def measure() -> Table:
    """Watch four cabins for a day, or until a leak is announced."""
    rows = []
    found: dict[tuple[bool, bool, bool], Cabin] = {}
    for gases, crew, leak in ((False, True, False), (True, True, False), (True, True, True), (False, False, True)):
        cabin = Cabin(gases=("o2", "co2") if gases else (), volume=_VOLUME)
        while cabin.now_s < _LONGEST_S and not cabin.there:
            cabin.run(_STEP_S, crew_pa_s=crew * _CREW_PA_S, leak_pa_s=leak * _LEAK_PA_S)
        found[gases, crew, leak] = cabin
        announced = [f"{at_s / 3600:.1f} h" for at_s in cabin.there.values()]
        rows.append(
            (
                "O2 and CO2" if gases else "total pressure only",
                "seven" if crew else "nobody",
                "1 lb/day" if leak else "none",
                announced[0] if announced else "not in 24 h",
            )
        )
    beneath = found[True, True, True].findings[-1].bodies[0].rate_ci95_kg_per_s or (0.0, 0.0)
    low, high = (end * 86_400 for end in beneath)
    return Table(
        conditions=f"One segment of {_VOLUME}, four transducers and a gas sensor with 1 Pa of noise, read each 10 s;"
        " breathing lowers oxygen by 449 Pa a day; temperature known to 10 mK. One seed.",
        columns=("measured", "people", "leak", "announced after"),
        rows=tuple(rows),
        checks=(
            Check(text="with both gases breathing is not announced", met=not found[True, True, False].there),
            Check(text="by total pressure alone it is", met=bool(found[False, True, False].there)),
            Check(text=f"the leak's interval, {low:.2f} to {high:.2f} kg/day, has its rate", met=low < _RATE < high),
        ),
    )
