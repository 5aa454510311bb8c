"""The example of docs/testing.md is a test file that passes, and whose client fails on the planted faults."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")


def test_the_example_runs_in_an_empty_folder_without_the_gateway(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    check = "\n\ndef test_what_was_loaded():\n    import sys\n\n"
    check += "    assert not {'pymodbus', 'aiomqtt', 'gateway'} & set(sys.modules)\n"
    (tmp_path / "test_example.py").write_text(example + check, encoding="utf-8")
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:asyncio",
            "-W",
            "error",
            "test_example.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "4 passed" in ran.stdout


def test_every_file_that_it_links_exists() -> None:
    for target in re.findall(r"\]\(([^):#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
