"""How much of a line the gateway uses, whether it keeps its silences, and whether each unit has its turn."""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Final

from tests.benchmarks.harness import Check, Table, interleaved, spread
from tests.benchmarks.line import Run, in_real_time, in_virtual_time, wire_s
from tests.benchmarks.others import minimalmodbus_blocking, pymodbus_async

BAUD: Final = 19200
_SECONDS: Final = 15.0
_REPETITIONS: Final = 3
_VIRTUAL_S: Final = 60.0
_STILL: Final = "stuck:line"
_LEAST_SHARES: Final = {9600: 0.97, BAUD: 0.97, 57600: 0.93, 115200: 0.88}
_AIMS: Final = {9600: 0.98, BAUD: 0.98, 57600: 0.96, 115200: 0.92}


def measure() -> Table:
    """Measure the gateway at four speeds, in real and virtual time, and two other clients at 19200 baud."""
    real: dict[tuple[str, int], Callable[[], Run]] = {
        ("pymodbus AsyncModbusSerialClient", BAUD): partial(pymodbus_async, BAUD, _SECONDS),
        ("pymodbus with asyncio.sleep(0.002) between", BAUD): partial(pymodbus_async, BAUD, _SECONDS, pause_s=0.002),
        ("minimalmodbus", BAUD): partial(minimalmodbus_blocking, BAUD, _SECONDS),
    }
    real |= {("gateway", baud): partial(in_real_time, baud, _SECONDS) for baud in _LEAST_SHARES}
    virtual: dict[tuple[str, int], Callable[[], Run]] = {
        ("gateway, virtual time", baud): partial(in_virtual_time, baud, _VIRTUAL_S) for baud in _LEAST_SHARES
    }
    virtual["gateway, virtual time, values that never change", BAUD] = partial(
        in_virtual_time, BAUD, _VIRTUAL_S, faults=[_STILL]
    )
    runs = interleaved(real, repetitions=_REPETITIONS) | interleaved(virtual, repetitions=1)
    ours = runs["gateway", BAUD]
    broken = sum(run.violations for (who, _), each in runs.items() if who.startswith("gateway") for run in each)
    return Table(
        conditions=(
            f"8 units keller-33x, 8N1, one read of 4 registers (2 float32) each, polled faster than the line carries;"
            f" {_SECONDS:g} s a run, {_REPETITIONS} interleaved runs, median (lowest..highest); the emulator in a"
            " process of its own behind a pseudo-terminal. The wire allows 1 poll in"
            f" {1000 * wire_s(BAUD):.2f} ms at {BAUD} baud: 8 characters, T3.5, 13 characters, T3.5."
            " A request sooner than T3.5 after the last character is a violation; the emulated units do not answer it,"
            " as the standard has it."
        ),
        columns=("client", "baud", "polls/s", "of the wire", "violations / requests", "turns, most - fewest", "CPU"),
        rows=tuple(_cells(who, baud, each) for (who, baud), each in runs.items()),
        checks=(
            *(
                Check(
                    text=f"at {baud} baud at least {least:.0%} of the polls that the wire allows",
                    met=median(_shares(runs["gateway", baud], baud)) >= least,
                    found=f"{median(_shares(runs['gateway', baud], baud)):.1%}",
                    aim=f"{_AIMS[baud]:.0%}",
                )
                for baud, least in _LEAST_SHARES.items()
            ),
            Check(text="no request of the gateway sooner than T3.5", met=broken == 0),
            Check(text="each unit in its turn: polls differ by at most 1", met=max(run.turns for run in ours) <= 1),
        ),
    )


def _shares(runs: Sequence[Run], baud: int) -> list[float]:
    return [run.polls_per_s * wire_s(baud) for run in runs]


def _cells(who: str, baud: int, runs: Sequence[Run]) -> tuple[str, ...]:
    virtual = "virtual" in who
    return (
        who,
        str(baud),
        spread([run.polls_per_s for run in runs]),
        spread(_shares(runs, baud), ".1%"),
        f"{sum(run.violations for run in runs)} / {sum(run.requests for run in runs)}",
        spread([run.turns for run in runs], "d"),
        "-" if virtual else spread([run.cpu_s / run.seconds for run in runs], ".1%"),
    )
