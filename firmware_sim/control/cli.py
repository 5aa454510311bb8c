"""`manovac sim`: talk to an emulator that runs with --control, from a shell or a script."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from firmware_sim import EmulatorError
from firmware_sim.control import ControlError

if TYPE_CHECKING:
    from firmware_sim.control.client import ControlClient

_ENVIRONMENT: Final = "MANOVAC_CONTROL"
USAGES: Final = {
    "status": "",
    "get": "[PATH]",
    "set": "PATH=VALUE",
    "do": "DEED [WORD=VALUE]...",
    "faults": "",
    "inject": "FAULT",
    "clear": "NUMBER|all",
    "pause": "",
    "resume": "",
    "step": "DURATION",
    "speed": "FACTOR",
    "reboot": "TRANSDUCER",
    "snapshot": "[NAME]",
    "restore": "[NAME]",
    "mark": "TEXT",
    "events": "[KIND]...",
}


def sim(
    verb: Annotated[str, typer.Argument(help="What to do: see above.", metavar="VERB")],
    words: Annotated[list[str] | None, typer.Argument(help="What belongs to the verb.", metavar="[WORD]...")] = None,
    *,
    control: Annotated[
        str,
        typer.Option(envvar=_ENVIRONMENT, help="Where: what `manovac emulate --control` was given.", metavar="ADDRESS"),
    ] = "",
    number: Annotated[int | None, typer.Option(min=1, help="With events: end after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines: the answer as JSON.")] = False,
) -> None:
    """Control an emulated rig while it runs: its air, its faults, its time.

    \b
    status                     time, buses, transducers, statistics
    get [PATH]                 what is true: get segment.prk.pressure
    set PATH=VALUE             set segment.prk.pressure="90 kPa"
    do DEED [WORD=VALUE]...    do hole segment=prk diameter="2 mm"
    faults                     those in force, with their numbers
    inject FAULT               inject late:sm_p1,delay=400ms
    clear NUMBER|all           take a fault back
    pause, resume              time stands still, goes on
    step DURATION              that much time at once: step 10s
    speed FACTOR               time passes so many times as fast
    reboot TRANSDUCER          cut the power of its unit for a moment
    snapshot [NAME]            keep the state of everything
    restore [NAME]             return to it
    mark TEXT                  leave a remark in the trace
    events [KIND]...           print what happens, until Ctrl-C

    Exit codes: 0 ok, 1 nobody listens or it cannot be done now, 2 the request is wrong.
    """  # noqa: D301 - click leaves lines below a backspace as they are
    from firmware_sim.control.client import ControlClient  # noqa: PLC0415 - keeps --help fast

    try:
        request = _request(verb, words or [], control)
        with ControlClient(control, timeout_s=None if verb == "step" else 10.0) as client:
            if verb == "events":
                _follow(client, words or [], number, as_json=as_json)
                return
            answer = client.call(verb, **request)
    except ControlError as error:
        _fail(str(error), 2)
    except EmulatorError as error:
        _fail(str(error), 1)
    if as_json:
        typer.echo(_json(answer))
    else:
        shown = _got(answer, request.get("path", "")) if verb == "get" else _SHOWN[verb](answer)
        for line in shown:
            typer.echo(line)


def _fail(message: str, code: int) -> None:
    typer.echo(f"manovac sim: {message}", err=True)
    raise typer.Exit(code)


def _json(answer: Any) -> str:
    import orjson  # noqa: PLC0415 - keeps --help fast

    return orjson.dumps(answer).decode()


def _request(verb: str, words: Sequence[str], control: str) -> dict[str, Any]:
    """Return the arguments that the words after a verb mean.

    Raises:
        ControlError: too few, too many, no such verb, or nobody to ask.
    """
    from drivers.rig_problems import did_you_mean  # noqa: PLC0415 - keeps --help fast

    usage = USAGES.get(verb)
    if usage is None:
        raise ControlError(f"no verb '{verb}'{did_you_mean(verb, USAGES)} (known: {', '.join(USAGES)})")
    parts = usage.split()
    needed = sum(not part.startswith("[") for part in parts)
    if len(words) < needed or (len(words) > len(parts) and not usage.endswith("...")):
        raise ControlError(f"write: manovac sim {verb} {usage}".rstrip())
    if not control:
        raise ControlError(
            "which emulator? start one with `manovac emulate RIG --control ADDRESS`, then give its ADDRESS by "
            f"--control or in the environment as {_ENVIRONMENT}"
        )
    match verb:
        case "set":
            return dict(zip(("path", "value"), _word(words[0]), strict=True))
        case "do":
            return {"deed": {"do": words[0], **dict(map(_word, words[1:]))}}
        case "clear":
            return {} if words[0] == "all" else {"number": _number(int, words[0], "a fault's number, or all")}
        case "speed":
            return {"factor": _number(float, words[0], "a number, such as 10 or 0.5")}
        case "events":
            return {}
    names = [part.strip("[]").lower().replace("duration", "span") for part in parts]
    return dict(zip(names, words, strict=False))


def _word(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ControlError(f'\'{text}\' is not NAME=VALUE, such as diameter="2 mm" or segment.prk.pressure="90 kPa"')
    return name, value.replace("--", ",").split(",") if name == "between" else value


def _number(kind: Callable[[str], Any], text: str, what: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise ControlError(f"'{text}' is not {what}") from None


def _follow(client: "ControlClient", kinds: Sequence[str], number: int | None, *, as_json: bool) -> None:
    """Print events as they come, until there were so many, or Ctrl-C."""
    client.subscribe(*kinds)
    for count, event in enumerate(client.events(), 1):
        typer.echo(_json(event) if as_json else _event(event))
        sys.stdout.flush()
        if count == number:
            return


def _event(event: Mapping[str, Any]) -> str:
    others = {name: value for name, value in event.items() if name not in {"event", "t_ns"}}
    when = f"{event['t_ns'] / 1e9:12.6f} s" if "t_ns" in event else " " * 14
    return f"{when}  {event['event']:<9}  {_words(others)}".rstrip()


def _words(words: Mapping[str, Any]) -> str:
    return "  ".join(
        _words(value) if isinstance(value, Mapping) else f"{name} {_text(value)}" for name, value in words.items()
    )


def _text(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return "-" if value is None else "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.7g}"
    return " ".join(map(_text, value)) if isinstance(value, list) else str(value)


def _quantity(name: str, value: Any) -> str:
    return f"{_text(value)} {_UNITS.get(name, '')}".rstrip()


def _got(answer: Any, path: str) -> Iterator[str]:
    """Show what stands at a path: a quantity, the quantities of one thing, things of one kind, or all."""
    kind, _, rest = path.partition(".")
    if not isinstance(answer, dict):
        yield _quantity(path.rpartition(".")[2], answer)
    elif rest:
        yield from _table([{"quantity": name, "value": _quantity(name, value)} for name, value in answer.items()])
    elif kind:
        yield from _things(kind, answer)
    else:
        for place, (each, things) in enumerate(answer.items()):
            yield from ("",) if place else ()
            yield from _things(each, things)


def _things(kind: str, things: Mapping[str, Any]) -> Iterator[str]:
    if things:
        yield from _table([{kind: name, **words} for name, words in things.items()])
    else:
        yield f"no {kind}"


def _table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    heads = [f"{name} {_UNITS[name]}" if name in _UNITS else name for name in columns]
    texts = [heads, *([_text(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(row[place]) for row in texts) for place in range(len(columns))]
    for row in texts:
        yield "  ".join(f"{text:<{width}}" for text, width in zip(row, widths, strict=True)).rstrip()


def _faults(answer: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    return _table(answer) if answer else iter(["no faults"])


def _status(answer: Mapping[str, Any]) -> Iterator[str]:
    pace = "paused" if answer["paused"] else "running"
    yield (
        f"{answer['station']} at {answer['t_ns'] / 1e9:.6f} s, {pace}, speed {answer['speed']:g}, "
        f"seed {answer['seed']}, faults in force: {answer['faults']}"
    )
    yield ""
    buses = answer["buses"].items()
    yield from _table([{"bus": name, **{word: each[word] for word in _OF_BUS if word in each}} for name, each in buses])
    yield ""
    yield from _things("transducer", answer["transducers"])
    for name, at_ns in answer["snapshots"].items():
        yield f"snapshot {name} of {at_ns / 1e9:.6f} s"


def _moment(answer: Mapping[str, Any]) -> Iterator[str]:
    others = {name: value for name, value in answer.items() if name != "t_ns"}
    yield f"{_words(others)}  at {answer['t_ns'] / 1e9:.6f} s".strip()


_OF_BUS: Final = (*("kind", "port", "plugged", "units", "requests", "answers", "violations", "collisions", "unheard"),)
_UNITS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("pressure", "N2", "O2", "CO2", "H2O", "offset"), "Pa"),
    "temperature": "K",
    "volume": "m3",
    "seal": "m2",
    "ventilation": "m3/s",
    "rate": "kg/s",
    "drift": "Pa/s",
}
_SHOWN: Final[Mapping[str, Callable[[Any], Iterator[str]]]] = {
    "status": _status,
    "set": lambda answer: iter([_quantity(answer["path"].rpartition(".")[2], answer["value"])]),
    "faults": _faults,
    "inject": lambda answer: _table([answer]),
    "clear": lambda answer: iter([f"cleared: {_text(answer['cleared']) or 'nothing'}"]),
    **dict.fromkeys(("do", "pause", "resume", "step", "speed", "reboot", "snapshot", "restore", "mark"), _moment),
}
