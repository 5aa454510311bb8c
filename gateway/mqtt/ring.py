"""Messages that are in memory alone for now; bounded."""

from collections.abc import Collection, Iterator
from itertools import islice

from gateway.mqtt.row import Row


class Ring:
    """Rows in the order of their numbers, the newest at the end. Pure; times are those of the event loop, s.

    A row is at risk until it is on disk or with the broker. When there are too many, the oldest makes room; a record at
    risk does so only when there is nothing else.

    Args:
        max_rows, max_bytes: bounds, payloads counted.
    """

    def __init__(self, *, max_rows: int, max_bytes: int) -> None:
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._rows: dict[int, Row] = {}
        self._at_risk: dict[int, float] = {}  # since when
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def get(self, n: int) -> Row | None:
        """Return a row, None when it is not here."""
        return self._rows.get(n)

    def add(self, row: Row, *, now_s: float) -> list[int]:
        """Take the newest row; return the numbers that had to make room and were at risk."""
        self._rows[row.n] = row
        self._at_risk[row.n] = now_s
        self._bytes += len(row.payload)
        lost = []
        while len(self._rows) > self._max_rows or self._bytes > self._max_bytes:
            n = self._least_missed()
            lost += [n] if n in self._at_risk else []
            self.discard([n])
        return lost

    def _least_missed(self) -> int:
        spared = (n for n, row in self._rows.items() if not row.record or n not in self._at_risk)
        return next(spared, next(iter(self._rows)))

    def safe(self, n: int) -> None:
        """Learn that somebody else has a row."""
        self._at_risk.pop(n, None)

    def discard(self, numbers: Collection[int]) -> None:
        """Take rows out."""
        for n in numbers:
            row = self._rows.pop(n, None)
            self._at_risk.pop(n, None)
            self._bytes -= len(row.payload) if row is not None else 0

    def at_risk(self) -> list[Row]:
        """Return the rows that nobody else has."""
        return [self._rows[n] for n in self._at_risk]

    @property
    def at_risk_since_s(self) -> float | None:
        """Since when the oldest row at risk has been here, None when there is none."""
        return next(iter(self._at_risk.values()), None)

    def between(self, first: int, last: int, *, limit: int, records: bool) -> list[Row]:
        """Return the rows, or only the records, from number first to number last, at most `limit` of them."""
        if last - first < len(self._rows):
            found = (self._rows[n] for n in range(first, last + 1) if n in self._rows)
        else:
            found = (row for row in self._rows.values() if first <= row.n <= last)
        return list(islice((row for row in found if row.record or not records), limit))
