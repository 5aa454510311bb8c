"""The station of the search benchmarks: the ISS as a tree of 22 segments, and three kinds of noise."""

from typing import Final

import numpy as np

from gateway.leak.aim import Aim, flow_pa_m3_s
from gateway.leak.slope import SlopeNoise
from gateway.leak.tree import Forest, Passage, forest

HATCH_S: Final = 900.0
DAY_S: Final = 86_400.0

# segment: volume m3 (public figures, some thin), weight of a leak there
SEGMENTS: Final = {
    "prk": (6, 0.30),
    "zvezda": (75, 0.10),
    "pkho": (8, 0.05),
    "zarya": (71.5, 0.05),
    "pma1": (5, 0.01),
    "rassvet": (17.4, 0.03),
    "soyuz": (9, 0.06),
    "nauka": (70, 0.08),
    "prichal": (19, 0.03),
    "poisk": (14.8, 0.04),
    "progress": (6.6, 0.05),
    "unity": (63, 0.03),
    "destiny": (106, 0.04),
    "harmony": (75.5, 0.02),
    "columbus": (75, 0.02),
    "jpm": (155, 0.02),
    "jlp": (39, 0.01),
    "tranquility": (77, 0.02),
    "leonardo": (76.7, 0.01),
    "quest": (34, 0.02),
    "beam": (16, 0.01),
    "dragon": (9.3, 0.02),
}
HATCHES: Final = (
    ("prk", "zvezda"),
    ("progress", "prk"),
    ("zvezda", "pkho"),
    ("pkho", "zarya"),
    ("pkho", "nauka"),
    ("pkho", "poisk"),
    ("nauka", "prichal"),
    ("zarya", "pma1"),
    ("zarya", "rassvet"),
    ("rassvet", "soyuz"),
    ("pma1", "unity"),
    ("unity", "destiny"),
    ("unity", "quest"),
    ("unity", "tranquility"),
    ("destiny", "harmony"),
    ("harmony", "columbus"),
    ("harmony", "jpm"),
    ("jpm", "jlp"),
    ("harmony", "dragon"),
    ("tranquility", "leonardo"),
    ("tranquility", "beam"),
)
# white Pa of 1 s, drift Pa/sqrt(s), what the unknown air temperature is worth Pa, for how long s
NOISES: Final = {
    "B sensors, 10 mK": (1.0, 5e-3, 3.4, 2700.0),
    "C sensors, 50 mK": (5.0, 2e-2, 17.0, 3600.0),
    "C sensors, 300 mK": (5.0, 2e-2, 102.0, 5400.0),
}


def station(prior: dict[str, float] | None = None) -> Forest:
    """Return the whole station with every hatch open."""
    return forest(
        {name: volume for name, (volume, _) in SEGMENTS.items()},
        prior or {name: weight for name, (_, weight) in SEGMENTS.items()},
        [Passage(hatch="--".join(ends), ends=ends, close_s=HATCH_S) for ends in HATCHES],
    )


def aim(noise: str, *, kg_per_day: float = 1.0, error: float = 0.01) -> Aim:
    """Return the question that the benchmark asks."""
    white_pa, drift_pa, air_pa, air_s = NOISES[noise]
    seen = SlopeNoise.of(white_pa=white_pa, drift_pa=drift_pa, air_pa=air_pa, air_s=air_s)
    return Aim(flow_pa_m3_s=flow_pa_m3_s(kg_per_day / DAY_S), noise=seen, error=error)


def random_station(generator: np.random.Generator, segments: int) -> Forest:
    """Return a random tree: each segment hangs on any of those before; volumes, priors and closing times differ."""
    names = [f"s{index}" for index in range(segments)]
    volume = np.exp(generator.uniform(np.log(5), np.log(150), segments))
    weight = generator.dirichlet(np.ones(segments))
    ends = [(names[generator.integers(index)], names[index]) for index in range(1, segments)]
    return forest(
        dict(zip(names, volume.tolist(), strict=True)),
        dict(zip(names, weight.tolist(), strict=True)),
        [Passage(hatch="--".join(each), ends=each, close_s=float(generator.uniform(300, 1800))) for each in ends],
    )
