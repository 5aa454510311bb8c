"""docs/emulator.md lists what the emulator knows."""

from pathlib import Path

from firmware_sim.faults import KINDS

TEXT = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def test_every_kind_of_fault_has_its_line_and_no_other_does() -> None:
    rows = [line.split(" | ") for line in TEXT.splitlines() if line.startswith("| `")]
    assert {row[0].strip("| `"): row[1] for row in rows} == {name: kind.title for name, kind in KINDS.items()}
