"""How long the oldest message has waited, remembered by few moments."""

import itertools
from collections import deque
from typing import Final

_EACH_S: Final = 1.0
_MARKS: Final = 1000


class Waits:
    """When numbers were put: one mark a second at most, and ever fewer in an outage of days."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, float]] = deque()

    def note(self, n: int, now_s: float) -> None:
        """Note that a number, higher than all before, is put now."""
        if not self._marks or now_s >= self._marks[-1][1] + _EACH_S:
            self._marks.append((n, now_s))

    def oldest_s(self, first: int | None, now_s: float) -> float:
        """Return how long that number, the least that waits, has waited; 0 for None."""
        if first is None:
            self._marks.clear()
        while first is not None and len(self._marks) > 1 and self._marks[1][0] <= first:
            self._marks.popleft()
        if len(self._marks) > _MARKS:  # every other one tells as much
            self._marks = deque(itertools.islice(self._marks, 0, None, 2))
        return now_s - self._marks[0][1] if self._marks else 0.0
