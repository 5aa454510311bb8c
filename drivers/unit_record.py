"""What a bus knows of one unit: how long its answers take, whether it rests after silence, and its counters.

Plain state with the time handed in; no clock of its own.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from drivers.exchange import Attempt, Outcome, Request
from drivers.ledger import Ledger

_MARGIN_S: Final = 0.015  # an adapter may hold bytes back that long (FTDI's latency timer is 16 ms by default)
_SHARE: Final = 0.08  # of the line's time that a silent unit may cost
_FIRST_REST_S: Final = 0.25
_LONGEST_REST_S: Final = 3.0
_TROUBLE: Final = (Outcome.TIMEOUT, Outcome.CRC, Outcome.SHORT, Outcome.FOREIGN, Outcome.ECHO_MISMATCH)
ROUND_TRIP_BOUNDS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(slots=True)
class Patience:
    """How long to wait for the first character of an answer: learned as TCP learns its retransmission time (RFC 6298)."""

    longest_s: float
    _smoothed_s: float | None = None
    _deviation_s: float = 0.0
    _doublings: int = 0

    def wait_s(self) -> float:
        """Return the present wait."""
        if self._smoothed_s is None:
            return self.longest_s
        learned = self._smoothed_s + 4 * self._deviation_s + _MARGIN_S
        return min(learned * 2**self._doublings, self.longest_s)

    def answered(self, latency_s: float) -> None:
        """Learn from an answer."""
        self._doublings = 0
        if self._smoothed_s is None:
            self._smoothed_s = latency_s
            self._deviation_s = latency_s / 2
            return
        error = latency_s - self._smoothed_s
        self._smoothed_s += error / 8
        self._deviation_s += (abs(error) - self._deviation_s) / 4

    def silent(self) -> None:
        """Learn from silence: the device may have become slower than it ever was."""
        self._doublings = min(self._doublings + 1, 16)


@dataclass(slots=True)
class Rest:
    """When a silent unit is asked again: never sooner than its share of the line allows, and within seconds of its return."""

    failures: int = 0
    until_s: float = 0.0

    def failed(self, now_s: float, cost_s: float) -> None:
        """Note a question without an answer and the line time that it cost."""
        self.failures += 1
        grown = min(_FIRST_REST_S * 2 ** min(self.failures - 1, 8), _LONGEST_REST_S)
        self.until_s = now_s + max(grown, cost_s / _SHARE)

    def answered(self) -> None:
        """Note that the unit lives."""
        self.failures = 0
        self.until_s = 0.0


@dataclass(slots=True)
class RoundTrips:
    """Round-trip times in logarithmic steps, s: from the end of a question to the start of its answer."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(ROUND_TRIP_BOUNDS_S) + 1))
    total_s: float = 0.0
    longest_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one round trip."""
        self.total_s += seconds
        self.longest_s = max(self.longest_s, seconds)
        self.counts[bisect_left(ROUND_TRIP_BOUNDS_S, seconds)] += 1


@dataclass(slots=True)
class UnitRecord:
    """One unit on one bus.

    Attributes:
        outcomes: attempts by how they ended, each once.
        unused: intact frames of this unit that no attempt took, by what they were ("late", "repeat", "stray").
        line_s: line time that its attempts took.
    """

    unit: int
    fences: tuple[Request, ...]
    patience: Patience
    ledger: Ledger = field(default_factory=Ledger)
    rest: Rest = field(default_factory=Rest)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    round_trips: RoundTrips = field(default_factory=RoundTrips)
    line_s: float = 0.0
    _newest: dict[int, bytes] = field(default_factory=dict)
    _still: set[int] = field(default_factory=set)

    def still(self, request: Request) -> bool:
        """Say whether the last two answers to this question were equal: the next may be too, and would prove nothing."""
        return id(request) in self._still

    def ended(self, attempt: Attempt, now_s: float, cost_s: float) -> None:
        """Count an attempt once and learn from it."""
        self.outcomes[attempt.outcome] += 1
        self.line_s += cost_s
        if attempt.outcome in (Outcome.REPLY, Outcome.EXCEPTION):
            latency_s = max(attempt.answered_s - attempt.sent_s, 0.0)
            self.round_trips.add(latency_s)
            self.patience.answered(max(latency_s - attempt.request.processing_s, 0.0))
            self.rest.answered()
            self._compare(attempt)
        elif attempt.outcome in _TROUBLE:
            self.rest.failed(now_s, cost_s)
            if attempt.outcome is Outcome.TIMEOUT:
                self.patience.silent()

    def _compare(self, attempt: Attempt) -> None:
        key = id(attempt.request)
        if self._newest.get(key) == attempt.frame:
            self._still.add(key)
        else:
            self._still.discard(key)
        self._newest[key] = attempt.frame
