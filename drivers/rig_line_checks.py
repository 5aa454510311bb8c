"""What must fit on each bus of a rig: kinds, speeds and formats of its models, addresses, the time of the line."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from drivers.line_use import SHARE_LIMIT, LineUse, bus_use
from drivers.model import Model
from drivers.rig import Bus, BusKind, Transducer
from drivers.rig_draft import Draft, Entry
from drivers.rig_problems import Findings
from drivers.toml_places import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One bus with the transducers on it; `models` has those whose model is known."""

    name: str
    bus: Entry[Bus]
    transducers: Mapping[str, Entry[Transducer]]
    models: Mapping[str, Model]


def check_lines(draft: Draft, findings: Findings, models: Mapping[str, Model]) -> dict[str, LineUse]:
    """Report what does not fit on its bus; return the line use of each bus that has no error.

    `models` is transducer id -> its model, as far as known.
    """
    lines = {}
    on: dict[str, dict[str, Entry[Transducer]]] = {}
    for each, entry in draft.transducers.items():
        if entry.clear("bus"):
            on.setdefault(entry.words.bus, {})[each] = entry
    for name, bus in draft.buses.items():
        here = on.get(name, {})
        line = _Line(
            name=name, bus=bus, transducers=here, models={each: models[each] for each in here if each in models}
        )
        if bus.clear("kind"):
            _check_kind(line, findings)
        if bus.words.kind.has_line and bus.clear("kind"):
            _check_word("format", line, {model.name: model.formats for model in line.models.values()}, findings)
            _check_word("baud", line, {model.name: model.bauds for model in line.models.values()}, findings)
        _check_units(line, findings)
        _check_alone(line, findings)
        use = _line_use(line, findings)
        if use is not None:
            lines[name] = use
    return lines


def _check_kind(line: _Line, findings: Findings) -> None:
    kind = line.bus.words.kind
    for name, model in line.models.items():
        if kind not in model.kinds:
            needed = " or ".join(f'"{each}"' for each in BusKind if each in model.kinds)
            message = f"{model.name} cannot be on bus '{line.name}' of kind \"{kind}\": it needs {needed}"
            findings.error((*line.transducers[name].path, "bus"), message)


def _check_word(
    word: str, line: _Line, able: Mapping[str, frozenset[int] | frozenset[str]], findings: Findings
) -> None:
    """Check baud or format against what each model on the line (name -> values) can speak."""
    bus = line.bus
    given = getattr(bus.words, word)
    unable = [name for name, values in able.items() if given not in values]
    if not unable or not bus.clear(word):
        return
    common = set.intersection(*({*values} for values in able.values()))
    path = (*bus.path, word)
    if common:
        default = "" if word in bus.words.model_fields_set else f", which is the default of {word}"
        findings.error(
            path, f"{', '.join(unable)} cannot speak {given}{default}", f"{word} can be {_listed(common)} on this line"
        )
    else:
        speakers = "; ".join(f"{name}: {_listed(values)}" for name, values in sorted(able.items()))
        findings.error(
            path,
            f"no {word} suits all transducers of this line ({speakers})",
            f"a line has one {word}: give one of these models a bus of its own",
        )


def _check_units(line: _Line, findings: Findings) -> None:
    """Report devices with one address, and transducers on one input of a device."""
    first: dict[int, str] = {}
    taken: dict[tuple[object, ...], str] = {}
    for name, model in line.models.items():
        each = line.transducers[name]
        if not each.clear("unit"):
            continue
        unit = each.words.unit
        other = first.setdefault(unit, name)
        on = f"unit {unit} of bus '{line.name}'"
        inputs = [(path, what, taken.setdefault((unit, *key), name)) for path, key, what in _inputs(each)]
        if model.name != line.models[other].name:
            message = f"{on} is a {line.models[other].name} already: {_who(line, other, findings)}"
            findings.error((*each.path, "unit"), message, "give this one another unit")
        elif other != name and not model.shares_unit:
            message = f"{on} is {_who(line, other, findings)} already"
            findings.error((*each.path, "unit"), message, "two devices with one address would answer at once")
        elif same := next(((path, what, owner) for path, what, owner in inputs if owner != name), None):
            path, what, owner = same
            findings.error((*each.path, *path), f"{what} of unit {unit} is {_who(line, owner, findings)} already")


