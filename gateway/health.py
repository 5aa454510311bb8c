"""How the gateway does, gathered for `gw/<gateway>/health`: buses and units, event loop, memory, queue, losses."""

import asyncio
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from drivers.bus import UnitStatistics
from gateway.mqtt.outbox import LinkStatistics, OutboxStatistics
from gateway.mqtt.payloads import BusHealth, Health, UnitHealth
from gateway.poller import Poller
from gateway.supervision import Supervision

_LAG_EACH_S: Final = 1.0
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class HealthCheck:
    """Takes a snapshot each time it is asked; line use is that since the time before.

    Args:
        commands: how many came so far, by the code of their answer; it grows.
        lost_before: what was lost before this gateway began, by cause, such as polls due while none ran.
    """

    def __init__(
        self,
        pollers: Iterable[Poller],
        supervision: Supervision,
        *,
        commands: Mapping[str, int],
        lost_before: Mapping[str, int],
    ) -> None:
        self._pollers = list(pollers)
        self._supervision = supervision
        self._commands = commands
        self._lost_before = lost_before
        self._line_s: defaultdict[str, float] = defaultdict(float)
        self._loop = asyncio.get_running_loop()
        self._asked_s = self._loop.time()
        self._lag_s = 0.0
        self._due_s = math.inf

    def watch_loop(self) -> float:
        """Measure how late the event loop is; return when to be called again, in s."""
        now_s = self._loop.time()
        self._lag_s = max(self._lag_s, now_s - self._due_s)
        self._due_s = now_s + _LAG_EACH_S
        return _LAG_EACH_S

    def losses(self, outbox: OutboxStatistics) -> dict[str, int]:
        """Return what was lost so far, by cause."""
        losses = Counter(self._lost_before) + Counter(outbox.losses)
        for poller in self._pollers:
            losses["undelivered_polls"] += poller.undelivered
            if poller.schedule is not None:
                losses["missed_polls"] += sum(poller.schedule.missed.values())
        return {cause: number for cause, number in losses.items() if number}

    def snapshot(self, link: LinkStatistics, *, sync: str) -> Health:
        """Return how everything does now."""
        now_s = self._loop.time()
        elapsed_s, self._asked_s = max(now_s - self._asked_s, 1e-9), now_s
        lag_s, self._lag_s = self._lag_s, 0.0
        losses = self.losses(link.outbox)
        if link.outbox.superseded:
            losses["superseded"] = link.outbox.superseded
        return Health(
            sync=sync,
            buses={poller.bus.name: self._bus(poller, elapsed_s) for poller in self._pollers},
            loop_lag_s=lag_s,
            memory_bytes=memory_bytes(),
            queue_messages=link.outbox.messages,
            queue_bytes=link.outbox.size,
            queue_oldest_s=link.outbox.oldest_s,
            journal_rows=link.outbox.journal_rows,
            journal_problem=link.outbox.journal_problem,
            losses=losses,
            failures=self._supervision.health(),
            commands=self._commands,
        )

    def forget_longest(self) -> None:
        """Let the longest polls count anew: what others ask meanwhile must not do so."""
        for poller in self._pollers:
            if poller.schedule is not None:
                poller.schedule.longest_s = 0.0

    def _bus(self, poller: Poller, elapsed_s: float) -> BusHealth:
        statistics = poller.bus.statistics()
        line_s = sum(unit.line_s for unit in statistics.units.values())
        used_s, self._line_s[poller.bus.name] = line_s - self._line_s[poller.bus.name], line_s
        overruns, longest_s = 0, 0.0
        if poller.schedule is not None:
            overruns, longest_s = poller.schedule.overruns, poller.schedule.longest_s
        return BusHealth(
            up=statistics.up,
            problem=statistics.problem,
            connects=statistics.connects,
            foreign=statistics.foreign,
            line_use=used_s / (elapsed_s * (poller.bus.words.window if poller.bus.pipelined else 1)),
            overruns=overruns,
            longest_poll_s=longest_s,
            units={unit: _unit_health(each) for unit, each in statistics.units.items()},
        )


def _unit_health(unit: UnitStatistics) -> UnitHealth:
    answered = sum(unit.round_trips) > 0
    return UnitHealth(
        attempts=unit.outcomes,
        unused=unit.unused,
        line_s=unit.line_s,
        round_trip_mean_s=unit.round_trip_mean_s if answered else None,
        round_trip_longest_s=unit.round_trip_longest_s if answered else None,
    )


def memory_bytes() -> int:
    """Return the resident set of this process, 0 where /proc does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0
