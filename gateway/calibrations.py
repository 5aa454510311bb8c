"""Calibrations given by command, kept beside the journal: no restart loses them, and no new certificate is hidden.

Each is a correction of what the rig file says, and names what that was. When the rig file says something else at a
later start, somebody has written a new certificate into it: the file counts then, and the correction is dropped.
"""

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson

from drivers.rig import Calibration, Rig
from drivers.transport.own_thread import in_own_thread
from gateway.mqtt.journal import journal_path

_log: Final = logging.getLogger(__name__)
_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Offset (Pa) and gain that stand in place of the rig file's; who gave them, when (ms UTC), by which command."""

    offset_pa: float
    gain: float
    by: str
    t_ms: int
    id: str


def calibrated(rig: Rig, transducer: str, told: Told) -> Rig:
    """Return a rig in which a transducer has another offset and gain; a polynomial or table before them stays."""
    calibration = rig.transducers[transducer].calibration or Calibration()
    changed = calibration.model_copy(update={"offset": told.offset_pa, "gain": told.gain})
    return rig.with_transducer(transducer, calibration=changed)


class Calibrations:
    """What was told of the transducers of one rig.

    Args:
        rig: as its file has it.
        path: where they are kept; None in memory only.

    Attributes:
        told: by transducer.
    """

    def __init__(self, rig: Rig, path: Path | None = None) -> None:
        self._rig = rig
        self._path = path
        self.told: Mapping[str, Told] = {}

    def load(self) -> None:
        """Read what was kept. A file that cannot be used is told, set aside and replaced by the next command's."""
        if self._path is None:
            return
        try:
            document = orjson.loads(self._path.read_bytes())
            entries: dict[str, dict[str, Any]] = document["transducers"]
            self.told = {
                name: Told(**entry["told"]) for name, entry in entries.items() if self._holds(name, entry["instead_of"])
            }
        except FileNotFoundError:
            return
        except (OSError, KeyError, TypeError, AttributeError, ValueError) as error:
            _log.error("%s cannot be used: the calibrations of the rig file count (%s)", self._path, error)
            with suppress(OSError):
                self._path.replace(self._path.with_name(f"{self._path.name}.damaged"))

    def _holds(self, name: str, instead_of: Mapping[str, Any] | None) -> bool:
        """Say whether the rig file still says what a correction was made of."""
        same = name in self._rig.transducers and self._of_file(name) == instead_of
        if not same:
            _log.warning("%s: the rig file has changed since it was calibrated by command: the file counts", name)
        return same

    def _of_file(self, name: str) -> dict[str, Any] | None:
        calibration = self._rig.transducers[name].calibration
        return None if calibration is None else calibration.model_dump(mode="json")

    def applied(self) -> Rig:
        """Return the rig with what was told."""
        rig = self._rig
        for name, told in self.told.items():
            rig = calibrated(rig, name, told)
        return rig

    async def keep(self, transducer: str, told: Told) -> bool:
        """Keep one; say whether it outlives the process.

        Raises:
            OSError: it could not be written; what was told before still counts.
        """
        changed = {**self.told, transducer: told}
        if self._path is not None:
            entries = {
                name: {"told": asdict(each), "instead_of": self._of_file(name)} for name, each in changed.items()
            }
            data = orjson.dumps({"v": _VERSION, "transducers": entries}, option=orjson.OPT_INDENT_2)
            await in_own_thread(partial(_replace, self._path, data), name="calibrations")
        self.told = changed
        return self._path is not None


def calibrations_path(rig: Rig) -> Path:
    """Return where calibrations given by command are kept: beside the journal, also where that is in memory."""
    return journal_path(rig).with_suffix(".calibrations.json")


def _replace(path: Path, data: bytes) -> None:
    """Write a file anew, so that after a power cut the old or the new one is there, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
