"""docs/emulator.md lists what the emulator knows."""

from pathlib import Path

from firmware_sim.fault_kinds import KINDS, Kind

TEXT = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def row(name: str, kind: Kind) -> str:
    numbers = [f"`{word}` = {each.text(each.default) or 'none'}" for word, each in kind.parameters.items()]
    return f"| `{name}` | {kind.strikes} | {kind.text} | {', '.join(numbers) or '-'} |"


def test_every_kind_of_fault_has_its_row_and_no_other_does() -> None:
    rows = [line for line in TEXT.splitlines() if line.startswith("| `")]
    assert rows == [row(name, kind) for name, kind in KINDS.items()]
