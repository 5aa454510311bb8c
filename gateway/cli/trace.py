"""`manovac trace`: a recorded line for people, and where two of them differ."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli import group

if TYPE_CHECKING:  # the work is imported when the command runs, so that --help stays fast
    from collections.abc import Iterator, Mapping

    from drivers.trace.comparison import BusDifference, Latency, QuestionDifference, Side
    from drivers.trace.exchanges import Conversation
    from drivers.trace.records import Header, Record, Trace

app = group()

_File = Annotated[Path, typer.Argument(help="A trace file.", metavar="FILE")]


@app.callback()
def _trace() -> None:
    """Show a trace, or tell where two differ; docs/traces.md describes the format."""


@app.command()
def show(
    file: _File,
    *,
    bus: Annotated[str, typer.Option(help="Only this bus.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="For machines: one object a run.")] = False,
) -> None:
    """Print a trace for people.

    In the order of time: when, silence before it, bus, talker, bytes, and what they mean.

    Exit codes: 0 shown; 1 the file cannot be read; 2 it is no trace.
    """
    import orjson  # noqa: PLC0415

    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    trace = _read(file)
    buses = dict.fromkeys(trace.header.buses if trace.header else (record.bus for record in trace.records))
    if bus and bus not in buses:
        raise CommandError(f"{file} has no bus '{bus}'; it has {', '.join(buses) or 'none'}", USAGE)
    if not as_json:
        typer.echo(_title(file, trace), err=True)
    width = max(map(len, buses), default=0)
    for row in _rows(trace):
        if bus in ("", row["bus"]):
            typer.echo(orjson.dumps(row).decode() if as_json else _line(row, width))


def _read(file: Path) -> "Trace":
    from drivers.trace.records import TraceError, read_trace  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    try:
        trace = read_trace(file)
    except TraceError as error:
        raise CommandError(str(error), USAGE) from error
    except OSError as error:
        raise CommandError(f"cannot read {file}: {error.strerror or error}") from error
    if trace.header is None and not trace.count:
        raise CommandError(f"{file} is no trace: there is nothing in it", USAGE)
    return trace


def _title(file: Path, trace: "Trace") -> str:
    header = trace.header
    if header is None:
        return f"{file}: {trace.count} records, no header: kind, baud and format of its buses are unknown"
    seed = "" if header.seed is None else f", seed {header.seed}"
    lines = ", ".join(f"{name} {bus.kind} {bus.baud} {bus.format}" for name, bus in header.buses.items())
    start = header.start and f", from {header.start}"
    return f"{file}: {trace.count} records by {header.by}, view: {header.view}{seed}{start}; {lines}"


def _rows(trace: "Trace") -> "Iterator[dict[str, Any]]":
    """Yield a trace run by run in the order of time."""
    quiet_ns: dict[str, int] = {}
    buses = trace.header.buses if trace.header else {}
    for record in sorted(trace.records, key=lambda record: record.t_ns):
        bus = buses.get(record.bus)
        before_ns = quiet_ns.get(record.bus)
        on_line = bus is not None and bus.kind != "modbus-tcp"
        if record.data:
            span_ns = round(len(record.data) * bus.character_s * 1e9) if bus is not None and on_line else 0
            quiet_ns[record.bus] = max(before_ns or 0, record.t_ns + span_ns)
        yield {
            "t_s": record.t_ns / 1e9,
            "silence_s": (record.t_ns - before_ns) / 1e9 if bus and record.data and before_ns is not None else None,
            "bus": record.bus,
            "talker": record.talker,
            "hex": record.data.hex(" "),
            "means": _meaning(record, tcp=bus is not None and not on_line),
            "note": record.note,
        }


def _meaning(record: "Record", *, tcp: bool) -> str:
    from drivers.trace.records import HOST  # noqa: PLC0415
    from drivers.trace.spoken import spoken, spoken_tcp  # noqa: PLC0415

    asks = record.talker == HOST
    return spoken_tcp(record.data[2:], asks=asks) if tcp and record.data else spoken(record.data, asks=asks)


def _line(row: dict[str, Any], width: int) -> str:
    silence = "" if row["silence_s"] is None else f"{row['silence_s'] * 1e3:+.2f} ms"
    said = "  ".join(filter(None, (row["hex"], row["means"], row["note"] and f"({row['note']})")))
    return f"{row['t_s']:12.6f} {silence:>14}  {row['bus']:<{width}}  {row['talker']:<8} {said}"


@app.command()
def diff(
    a: Annotated[Path, typer.Argument(help="A trace file, say of the real line.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="Another, say of its emulation.", metavar="B")],
    *,
    bytes_: Annotated[int, typer.Option("--bytes", min=0, help="Places of a question's answers that may differ.")] = 0,
    latency: Annotated[str, typer.Option(help="How far the median latencies of a question may differ.")] = "5 ms",
    tail: Annotated[str, typer.Option(help="The same of the 95th percentiles; not judged when not given.")] = "",
    questions: Annotated[int, typer.Option(min=0, help="Questions of a bus that only one record may have.")] = 0,
    unanswered: Annotated[
        float, typer.Option(min=0, max=100, help="How far a question's unanswered shares may differ, %.")
    ] = 0.0,
    violations: Annotated[
        int, typer.Option(min=0, help="How far the numbers of questions before T3.5 of silence may differ.")
    ] = 0,
    exact: Annotated[
        bool, typer.Option("--exact", help="Compare answer by answer: bytes that move in a record count too.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: one object.")] = False,
) -> None:
    """Tell where two traces differ.

    Compares bytes, latencies, silences, and what was asked and answered, bus by bus.
    A byte that stands still in both and is not the same differs; one that moves is a value, unless --exact is given.

    Exit codes: 0 equal within the limits; 1 a file cannot be read; 2 usage, or no trace; 3 they differ.
    """
    import orjson  # noqa: PLC0415

    from drivers.trace.comparison import Limits, compare  # noqa: PLC0415
    from gateway.cli import CHECK_FAILED  # noqa: PLC0415

    limits = Limits(
        bytes=bytes_,
        latency_s=_time("--latency", latency),
        tail_s=_time("--tail", tail) if tail else None,
        questions=questions,
        unanswered=unanswered / 100,
        violations=violations,
        exact=exact,
    )
    differences = compare(_conversations(a), _conversations(b), limits)
    equal = all(each.equal for each in differences)
    if as_json:
        told = {"equal": equal, "limits": asdict(limits), "buses": [_bus_words(each) for each in differences]}
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS).decode())
    else:
        typer.echo(f"A {a}\nB {b}")
        for each in differences:
            _print_bus(each)
        typer.echo("equal within the limits" if equal else "they differ", err=True)
    if not equal:
        raise typer.Exit(CHECK_FAILED)


def _time(option: str, text: str) -> float:
    from drivers.units import UnitError, parse_quantity  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    try:
        return parse_quantity(text, "time")
    except UnitError as error:
        raise CommandError(f"{option} {text}: {error}", USAGE) from error


def _conversations(file: Path) -> "Mapping[str, Conversation]":
    from drivers.trace.exchanges import conversations  # noqa: PLC0415
    from drivers.trace.records import TraceError, with_header  # noqa: PLC0415
    from gateway.cli import USAGE, CommandError  # noqa: PLC0415

    trace = _read(file)
    try:
        header: Header = with_header(trace, file)
    except TraceError as error:
        raise CommandError(str(error), USAGE) from error
    found = conversations(trace, header)
    if not any(each.exchanges or each.unasked for each in found.values()):
        raise CommandError(f"{file}: nothing was said, so there is nothing to compare", USAGE)
    return found


def _bus_words(bus: "BusDifference") -> dict[str, Any]:
    return asdict(bus) | {"equal": bus.equal, "questions": [_question_words(each) for each in bus.questions]}


def _question_words(question: "QuestionDifference") -> dict[str, Any]:
    return {
        "question": question.question.hex(" "),
        "findings": question.findings,
        "places": question.places,
        "a": _side_words(question.a),
        "b": _side_words(question.b),
    }


def _side_words(side: "Side | None") -> dict[str, Any] | None:
    if side is None:
        return None
    words = asdict(side) | {"sample": side.sample.hex(" ")}
    del words["fixed"]
    return words


_SIDES: Final = ("A", "B")


def _print_bus(bus: "BusDifference") -> None:
    asked = [sum(side.asked for side in sides if side) for sides in _sides(bus)]
    typer.echo(f"\n{bus.bus}: {'same' if bus.equal else 'DIFFERS'}")
    typer.echo(f"  {'':<22}{'A':>12}{'B':>12}{'B - A':>12}")
    _print_row("questions asked", *asked)
    _print_row("unanswered", *(sum(side.unanswered for side in sides if side) for sides in _sides(bus)))
    _print_row("runs unasked", *bus.unasked)
    for name in ("median", "p95", "longest"):
        _print_row(f"latency {name}, ms", *(_ms(getattr(each, name)) for each in bus.latency))
    if bus.violations is not None:
        _print_row("sooner than T3.5", *bus.violations)
        _print_row("shortest silence, ms", *map(_ms, bus.shortest_gap_s))
    for side, notes in zip(_SIDES, bus.notes, strict=True):
        if notes:
            typer.echo(f"  noted in {side}: {', '.join(f'{note} {number} x' for note, number in notes.items())}")
    for finding in bus.findings:
        typer.echo(f"  ! {finding}")
    for question in bus.questions:
        if question.findings or question.a is None or question.b is None:
            _print_question(question)


def _sides(bus: "BusDifference") -> "list[list[Side | None]]":
    return [[each.a for each in bus.questions], [each.b for each in bus.questions]]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def _print_row(name: str, a: float | None, b: float | None) -> None:
    change = None if a is None or b is None else b - a
    typer.echo(f"  {name:<22}{_number(a):>12}{_number(b):>12}{_number(change, sign='+'):>12}")


def _number(value: float | None, sign: str = "") -> str:
    if value is None:
        return "-"
    return format(value, f"{sign}d" if isinstance(value, int) else f"{sign}.3f")


def _print_question(question: "QuestionDifference") -> None:
    from drivers.trace.spoken import spoken, spoken_tcp  # noqa: PLC0415

    asked = question.question
    means = spoken_tcp(asked, asks=True) if asked.startswith(b"\0\0") else spoken(asked, asks=True)
    typer.echo(f"\n  {asked.hex(' ')}  {means}")
    for name, side in zip(_SIDES, (question.a, question.b), strict=True):
        if side is None:
            typer.echo(f"    {name}  never asked")
            continue
        answer = _marked(side.sample, question.places) if side.sample else "no answer"
        typer.echo(f"    {name}  {answer}   {side.asked} x, {side.unanswered} unanswered{_median(side.latency)}")
    for finding in question.findings:
        typer.echo(f"    ! {finding}")


def _marked(data: bytes, places: tuple[int, ...]) -> str:
    return " ".join(f"[{byte:02x}]" if place in places else f"{byte:02x}" for place, byte in enumerate(data))


def _median(latency: "Latency") -> str:
    return "" if latency.median is None else f", median {latency.median * 1e3:.2f} ms"
