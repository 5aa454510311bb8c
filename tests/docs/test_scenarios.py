"""docs/scenarios.md is what the files say, and docs/physics.md has the grades that there are."""

from pathlib import Path

from firmware_sim.physics.sensor import GRADES
from tests.docs.scenario_table import PAGE, text

PHYSICS = Path(__file__).parents[2] / "docs" / "physics.md"


def test_the_page_is_that_of_the_files() -> None:
    assert PAGE.read_text(encoding="utf-8") == text(), "run: python -m tests.docs.scenario_table"


def test_the_grades_are_those_of_the_code() -> None:
    rows = [line.strip("| ").split(" | ") for line in PHYSICS.read_text(encoding="utf-8").splitlines()]
    told = {row[0]: tuple(map(float, row[1:5])) for row in rows if row[0] in GRADES}
    assert told == {
        name: (grade.noise_pa, grade.drift_pa, round(grade.step_pa, 2), grade.temperature_pa)
        for name, grade in GRADES.items()
    }
