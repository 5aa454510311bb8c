"""The seam between a driver and its bus: what is asked (`Request`) and how asking ended (`Attempt`, `Outcome`)."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from drivers.reading import Reason


class Outcome(StrEnum):
    """How an attempt ended; each ends in exactly one way."""

    REPLY = "reply"
    EXCEPTION = "exception"
    TIMEOUT = "timeout"
    CRC = "crc"
    SHORT = "short"
    LATE = "late"
    FOREIGN = "foreign"
    ECHO_MISMATCH = "echo_mismatch"
    BUSY = "busy"  # the line was never silent, so the question was not put
    CANCELLED = "cancelled"
    BUS_DOWN = "bus_down"

    @property
    def reason(self) -> Reason:
        """What a reading says that got no value because of this."""
        return _REASONS[self]


_REASONS = {
    Outcome.REPLY: Reason.NONE,
    Outcome.EXCEPTION: Reason.EXCEPTION,
    Outcome.TIMEOUT: Reason.TIMEOUT,
    Outcome.CRC: Reason.CRC,
    Outcome.SHORT: Reason.CRC,
    Outcome.LATE: Reason.LATE,
    Outcome.FOREIGN: Reason.FOREIGN,
    Outcome.ECHO_MISMATCH: Reason.CRC,
    Outcome.BUSY: Reason.FOREIGN,
    Outcome.CANCELLED: Reason.TIMEOUT,
    Outcome.BUS_DOWN: Reason.BUS_DOWN,
}


class Request(Protocol):
    """One question to one unit, with the grammar of its answer. Pure; made once and asked many times.

    Attributes:
        unit: address on the bus.
        frame: the bytes of the question on a serial line.
        answer_size: bytes of the longest proper answer, for deadlines and line use.
        processing_s: how long the device may take beyond a usual answer (a measurement it makes first), 0 mostly.
    """

    @property
    def unit(self) -> int: ...
    @property
    def frame(self) -> bytes: ...
    @property
    def answer_size(self) -> int: ...
    @property
    def processing_s(self) -> float: ...

    def measure(self, heard: bytes, start: int) -> int:
        """Say whether an intact answer (value or refusal) to this question begins at `heard[start]`.

        Returns:
            Its length when it is all there and its checksum holds; 0 when none begins there; -1 when what is there
            so far could be the head of one.
        """
        ...

    def refusal(self, frame: bytes) -> int | None:
        """Return the code when an intact answer refuses (a Modbus exception), None when it brings a value."""
        ...

    def confusable(self, other: "Request") -> bool:
        """Say whether a value that answers `other` could be taken for a value that answers this question."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """The fence of a unit that is alone on its line and can be asked one question only; see `drivers.lone_unit`.

    Attributes:
        span_s: longer than the device takes for an answer: after so much silence it owes none.
    """

    span_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to get one answer.

    Attributes:
        frame: the accepted answer, whole; empty unless the outcome is REPLY or EXCEPTION.
        code: the refusal's code when the outcome is EXCEPTION.
        heard: everything that came in, for people who look for the reason.
        sent_s, answered_s: end of the question and start of the answer on the event loop's clock.
    """

    request: Request
    outcome: Outcome
    frame: bytes
    code: int | None
    heard: bytes
    sent_s: float
    answered_s: float

    @property
    def time_s(self) -> float:
        """When the answer was measured: the middle between question and answer."""
        return (self.sent_s + self.answered_s) / 2

    @property
    def uncertainty_s(self) -> float:
        """Half the span between question and answer."""
        return (self.answered_s - self.sent_s) / 2


Ask = Callable[[Request], Awaitable[Attempt]]
"""Asks one question on the bus that it belongs to; never raises for what a transducer or line does."""
