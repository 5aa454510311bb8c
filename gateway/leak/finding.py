"""What is known of a station's leaks at one moment, in SI; the words of topic `leak`, `manovac leak` and reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from gateway.leak.bodies import AirBody
from gateway.leak.reserve import Reserve


class Kind(StrEnum):
    """What goes on in an air body."""

    NONE = "none"
    """Nothing that could be told apart from noise."""
    COLLECTING = "collecting"
    """Data since the start or the last hatch change; nothing can be said yet."""
    NO_DATA = "no-data"
    LEAK = "leak"
    PUNCTURE = "puncture"
    """A leak that the fast channel found."""
    RATE_CHANGE = "rate-change"
    """More than the leak that the rig file knows of."""
    GAIN = "gain"
    """Air comes in."""
    HIDDEN_PATH = "hidden-path"
    """The suspect holds its pressure behind a closed hatch, and the rest of the station still loses air."""


LOSSES: Final = frozenset({Kind.LEAK, Kind.PUNCTURE, Kind.RATE_CHANGE, Kind.HIDDEN_PATH})
"""Kinds that lose air."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyFinding:
    """One air body.

    Attributes:
        slope_pa_per_s: loss of its level, greater than zero for a leak; None while nothing is found.
        ci95_pa_per_s: 95 % interval of that.
        rate_kg_per_s, rate_ci95_kg_per_s: of air lost, volume uncertainty included; None without volume.
        since_s: onset on the event loop's clock.
        notes: what makes it less sure than it could be.
    """

    body: AirBody
    kind: Kind
    slope_pa_per_s: float | None = None
    ci95_pa_per_s: tuple[float, float] | None = None
    rate_kg_per_s: float | None = None
    rate_ci95_kg_per_s: tuple[float, float] | None = None
    since_s: float | None = None
    reserve: Reserve | None = None
    notes: tuple[str, ...] = ()

    @property
    def loses(self) -> bool:
        """Whether air is being lost."""
        return self.kind in LOSSES


@dataclass(frozen=True, slots=True, kw_only=True)
class StationFinding:
    """All air bodies of a station.

    Attributes:
        time_s: on the event loop's clock.
        where: segment -> probability that it leaks, given that one does; empty while nothing is found.
        next_hatch: id of the hatch to close next, None when closing one would not help.
    """

    time_s: float
    bodies: tuple[BodyFinding, ...]
    where: Mapping[str, float]
    next_hatch: str | None = None
