"""What is known of each hatch, and who says so.

A fresh contact counts for more than a command, a command for more than the rig file. Pressures that differ for long say
"closed" of a hatch of which nobody knows; equal ones say nothing. Nobody's silence moves a hatch: what was known last
stands, and is marked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from drivers.reading import Quality, Readings
from drivers.rig import Hatch, HatchState, Rig
from gateway.leak.bodies import differ
from gateway.leak.contacts import Contacts
from gateway.leak.segment_state import SegmentState

Source = Literal["rig", "command", "transducer", "pressure"]

_DIFFER_S: Final = 20.0  # air that rushes through an opening hatch is no reason to call it closed


@dataclass(frozen=True, slots=True, kw_only=True)
class HatchNow:
    """State of a hatch.

    Attributes:
        source: who says so.
        since_s: since when, s on the event loop's clock.
        quality: stale when its contact said so and is silent since.
    """

    state: HatchState
    source: Source
    since_s: float
    quality: Quality = Quality.GOOD


class Hatches:
    """The hatches of a station.

    Attributes:
        now: hatch -> its state.
    """

    def __init__(self, rig: Rig, now_s: float) -> None:
        self.now = {each.id: HatchNow(state=each.state, source="rig", since_s=now_s) for each in rig.hatches}
        self._hatches = {each.id: each for each in rig.hatches}
        self._contacts = Contacts(rig)
        self._apart_since_s: dict[str, float] = {}
        self._apart: Sequence[str] = ()
        self._news: list[str] = []

    def news(self) -> Sequence[str]:
        """Return the hatches of which there is news since the last call."""
        news, self._news = tuple(dict.fromkeys(self._news)), []
        return news

    def hear(self, readings: Readings) -> Iterator[tuple[str, HatchState, float]]:
        """Take one poll; yield what contacts say that was not known: hatch, state, since when (s)."""
        for hatch, state, time_s in self._contacts.take(readings):
            now = self.now[hatch]
            if (now.state, now.source, now.quality) != (state, "transducer", Quality.GOOD):
                yield hatch, state, time_s

    def tell(self, hatch: str, state: HatchState, source: Source, now_s: float) -> bool:
        """Take a word for the state of a hatch; say whether that is another state.

        Raises:
            LookupError: the rig has no such hatch, and the message names those that it has; or its contact says
                something else.
        """
        if hatch not in self.now:
            known = ", ".join(self.now) or "none"
            raise LookupError(f"no hatch '{hatch}' in the rig (there are: {known})")
        contact = None if source == "transducer" else self._contacts.says(hatch, now_s)
        if contact is state:
            return False
        if contact is not None:
            name = self._hatches[hatch].contact
            raise LookupError(f"{hatch} is {contact.value}: its contact {name} says so, and counts for more")
        before = self.now[hatch]
        since_s = before.since_s if before.state is state else now_s
        self.now[hatch] = HatchNow(state=state, source=source, since_s=since_s)
        self._news.append(hatch)
        if before.state is state:
            return False
        self._apart_since_s.pop(hatch, None)  # pressures were those of another state until now
        return True

    def look(self, states: Mapping[str, SegmentState], now_s: float) -> Sequence[str]:
        """Compare the two sides of each hatch after one step, and note whose contact is silent.

        Returns:
            Hatches of unknown state whose pressures say that they are closed.
        """
        for name, hatch in self._hatches.items():
            now = self.now[name]
            stale = now.source == "transducer" and self._contacts.says(name, now_s) is None
            if stale and now.quality is Quality.GOOD:
                self.now[name] = replace(now, quality=Quality.STALE)
                self._news.append(name)
            one, other = (states.get(end) for end in hatch.between)
            if one is None or other is None or not differ(one, other):
                self._apart_since_s.pop(name, None)
            else:
                self._apart_since_s.setdefault(name, now_s)
        self._apart = [name for name, since_s in self._apart_since_s.items() if now_s - since_s >= _DIFFER_S]
        return [name for name in self._apart if self.now[name].state is HatchState.UNKNOWN]

    def contradicted(self) -> Iterator[str]:
        """Yield the hatches that are open by their contact though their two sides differ."""
        for name in self._hatches:
            now = self.now[name]
            if name in self._apart and now.state is HatchState.OPEN and now.source == "transducer":
                yield name

    def doubts(self, hatch: Hatch, *, passes: bool, now_s: float) -> Iterator[str]:
        """Say what makes a hatch's state less sure.

        Args:
            hatch: which.
            passes: whether it seems to pass air though it is not open.
            now_s: the last step.
        """
        now = self.now[hatch.id]
        said = f"is by its contact {hatch.contact}" if now.source == "transducer" else "is said to be"
        if hatch.contact is not None and self._contacts.says(hatch.id, now_s) is None:
            silent = f"{hatch.contact}, the contact of {hatch.id}, is silent"
            yield f"{silent}: taken as {now.state.value} still; look, and tell"
        if passes and now.state is HatchState.UNKNOWN:
            yield f"nobody knows whether {hatch.id} is open, and both sides fall alike: look, and tell"
        elif passes:
            yield f"{hatch.id} {said} closed, yet both sides stay equal: does air pass it?"
        elif now.state is HatchState.OPEN and hatch.id in self._apart:
            yield f"{hatch.id} {said} open, yet its two sides differ: is it closed, or do transducers lie?"
