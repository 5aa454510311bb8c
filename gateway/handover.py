"""What a gateway leaves to the one that takes over from it in the same process."""

from collections.abc import Mapping
from dataclasses import dataclass

from drivers.rig import HatchState, Rig
from gateway.alarms import Alarm
from gateway.desk import Seen
from gateway.down_polls import PollsUntil
from gateway.stamps import ClockState


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What a gateway leaves to the one that takes over in the same process, with another rig.

    Attributes:
        boot: of both: it is no new start.
        newest_n: the number given out last.
        losses: counted so far, by cause.
        alarms: those that stand.
        clock, free_since: of its clock, and since which number that ran free.
        hatches: states that somebody told, and that the new rig file says nothing new of.
        seen: commands that are not to be obeyed again.
        uncounted: polls that nobody made before this process began, and are not among `losses` yet; see `DownPolls`.
        ended_s: since when nothing is polled, on the event loop's clock.
    """

    rig: Rig
    rig_hash: str
    boot: str
    newest_n: int
    losses: Mapping[str, int]
    clock: ClockState
    free_since: int | None
    alarms: tuple[Alarm, ...]
    hatches: Mapping[str, HatchState]
    seen: Mapping[str, Seen]
    uncounted: tuple[PollsUntil, float] | None
    ended_s: float
