"""What a gateway leaves to the one that takes over from it in the same process."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from drivers.reading import Channel
from drivers.rig import HatchState, Rig
from gateway.alarms import Alarm
from gateway.desk import Seen
from gateway.down_polls import Uncounted
from gateway.mqtt.topics import Topics
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
        counts: commands so far, by the code of their answer.
        retained: topics on which the broker has something of the gateway.
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
    counts: Mapping[str, int]
    retained: frozenset[str]
    uncounted: Uncounted | None
    ended_s: float


def left_over(retained: frozenset[str], rig: Rig, channels: Iterable[Channel]) -> list[str]:
    """Return which topics a rig with those channels never says anything on; what a gateway says of itself stays."""
    topics = Topics(station=rig.station.id, gateway=rig.station.gateway)
    segments = {name: words.segment for name, words in rig.transducers.items()}
    ours = {
        *(topics.segment_state(segment) for segment in segments.values()),
        *(topics.hatch(hatch.id) for hatch in rig.hatches),
        *(
            topics.reading(segment=segments[each.transducer], quantity=each.quantity, transducer=each.transducer)
            for each in channels
        ),
    }
    return sorted(topic for topic in retained - ours if topic.split("/")[3] in {"seg", "hatch"})
