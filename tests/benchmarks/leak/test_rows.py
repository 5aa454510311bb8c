"""The rows of B08, B09 and B11 have the table's columns, and hold on a few seeds."""

import math

import pytest

from tests.benchmarks.leak import coolant_loop, hidden_path, locate_1kg
from tests.benchmarks.leak.row import ERROR, most_wrong

COLUMNS = {"name", "metric", "limit", "measured", "ratio", "passed", "note"}


@pytest.mark.parametrize(
    "rows",
    [
        lambda: hidden_path.rows(16, 0),
        lambda: [
            row for row in coolant_loop.rows(8, 0) if "coverage" not in row["metric"]
        ],  # of 8 it is 1 or below 0.9
        lambda: locate_1kg._random_trees(4, 0),
    ],
    ids=["B09", "B11", "B08"],
)
def test_rows_hold(rows):
    found = rows()
    assert all(row.keys() == COLUMNS for row in found)
    assert [row for row in found if not row["passed"]] == []


@pytest.mark.parametrize("answers", [10, 100, 200, 400])
def test_more_wrong_answers_than_luck_allows_are_seen_in_one_of_20_benchmarks_at_most(answers):
    def at_most(wrong: int) -> float:
        return sum(
            math.comb(answers, each) * ERROR**each * (1 - ERROR) ** (answers - each) for each in range(wrong + 1)
        )

    assert at_most(most_wrong(answers) - 1) < 0.95 <= at_most(most_wrong(answers))
