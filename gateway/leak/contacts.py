"""Contacts at hatches: what they say, and whether it still counts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from drivers.columns import PerUnit
from drivers.reading import Channel, Quality, Readings
from drivers.rig import HatchState, Rig

_TWICE: Final = 2  # readings in a row: a contact bounces, and one flipped bit moves no hatch
_SILENT_POLLS: Final = 3
_SILENT_S: Final = 3.0
_LONGEST_S: Final = 5.0


@dataclass(slots=True, kw_only=True)
class _Contact:
    """One contact.

    Attributes:
        hatch: id.
        silent_s: age from which its last word counts no longer.
        last: its last reading, and how many in a row were so.
        seen_s: when that was.
        said: what it said last, None before it has said anything.
    """

    hatch: str
    silent_s: float
    last: HatchState = HatchState.UNKNOWN
    times: int = 0
    seen_s: float = -math.inf
    said: HatchState | None = None


class Contacts:
    """The contacts of a station's hatches.

    A contact says something when it has said it twice in a row, and its word is fresh for three polls. A bad reading
    says nothing: it neither moves a hatch nor keeps a word fresh.
    """

    def __init__(self, rig: Rig) -> None:
        polls_s = {
            each.contact: rig.transducers[each.contact].poll
            for each in rig.hatches
            if each.contact is not None and each.contact in rig.transducers
        }
        self._contacts = {
            hatch.contact: _Contact(hatch=hatch.id, silent_s=max(_SILENT_POLLS * polls_s[hatch.contact], _SILENT_S))
            for hatch in rig.hatches
            if hatch.contact in polls_s
        }
        self._by_hatch = {each.hatch: each for each in self._contacts.values()}
        self._columns = PerUnit(self._columns_of)

    def _columns_of(self, channels: tuple[Channel, ...]) -> Sequence[tuple[int, _Contact]]:
        return [
            (column, self._contacts[channel.transducer])
            for column, channel in enumerate(channels)
            if channel.quantity == "contact" and channel.transducer in self._contacts
        ]

    def take(self, readings: Readings) -> Iterator[tuple[str, HatchState, float]]:
        """Take one poll; yield the hatches whose contact says something: id, state, since when (s)."""
        for column, contact in self._columns(readings.channels):
            if readings.quality[column] != Quality.GOOD:
                continue
            state = HatchState.OPEN if readings.values[column] else HatchState.CLOSED
            contact.times = contact.times + 1 if state is contact.last else 1
            contact.last, contact.seen_s = state, readings.time_s
            if contact.times >= _TWICE:
                contact.said = state
                yield contact.hatch, state, readings.time_s

    def says(self, hatch: str, now_s: float) -> HatchState | None:
        """Return what the contact of a hatch says now; None when it has none, or that is silent or bad."""
        contact = self._by_hatch.get(hatch)
        if contact is None or now_s - contact.seen_s > contact.silent_s:
            return None
        return contact.said


def delay_s(rig: Rig) -> float:
    """Return how long pressures must wait for the word of a contact: two polls of the slowest one, 5 s at most.

    Air moves as soon as a hatch does, and its contact is read later: whoever looks at once sees a puncture.
    """
    contacts = {hatch.contact for hatch in rig.hatches}
    polls_s = [words.poll for name, words in rig.transducers.items() if name in contacts]
    return min(_TWICE * max(polls_s, default=0.0), _LONGEST_S)
