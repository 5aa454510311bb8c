"""How long a newcomer waits: for the help, and for the demo's first reading."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

from tests.benchmarks.harness import Check, Table, interleaved, spread

_REPETITIONS: Final = 5
_MOST_HELP_S: Final = 0.5
_MOST_READING_S: Final = 5.0
_END_S: Final = 10.0
_MANOVAC: Final = str(Path(sys.executable).parent / "manovac")


def _help_s() -> float:
    begin_s = time.monotonic()
    subprocess.run([_MANOVAC, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin_s


def _first_reading_s() -> float:
    begin_s = time.monotonic()
    with subprocess.Popen([_MANOVAC, "demo"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo:
        assert demo.stdout is not None
        try:
            said = any("first reading" in line for line in demo.stdout)
            taken_s = time.monotonic() - begin_s
        finally:
            demo.terminate()
            demo.communicate(timeout=_END_S)
    if not said:
        raise RuntimeError(f"`manovac demo` ended with code {demo.returncode} before its first reading")
    return taken_s


def measure() -> Table:
    """Time both commands, one after the other, again and again."""
    times = interleaved({"manovac --help": _help_s, "manovac demo": _first_reading_s}, repetitions=_REPETITIONS)
    return Table(
        conditions=f"From the start of the process; {_REPETITIONS} interleaved runs, median (lowest..highest).",
        columns=("command", "until", "seconds"),
        rows=(
            ("manovac --help", "its end", spread(times["manovac --help"], ".2f")),
            ("manovac demo", "its first reading", spread(times["manovac demo"], ".2f")),
        ),
        checks=(
            Check(
                text="help in less than 0.5 s",
                met=max(times["manovac --help"]) < _MOST_HELP_S,
                found=f"{max(times['manovac --help']):.2f} s",
                aim="0.3 s",
            ),
            Check(text="first reading of the demo within 5 s", met=max(times["manovac demo"]) < _MOST_READING_S),
        ),
    )
