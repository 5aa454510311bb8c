"""Sets of whole numbers that lie close together: which messages have come, or wait. Pure."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise


class Spans:
    """A set of whole numbers as spans [first, last], in order."""

    def __init__(self, spans: Iterable[Sequence[int]] = ()) -> None:
        self._spans: list[list[int]] = []
        for first, last in spans:
            self.add(first, last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((first, last) for first, last in self._spans)

    def __contains__(self, n: int) -> bool:
        place = self._place(n)
        return place >= 0 and n <= self._spans[place][1]

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._spans)

    def _place(self, n: int) -> int:
        """Return the index of the last span that begins at or before n, -1 for none."""
        return bisect_right(self._spans, n, key=lambda span: span[0]) - 1

    def add(self, first: int, last: int) -> None:
        """Add all numbers from first to last."""
        low = self._place(first - 1)
        if low < 0 or self._spans[low][1] < first - 1:
            low += 1
        high = self._place(last + 1)
        joined = self._spans[low : high + 1]
        if joined:
            first, last = min(first, joined[0][0]), max(last, joined[-1][1])
        self._spans[low : high + 1] = [[first, last]]

    def discard(self, n: int) -> None:
        """Take one number out, if it is there."""
        self.discard_span(n, n)

    def discard_span(self, first: int, last: int) -> None:
        """Take all numbers from first to last out."""
        kept: list[list[int]] = []
        for low, high in self._spans[(at := max(self._place(first), 0)) : self._place(last) + 1]:
            if high < first or low > last:
                kept.append([low, high])
                continue
            kept += [[low, first - 1]] if low < first else []
            kept += [[last + 1, high]] if high > last else []
        self._spans[at : max(self._place(last) + 1, at)] = kept

    def without(self, spans: Iterable[tuple[int, int]]) -> "Spans":
        """Take these spans out; return what is left, itself."""
        for first, last in spans:
            self.discard_span(first, last)
        return self

    def first_from(self, n: int) -> int | None:
        """Return the least number that is not below n, None when there is none."""
        place = self._place(n)
        if place >= 0 and n <= self._spans[place][1]:
            return n
        return self._spans[place + 1][0] if place + 1 < len(self._spans) else None

    def last_upto(self, n: int) -> int | None:
        """Return the greatest number that is not above n, None when there is none."""
        place = self._place(n)
        return None if place < 0 else min(n, self._spans[place][1])

    def span_from(self, n: int) -> tuple[int, int] | None:
        """Return the first span of numbers that are not below n, None when there is none."""
        first = self.first_from(n)
        return None if first is None else (first, self._spans[self._place(first)][1])

    def gaps(self) -> list[tuple[int, int]]:
        """Return what is missing between the spans."""
        return [(last + 1, first - 1) for (_, last), (first, _) in pairwise(self._spans)]

    def lists(self) -> list[list[int]]:
        """Return the spans for JSON."""
        return [[first, last] for first, last in self._spans]
