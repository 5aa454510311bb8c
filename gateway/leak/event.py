"""What people do to the air of a segment and can tell beforehand: none of it is a leak or a gain."""

from enum import StrEnum
from typing import Final

SETTLES_S: Final = 1200.0
"""For so long an event disturbs the air when nothing else is said: 10 to 20 min until it is as warm as its walls."""

METERED: Final = 0.02
"""Relative standard deviation of a metered mass: of the meter, and of air taken for nitrogen or the reverse (3 %)."""


class Event(StrEnum):
    """An event that moves air without any leak."""

    REPRESS = "repress"
    """Air, nitrogen or oxygen is let in from a tank."""
    EVA = "eva"
    """An airlock is emptied and filled again."""
    DOCKING = "docking"
    """A ship comes or goes: its vestibule is filled or emptied."""
