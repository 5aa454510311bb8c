"""What every driver and its emulated twin must pass, ours and any other package's.

    from drivers.conformance import Subject, checks
    from firmware_sim.clock import run_virtual

    SUBJECT = Subject(model=my_gauge.MODEL, twin=my_twin.MyGauge, resolution={"pressure": 1.0})

    @pytest.mark.parametrize("check", checks(SUBJECT), ids=str)
    def test_my_gauge(check):
        run_virtual(check())

A check polls the twin through a real bus over a line on which one kind of thing goes wrong for ten seconds, at every
second answer by chance. The twin's air moves so fast that a value of another moment or quantity shows. A check fails
(AssertionError) when a good value is not true, when trouble that a driver must notice goes unnoticed, or when all is
not well again some seconds after it. Checks wait on the running loop's clock: in virtual time one takes milliseconds.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from drivers.bus import Bus
from drivers.conformance.line import TROUBLE_S, WIRE_FAULTS, Device, Direct, Line, Pieces, Strike, found
from drivers.exchange import Quiet, Request
from drivers.model import Driver, Model
from drivers.reader import UnitReader
from drivers.reading import RawPoll, Reason
from drivers.rig import Bus as BusWords
from drivers.rig import BusKind, Transducer
from drivers.transport.memory import MemoryTransport

__all__ = ["WIRE_FAULTS", "Air", "Check", "Device", "Direct", "Subject", "checks", "found"]

HEALED_S: Final = 36.0
_END_S: Final = 42.0
_POLL_S: Final = 0.25
_START: Final = {"pressure": 90_000.0, "temperature": 290.0}
_PER_S: Final = {"pressure": -500.0, "temperature": 0.2}
_NAME: Final = "p1"
_REFUSAL: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A driver and its twin.

    Attributes:
        model: the family.
        twin: makes the device: called with `unit`, `bus`, `transducers` (id -> words) and `sensors` (id -> sensor).
        resolution: quantity -> the last digit that the device sends, Pa and K.
        unit: its address.
        words: of its `[transducer.x]` table, beside model, bus, unit and segment.
        line: words of its `[bus.x]` table, beside the port.
        checked: its answers carry a checksum, so that a flipped bit can be told.
        refuses: it has a way to refuse a question aloud.
        repeats_told: that an answer is said again can be told. It cannot where a family answers but one question with
            anything that does not change: a fence and its repeat are then the same.
        old_s: by so much its values can be older than the question (it measures on its own).
        later_s: by so much they can be newer than the answer's stamp (a second question brings them).
    """

    model: Model
    twin: Callable[..., Device]
    resolution: Mapping[str, float]
    unit: int = 1
    words: Mapping[str, Any] = field(default_factory=dict)
    line: Mapping[str, Any] = field(default_factory=lambda: {"kind": "serial", "baud": 19200})
    checked: bool = True
    refuses: bool = True
    repeats_told: bool = True
    old_s: float = 0.0
    later_s: float = 0.0

    def __post_init__(self) -> None:
        if BusKind(self.line["kind"]) is BusKind.MODBUS_TCP:
            raise ValueError("conformance is about lines: on Modbus TCP transaction ids prove answers")


_NOTICED: Final = {"silence", "cut short", "garbled", "late by 6 s"}
"""What no driver can come through without a bad reading."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that a subject must pass; call it and await the result."""

    name: str
    body: Callable[[], Any]

    def __str__(self) -> str:
        """Return what it is about."""
        return self.name

    async def __call__(self) -> None:
        """Do it.

        Raises:
            AssertionError: the subject does not conform; the message says how.
        """
        await self.body()


def checks(subject: Subject) -> list[Check]:
    """Return everything that a subject must pass."""
    model = subject.model.name
    found = [
        Check(name=f"{model}: grammar of its answers", body=partial(_grammar, subject)),
        Check(name=f"{model}: a line without trouble", body=partial(_healthy, subject)),
        Check(name=f"{model}: restarts", body=partial(_restarts, subject)),
    ]
    if subject.refuses:
        found.append(Check(name=f"{model}: refuses", body=partial(_refuses, subject)))
    for name, fault in WIRE_FAULTS.items():
        if not subject.checked and name in {"flipped bit", "without its head"}:
            continue  # what is left of a number without a checksum is a number
        if not subject.repeats_told and name.startswith("said again"):
            continue
        found.append(Check(name=f"{model}: {name}", body=partial(_faulty, subject, name, fault)))
    return found


