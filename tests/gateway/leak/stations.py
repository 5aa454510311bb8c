"""Stations for tests: drawn by hypothesis, and one noise."""

from hypothesis import strategies as st

from gateway.leak.aim import Aim, flow_pa_m3_s
from gateway.leak.slope import SlopeNoise
from gateway.leak.tree import Passage, Tree, forest

NOISE = SlopeNoise.of(white_pa=5.0, drift_pa=2e-2, air_pa=17.0, air_s=3600.0)
AIM = Aim(flow_pa_m3_s=flow_pa_m3_s(1 / 86_400), noise=NOISE, error=0.01)


@st.composite
def trees(draw: st.DrawFn, *, most: int) -> Tree:
    number = draw(st.integers(2, most))
    names = [f"s{index}" for index in range(number)]
    volumes = draw(st.lists(st.floats(2, 200), min_size=number, max_size=number))
    weights = draw(st.lists(st.floats(0.01, 10), min_size=number, max_size=number))
    above = [draw(st.integers(0, index - 1)) for index in range(1, number)]
    times = draw(st.lists(st.floats(0, 3600), min_size=number - 1, max_size=number - 1))
    return forest(
        dict(zip(names, volumes, strict=True)),
        dict(zip(names, weights, strict=True)),
        [
            Passage(hatch=f"{names[top]}--{name}", ends=(names[top], name), close_s=close_s)
            for top, name, close_s in zip(above, names[1:], times, strict=True)
        ],
    ).trees[0]
