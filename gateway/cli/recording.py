"""Recorded readings as a command gets them: a file, and the rig file that says what is what, or a plain rig instead."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

import typer
from pydantic import ValidationError

from drivers.rig import Rig
from drivers.rig_source import load_rig
from gateway.cli import USAGE, CommandError
from gateway.mqtt.journal import journal_of
from gateway.recorded_readings import RecordError, Row, between, moment_s, rows

_LOW_PA: Final = 3000.0
_VACUUM_PA: Final = 50_000.0  # a transducer whose range ends below this does not measure air to breathe
_AIR: Final = {"hPa": 1013.25, "mmHg": 760.0, "kPa": 101.325, "psi": 14.696, "bar": 1.01325}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """Readings in a file.

    Attributes:
        file: where they are.
        rig: what they are of.
        found: all of them.
    """

    file: Path
    rig: Rig
    found: Sequence[Row]

    def rows(self, begin: str, end: str, *, option: str = "") -> list[Row]:
        """Return those between two moments as a person writes them, "" for as far as they go.

        Args:
            begin: the first moment.
            end: the last one.
            option: where both were written; --from and --to if not given.

        Raises:
            CommandError: no moment, the later one first, or no reading between them.
        """
        from_s = _moment(option or "--from", begin) if begin else -math.inf
        to_s = _moment(option or "--to", end) if end else math.inf
        if from_s > to_s:
            swapped = f"{option} {begin} {end}" if option else f"--from {begin} --to {end}"
            raise CommandError(f"{swapped}: the later time stands first; swap them", USAGE)
        try:
            return between(self.found, self.file, from_s, to_s)
        except RecordError as error:
            raise CommandError(f"{option}: {error}" if option else str(error), USAGE) from error


def _moment(option: str, text: str) -> float:
    try:
        return moment_s(text)
    except RecordError as error:
        raise CommandError(f"{option}: {str(error).removeprefix('a moment: ')}", USAGE) from error


def open_record(file: Path, rig: Path | None, *, volume: str = "") -> Recording:
    """Read a file; say on stderr which of its transducers the rig file does not name.

    Args:
        file: readings, or a rig file, which stands for its gateway's journal.
        rig: what they are of; one segment with everything if not given.
        volume: of that segment.

    Raises:
        CommandError: it cannot be read, is not what it should be, or has nothing to do with the rig file.
    """
    if rig is not None and volume:
        raise CommandError("--volume goes without RIG; a rig file has its own volumes", USAGE)
    if file.suffix == ".toml":
        rig, file = rig or file, _journal(file)
    try:
        found = rows(file)
    except RecordError as error:
        raise CommandError(str(error), USAGE) from error
    channels = {channel for _, values in found for channel in values}
    named = {channel.rpartition(".")[0] for channel in channels}
    words = load_rig(rig) if rig is not None else _plain_rig(sorted(named), channels, volume, _poll_s(found))
    if not named & set(words.transducers):
        raise CommandError(f"{file} has no reading of a transducer of {rig}: it has {', '.join(sorted(named))}", USAGE)
    if strange := sorted(named - set(words.transducers)):
        typer.echo(f"passed over, since {rig} does not name them: {', '.join(strange)}", err=True)
    _ask_about_unit(found, words)
    return Recording(file=file, rig=words, found=found)


def _ask_about_unit(found: Sequence[Row], rig: Rig) -> None:
    """Say on stderr which pressures seem to be in another unit than Pa: too low for air, and no range says vacuum."""
    asked: dict[str, dict[str, float]] = {}
    for name, words in rig.transducers.items():
        values = [row[channel][0] for _, row in found if (channel := f"{name}.pressure") in row]
        known = [value for value in values if not math.isnan(value)]
        if not known or (words.range is not None and words.range[1] < _VACUUM_PA):
            continue
        level = median(known)
        if 0 < level < _LOW_PA:
            unit = next((unit for unit, air in _AIR.items() if abs(level - air) < 0.1 * air), "a vacuum")
            asked.setdefault(unit, {})[name] = level
    for unit, levels in asked.items():
        typer.echo(
            f"{', '.join(levels)}: about {median(levels.values()):.4g} Pa: is that {unit}? Columns are in Pa", err=True
        )


def _journal(rig: Path) -> Path:
    journal = journal_of(load_rig(rig))
    if journal is None:
        raise CommandError(f'{rig}: [journal] keep = "memory" keeps no readings to analyse', USAGE)
    return journal.path


def _poll_s(found: Sequence[Row]) -> float:
    """Return the usual time between two rows, s."""
    apart = [after[0] - before[0] for before, after in pairwise(found) if after[0] > before[0]]
    return median(apart) if apart else 1.0


def _plain_rig(transducers: Iterable[str], channels: Collection[str], volume: str, poll_s: float) -> Rig:
    """Return a rig of one segment."""
    words = {"model": "-", "bus": "record", "segment": "all", "poll": f"{poll_s:g} s"}
    gases = {**words, "map": {}}  # no pressure of its own
    try:
        return Rig.model_validate(
            {
                "station": {"id": "record", "gateway": "record"},
                "segment": {"all": {"volume": volume} if volume else {}},
                "bus": {"record": {"kind": "serial", "port": "-"}},
                "transducer": {name: words if f"{name}.pressure" in channels else gases for name in transducers},
            }
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = "--volume" if "volume" in first["loc"] else ".".join(map(str, first["loc"]))
        raise CommandError(f"{where}: {first['msg'].removeprefix('Value error, ')}", USAGE) from error
