"""How the gateway does, gathered for `gw/<gateway>/health`: buses and units, event loop, memory, queue, losses."""

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from drivers.bus import UnitStatistics
from gateway.mqtt.outbox import LinkStatistics
from gateway.mqtt.payloads import BusHealth, Health, UnitHealth
from gateway.poller import Poller

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class HealthCheck:
    """Takes a snapshot each time it is asked; line use is that since the time before."""

    def __init__(self, pollers: Iterable[Poller]) -> None:
        self._pollers = list(pollers)
        self._line_s: defaultdict[str, float] = defaultdict(float)
        self._loop = asyncio.get_running_loop()
        self._asked_s = self._loop.time()
        self._lag_s = 0.0

    async def watch_loop(self) -> None:
        """Measure how late the event loop is, until cancelled."""
        while True:
            due_s = self._loop.time() + 1.0
            await asyncio.sleep(1.0)
            self._lag_s = max(self._lag_s, self._loop.time() - due_s)

    def snapshot(self, link: LinkStatistics, *, sync: str) -> Health:
        """Return how everything does now."""
        now_s = self._loop.time()
        elapsed_s, self._asked_s = max(now_s - self._asked_s, 1e-9), now_s
        lag_s, self._lag_s = self._lag_s, 0.0
        losses = Counter(link.outbox.losses)
        losses["superseded"] += link.outbox.superseded
        for poller in self._pollers:
            if poller.schedule is not None:
                losses["missed_polls"] += sum(poller.schedule.missed.values())
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
            losses={cause: number for cause, number in losses.items() if number},
        )

    def _bus(self, poller: Poller, elapsed_s: float) -> BusHealth:
        statistics = poller.bus.statistics()
        line_s = sum(unit.line_s for unit in statistics.units.values())
        used_s, self._line_s[poller.bus.name] = line_s - self._line_s[poller.bus.name], line_s
        overruns, longest_s = 0, 0.0
        if poller.schedule is not None:
            overruns, longest_s = poller.schedule.overruns, poller.schedule.longest_s
            poller.schedule.longest_s = 0.0
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
