"""Transducer models by name, from the entry-point group `manovac.drivers`: ours and any other package's."""

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from drivers.model import Model

GROUP = "manovac.drivers"


class UnknownModelError(LookupError):
    """No installed package offers a model of that name."""


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def names() -> list[str]:
    """Return the names of all installed models."""
    return sorted(_entries())


@cache
def model(name: str) -> Model:
    """Load one model.

    Raises:
        UnknownModelError: with the nearest name that exists.
    """
    entry = _entries().get(name)
    if entry is None:
        close = difflib.get_close_matches(name, names(), n=1)
        hint = f", did you mean '{close[0]}'?" if close else ""
        raise UnknownModelError(f"unknown model '{name}'{hint} (known: {', '.join(names())})")
    loaded = entry.load()
    if not isinstance(loaded, Model):
        raise TypeError(
            f"entry point {GROUP}:{name} ({entry.value}) is a {type(loaded).__name__}, not a drivers.model.Model"
        )
    return loaded
