"""What can be made to go wrong on an emulated rig, as data: faults, their one-line grammar, and the set in force.

    KIND:TARGET[@CONDITION]...[,NAME=VALUE]...

KIND is one of `KINDS`; TARGET a transducer or a bus of the rig file, or `*`. Without a condition a fault strikes
always; with several, where all of them hold:

    @10s        from 10 s after the emulator's start on (a time that is over counts as now)
    @10s+5s     the same, for 5 s
    @+5s        from now on, for 5 s
    @#3         at the third request, counted from when the fault begins
    @/10        at each tenth request
    @5%         at each request with that probability, drawn from the rig's seed
    @=0104..02  at each request that begins with these bytes, `..` being any byte; others do not count

A request is what a device answers; with several devices as target all their requests count together. `count=2` lets a
fault strike at most twice. Other names are the kind's own: `late:sm_p1@10s+5s,delay=400ms`. What kinds there are
stands in `firmware_sim.fault_kinds`.
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Final

from drivers.units import UnitError, parse_quantity
from firmware_sim.fault_kinds import KINDS, FaultError, Medium, Value, time_text, whole

EVERYTHING: Final = "*"
_NS: Final = 1_000_000_000
_EXAMPLE: Final = "late:sm_p1@10s+5s,delay=400ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        kind: a key of `KINDS`.
        target: id of a transducer or bus, or "*".
        after_ns: when it begins, on the emulator's clock.
        for_ns: how long it lasts, None for ever.
        nth, every: at which request it strikes, counted from its beginning.
        probability: of striking at a request.
        request: how a request begins at which it strikes, in hexadecimal, ".." for any byte.
        count: how often it strikes at most.
        parameters: numbers that differ from the kind's defaults; see `fault_kinds.Value`.

    Raises:
        FaultError: the words do not fit each other.
    """

    kind: str
    target: str = EVERYTHING
    after_ns: int = 0
    for_ns: int | None = None
    nth: int | None = None
    every: int | None = None
    probability: float | None = None
    request: str | None = None
    count: int | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kind = KINDS.get(self.kind)
        if kind is None:
            raise FaultError(f"unknown kind '{self.kind}'{_near(self.kind, KINDS)}")
        for name, value in self.parameters.items():
            if name not in kind.parameters:
                raise _no_parameter(self.kind, name)
            kind.parameters[name].check(name, value)
        if kind.when == "times" and (self.on_requests or self.count is not None):
            raise FaultError(f"{self.kind} lasts for a time: give it @10s or @10s+5s and nothing about requests")
        if kind.when == "both" and not self.on_requests and not (self.for_ns is None and self.count is None):
            raise FaultError(f"{self.kind} happens once and at a moment: write @10s, not @10s+5s nor count")
        if kind.when == "measurements" and self.request is not None:
            raise FaultError(f"{self.kind} strikes measurements, and those are no requests: leave @={self.request} out")
        if any(number is not None and number < 1 for number in (self.nth, self.every, self.count)):
            raise FaultError("requests are counted from 1")
        if self.probability is not None and not 0 < self.probability <= 1:
            raise FaultError("a probability is above 0 % and at most 100 %")
        if self.request is not None and _BEGINNING.fullmatch(self.request) is None:
            raise FaultError(f"'@={self.request}' needs bytes in hexadecimal, '..' for any: @=0104..02")

    @property
    def on_requests(self) -> bool:
        """Whether a request decides when it strikes."""
        return any(each is not None for each in (self.nth, self.every, self.probability, self.request))

    def value(self, name: str) -> int:
        """Return a whole number or a time in ns, given or by default."""
        return int(self._parameter(name))

    def quantity(self, name: str) -> float:
        """Return a quantity in SI, given or by default."""
        return float(self._parameter(name))

    def data(self, name: str) -> bytes:
        """Return bytes, given or by default."""
        value = self._parameter(name)
        return value if isinstance(value, bytes) else b""

    def _parameter(self, name: str) -> Value:
        return self.parameters.get(name, KINDS[self.kind].parameters[name].default)

    def __str__(self) -> str:
        """Return the spec that `parse_fault` reads."""
        words = [f"{self.kind}:{self.target}"]
        if self.after_ns or self.for_ns is not None:
            begin = time_text(self.after_ns) if self.after_ns else ""
            words.append(f"@{begin}" + ("" if self.for_ns is None else f"+{time_text(self.for_ns)}"))
        words += [f"@#{self.nth}"] if self.nth is not None else []
        words += [f"@/{self.every}"] if self.every is not None else []
        words += [f"@{self.probability * 100!r}%"] if self.probability is not None else []
        words += [f"@={self.request}"] if self.request is not None else []
        words += [f",{name}={KINDS[self.kind].parameters[name].text(value)}" for name, value in self.parameters.items()]
        words += [f",count={self.count}"] if self.count is not None else []
        return "".join(words)


