"""How much processor time the air of the whole station takes for a day in which everything happens."""

import time
from importlib.resources import as_file, files
from statistics import median
from typing import Final

from drivers.rig_source import load_rig
from firmware_sim.scenario import load_scenario, parse_scenario
from tests.benchmarks.harness import Check, Table, spread

_HOUR_NS: Final = 3600 * 1_000_000_000
_REPETITIONS: Final = 5
_MOST_CPU_S: Final = 5.0
_MOST_AIRLOCK_CPU_S: Final = 1.0
_AIRLOCK: Final = """
[[event]]
at = "12 h"
do = "eva"
between = ["unity", "quest"]
segment = "quest"
lasts = "6.5 h"
"""
_OTHERS: Final = """
[[event]]
at = "6 h"
do = "repress"
segment = "zarya"
gas = "N2"
rate = "2 kg/h"
lasts = "1 h"

[[event]]
at = "8 h"
do = "docking"
between = ["harmony", "dragon"]
segment = "dragon"
pressure = "98 kPa"
checks = "2 h"
"""


def _day_s(events: str) -> float:
    """Return the CPU seconds of a day of the leak of April 2024 with more events."""
    known = load_scenario("prk-april-2024")
    more = parse_scenario(f'title = "more"\n{events}', "more").events
    with as_file(files("hil") / "rigs" / "iss.toml") as path:
        world = known.model_copy(update={"events": (*known.events, *more)}).world(load_rig(path))
    begin_s = time.process_time()
    world.pressure_pa("prk", 24 * _HOUR_NS)
    return time.process_time() - begin_s


def measure() -> Table:
    """Time the day with and without its airlock in turn."""
    without_s, all_s = [], []
    for _ in range(_REPETITIONS):
        without_s.append(_day_s(_OTHERS))
        all_s.append(_day_s(_OTHERS + _AIRLOCK))
    airlock_s = [whole - rest for whole, rest in zip(all_s, without_s, strict=True)]
    return Table(
        conditions=(
            "hil/rigs/iss.toml, 22 segments: the leak of April 2024 with crew, oxygen generator and beds, PrK's hatch"
            " and valve, orbit, day and wandering temperatures; besides a repress, a docking and, in the second row, an"
            f" airlock emptied and filled; physics alone, {_REPETITIONS} runs in turn, median (lowest..highest)."
        ),
        columns=("a simulated day", "CPU seconds"),
        rows=(
            ("without the airlock", spread(without_s, ".2f")),
            ("all of it", spread(all_s, ".2f")),
            ("so the airlock", spread(airlock_s, ".2f")),
        ),
        checks=(
            Check(text="a day in less than 5 CPU seconds", met=median(all_s) < _MOST_CPU_S),
            Check(text="an airlock cycle in less than 1 CPU second", met=median(airlock_s) < _MOST_AIRLOCK_CPU_S),
        ),
    )
