"""Instruments that answer in lines of text: a question, and the pattern that its answer must match.

Where the pattern is not enough (a checksum), the request has a check as well: a line that fails it is no answer.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from drivers.exchange import Request

_LINE_ENDS: Final = (b"", b"\r", b"\n")


def _accept(line: bytes) -> bool:  # noqa: ARG001 - the pattern has said all there is to say
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRequest:
    """A question in text; a `drivers.exchange.Request`.

    Echo and prompt before the answer are not part of the pattern: a bus looks for the answer in all that it hears.

    Attributes:
        frame: the question with its terminator.
        head: how each answer begins, literally; an answer can begin nowhere else.
        answer: matches a whole answer with its terminators. The patterns of one family must match the same answers or
            none in common.
        starts_line: an answer begins a line, so that the rest of a damaged one is none; for answers without a head.
        terminator: what ends each line of an answer, and stands nowhere else in it.
        lines: how many lines an answer can have.
        refused: matches a whole line that refuses; its group, if it has one, is the code. It begins with `head` too.
        intact: says whether a line that matches is undamaged.
        prompt: what an instrument says when it wants `follow` before it answers; it is a part of the answer. Both are
            empty where one question is all.
    """

    unit: int
    frame: bytes
    head: bytes
    answer: re.Pattern[bytes]
    answer_size: int
    processing_s: float = 0.0
    starts_line: bool = False
    terminator: bytes = b"\n"
    lines: int = 1
    refused: re.Pattern[bytes] | None = None
    intact: Callable[[bytes], bool] = _accept
    prompt: bytes = b""
    follow: bytes = b""

    def measure(self, heard: bytes, start: int) -> int:
        """Return the length of an intact answer at `start`, 0 when there is none, -1 when it could still become one."""
        begun = heard[start : start + len(self.head)]
        if not self.head.startswith(begun) or (self.starts_line and heard[start - 1 : start] not in _LINE_ENDS):
            return 0
        end = start
        for _ in range(self.lines):
            found = heard.find(self.terminator, end)
            if found < 0:
                return -1 if len(heard) - start < self.answer_size else 0
            end = found + len(self.terminator)
            if self._is_answer(heard[start:end]):
                return end - start
        return 0

    def _is_answer(self, text: bytes) -> bool:
        matches = self.answer.fullmatch(text) or (self.refused is not None and self.refused.fullmatch(text))
        return bool(matches) and self.intact(text)

    def refusal(self, frame: bytes) -> int | None:
        """Return the code of a refusal, 0 when it has none; None when the answer brings what was asked for."""
        match = None if self.refused is None else self.refused.fullmatch(frame)
        if match is None:
            return None
        return int(match[1]) if match.lastindex and match[1] else 0

    def confusable(self, other: Request) -> bool:
        """Say whether the other question's answers have the same form."""
        return isinstance(other, LineRequest) and self.answer.pattern == other.answer.pattern