def _near(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    hint = f", did you mean '{close[0]}'?" if close else ""
    return f"{hint} (known: {', '.join(known)})"


def _no_parameter(kind: str, name: str) -> FaultError:
    return FaultError(f"{kind} has no '{name}'{_near(name, [*KINDS[kind].parameters, 'count'])}")


def parse_fault(spec: str) -> Fault:
    """Parse one fault, such as "late:sm_p1@10s+5s,delay=400ms"; the module's docstring is the grammar.

    Raises:
        FaultError: says what is wrong and shows an example.
    """
    try:
        return _parsed(spec)
    except (FaultError, UnitError) as error:
        raise FaultError(f'fault "{spec}": {error}; example: {_EXAMPLE}') from None


def _parsed(spec: str) -> Fault:
    head, *settings = spec.split(",")
    place, *conditions = head.split("@")
    kind, _, target = (word.strip() for word in place.partition(":"))
    if not (kind and target):
        raise FaultError("write KIND:TARGET")
    words: dict[str, Any] = {}
    for condition in conditions:
        words |= _condition(condition.strip())
    parameters = dict(_setting(kind, setting.strip()) for setting in settings)
    count: Any = parameters.pop("count", None)
    return Fault(kind=kind, target=target, count=count, parameters=parameters, **words)


_BEGINNING: Final = re.compile(r"(?:[0-9a-fA-F]{2}|\.\.)+")
_TIME_CONDITION: Final = re.compile(r"(?P<begin>[^+]*)(?:\+(?P<length>[^+]+))?")


def _condition(text: str) -> dict[str, Any]:
    if text[:1] in {"#", "/"}:
        return {"nth" if text[0] == "#" else "every": whole(text[1:], f"@{text}")}
    if text[:1] == "=":
        return {"request": text[1:].replace(" ", "").lower()}
    if text.endswith("%"):
        return {"probability": parse_quantity(text, "fraction")}
    match = _TIME_CONDITION.fullmatch(text)
    if not text or match is None:
        raise FaultError(f"'@{text}' is no condition: write @10s, @10s+5s, @+5s, @#3, @/10, @5% or @=0104..")
    begin, length = match["begin"], match["length"]
    return {"after_ns": _ns(begin) if begin else 0, "for_ns": None if length is None else _ns(length)}


def _setting(kind: str, text: str) -> tuple[str, Value]:
    name, equals, value = (word.strip() for word in text.partition("="))
    if not (name and equals and value):
        raise FaultError(f"'{text}' is not NAME=VALUE")
    if kind not in KINDS or name == "count":
        return name, whole(value, text)
    known = KINDS[kind].parameters.get(name)
    if known is None:
        raise _no_parameter(kind, name)
    return name, known.parse(value, text)


def _ns(text: str) -> int:
    seconds = parse_quantity(text, "time")
    if seconds < 0:
        raise FaultError(f"'{text}' is before the start")
    return round(seconds * _NS)


class ArmedFault:
    """A fault in force, with its count and its own random numbers (of seed and spec: no other fault shifts them).

    Attributes:
        number: of the injection, by which it can be taken back.
    """

    def __init__(self, fault: Fault, *, seed: int | str, begin_ns: int, number: int = 0) -> None:
        self.fault = fault
        self.number = number
        self.begin_ns = begin_ns
        self.end_ns = None if fault.for_ns is None else begin_ns + fault.for_ns
        self.random = Random(f"fault:{seed}:{fault}")
        self._seen = 0
        self._struck = 0
        self._drawn = self.random.random()

    @property
    def struck(self) -> int:
        """At how many requests it struck."""
        return self._struck

    def lasts(self, at_ns: int) -> bool:
        """Say whether its time has come and is not over."""
        return self.begin_ns <= at_ns and (self.end_ns is None or at_ns < self.end_ns)

    def due_after(self, last_ns: int | None) -> int | None:
        """Return when a fault that talks `every` so long talks next, None when it is over by then."""
        due = self.begin_ns if last_ns is None else last_ns + self.fault.value("every")
        return due if self.end_ns is None or due < self.end_ns else None

    def would_strike(self, request: bytes = b"") -> bool:
        """Say whether it strikes at this request if that is the next, without counting it."""
        fault, number = self.fault, self._seen + 1
        return (
            self._is_meant(request)
            and (fault.count is None or self._struck < fault.count)
            and (fault.nth is None or number == fault.nth)
            and (fault.every is None or number % fault.every == 0)
            and (fault.probability is None or self._drawn < fault.probability)
        )

    def count_request(self, request: bytes = b"") -> None:
        """Take note of a request that was made."""
        if self._is_meant(request):
            self._struck += self.would_strike(request)
            self._seen += 1
            self._drawn = self.random.random()

    def _is_meant(self, request: bytes) -> bool:
        wanted = self.fault.request
        if wanted is None:
            return True
        pairs = [wanted[at : at + 2] for at in range(0, len(wanted), 2)]
        return len(request) >= len(pairs) and all(
            pair == ".." or int(pair, 16) == byte for pair, byte in zip(pairs, request, strict=False)
        )


class Faults:
    """The faults in force; devices, sensors and ports ask it.

    Attributes:
        armed: those in force, also those whose time has not come.
        changed: called after each injection ("injected") and each clearing ("cleared"), with the fault.

    Args:
        seed: of everything random about them.
        transducers, buses: what a target can be, besides "*".
        now_ns: the emulator's clock.
    """

    def __init__(
        self, *, seed: int | str, transducers: Collection[str], buses: Collection[str], now_ns: Callable[[], int]
    ) -> None:
        self.changed: Callable[[str, ArmedFault], None] | None = None
        self._seed = seed
        self._transducers = transducers
        self._buses = buses
        self._now_ns = now_ns
        self._media: Mapping[str, Collection[Medium]] = {}
        self.armed: list[ArmedFault] = []
        self._numbers = count(1)

    def __iter__(self) -> Iterator[Fault]:
        return iter([armed.fault for armed in self.armed])

    def know_media(self, media: Mapping[str, Collection[Medium]]) -> None:
        """Refuse from now on what cannot happen to a target, because of what carries its answers.

        Args:
            media: target -> all that carries answers of its units; one that is not in it is not judged.

        Raises:
            FaultError: one in force cannot happen.
        """
        self._media = media
        for armed in self.armed:
            self._check_media(armed.fault)

    def _check_media(self, fault: Fault) -> None:
        media = self._media.get(fault.target, ())
        if media and KINDS[fault.kind].media.isdisjoint(media):
            own = "transducer" if fault.target in self._transducers else "bus"
            possible = ", ".join(
                name for name, kind in KINDS.items() if kind.target in {own, "any"} and not kind.media.isdisjoint(media)
            )
            raise FaultError(
                f"fault \"{fault}\": '{fault.kind}' cannot happen on {' or '.join(sorted(media))}, which is all that"
                f" '{fault.target}' has; what can: {possible}"
            )

    def inject(self, fault: Fault | str) -> Fault:
        """Put a fault (or the spec of one) in force.

        Raises:
            FaultError: the spec is wrong, the rig has no such target, or it cannot happen there.
        """
        if isinstance(fault, str):
            fault = parse_fault(fault)
        target = KINDS[fault.kind].target
        wanted = "transducer or bus" if target == "any" else target
        known = [
            *(() if target == "bus" else self._transducers),
            *(() if target == "transducer" else (*self._buses, EVERYTHING)),
        ]
        if fault.target not in known:
            raise FaultError(f"fault \"{fault}\": the rig has no {wanted} '{fault.target}'{_near(fault.target, known)}")
        self._check_media(fault)
        begin_ns = max(fault.after_ns, self._now_ns())
        armed = ArmedFault(fault, seed=self._seed, begin_ns=begin_ns, number=next(self._numbers))
        self.armed.append(armed)
        if self.changed is not None:
            self.changed("injected", armed)
        return fault

    def clear(self, fault: Fault | None = None) -> None:
        """Take a fault back, or all of them."""
        self._remove([armed for armed in self.armed if fault is None or armed.fault == fault])

    def clear_number(self, number: int) -> Fault:
        """Take back the fault of that injection and return it.

        Raises:
            FaultError: none in force has that number.
        """
        armed = next((armed for armed in self.armed if armed.number == number), None)
        if armed is None:
            known = ", ".join(str(each.number) for each in self.armed) or "none"
            raise FaultError(f"no fault in force has the number {number} (known: {known})")
        self._remove([armed])
        return armed.fault

    def _remove(self, gone: Collection[ArmedFault]) -> None:
        self.armed = [armed for armed in self.armed if armed not in gone]
        if self.changed is not None:
            for armed in gone:
                self.changed("cleared", armed)

    def on(self, names: Collection[str], kinds: Collection[str]) -> Iterable[ArmedFault]:
        """Return the faults of these kinds on any of these targets, also those whose time has not come."""
        return [armed for armed in self.armed if armed.fault.kind in kinds and armed.fault.target in names]
