"""Anybody can add a transducer family: a package with an entry point is all it takes."""

import asyncio
import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from drivers import registry
from drivers.registry import UnknownModelError
from tests.drivers.models.asks import Script, bus, transducer

SOURCE = '''
import re
from collections.abc import Mapping

import numpy as np

from drivers.exchange import Ask, Outcome
from drivers.model import Identity, Model
from drivers.reading import Channel, RawPoll, Reason
from drivers.rig import Bus, BusKind, Transducer
from drivers.units import UNITS
from drivers.wire.ascii_line import LineRequest


class Gauge:
    """A gauge that answers "p?" with a number of mbar."""

    def __init__(self, unit: int, name: str) -> None:
        self._ask = LineRequest(unit=unit, frame=b"p?\\n", head=b"p=", answer=re.compile(rb"p=\\d+\\n"), answer_size=9)
        self.channels = (Channel(transducer=name, quantity="pressure", unit=UNITS["mbar"]),)
        self.requests = (self._ask,)
        self.fences = (self._question(unit, b"id"), self._question(unit, b"version"))

    def _question(self, unit: int, word: bytes) -> LineRequest:
        answer = re.compile(word + rb"=\\w+\\n")
        return LineRequest(unit=unit, frame=word + b"?\\n", head=word, answer=answer, answer_size=20)

    async def identify(self, ask: Ask) -> Identity:
        return Identity(text="home-made gauge")

    async def poll(self, ask: Ask) -> RawPoll:
        attempt = await ask(self._ask)
        if attempt.outcome is not Outcome.REPLY:
            return RawPoll.nothing(self.channels, attempt.outcome.reason, attempt.time_s)
        return RawPoll(
            channels=self.channels,
            values=np.array([float(attempt.frame[2:])]),
            reasons=np.array([Reason.NONE], dtype=np.uint8),
            time_s=attempt.time_s,
            uncertainty_s=attempt.uncertainty_s,
        )


def driver(unit: int, transducers: Mapping[str, Transducer], bus: Bus) -> Gauge:
    return Gauge(unit, next(iter(transducers)))


MODEL = Model(
    name="home-made",
    title="home-made gauge",
    kinds=frozenset({BusKind.SERIAL}),
    bauds=frozenset({9600}),
    formats=frozenset({"8N1"}),
    units=range(1, 2),
    quantities=("pressure",),
    span=None,
    driver=driver,
)
'''


def forget() -> None:
    invalidate_caches()
    registry._entries.cache_clear()
    registry.model.cache_clear()


@pytest.fixture
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another package, as an installer would have left it."""
    (tmp_path / "home_made_gauge.py").write_text(SOURCE, encoding="utf-8")
    metadata = tmp_path / "home_made_gauge-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: home-made-gauge\nVersion: 1.0\n", encoding="utf-8")
    (metadata / "entry_points.txt").write_text(
        "[manovac.drivers]\nhome-made = home_made_gauge:MODEL\nbroken = home_made_gauge:driver\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    forget()
    yield
    monkeypatch.undo()
    sys.modules.pop("home_made_gauge", None)
    forget()


@pytest.mark.usefixtures("other_package")
def test_a_model_of_another_package_is_found_and_driven() -> None:
    assert "home-made" in registry.names()
    model = registry.model("home-made")
    driver = model.driver(1, {"mine": transducer("home-made")}, bus())
    poll = asyncio.run(driver.poll(Script({b"p?\n": b"p=1013\n"})))
    assert poll.channels[0].id == "mine.pressure"
    assert poll.channels[0].unit.to_si(poll.values[0]) == 101_300.0
    assert asyncio.run(driver.poll(Script({}))).reasons.tolist() == [1]


@pytest.mark.usefixtures("other_package")
def test_an_entry_point_that_is_no_model_is_named() -> None:
    with pytest.raises(TypeError, match=r"manovac.drivers:broken \(home_made_gauge:driver\) is a function"):
        registry.model("broken")


def test_our_families_are_all_there_under_their_own_names() -> None:
    ours = ["keller-33x", "modbus-map", "paroscientific-6000", "vaisala-ptb330", "waveshare-8ch"]
    assert set(ours) <= set(registry.names())
    assert [registry.model(name).name for name in ours] == ours


def test_an_unknown_model_is_answered_with_the_nearest_name() -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'keller-33x'"):
        registry.model("keler-33x")