@dataclass(frozen=True, slots=True)
class Air:
    """The truth: pressure falls by 500 Pa/s, temperature rises by 0.2 K/s."""

    def read(self, at_ns: int) -> tuple[float, float]:
        """Return (pressure in Pa, temperature in K)."""
        return self.value("pressure", at_ns / 1e9), self.value("temperature", at_ns / 1e9)

    def value(self, quantity: str, at_s: float) -> float:
        """Return one of them."""
        return _START[quantity] + _PER_S[quantity] * at_s


@dataclass(slots=True)
class _Seen:
    """What polls brought, each with the times at which it began and ended, and what of it was not true."""

    polls: list[tuple[float, float, RawPoll]] = field(default_factory=list)
    lies: list[str] = field(default_factory=list)

    def reasons(self, begin_s: float, end_s: float) -> set[Reason]:
        """Return the reasons of the polls within that time."""
        polls = [poll for began_s, ended_s, poll in self.polls if begin_s <= began_s and ended_s < end_s]
        return {Reason(code) for poll in polls for code in poll.reasons.tolist()}


def _made(subject: Subject) -> tuple[Driver, Device, BusWords]:
    line = BusWords.model_validate({"port": "memory:1", **subject.line})
    words = {"model": subject.model.name, "bus": "b", "segment": "s", "unit": subject.unit, **subject.words}
    transducers = {_NAME: Transducer.model_validate(words)}
    device = subject.twin(unit=subject.unit, bus=line, transducers=transducers, sensors={_NAME: Air()})
    return subject.model.driver(subject.unit, transducers, line), device, line


async def _polled(
    subject: Subject,
    trouble: Callable[[Line], None],
    *,
    end_s: float = _END_S,
    each_s: Callable[[Line], None] | None = None,
) -> _Seen:
    """Poll for that long; `trouble` prepares the line, `each_s` is called before each poll."""
    driver, device, words = _made(subject)
    line = Line(device, words, subject.model.name)
    trouble(line)
    seen = _Seen()
    bus = Bus("b", words, make_transport=lambda _: MemoryTransport(line.connect))
    async with bus.opened():
        unit = UnitReader(bus, subject.unit, driver)
        while (now_s := line.now_ns() / 1e9) < end_s:
            if each_s is not None:
                each_s(line)
            poll = await unit.poll()
            seen.polls.append((now_s, line.now_ns() / 1e9, poll))
            seen.lies += _lies(subject, poll, line.start_s)
            await asyncio.sleep(_POLL_S)
    return seen


def _lies(subject: Subject, poll: RawPoll, start_s: float) -> Iterator[str]:
    """Say which good values were true at no moment that they are stamped with."""
    time_s = poll.time_s - start_s
    for channel, value, reason in zip(poll.channels, poll.values.tolist(), poll.reasons.tolist(), strict=True):
        if reason != Reason.NONE:
            continue
        moments_s = (time_s - poll.uncertainty_s - subject.old_s, time_s + poll.uncertainty_s + subject.later_s)
        low, high = sorted(Air().value(channel.quantity, moment_s) for moment_s in moments_s)
        step = subject.resolution[channel.quantity]
        if not low - step <= channel.unit.to_si(value) <= high + step:
            yield f"{channel.quantity} at {time_s:.3f} s: {value} {channel.unit.symbol}, truly {low:.2f} to {high:.2f}"


def _judge(seen: _Seen, what: str) -> None:
    assert not seen.lies, f"{what}: {len(seen.lies)} wrong values are called good, the first: {seen.lies[0]}"
    before, after = seen.reasons(0.0, TROUBLE_S[0]), seen.reasons(HEALED_S, _END_S)
    assert before == {Reason.NONE}, f"{what}: not good before the trouble: {_words(before)}"
    assert after == {Reason.NONE}, f"{what}: not good again {HEALED_S - TROUBLE_S[1]:g} s after it: {_words(after)}"


