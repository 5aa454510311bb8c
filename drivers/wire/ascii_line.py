"""Instruments that answer in lines of text: a question, and the pattern that its answer must match.

Where the pattern is not enough (a checksum), the request has a check as well: a line that fails it is no answer.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.exchange import Request

_TERMINATOR: Final = b"\n"


def _accept(line: bytes) -> bool:  # noqa: ARG001 - the pattern has said all there is to say
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRequest:
    """A question in text; a `drivers.exchange.Request`.

    Echo and prompt before the answer are not part of the pattern: a bus looks for the answer in all that it hears.

    Attributes:
        frame: the question with its terminator.
        head: how each answer begins, literally; an answer can begin nowhere else.
        answer: matches a whole answer, which has one LF, its last character. The patterns of one family must match the
            same answers or none in common.
        intact: says whether a line that matches is undamaged.
    """

    unit: int
    frame: bytes
    head: bytes
    answer: re.Pattern[bytes]
    answer_size: int
    processing_s: float = 0.0
    intact: Callable[[bytes], bool] = _accept

    def measure(self, heard: bytes, start: int) -> int:
        """Return the length of an intact answer at `start`, 0 when there is none, -1 when it could still become one."""
        begun = heard[start : start + len(self.head)]
        if not self.head.startswith(begun):
            return 0
        end = heard.find(_TERMINATOR, start) + 1
        if not end:
            return -1 if len(heard) - start < self.answer_size else 0
        line = heard[start:end]
        return len(line) if self.answer.fullmatch(line) and self.intact(line) else 0

    def refusal(self, frame: bytes) -> int | None:  # noqa: ARG002 - the seam asks
        """Return None: refusals in text have no codes; a driver reads them as a value that is missing."""
        return None

    def confusable(self, other: Request) -> bool:
        """Say whether the other question's answers have the same form."""
        return isinstance(other, LineRequest) and self.answer.pattern == other.answer.pattern
