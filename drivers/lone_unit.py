"""A unit that is alone on its line and knows one question only: what can be told of its answers without a fence.

Its answer cannot be another quantity's or another unit's. It can only be older than it looks: late, or a duplicate.
Answers come in order, so none was measured before the last one that was accepted. That is said of an answer that may be
old: its time is anywhere from then on. See decision 0009 of the documentation.
"""

from dataclasses import replace
from typing import Final

from drivers.exchange import Attempt, Outcome, Request

_HELD_BACK_S: Final = 10.0
"""Nothing between a device and us holds an answer back for longer."""


class LoneUnit:
    """What a bus keeps of it beside its record.

    Attributes:
        quiet_s: silence after which it owes no answer.
        repeated: its last answer was equal to the one before: perhaps a duplicate, with the true one behind it.
    """

    def __init__(self, quiet_s: float) -> None:
        self.quiet_s = quiet_s
        self.repeated = False
        self._question: Request | None = None
        self._frame = b""
        self._asked_s: float | None = None  # of the last answer that was accepted: its question,
        self._oldest_s = 0.0  # and from when on it may have been measured

    def check(self, request: Request) -> None:
        """Make sure that it is one question.

        Raises:
            ValueError: it is another one: their answers could be taken for each other.
        """
        if self._question is not None and request.frame != self._question.frame:
            raise ValueError(
                f"unit {request.unit}: {request.frame!r} is a second question beside {self._question.frame!r}; "
                "a driver with more than one names fences"
            )
        self._question = request

    def aged(self, attempt: Attempt, *, doubtful: bool) -> Attempt:
        """Return an attempt with the time from which on its answer may be.

        Args:
            attempt: as it ended.
            doubtful: an older answer may still have been on its way when it was asked.
        """
        if attempt.outcome is not Outcome.REPLY:
            return attempt
        oldest_s = attempt.sent_s
        self.repeated = attempt.frame == self._frame
        if self._asked_s is not None and (doubtful or self.repeated):
            since_s = self._oldest_s if doubtful else self._asked_s
            oldest_s = min(max(since_s, attempt.answered_s - _HELD_BACK_S), oldest_s)
        self._asked_s, self._oldest_s, self._frame = attempt.sent_s, oldest_s, attempt.frame
        return replace(attempt, sent_s=oldest_s)
