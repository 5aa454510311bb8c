"""What a bus knows of one unit: how long its answers take, whether it rests after silence, and its counters.

Plain state with the time handed in; no clock of its own.
"""

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from drivers.exchange import Attempt, Outcome, Request
from drivers.ledger import Ledger
from drivers.lone_unit import LoneUnit

_MARGIN_S: Final = 0.015  # an adapter may hold bytes back that long (FTDI's latency timer is 16 ms by default)
_SHARE: Final = 0.08  # of the line's time that a silent unit may cost
_FIRST_REST_S: Final = 0.25
_LONGEST_GROWN_S: Final = 3.0
_LONGEST_ALONE_S: Final = 1.0
_LONGEST_REST_S: Final = 4.0  # so that a unit is found again within 5 s, unless one question takes too much of the line
_REMEMBERED: Final = 64  # questions; of more, as of a command with ever another value, nothing is gained
_ANSWERED: Final = (Outcome.REPLY, Outcome.EXCEPTION)
_SLOW: Final = (Outcome.TIMEOUT, Outcome.LATE)
_TROUBLE: Final = (*_SLOW, Outcome.CRC, Outcome.SHORT, Outcome.FOREIGN, Outcome.ECHO_MISMATCH)
ROUND_TRIP_BOUNDS_S: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)


@dataclass(slots=True)
class Patience:
    """How long to wait for the first character of an answer: learned as TCP learns when to send again (RFC 6298)."""

    longest_s: float
    _smoothed_s: float | None = None
    _deviation_s: float = 0.0
    _doublings: int = 0

    def wait_s(self) -> float:
        """Return the present wait."""
        if self._smoothed_s is None:
            return self.longest_s
        learned = self._smoothed_s + 4 * self._deviation_s + _MARGIN_S
        return min(learned * (1 << self._doublings), self.longest_s)

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
    """When a silent unit is asked again: not sooner than its share of the line allows, and soon after its return.

    Attributes:
        failures: questions without an answer since the last answer.
        until_s: it is not asked before.
        cause: how the last of those questions ended.
        alone: nobody else is on its line, so its line time costs nobody anything.
    """

    failures: int = 0
    alone: bool = False
    until_s: float = 0.0
    cause: Outcome = Outcome.TIMEOUT

    def failed(self, cause: Outcome, now_s: float, cost_s: float) -> None:
        """Note a question without an answer and the line time that it cost."""
        carried_s = max(self.until_s - now_s, 0.0) if self.cause is Outcome.LATE else 0.0  # from earlier in this turn
        self.cause = cause
        self.failures += 1
        longest_s = _LONGEST_ALONE_S if self.alone else _LONGEST_GROWN_S
        grown_s = min(_FIRST_REST_S * 2 ** min(self.failures - 1, 8), longest_s)
        if cause is Outcome.LATE:  # it talks, and only the proof is missing: nothing to wait for beyond its share
            grown_s = 0.0
        paid_s = 0.0 if self.alone else cost_s / _SHARE
        self.until_s = now_s + max(grown_s, paid_s, min(carried_s + paid_s, _LONGEST_REST_S))

    def answered(self) -> None:
        """Note that the unit answers."""
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
        lone: set for one that knows one question only; it has no fences then.
        outcomes: attempts by how they ended, each once.
        unused: intact frames of this unit that no attempt took, by what they were ("late", "repeat", "stray").
        line_s: line time that its attempts took.
    """

    unit: int
    patience: Patience
    fences: tuple[Request, ...] = ()
    usual: tuple[Request, ...] = ()
    lone: LoneUnit | None = None
    ledger: Ledger = field(default_factory=Ledger)
    rest: Rest = field(default_factory=Rest)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    unused: Counter[str] = field(default_factory=Counter)
    round_trips: RoundTrips = field(default_factory=RoundTrips)
    line_s: float = 0.0
    _answers: dict[bytes, tuple[bytes, bool]] = field(default_factory=dict)  # question -> newest, equal to that before

    def still(self, request: Request) -> bool:
        """Say whether the next answer to this question may well equal the frame heard last, and so prove nothing."""
        return self.ledger.heard_last(request) and self._answers.get(request.frame, (b"", False))[1]

    def ended(self, attempt: Attempt, now_s: float, cost_s: float) -> None:
        """Count an attempt once and learn from it."""
        self.outcomes[attempt.outcome] += 1
        self.line_s += cost_s
        if attempt.outcome in _ANSWERED:
            latency_s = max(attempt.answered_s - attempt.sent_s, 0.0)
            self.round_trips.add(latency_s)
            self.patience.answered(max(latency_s - attempt.request.processing_s, 0.0))
            self.rest.answered()
        elif attempt.outcome in _TROUBLE:
            self.rest.failed(attempt.outcome, now_s, cost_s)
            if attempt.outcome in _SLOW:
                self.patience.silent()
            else:
                self.ledger.doubted(attempt.request)

    def compare(self, attempt: Attempt) -> None:
        """Remember whether a question brought the very answer that it brought before; for `still`."""
        if attempt.outcome not in _ANSWERED:
            return
        key = attempt.request.frame
        before, _ = self._answers.pop(key, (b"", False))
        if len(self._answers) == _REMEMBERED:
            del self._answers[next(iter(self._answers))]
        self._answers[key] = (attempt.frame, before == attempt.frame)
