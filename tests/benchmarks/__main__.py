"""Runs benchmarks by name, prints their tables and, with --write, puts them into docs (performance.md, journal.md)."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.benchmarks import (
    age,
    breathing,
    broker_outages,
    codec_fuzz,
    dead_unit,
    fleet_scale,
    gateway_kills,
    instructions,
    latest_values,
    leak_watch,
    libraries,
    memory,
    modbus_tcp,
    rtu_line,
    simulated_day,
    simulated_hour,
    stages,
    start,
    thousand,
    torn_journal,
)
from tests.benchmarks.harness import Table, machine, requirements, write

_DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "performance.md"
_JOURNAL: Final = _DOCUMENT.with_name("journal.md")
BENCHMARKS: Final[dict[str, Callable[[], Table]]] = {
    "rtu-line": rtu_line.measure,
    "age": age.measure,
    "dead-unit": dead_unit.measure,
    "simulated-hour": simulated_hour.measure,
    "simulated-day": simulated_day.measure,
    "fleet-scale": fleet_scale.measure,
    "modbus-tcp": modbus_tcp.measure,
    "instructions": instructions.measure,
    "stages": stages.measure,
    "thousand": thousand.measure,
    "growth": thousand.growth,
    "latest-values": latest_values.measure,
    "memory": memory.measure,
    "libraries": libraries.measure,
    "codec-fuzz": codec_fuzz.measure,
    "start": start.measure,
    "gateway-kills": gateway_kills.measure,
    "card-kills": gateway_kills.card,
    "broker-outages": broker_outages.measure,
    "torn-journal": torn_journal.measure,
    "leak-watch": leak_watch.measure,
    "breathing": breathing.measure,
}

_ELSEWHERE: Final = dict.fromkeys(("gateway-kills", "card-kills", "broker-outages", "torn-journal"), _JOURNAL)


def main() -> int:
    """Return 0 when every requirement was met, else 3."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", metavar="NAME", nargs="*", choices=[[], *BENCHMARKS], help=", ".join(BENCHMARKS))
    parser.add_argument(
        "--write", action="store_true", help=f"keep the tables in docs/{_DOCUMENT.name} or {_JOURNAL.name}"
    )
    words = parser.parse_args()
    all_met = True
    for name in words.names or BENCHMARKS:
        load = os.getloadavg()[0]
        table = BENCHMARKS[name]()
        text = f"{table.markdown()}\n\n{machine(load)}"
        print(f"\n{name}\n\n{text}", flush=True)
        if words.write:
            write(_ELSEWHERE.get(name, _DOCUMENT), name, text)
            if table.plot:
                _DOCUMENT.with_name(f"{name}.svg").write_text(table.plot, encoding="utf-8")
            write(_DOCUMENT, "requirements", requirements(_DOCUMENT.read_text(encoding="utf-8")))
        all_met &= all(check.met for check in table.checks)
    return 0 if all_met else 3


if __name__ == "__main__":
    sys.exit(main())
