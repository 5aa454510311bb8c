"""What README.md prints works as printed."""

import re
import subprocess
import sys
from pathlib import Path

from drivers.rig_source import load_rig
from firmware_sim.testing import emulated_in_thread

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def test_the_two_commands_are_those_of_the_contract() -> None:
    lines = [line.strip() for block in blocks("") for line in block.splitlines() if line.startswith("python3 -m venv")]
    assert lines == [
        "python3 -m venv .venv && .venv/bin/pip install -q '.[demo]' && .venv/bin/manovac demo",
        "python3 -m venv .venv && .venv/bin/pip install -q '.[test]' && .venv/bin/pytest -q",
    ]


def test_the_script_of_ten_lines_reads_one_transducer_without_gateway_and_mqtt(tmp_path: Path) -> None:
    script = blocks("python")[0]
    assert len([line for line in script.splitlines() if line.strip()]) <= 10
    bench = ROOT / "hil" / "rigs" / "bench.toml"
    with emulated_in_thread(load_rig(bench)) as emulated:
        port = f'port = "{emulated.ports["rs485"]}"'
        text = re.sub(r'^port = ".*"', port, bench.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (tmp_path / "rig.toml").write_text(text, encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, "-W", "error", "-c", script + "\nimport sys\nassert 'aiomqtt' not in sys.modules\n"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    rows = [line.split() for line in ran.stdout.splitlines()]
    assert [(row[0], row[2]) for row in rows] == [("cabin_p1.pressure", "bar"), ("cabin_p1.temperature", "C")]
    assert 0.9 < float(rows[0][1]) < 1.1


def test_every_file_that_it_links_exists() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