def _words(reasons: set[Reason]) -> str:
    return ", ".join(sorted(reason.word or "good" for reason in reasons)) or "no readings"


async def _healthy(subject: Subject) -> None:
    seen = await _polled(subject, lambda _: None)
    _judge(seen, "no trouble")
    reasons = seen.reasons(0.0, _END_S)
    assert reasons == {Reason.NONE}, f"no trouble, yet: {_words(reasons)}"


async def _faulty(subject: Subject, name: str, fault: Callable[[Strike], Pieces]) -> None:
    def trouble(line: Line) -> None:
        line.fault = fault

    seen = await _polled(subject, trouble)
    _judge(seen, name)
    during = seen.reasons(*TROUBLE_S)
    assert name not in _NOTICED or during != {Reason.NONE}, f"{name}: nobody noticed"


async def _refuses(subject: Subject) -> None:
    def each(line: Line) -> None:
        line.device.refuse(_REFUSAL if line.struck() else None)

    seen = await _polled(subject, lambda _: None, each_s=each)
    _judge(seen, "refuses")
    begin_s, end_s = TROUBLE_S
    during = seen.reasons(begin_s + _POLL_S, end_s - _POLL_S)
    assert Reason.NONE not in during, "a refused question brought a good value"


async def _restarts(subject: Subject) -> None:
    done: list[float] = []

    def each(line: Line) -> None:
        if line.struck() and line.now_ns() / 1e9 >= TROUBLE_S[0] + 3.0 * len(done):
            done.append(line.now_ns() / 1e9)
            line.device.reboot(line.now_ns())

    seen = await _polled(subject, lambda _: None, each_s=each)
    _judge(seen, "restarts")


async def _grammar(subject: Subject) -> None:
    """Ask every question of the driver and look at the answer from all sides."""
    driver, device, _ = _made(subject)
    fences = () if isinstance(driver.fences, Quiet) else driver.fences
    if not isinstance(driver.fences, Quiet):
        _look_at_fences(driver.requests, fences)
    ask = Direct(device)
    identity = await driver.identify(ask)
    assert identity.reason is Reason.NONE, f"the twin is not recognised: {identity}"
    for request in (*driver.requests, *fences):
        attempt = await ask(request)
        frame = attempt.frame
        assert frame, f"no answer to {request.frame!r} in {attempt.heard!r}"
        assert len(frame) <= request.answer_size, f"longer than answer_size: {frame!r}"
        _look_at(request, frame, checked=subject.checked and request in driver.requests)
    family = subject.model
    if family.hail is not None and family.recognise is not None:
        answer = (await ask(family.hail(subject.unit))).frame
        assert family.recognise(answer), f"{answer!r} is not recognised"


def _look_at_fences(requests: Sequence[Request], fences: Sequence[Request]) -> None:
    assert len(fences) >= 2, "a driver names at least two fences"
    for fence in fences:
        for other in (*requests, *fences):
            own = other is fence or not (fence.confusable(other) or other.confusable(fence))
            assert own, f"the fence {fence.frame!r} has answers like those of {other.frame!r}"
    assert len({request.frame for request in (*requests, *fences)}) == len(requests) + len(fences), (
        "a bus tells questions apart by their bytes: two are equal"
    )


def _look_at(request: Request, frame: bytes, *, checked: bool) -> None:
    for size in range(len(frame)):
        early = request.measure(frame[:size], 0)
        assert early <= 0, f"{frame[:size]!r} is taken for a whole answer to {request.frame!r}"
    assert request.measure(b"\xff" + frame, 1) == len(frame) or frame[:1] != b"\xff", "not found behind noise"
    if checked:
        for place in range(len(frame)):
            broken = bytearray(frame)
            broken[place] ^= 0x10
            taken = request.measure(bytes(broken), 0)
            assert taken <= 0, f"a flipped bit in byte {place} of {frame!r} goes unnoticed"
