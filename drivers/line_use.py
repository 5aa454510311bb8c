"""How much of a bus its polls need: for `manovac check` and for the plan that `manovac run --dry-run` prints. Pure."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from drivers.exchange import Request
from drivers.model import Model
from drivers.rig import Bus, BusKind, Rig, Transducer

USUAL_DELAY_S: Final = 0.005
"""How long a usual device takes before it answers, s; real ones take 1 to 20 ms."""
SHARE_LIMIT: Final = 0.8
"""More than this share of a line leaves too little for repeats, probes of silent units and commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineUse:
    """What the polls of one bus cost.

    Attributes:
        fraction: share of the line's time that they take, 1.0 = all of it.
        poll_s: unit -> seconds on the line for one poll of it.
        period_s: unit -> seconds between two polls of it.
    """

    fraction: float
    poll_s: Mapping[int, float]
    period_s: Mapping[int, float]

    @property
    def headroom_per_s(self) -> float:
        """How many more polls a second of the same mixture fit below `SHARE_LIMIT`; 0 when none do."""
        if not self.fraction:
            return 0.0
        polls_per_s = sum(1 / period for period in self.period_s.values())
        return max(0.0, (SHARE_LIMIT - self.fraction) * polls_per_s / self.fraction)

    @property
    def room(self) -> str:
        """What more fits, for people: "room for 34 more at 1 Hz or 3 at 10 Hz"."""
        slow, fast = (math.floor(self.headroom_per_s / rate) for rate in (1, 10))
        return (
            f"room for {slow} more at 1 Hz" + (f" or {fast} at 10 Hz" if fast else "") if slow else "no room for more"
        )


def line_use(rig: Rig, models: Callable[[str], Model]) -> dict[str, LineUse]:
    """Return the use of each bus of a rig, by bus id."""
    return {name: bus_use(bus, rig.units(name), models) for name, bus in rig.buses.items()}


def bus_use(bus: Bus, units: Mapping[int, Mapping[str, Transducer]], models: Callable[[str], Model]) -> LineUse:
    """Return the use of one bus with its transducers by unit (unit -> id -> words).

    A unit is polled as a whole, as often as its most frequent transducer asks for.
    """
    poll_s, period_s = {}, {}
    for unit, transducers in units.items():
        model = models(next(iter(transducers.values())).model)
        driver = model.driver(unit, transducers, bus)
        poll_s[unit] = sum(exchange_s(request, bus) for request in driver.requests)
        period_s[unit] = min(transducer.poll for transducer in transducers.values())
    return LineUse(
        fraction=sum(poll_s[unit] / period_s[unit] for unit in units),
        poll_s=poll_s,
        period_s=period_s,
    )


def exchange_s(request: Request, bus: Bus) -> float:
    """Return the time that one question and its answer keep a bus busy, s.

    On a line, also one behind a TCP converter: the characters of both, two silences, the guard and the device's delay.
    Modbus TCP has no line; there the delays of as many requests as the window allows overlap.
    """
    delay = USUAL_DELAY_S + request.processing_s
    if bus.kind is BusKind.MODBUS_TCP:
        return delay / bus.window
    characters = len(request.frame) + request.answer_size
    return characters * bus.character_s + 2 * bus.silence_s + bus.guard + delay
