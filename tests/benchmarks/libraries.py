"""What the libraries of `manovac run` take by themselves: resident memory of a process that only imports them."""

import subprocess
import sys
from statistics import median
from typing import Final

from tests.benchmarks.harness import Table

_REPETITIONS: Final = 3
_STEPS: Final = {
    "Python": "",
    "typer": "import typer",
    "asyncio, which loads ssl": "import asyncio",
    "orjson": "import orjson",
    "SQLite": "import sqlite3; sqlite3.connect('').execute('CREATE TABLE t(n)')",
    "aiomqtt, which loads paho": "import aiomqtt",
    "pymodbus": "import pymodbus.framer, pymodbus.pdu",
    "pydantic, one model": "import pydantic; pydantic.create_model('Words', n=int)(n=1)",
    "numpy, which loads OpenBLAS": "import numpy",
    "the rig's models": "import drivers.rig",
    "the rest of Manovac": "import gateway.app, gateway.mqtt.link, gateway.cli.run, drivers.rig_source",
}
_RESIDENT: Final = "print(int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 1e6)"


def _run() -> list[float]:
    """Return the resident memory after each step, MB."""
    program = "\n".join(["import resource", *(f"{step}\n{_RESIDENT}" for step in _STEPS.values())])
    done = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True)
    return [float(line) for line in done.stdout.split()]


def measure() -> Table:
    """Import one after the other, in a new process each time."""
    after = [median(each) for each in zip(*(_run() for _ in range(_REPETITIONS)), strict=True)]
    before = [0.0, *after]
    return Table(
        conditions=(
            "Resident memory of a process that imports these in this order and does nothing else; what several of them"
            f" need counts for the first. Medians of {_REPETITIONS} runs."
        ),
        columns=("import", "MB more", "MB"),
        rows=tuple(
            (name, f"{now - then:.1f}", f"{now:.1f}") for name, then, now in zip(_STEPS, before, after, strict=False)
        ),
    )