def _who(line: _Line, name: str, findings: Findings) -> str:
    return f"'{name}' (line {findings.line_of(line.transducers[name].path)})"


def _inputs(each: Entry[Transducer]) -> Iterator[tuple[Path, tuple[object, ...], str]]:
    """Yield the inputs that a transducer takes: where the file says it, which one of its unit it is, its name."""
    words = each.words
    if each.clear("channel") and words.channel is not None:
        yield ("channel",), ("channel", words.channel), f"channel {words.channel}"
    if each.clear("map"):
        for quantity, its in (words.map or {}).items():
            yield ("map", quantity, "address"), (its.function, its.address, its.bit), f"register {its.address}"


def _check_alone(line: _Line, findings: Findings) -> None:
    """Report who shares a line with a device that has no address."""
    for name, model in line.models.items():
        if not model.alone:
            continue
        other = next((other for other in line.models if line.models[other].name != model.name), None)
        if other is not None:
            who = f"'{other}' (line {findings.line_of(line.transducers[other].path)})"
            message = f"{model.name} has no address, but {who} is on bus '{line.name}' too"
            findings.error((*line.transducers[name].path, "bus"), message, "give it a bus of its own")


def _line_use(line: _Line, findings: Findings) -> LineUse | None:
    entries: tuple[Entry[Bus] | Entry[Transducer], ...] = (line.bus, *line.transducers.values())
    if any(entry.unclear or findings.blamed(entry.path) for entry in entries):
        return None
    units: dict[int, dict[str, Transducer]] = {}
    for name, entry in line.transducers.items():
        units.setdefault(entry.words.unit, {})[name] = entry.words
    by_name = {model.name: model for model in line.models.values()}

    def use_of(bus: Bus) -> LineUse:
        return bus_use(bus, units, by_name.__getitem__)

    try:
        use = use_of(line.bus.words)
    except ValueError as error:
        findings.error(line.bus.path, f"the polls of bus '{line.name}' cannot be planned: {error}", at="key")
        return None
    if use.fraction > SHARE_LIMIT:
        _report_share(line, use, use_of, findings)
    return use


def _report_share(line: _Line, use: LineUse, use_of: Callable[[Bus], LineUse], findings: Findings) -> None:
    factor = use.fraction / SHARE_LIMIT
    periods = sorted(set(use.period_s.values()))
    slower = (
        f'poll = "{_two_digits_up(periods[0] * factor)} s"' if len(periods) == 1 else f"polls {factor:.1f} times slower"
    )
    remedies = [slower, *_faster(line, use_of), "a second bus"]
    advice = f"what would fit: {', or '.join(remedies)}"
    polls = sum(1 / period for period in use.period_s.values())
    share = f"the polls need {use.fraction:.0%} of bus '{line.name}'"
    numbers = f"{polls:.3g} polls a second of {_span_ms(use.poll_s.values())}"
    if use.fraction > 1:
        findings.error(line.bus.path, f"{share}: {numbers}", advice, at="key")
    else:
        findings.warning(line.bus.path, f"{share}, which leaves little for repeats: {numbers}", advice, at="key")


def _faster(line: _Line, use_of: Callable[[Bus], LineUse]) -> list[str]:
    """Return the lowest higher speed that all models speak and that is enough, if there is one."""
    bus = line.bus.words
    if not bus.kind.has_line:
        return []
    common = set.intersection(*({*model.bauds} for model in line.models.values()))
    for baud in sorted(each for each in common if each > bus.baud):
        fraction = use_of(bus.model_copy(update={"baud": baud})).fraction
        if fraction <= SHARE_LIMIT:
            return [f"baud = {baud} ({fraction:.0%})"]
    return []


def _listed(values: Iterable[int | str]) -> str:
    return ", ".join(map(str, sorted(values, key=lambda value: (isinstance(value, str), value))))


def _span_ms(times_s: Iterable[float]) -> str:
    low, high = (f"{time * 1000:.0f}" for time in (min(times_s), max(times_s)))
    return f"{low} ms" if low == high else f"{low} to {high} ms"


def _two_digits_up(number: float) -> str:
    """Round up to two significant digits, so that what is advised is enough."""
    step = 10.0 ** (math.floor(math.log10(number)) - 1)
    return f"{math.ceil(number / step - 1e-9) * step:.6g}"
