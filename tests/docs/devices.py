"""docs/devices.md, made from the models, their twins and the tests in which other programs read those.

python -m tests.docs.devices          writes the page
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from drivers import registry
from drivers.model import Model

PAGE: Final = Path(__file__).parents[2] / "docs" / "devices.md"
CLIENT_TESTS: Final = ("test_adam_client", "test_clients_b", "test_keller_client", "test_read_by_other_programs")
BY_HAND: Final = {"pylablib": ("pfeiffer-tpg26x",), "labmcp-pfeiffer-tpg": ("pfeiffer-tpg26x",)}
"""Programs that were tried by the commands at the end of the page: they bring too much along for the tests."""

_HEAD: Final = """# Devices

Made from the code by `python -m tests.docs.devices`; a test compares them. `manovac models` lists the same families,
and `manovac models NAME` says what a rig file needs for one. Twins are what `manovac emulate` plays. The programs
beside them were written by others and take the twin for the device; each was also seen to fail on a twin with a
planted fault (silence, and where its protocol can show them a flipped byte, a refusal, half an answer, swapped
words).

*Unconfirmed* is what no document and no independent program confirms: nothing is built on it, or it is our choice and
the source says so.
"""
_TAIL: Final = """
## Programs tried by hand

Too heavy for the tests of every run. In a virtual environment of their own they read the twin of a TPG 26x, name its
mistakes, and fail when it is silent, refuses or is cut short. `vacuum.toml` is a rig with a `pfeiffer-tpg26x` on a
serial bus; `PORT` is what `manovac emulate` prints.

```
manovac emulate vacuum.toml                                # and again with --fault silence:p1
pip install pylablib-lightweight pyserial pyft232 pyusb pyvisa labmcp-pfeiffer-tpg
python -c 'from pylablib.devices.Pfeiffer import TPG260; g = TPG260(("PORT", 9600)); print(g.get_pressure(1))'
python -c 'from labmcp.transports.serial import SerialTransport as S
from labmcp_pfeiffer_tpg.driver import TPGController as C
print(C(S("PORT", baudrate=9600, read_termination="\\r\\n", write_termination="\\r")).pressures())'
```

No program of others was found that installs cleanly and speaks to a Paroscientific, to a Vaisala barometer by serial
line, to an MKS 900, a Druck TERPS, a Mensor, a Honeywell or a Setra 470. PyMeasure speaks to an MKS 937B, another
command set.
"""


def page() -> str:
    """Return the whole page."""
    accepted = _accepted()
    twins = {entry.name: entry.value.partition(":")[2] for entry in entry_points(group="manovac.twins")}
    models = [registry.model(name) for name in registry.names() if name in twins]
    overview = [
        "| model | family | measures | bus | programs that accept the twin |",
        "| --- | --- | --- | --- | --- |",
    ]
    overview += [_row(model, accepted.get(model.name, ())) for model in models]
    details = [line for model in models for line in _details(model, twins[model.name])]
    return "\n".join([_HEAD, *overview, "", *details]).rstrip() + "\n" + _TAIL


def _accepted() -> Mapping[str, list[str]]:
    accepted: dict[str, list[str]] = {}
    for module in CLIENT_TESTS:
        for program, models in import_module(f"tests.end_to_end.{module}").ACCEPTS.items():
            for model in models:
                accepted.setdefault(model, []).append(program)
    for program, models in BY_HAND.items():
        for model in models:
            accepted.setdefault(model, []).append(f"{program} (by hand)")
    return accepted


def _row(model: Model, programs: list[str] | tuple[()]) -> str:
    kinds = ", ".join(f"`{kind}`" for kind in sorted(model.kinds))
    quantities = ", ".join(model.quantities)
    return f"| `{model.name}` | {model.title} | {quantities} | {kinds} | {', '.join(sorted(programs)) or '-'} |"


def _details(model: Model, twin: str) -> Iterator[str]:
    yield f"## {model.name}"
    yield ""
    if any(kind.has_line for kind in model.kinds):
        alone = "; alone on its line" if model.alone else ""
        yield f"- line: {_speeds(model)} baud, {', '.join(sorted(model.formats))}{alone}"
    yield f"- unit: {model.units[0]}" + (f" to {model.units[-1]}" if len(model.units) > 1 else "")
    yield f"- protocol: {model.protocol}"
    yield f"- a fault: {model.faults}"
    yield f"- identity: {model.identity}"
    yield f"- twin: `{twin}`"
    if model.unconfirmed:
        yield f"- unconfirmed: {model.unconfirmed}"
    yield ""


def _speeds(model: Model) -> str:
    speeds = sorted(model.bauds)
    return f"{speeds[0]} to {speeds[-1]}" if len(speeds) > 2 else " or ".join(map(str, speeds))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
