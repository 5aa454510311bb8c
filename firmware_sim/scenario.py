"""Scenario files: what happens to the air of an emulated station, and when.

TOML. `title` and `source` say what it is and who published it, `[start]` and `[climate]` how it begins; `[[event]]`
tables have `at`, `do` and the words of that deed. Every mistake is reported at once, with its place in the file, as
those of a rig file are.
"""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from drivers.rig import Rig
from drivers.rig_problems import Findings, did_you_mean, report
from drivers.toml_places import Path as KeyPath
from drivers.toml_places import places
from firmware_sim import EmulatorError
from firmware_sim.deed_words import mistakes, no_such_deed
from firmware_sim.deeds import DEEDS, Deed, Pressure, SmallTemperature, Time, Volume
from firmware_sim.physics.climate import Climate
from firmware_sim.physics.world import World

_FOLDER: Final = Path(__file__).parent / "scenarios"
_Model = TypeVar("_Model", bound=BaseModel)
_TABLES: Final = ("title", "source", "start", "climate", "event")


class ScenarioError(EmulatorError, ValueError):
    """A scenario that cannot be played; `str()` is the finished report."""


class _Words(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Start(_Words):
    """How a segment begins, where that is not as the rig file says.

    Attributes:
        pressure: Pa.
        volume: m3.
    """

    pressure: Pressure | None = None
    volume: Volume | None = None


class Weather(_Words):
    """How temperatures move; see `firmware_sim.physics.climate.Climate`, whose values hold where nothing is said."""

    orbit: SmallTemperature | None = None
    day: SmallTemperature | None = None
    wander: SmallTemperature | None = None
    wander_time: Time | None = None
    error: SmallTemperature | None = None
    error_time: Time | None = None
    loop: SmallTemperature | None = None
    settle_time: Time | None = None

    def climate(self) -> Climate:
        """Return it in the words of physics."""
        words = {
            "orbit_k": self.orbit,
            "day_k": self.day,
            "wander_k": self.wander,
            "wander_s": self.wander_time,
            "error_k": self.error,
            "error_s": self.error_time,
            "loop_k": self.loop,
            "settle_s": self.settle_time,
        }
        return Climate(**{name: value for name, value in words.items() if value is not None})


class Scenario(_Words):
    """One scenario file.

    Attributes:
        file: what messages call it.
        source: who published what it plays.
        start: segment -> how it begins.
        events: what happens, in the order of the file.
    """

    file: str
    title: str
    source: str = ""
    start: Mapping[str, Start] = Field(default_factory=dict)
    climate: Weather = Weather()
    events: tuple[Deed, ...] = ()

    def world(self, rig: Rig) -> World:
        """Return the world of a rig in which it all happens.

        Raises:
            ScenarioError: it names segments, hatches or transducers that the rig does not have.
        """
        try:
            world = World(
                rig,
                climate=self.climate.climate(),
                volumes_m3={name: start.volume for name, start in self.start.items() if start.volume is not None},
                pressures_pa={name: start.pressure for name, start in self.start.items() if start.pressure is not None},
            )
        except LookupError as error:
            raise ScenarioError(f"{self.file}: [start]: {error.args[0]}") from None
        for number, deed in enumerate(self.events, 1):
            try:
                deed.happen(world, round(deed.at * 1e9))
            except LookupError as error:
                raise ScenarioError(f"{self.file}: event {number}, {deed.do}: {error.args[0]}") from None
        return world


def shipped() -> tuple[str, ...]:
    """Return the names of the scenarios that come with Manovac."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def load_scenario(name: str) -> Scenario:
    """Read a scenario: the name of a shipped one, or a file.

    Raises:
        ScenarioError: no such scenario, or mistakes in it.
    """
    path = _FOLDER / f"{name}.toml" if name in shipped() else Path(name)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = shipped()
        meant = did_you_mean(name, known)
        raise ScenarioError(f"no scenario '{name}'{meant} (a file, or one of: {', '.join(known)})") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot read the scenario {name}: {error}") from None
    return parse_scenario(text, str(path))


def parse_scenario(text: str, file: str) -> Scenario:
    """Read the text of a scenario.

    Args:
        text: TOML.
        file: what messages call it.

    Raises:
        ScenarioError: mistakes in it.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{file}: not TOML: {error}") from None
    findings = Findings(file, text.splitlines(), places(text))
    for key in raw:
        if key not in _TABLES:
            findings.error((key,), f"unknown key '{key}'{did_you_mean(key, _TABLES)}", at="key")
    start = {
        str(name): words
        for name, value in _table(raw, "start", findings).items()
        if (words := _read(Start, value, ("start", name), findings)) is not None
    }
    weather = _read(Weather, raw.get("climate", {}), ("climate",), findings) or Weather()
    events = raw.get("event", [])
    if not isinstance(events, list):
        findings.error(("event",), "give each event a table of its own: [[event]], with two brackets", at="key")
        events = []
    deeds = [deed for place, words in enumerate(events) if (deed := _deed(words, ("event", place), findings))]
    title = raw.get("title", "")
    if not isinstance(title, str) or not title:
        findings.error(("title",), 'the scenario needs a title: title = "Hole of Soyuz MS-09"', at="key")
    source = raw.get("source", "")
    if not isinstance(source, str):
        findings.error(("source",), "source: must be a text in quotes")
    if findings.problems:
        raise ScenarioError(report(findings.problems))
    return Scenario.model_construct(
        file=file, title=title, source=source, start=start, climate=weather, events=tuple(deeds)
    )


def _table(raw: Mapping[str, Any], name: str, findings: Findings) -> dict[str, Any]:
    table = raw.get(name, {})
    if isinstance(table, dict):
        return table
    findings.error((name,), f"'{name}' must be a table", at="key")
    return {}


def _deed(words: Any, path: KeyPath, findings: Findings) -> Deed | None:
    do = words.get("do") if isinstance(words, dict) else None
    if isinstance(do, str) and do in DEEDS:
        return _read(DEEDS[do], words, path, findings)
    if isinstance(do, str):
        findings.error((*path, "do"), no_such_deed(do))
    else:
        findings.error(path, no_such_deed(do), at="key")
    return None


def _read(model: type[_Model], words: Any, path: KeyPath, findings: Findings) -> _Model | None:
    """Return the words as that model; None after reporting what is wrong with them."""
    try:
        return model.model_validate(words)
    except ValidationError as error:
        for key, message in mistakes(model, error):
            findings.error((*path, key) if key else path, message, at="value" if key else "key")
    return None
